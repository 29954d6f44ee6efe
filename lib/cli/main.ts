#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { findPackageRoot } from '../internal/package-root';
import { parse, rejectSurplus, USAGE, UsageError, type Command } from './command';
import { suggestNearest } from './suggest';

/** Loaded only when they are called. */
const commands: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ['bench', async () => (await import('./bench-command.js')).runBench],
  ['build', async () => (await import('./build-command.js')).runBuild],
  ['help', () => Promise.resolve(runHelp)],
  ['replay', async () => (await import('./replay-command.js')).runReplay],
]);

/** The start of the codes of errors whose message says in several lines what to do. */
const OWN_CODES = 'ERR_RDMAVT_';

const help = `Usage: rdmavt COMMAND [OPTIONS]

RDMA memory protection: memory regions, keys and the validation of every access.

Commands:
  bench          Measure this package against equivalent plain JavaScript.
  build          Build the native module from source if no prebuilt one fits.
  help [COMMAND] Show this help, or the help of a command.
  replay         Play a trace of operations, and print or compare its answers.

Options:
  -h, --help     Show this help; after a command, the help of the command.
  -v, --version  Show the version.
`;

/** The command that was called, for the hint in its errors of usage. */
let called: string | undefined;

async function main(args: string[]): Promise<number> {
  const [first, ...rest] = args;
  if (first !== undefined && commands.has(first)) return runCommand(first, rest);

  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'v' },
    },
  });
  if (values.help === true) return runHelp(positionals);
  const [name] = positionals;
  if (name !== undefined && !commands.has(name)) throw unknownCommand(name);
  if (values.version !== true) throw new UsageError('a command is required');
  rejectSurplus(name);
  process.stdout.write(`${readVersion()}\n`);
  return 0;
}

async function runCommand(name: string, args: string[]): Promise<number> {
  const load = commands.get(name);
  if (load === undefined) throw unknownCommand(name);
  const command = await load();
  called = name;
  return command(args);
}

/** `rdmavt help`, `rdmavt --help`. */
async function runHelp(args: string[]): Promise<number> {
  called = undefined;
  const { positionals } = parse({
    args,
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' } },
  });
  const [name, surplus] = positionals;
  rejectSurplus(surplus);
  if (name !== undefined && name !== 'help') return runCommand(name, ['--help']);
  process.stdout.write(help);
  return 0;
}

function unknownCommand(name: string): UsageError {
  return new UsageError(`unknown command '${name}'${suggestNearest(name, [...commands.keys()])}`);
}

function readVersion(): string {
  const file = join(findPackageRoot(__dirname) ?? __dirname, 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** Returns one line; the whole message of an error that says what to do, as for a missing binary. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message } = error;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (!code.startsWith(OWN_CODES)) return message.split('\n')[0] ?? '';
  return message.replace(/^rdmavt: /, '');
}

// The reader of the output may stop early (`| head`). That is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`rdmavt: standard output: ${error.message}\n`);
  process.exit(USAGE);
});
process.stderr.on('error', () => {
  // There is nowhere left to report it.
});

main(process.argv.slice(2)).then(
  (status) => {
    // Not process.exit, which would drop output that is still being written.
    process.exitCode = status;
  },
  (error: unknown) => {
    const hint = called === undefined ? 'rdmavt --help' : `rdmavt ${called} --help`;
    const where = error instanceof UsageError ? ` (see ${hint})` : '';
    process.stderr.write(`rdmavt: ${messageOf(error)}${where}\n`);
    process.exitCode = USAGE;
  },
);
