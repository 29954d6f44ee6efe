// Prints what the responder's work on a packet of 1 KiB costs, beside its ICRC alone (test/c/wire/receive_cost.c), with the libraries
// of the release build: `npm run bench:receive`. A C program, because JavaScript cannot call the transport without a socket.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const REACH = 1.5;

/** Runs a program, and throws if it fails. @param {string} command @param {readonly string[]} args */
function run(command, args) {
  const { status, stdout, error } = spawnSync(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} failed with status ${String(status)}`);
  return stdout;
}

/** The static libraries of the add-on, which are thin archives of its objects. Their order matters to the linker. */
const libraries = ['wire', 'fast_wire', 'fast_core', 'core']
  .map((name) => join(root, 'build', 'Release', 'obj.target', `rdmavt_${name}.a`))
  .filter((file) => existsSync(file));
const directory = mkdtempSync(join(tmpdir(), 'rdmavt-receive-cost-'));
try {
  const program = join(directory, 'receive_cost');
  const source = join(root, 'test', 'c', 'wire', 'receive_cost.c');
  const flags = [
    '-std=gnu11',
    '-O2',
    '-pthread',
    '-w',
    '-I',
    join(root, 'native'),
    '-I',
    join(root, 'test', 'c'),
  ];
  const linked = ['-Wl,--start-group', ...libraries, '-Wl,--end-group'];
  run(process.env.CC ?? 'cc', [...flags, source, '-o', program, ...linked]);
  const { packet, icrc, ratio } = JSON.parse(run(program, []));
  const target = ratio <= REACH ? `target ${REACH}x: met` : `target ${REACH}x: not met`;
  console.log(
    `receiving a WRITE of 1 KiB: ${packet} ns/packet; its ICRC alone: ${icrc} ns; ${ratio}x (${target})`,
  );
} finally {
  rmSync(directory, { recursive: true });
}
