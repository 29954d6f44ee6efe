#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { findPackageRoot } from '../internal/package-root';
import { parse, USAGE, UsageError, type Command } from './command';

/** Loaded when they are called: help needs no native module. */
const commands: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ['bench', async () => (await import('./bench-command.js')).benchCommand],
  ['build', async () => (await import('./build-command.js')).buildCommand],
  ['replay', async () => (await import('./replay-command.js')).replayCommand],
]);

/** What the codes of errors begin with that say in several lines what to do: there is no binary, add-ons are disabled. */
const OWN_CODES = 'ERR_RDMAVT_';

const help = `Usage: rdmavt COMMAND [OPTIONS]

RDMA memory protection: memory regions, keys and the validation of every access.

Commands:
  bench      Measure this package beside its peers in plain JavaScript.
  build      Build the native module from source, where no prebuilt one fits.
  replay     Play a trace of operations and print, or compare, its answers.

Options:
  -h, --help     Show this help; after a command, the help of the command.
  --version      Show the version.
`;

async function main(args: string[]): Promise<number> {
  const [first, ...rest] = args;
  const load = first === undefined ? undefined : commands.get(first);
  if (load !== undefined) return (await load())(rest);

  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean' } },
  });
  if (positionals[0] !== undefined) throw new UsageError(`unknown command '${positionals[0]}'`);
  if (values.help === true) process.stdout.write(help);
  else if (values.version === true) process.stdout.write(`${version()}\n`);
  else throw new UsageError('no command is given');
  return 0;
}

function version(): string {
  const file = join(findPackageRoot(__dirname) ?? __dirname, 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** The first line; all of an error that tells what to do. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message } = error;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (!code.startsWith(OWN_CODES)) return message.split('\n')[0] ?? '';
  return message.replace(/^rdmavt: /, '');
}

// Whoever reads the output may stop early (`| head`): that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`rdmavt: standard output: ${error.message}\n`);
  process.exit(USAGE);
});
process.stderr.on('error', () => {
  // There is nobody to tell.
});

main(process.argv.slice(2)).then(
  (status) => {
    // Not process.exit: what was written may still be on its way.
    process.exitCode = status;
  },
  (error: unknown) => {
    const hint = error instanceof UsageError ? ' (see rdmavt --help)' : '';
    process.stderr.write(`rdmavt: ${messageOf(error)}${hint}\n`);
    process.exitCode = USAGE;
  },
);
