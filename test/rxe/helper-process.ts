// The programs of host/, which run as long as their standard input is open.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { readRecords, writeRecord } from './record-stream';

const START_MS = 20_000;
const END_MS = 5_000;

export class HelperProcess {
  /** Called with each record that the program writes. */
  onRecord: (record: Buffer) => void = () => {};
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #ended: Promise<void>;
  #errors = '';

  private constructor(file: string, args: readonly string[]) {
    // The kernel ends it with this process, however that ends.
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', file, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stdin.on('error', () => {}); // it has ended
    this.#child.stderr.on('data', (text: Buffer) => {
      this.#errors += text.toString();
    });
    this.#ended = new Promise((resolve) => {
      this.#child.on('error', (error) => {
        this.#errors += error.message;
        resolve();
      });
      this.#child.on('close', () => resolve());
    });
  }

  /** Starts a program and waits until it says, by an empty record, that it is ready. */
  static async start(file: string, args: readonly string[]): Promise<HelperProcess> {
    const helper = new HelperProcess(file, args);
    await new Promise<void>((resolve, reject) => {
      const fail = (what: string) => {
        helper.#child.kill('SIGKILL');
        reject(new Error(`${file} ${what}: ${helper.#errors.trim()}`));
      };
      const timer = setTimeout(() => fail('did not start in time'), START_MS);
      let isReady = false;
      readRecords(helper.#child.stdout, (record) => {
        if (isReady) {
          helper.onRecord(record);
        } else if (record.length === 0) {
          isReady = true;
          clearTimeout(timer);
          resolve();
        }
      });
      void helper.#ended.then(() => {
        clearTimeout(timer);
        if (!isReady) fail('ended');
      });
    });
    return helper;
  }

  send(...parts: readonly Uint8Array[]): void {
    writeRecord(this.#child.stdin, ...parts);
  }

  /** Ends the program. Throws an error if it has complained. */
  async close(): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_MS);
    await this.#ended;
    clearTimeout(timer);
    if (this.#errors) throw new Error(this.#errors);
  }
}
