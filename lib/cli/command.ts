import { parseArgs, type ParseArgsConfig } from 'node:util';

/** Exit status of a command line that is wrong. */
export const USAGE = 2;

/** A command line that is wrong; the message is for the user. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** A subcommand: gets the arguments after its name, answers the exit status. */
export type Command = (args: string[]) => Promise<number>;

/**
 * `util.parseArgs`, strict.
 *
 * @throws UsageError with the first sentence of what it says.
 */
export function parse<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split(/\.\s|\n/);
    throw new UsageError(sentence);
  }
}
