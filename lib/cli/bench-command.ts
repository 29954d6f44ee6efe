import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { findPackageRoot } from '../internal/package-root';
import { parse, rejectSurplus, UsageError, type Command } from './command';
import { suggestNearest } from './suggest';

/** bench/bench.mjs. It says why it is not part of lib. */
interface Bench {
  readonly bench: (
    options: {
      only: readonly string[];
      smoke: boolean;
      format: 'table' | 'json' | 'markdown';
    },
    out: { stdout: NodeJS.WriteStream; stderr: NodeJS.WriteStream },
  ) => number;
}

const folder = join(findPackageRoot(__dirname) ?? __dirname, 'bench');
const MAIN = 'bench.mjs';

const help = `Usage: rdmavt bench [OPTIONS]

Measures requests, checks, copies, mapping, registration and memory, mostly against equivalent
plain JavaScript or an empty native call, and prints the medians, their ratios and the targets.
The contenders of a question are measured in alternating rounds. Takes about four minutes.

Options:
  --only NAME    Measure only this question; may be given more than once.
  --json         Print one JSON object instead of the table. Each row says whether its target
                 is met ("met"; null where there is no target, and with --smoke).
  --markdown     Print the table as Markdown, as the README has it.
  --smoke        Run everything briefly, and judge no times.
  -h, --help     Show this help, and the names of the questions.

Exit status:
  0  Everything was measured, whatever the times were.
  1  This package and what it is compared with gave different results.
  2  The command line is wrong, a file cannot be written, or there is not enough memory.
`;

/** `rdmavt bench`. */
export const runBench: Command = async (args) => {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true },
      json: { type: 'boolean' },
      markdown: { type: 'boolean' },
      smoke: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const { only = [], json = false, markdown = false, smoke = false } = values;
  rejectSurplus(positionals[0]);
  if (json && markdown) throw new UsageError('--json and --markdown exclude each other');

  const questions = listQuestions();
  if (values.help === true) {
    process.stdout.write(`${help}\nQuestions:\n${questions.map((name) => `  ${name}\n`).join('')}`);
    return 0;
  }
  const unknown = only.find((name) => !questions.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`unknown question '${unknown}'${suggestNearest(unknown, questions)}`);
  }
  const { bench } = (await import(pathToFileURL(join(folder, MAIN)).href)) as Bench;
  const format = json ? 'json' : markdown ? 'markdown' : 'table';
  return bench({ only, smoke, format }, process);
};

/** Lists the questions by their files, so that help loads none of them. */
function listQuestions(): string[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.mjs') && name !== MAIN);
  return files.map((name) => name.slice(0, -'.mjs'.length)).sort();
}
