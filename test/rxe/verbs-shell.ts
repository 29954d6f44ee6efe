// Drives the shell of verbs in the guest (guest/verbs-shell.c): a line for each command, a line for each answer.
import type { Duplex } from 'node:stream';

/** How long a command may take, ms. `poll` waits in the guest, and gets this in addition. */
const ANSWER_MS = 30_000;
const ERROR = /^error (\d+)$/;

/** Statuses of completions, by their numbers in <infiniband/verbs.h>. */
export const completionStatuses = [
  'SUCCESS',
  'LOC_LEN_ERR',
  'LOC_QP_OP_ERR',
  'LOC_EEC_OP_ERR',
  'LOC_PROT_ERR',
  'WR_FLUSH_ERR',
  'MW_BIND_ERR',
  'BAD_RESP_ERR',
  'LOC_ACCESS_ERR',
  'REM_INV_REQ_ERR',
  'REM_ACCESS_ERR',
  'REM_OP_ERR',
  'RETRY_EXC_ERR',
  'RNR_RETRY_EXC_ERR',
] as const;
export type CompletionStatus = (typeof completionStatuses)[number];

/** States of queue pairs, by their numbers. */
export const pairStates = ['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'SQE', 'ERR'] as const;
export type PairState = (typeof pairStates)[number];

export type Values = Readonly<Record<string, string | number | bigint | undefined>>;

/** The guest has refused a command. */
export class GuestError extends Error {
  readonly errno: number;

  constructor(line: string, errno: number) {
    super(`${line} -> errno ${errno}`);
    this.errno = errno;
  }
}

interface Waiting {
  readonly line: string;
  readonly resolve: (answer: string) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class VerbsShell {
  /** Resolves when the shell runs. */
  readonly ready: Promise<undefined>;
  readonly #socket: Duplex;
  readonly #waiting: Waiting[] = [];
  #failure: Error | undefined;
  #rest = '';
  #onReady: () => void = () => {};

  constructor(socket: Duplex) {
    this.#socket = socket;
    this.ready = new Promise((resolve) => {
      this.#onReady = () => resolve(undefined);
    });
    socket.on('data', (bytes: Buffer) => this.#take(bytes.toString('latin1')));
    socket.on('error', () => {}); // the guest has ended
  }

  /**
   * Gives a command, and returns the words of its answer behind `ok`.
   *
   * @throws GuestError: the guest answers with an errno
   */
  async command(name: string, values: Values = {}, waits = 0): Promise<string[]> {
    const given = Object.entries(values).filter(([, value]) => value !== undefined);
    const line = [name, ...given.map(([key, value]) => `${key}=${value}`)].join(' ');
    if (this.#failure) throw this.#failure;
    const answer = await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(
        () => this.fail(new Error(`the guest does not answer: ${line}`)),
        ANSWER_MS + waits,
      );
      this.#waiting.push({ line, resolve, reject, timer });
      this.#socket.write(`${line}\n`);
    });
    const errno = ERROR.exec(answer)?.[1];
    if (errno !== undefined) throw new GuestError(line, Number(errno));
    return answer.split(' ').slice(1);
  }

  /** Gives a command, and returns the value that its answer names. */
  async value(key: string, name: string, values: Values = {}): Promise<string> {
    const answer = await this.command(name, values);
    const found = answer.find((word) => word.startsWith(`${key}=`));
    if (found === undefined) throw new Error(`${name} answers ${answer.join(' ')}, without ${key}`);
    return found.slice(key.length + 1);
  }

  /** All commands fail from now on, also those that wait for an answer. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject, timer } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      reject(error);
    }
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === 'ready') {
        this.#onReady();
        continue;
      }
      const waiting = this.#waiting.shift();
      if (!waiting) continue;
      clearTimeout(waiting.timer);
      waiting.resolve(line);
    }
  }
}
