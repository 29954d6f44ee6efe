/** What all commands share: their type, the parsing of options, and errors of usage. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

/** Exit status of a wrong command line. */
export const USAGE = 2;

/** The command line is wrong. The message is for the user, and does not say where help is. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** A command: takes the arguments after its name, returns the exit status. */
export type Command = (args: string[]) => Promise<number>;

/**
 * Parses arguments with `util.parseArgs`, which is strict.
 *
 * @throws UsageError with the first sentence of its message
 */
export function parse<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split(/\.\s|\n/);
    throw new UsageError(sentence.charAt(0).toLowerCase() + sentence.slice(1));
  }
}

/**
 * Rejects an argument that the command has no use for.
 *
 * @param argument - the first surplus one, if there is one
 * @throws UsageError
 */
export function rejectSurplus(argument: string | undefined): void {
  if (argument !== undefined) throw new UsageError(`unexpected argument '${argument}'`);
}
