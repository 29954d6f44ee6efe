// `rdmavt serve` in a process of its own, and TCP clients of it.
import { type ChildProcess, spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandFile } from './command-line';
import { until } from './wire-ends';

export const SERVER = '127.0.0.1';
export const CLIENT = '127.0.0.2';
/** The GID that is the client's address, as the programs' lines have it, without colons. */
export const CLIENT_GID = '00000000000000000000ffff7f000002';

export interface Served {
  readonly child: ChildProcess;
  /** TCP port, or port of rdma_cm. */
  readonly port: number;
  /** What it has said. */
  readonly output: () => string;
  /** Its exit status. */
  readonly ended: Promise<number | null>;
}

const children: ChildProcess[] = [];

/** Kills what a test has left running. */
export function killServed(): void {
  for (const child of children.splice(0)) child.kill('SIGKILL');
}

/** Starts `rdmavt serve`, and waits until it serves. */
export async function serve(args: readonly string[]): Promise<Served> {
  const child = spawn(process.execPath, [commandFile, 'serve', ...args]);
  children.push(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  await until(() => text.includes('serving') || child.exitCode !== null);
  return { child, port: Number(/: (?:TCP )?port (\d+)/.exec(text)?.[1]), output: () => text, ended };
}

/** A TCP client that speaks in pieces, and collects what it is answered. */
export class TcpClient {
  readonly socket: Socket;
  #heard = Buffer.alloc(0);

  constructor(port: number, localAddress = CLIENT) {
    this.socket = connect({ port, host: SERVER, localAddress });
    this.socket.on('error', () => undefined);
  }

  /** Collects the answers from now on. A client that does not call it does not read. */
  listen(): this {
    this.socket.on('data', (chunk: Buffer) => {
      this.#heard = Buffer.concat([this.#heard, chunk]);
    });
    return this;
  }

  get isClosed(): boolean {
    return this.socket.closed;
  }

  say(bytes: Uint8Array | string): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Waits for an answer of this length; without one if the server closes. */
  async hear(length: number): Promise<Buffer> {
    await until(() => this.#heard.length >= length || this.socket.closed);
    const answer = this.#heard.subarray(0, length);
    this.#heard = this.#heard.subarray(length);
    return answer;
  }

  async ask(bytes: Uint8Array | string, length = bytes.length): Promise<Buffer> {
    this.say(bytes);
    return this.hear(length);
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Waits longer than `until`. */
export async function within(ms: number, condition: () => boolean): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`the condition does not hold after ${ms} ms`);
    await sleep(10);
  }
}
