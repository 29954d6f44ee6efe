import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { findPackageRoot } from '../internal/package-root';
import { parse, UsageError, type Command } from './command';

/** bench/bench.mjs, which says why it is not a part of lib/. */
interface Bench {
  readonly bench: (
    options: {
      only: readonly string[];
      smoke: boolean;
      format: 'table' | 'json' | 'markdown';
      svg: string | undefined;
    },
    out: { stdout: NodeJS.WriteStream; stderr: NodeJS.WriteStream },
  ) => number;
}

const folder = join(findPackageRoot(__dirname) ?? __dirname, 'bench');
const MAIN = 'bench.mjs';

const help = `Usage: rdmavt bench [OPTIONS]

Measures checks, copies, mapping and registration beside their peers in plain JavaScript, round
by round in one process for each question, and prints the medians and their ratios. Takes about
a minute.

Options:
  --only NAME    Ask only this question; may be given more than once.
  --json         Print one JSON object for programs instead of the table.
  --markdown     Print the table of the README instead.
  --svg FILE     Write a chart of the batch sizes.
  --smoke        Ask everything briefly and judge no time.
  -h, --help     Show this help, and the names of the questions.

Exit status:
  0  All was measured, whatever the times were.
  1  The peers do not agree with what is measured.
  2  A wrong command line, or a file or memory that cannot be had.
`;

/** `rdmavt bench`. */
export const benchCommand: Command = async (args) => {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true },
      json: { type: 'boolean' },
      markdown: { type: 'boolean' },
      svg: { type: 'string' },
      smoke: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const { only = [], json = false, markdown = false, svg, smoke = false } = values;
  const [surplus] = positionals;
  if (surplus !== undefined) throw new UsageError(`bench: there is nothing to do with '${surplus}'`);
  if (json && markdown) throw new UsageError('bench: --json or --markdown, not both');

  const questions = questionNames();
  if (values.help === true) {
    process.stdout.write(`${help}\nQuestions:\n${questions.map((name) => `  ${name}\n`).join('')}`);
    return 0;
  }
  const unknown = only.find((name) => !questions.includes(name));
  if (unknown !== undefined) throw new UsageError(`bench: there is no question '${unknown}'`);
  const { bench } = (await import(pathToFileURL(join(folder, MAIN)).href)) as Bench;
  const format = json ? 'json' : markdown ? 'markdown' : 'table';
  return bench({ only, smoke, format, svg }, process);
};

/** One a file, so that help needs to load none. */
function questionNames(): string[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.mjs') && name !== MAIN);
  return files.map((name) => name.slice(0, -'.mjs'.length)).sort();
}
