/** The command `rdmavt bench`. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { findPackageRoot } from '../internal/package-root';
import { parse, rejectSurplus, UsageError, type Command } from './command';
import { suggestNearest } from './suggest';

/** The exports of bench/bench.mjs, which ships as a plain module outside lib. */
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

Measures requests, checks, copies, mapping, registration and memory use. Most benchmarks compare
this package with equivalent plain JavaScript or with an empty native call, in alternating
rounds. Prints medians, ratios and targets. A full run takes one to four minutes.

Options:
  --only NAME    Run only this benchmark. May be repeated.
  --json         Print one JSON object instead of the table. In each row, "met" says whether
                 the target was met; it is null without a target and with --smoke.
  --markdown     Print the table as Markdown, as in docs/guide/performance.md.
  --smoke        Run every benchmark briefly and do not evaluate targets.
  -h, --help     Show this help and the names of the benchmarks.

Exit status:
  0  All benchmarks ran, even if targets were missed.
  1  The compared implementations gave different results.
  2  The command line is invalid, a file cannot be written, or memory ran out.
`;

/** Runs `rdmavt bench`. */
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
  if (json && markdown) throw new UsageError('--json and --markdown cannot be used together');

  const questions = listQuestions();
  if (values.help === true) {
    process.stdout.write(`${help}\nBenchmarks:\n${questions.map((name) => `  ${name}\n`).join('')}`);
    return 0;
  }
  const unknown = only.find((name) => !questions.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`unknown benchmark '${unknown}'${suggestNearest(unknown, questions)}`);
  }
  const { bench } = (await import(pathToFileURL(join(folder, MAIN)).href)) as Bench;
  const format = json ? 'json' : markdown ? 'markdown' : 'table';
  return bench({ only, smoke, format }, process);
};

/** Lists the benchmarks by their file names, so that --help does not load them. */
function listQuestions(): string[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.mjs') && name !== MAIN);
  return files.map((name) => name.slice(0, -'.mjs'.length)).sort();
}
