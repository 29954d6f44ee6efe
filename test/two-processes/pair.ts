// Runs a program of libibverbs as server and as client, each in a process with an address of its own.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';

const root = join(__dirname, '..', '..');

/** How long a program may take, and how long a server may take until it listens. */
const LIMIT_MS = 60_000;
const LISTENS_MS = 20_000;

const setting: { why?: string } = JSON.parse(
  process.env.RDMAVT_TWO_PROCESSES ?? '{"why":"they are run by npm run test:two-processes"}',
);

/** Returns why the program cannot be run here, or undefined. */
export function whyNot(program: string): string | undefined {
  if (setting.why !== undefined) return setting.why;
  const folders = (process.env.PATH ?? '').split(delimiter);
  const found = folders.some((folder) => folder && existsSync(join(folder, program)));
  return found ? undefined : `${program} is not installed: package ${packageOf(program)}`;
}

function packageOf(program: string): string {
  return program.startsWith('ibv_') ? 'ibverbs-utils' : 'perftest';
}

/** An address of this host. Other runs at the same time have others. */
export function networkAddress(number: number): string {
  return `127.${1 + ((process.pid >> 8) % 254)}.${process.pid & 255}.${number}`;
}

/** Returns a TCP port on which nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs with the shim, at an address. */
export class Program {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;

  constructor(program: string, args: readonly string[], address: string) {
    const child = spawn(join(root, 'scripts', 'with-rdmavt'), [program, ...args], {
      env: { ...process.env, RDMAVT_IBVERBS: 'plain', RDMAVT_ADDRESS: address },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
    });
    this.#child = child;
    const out = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (out.stderr += text));
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status, signal) => {
        resolve({ status, signal, ...out });
      });
    });
  }

  /** Waits until the program listens on a TCP port, or has ended. */
  async listens(port: number): Promise<void> {
    const deadline = Date.now() + LISTENS_MS;
    while (this.#child.exitCode === null && !isListening(port)) {
      if (Date.now() > deadline) throw new Error(`the program does not listen on port ${port}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

const LISTEN = '0A';

function isListening(port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return ['/proc/net/tcp', '/proc/net/tcp6'].some((file) => {
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
    return lines.some((line) => {
      const [, local, , state] = line.trim().split(/\s+/);
      return state === LISTEN && local?.endsWith(`:${hex}`) === true;
    });
  });
}

/** Runs the program as server and as client, and returns how both ended. */
export async function runPair(
  program: string,
  args: readonly string[],
): Promise<[server: Ended, client: Ended]> {
  const port = await freePort();
  const all = [...args, '-p', String(port)];
  const server = new Program(program, all, networkAddress(1));
  try {
    await server.listens(port);
    const client = await new Program(program, [...all, '127.0.0.1'], networkAddress(2)).ended;
    if (client.status !== 0) server.kill(); // it would wait for the client
    return [await server.ended, client];
  } finally {
    server.kill();
  }
}
