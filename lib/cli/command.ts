/** Shared by all commands: their type, option parsing, and usage errors. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

/** Exit status for an invalid command line. */
export const USAGE = 2;

/** Thrown for an invalid command line. The caller adds a pointer to the command's help to the message. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** Runs a command with the arguments after its name. Returns the exit status. */
export type Command = (args: string[]) => Promise<number>;

/**
 * Parses arguments with `util.parseArgs` in strict mode.
 *
 * @throws UsageError with the first sentence of the error message of `util.parseArgs`
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
 * Rejects a positional argument that the command does not expect.
 *
 * @param argument - the first surplus argument, if there is one
 * @throws UsageError
 */
export function rejectSurplus(argument: string | undefined): void {
  if (argument !== undefined) throw new UsageError(`unexpected argument '${argument}'`);
}
