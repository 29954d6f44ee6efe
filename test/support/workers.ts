// Workers that run the steps of a test, one at a time.
import { Worker } from 'node:worker_threads';

const program = `
  const { parentPort, workerData } = require('node:worker_threads');
  const rdmavt = require('rdmavt');
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const w = {
    ...rdmavt,
    parentPort,
    data: workerData,
    accepted: (check) => { if (!check.ok) throw new Error('refused: ' + check.reason); return check.sge; },
    refusal: (check) => { if (check.ok) throw new Error('accepted'); return check.reason; },
    /** Returns the reason or code of the error that is thrown, or 'none'. */
    codeOf: (use) => { try { use(); return 'none'; } catch (error) { return error.reason ?? error.code ?? String(error); } },
    collect: async (done) => {
      for (let round = 0; round < 30; round++) {
        gc();
        await turn();
        if (done()) return true;
        await turn(); // an object returned by WeakRef.deref stays alive until the end of the turn
      }
      return false;
    },
    turn,
  };
  if (workerData?.token) w.device = rdmavt.Device.attach(workerData.token, workerData.options);
  parentPort.on('message', async ({ id, source, args }) => {
    try {
      const value = await (0, eval)('(' + source + ')')(w, ...args);
      parentPort.postMessage({ id, value });
    } catch (error) {
      const { message, code, reason } = error;
      parentPort.postMessage({ id, error: { message: String(message), code, reason } });
    }
  });
`;

interface Answer {
  id: number;
  value?: unknown;
  error?: { message: string; code?: string; reason?: string };
}

/** The scope of a step: the exports of the package, and everything that earlier steps stored. */
export type Scope = any;

export class Peer {
  readonly worker: Worker;
  /** Resolves to the exit code when the worker has ended. */
  readonly ended: Promise<number>;
  #last = 0;

  /** @param data - the `workerData`; with a `token`, the worker first attaches to that device */
  constructor(data?: { token?: string; options?: object; [more: string]: unknown }) {
    this.worker = new Worker(program, { eval: true, workerData: data });
    this.worker.on('error', () => {}); // Ignore errors: tests make workers throw on purpose.
    this.ended = new Promise((resolve) => {
      this.worker.on('exit', resolve);
    });
    peers.push(this);
  }

  /** Runs the function in the worker. The function is sent as source text, so it sees only its arguments. */
  async run<T, A extends unknown[]>(
    step: (w: Scope, ...args: A) => T | Promise<T>,
    ...args: A
  ): Promise<Awaited<T>> {
    const id = ++this.#last;
    const answer = new Promise<Answer>((resolve, reject) => {
      const onMessage = (message: Answer): void => {
        if (message.id !== id) return;
        this.worker.off('message', onMessage);
        resolve(message);
      };
      this.worker.on('message', onMessage);
      void this.ended.then((code) => {
        reject(new Error(`the worker has ended: ${code}`));
      });
    });
    this.worker.postMessage({ id, source: step.toString(), args });
    const { value, error } = await answer;
    if (error) throw Object.assign(new Error(error.message), error);
    return value as Awaited<T>;
  }

  /** Lets the worker end by itself, by leaving it nothing to do. */
  async close(): Promise<number> {
    this.tell((w) => {
      w.parentPort.close();
    });
    return this.ended;
  }

  /** Runs the function in the worker without waiting for a result. */
  tell(step: (w: Scope) => unknown): void {
    this.worker.postMessage({ id: ++this.#last, source: step.toString(), args: [] });
  }
}

const peers: Peer[] = [];

afterEach(async () => {
  for (const { worker, ended } of peers.splice(0)) {
    await worker.terminate();
    await ended;
  }
});
