#!/usr/bin/env node
/** Entry point of the `rdmavt` command. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { findPackageRoot } from '../internal/package-root';
import { parse, rejectSurplus, USAGE, UsageError, type Command } from './command';
import { suggestNearest } from './suggest';

/** The commands by name; each module is loaded only when its command runs. */
const commands: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ['bench', async () => (await import('./bench-command.js')).runBench],
  ['build', async () => (await import('./build-command.js')).runBuild],
  ['explain', async () => (await import('./explain-command.js')).runExplain],
  ['help', () => Promise.resolve(runHelp)],
  ['inspect', async () => (await import('./inspect-command.js')).runInspect],
  ['replay', async () => (await import('./replay-command.js')).runReplay],
  ['serve', async () => (await import('./serve-command.js')).runServe],
]);

/** Prefix of the codes of this package's load errors, whose multi-line messages say how to fix the problem. */
const OWN_CODES = 'ERR_RDMAVT_';

const help = `Usage: rdmavt COMMAND [OPTIONS]

RDMA memory protection: memory regions, keys, and validation of every access.

Commands:
  bench          Run benchmarks against equivalent plain JavaScript.
  build          Build the native module from source.
  explain        Explain a capture of RoCEv2 traffic: each request and what became of it.
  help [COMMAND] Show this help, or the help of a command.
  inspect        Show the device of a running program in the terminal.
  replay         Replay a trace of operations and print or compare the answers.
  serve          Serve a test program of a machine with a Linux RDMA device.

Options:
  -h, --help     Show this help; after a command, show the help of the command.
  -v, --version  Show the version.
`;

/** The command that was called, for the help hint in usage errors. */
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

/** Runs `rdmavt help` and `rdmavt --help`. */
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

/** Returns the first line of an error's message; the whole message for load errors, such as a missing binary. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message } = error;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (!code.startsWith(OWN_CODES)) return message.split('\n')[0] ?? '';
  return message.replace(/^rdmavt: /, '');
}

// If the reader of the output stops early (`| head`), exit without an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`rdmavt: standard output: ${error.message}\n`);
  process.exit(USAGE);
});
process.stderr.on('error', () => {
  // An error on standard error cannot be reported anywhere.
});

main(process.argv.slice(2)).then(
  (status) => {
    // Not process.exit, which would discard output that is still being written.
    process.exitCode = status;
  },
  (error: unknown) => {
    const hint = called === undefined ? 'rdmavt --help' : `rdmavt ${called} --help`;
    const where = error instanceof UsageError ? ` (see ${hint})` : '';
    process.stderr.write(`rdmavt: ${messageOf(error)}${where}\n`);
    process.exitCode = USAGE;
  },
);
