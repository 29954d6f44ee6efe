// Programs whose system calls fail when they ask for it: faulty_calls.c, loaded before the system's library.
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..', '..', '..');
const directory = join(root, 'build', 'faulty-calls');
const library = join(directory, 'faulty_calls.so');

/** In the order of `enum fault` of faulty_calls.c. */
const names = [
  'again',
  'partial',
  'interrupted',
  'refused',
  'unreachable',
  'segments',
  'mtu',
  'option',
  'socket',
  'bind',
  'epoll',
  'epollAdd',
  'timer',
  'event',
  'thread',
];

function compile(): boolean {
  if (process.platform !== 'linux') return false;
  mkdirSync(directory, { recursive: true });
  const own = `${library}.${process.pid}`;
  const source = join(__dirname, 'faulty_calls.c');
  const { status } = spawnSync('gcc', [
    ...['-std=c11', '-O1', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'],
    ...['-o', own, source, '-ldl'],
  ]);
  if (status === 0) renameSync(own, library); // at once: other processes of Jest may compile it, too
  return status === 0;
}

/** Whether calls can be made to fail: on Linux with gcc. */
export const canFail = compile();

/**
 * Runs a program whose scope has `faults`: an object that sets a fault by assigning to a name, `faults.again = 3`, and `failed(name)`,
 * which tells how often it has happened.
 */
export function runWithFaults(program: string): { status: number | null; stdout: string; stderr: string } {
  const file = join(directory, `control-${process.pid}-${Date.now()}`);
  writeFileSync(file, Buffer.alloc(names.length * 12));
  const prelude = `
    const names = ${JSON.stringify(names)};
    const control = require('node:fs').openSync(process.env.FAULTY_CALLS, 'r+');
    const faults = new Proxy({}, {
      set(_, name, value) {
        if (!names.includes(name)) throw new Error('no fault: ' + name);
        const words = new Int32Array([value, 0, 0]);
        require('node:fs').writeSync(control, words, 0, 12, names.indexOf(name) * 12);
        return true;
      },
    });
    const failed = (name) => {
      const words = new Int32Array(3);
      require('node:fs').readSync(control, words, 0, 12, names.indexOf(name) * 12);
      return words[2];
    };
  `;
  try {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--no-warnings', '--expose-gc', '--eval', prelude + program],
      {
        cwd: root,
        encoding: 'utf8',
        timeout: 120_000,
        killSignal: 'SIGKILL',
        env: {
          ...process.env,
          LD_PRELOAD: [process.env.LD_PRELOAD, library].filter(Boolean).join(':'),
          FAULTY_CALLS: file,
        },
      },
    );
    return { status, stdout, stderr };
  } finally {
    rmSync(file);
  }
}
