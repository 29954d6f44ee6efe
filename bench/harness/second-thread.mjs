// A second thread that uses the same device: while it is told to, it checks batches of the same kind as the first one, over the
// same table, through a domain that it has attached. It waits by looking, not by sleeping, so that it begins at once.
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

import { Access, Device } from 'rdmavt';

/** Words of the control block. */
const COMMAND = 0;
const STATE = 1;
/** Batches that the second thread has checked. */
const DONE = 2;

const IDLE = 0;
const WORK = 1;
const END = 2;

/** The other thread, from the first one's side. */
export class SecondThread {
  #control = new Int32Array(new SharedArrayBuffer(12));
  #worker;

  /**
   * @param {Device} device
   * @param {import('rdmavt').ProtectionDomain} pd
   * @param {Uint32Array} packed the elements it is to check, four words each
   * @param {number} size of a batch
   */
  constructor(device, pd, packed, size) {
    this.#worker = new Worker(fileURLToPath(import.meta.url), {
      workerData: { token: device.share(), pd: pd.id, packed, size, control: this.#control },
    });
    this.#worker.unref();
    Atomics.wait(this.#control, STATE, 0);
    this.stop();
  }

  start() {
    this.#tell(WORK);
  }

  stop() {
    this.#tell(IDLE);
  }

  /** Batches so far. */
  get done() {
    return Atomics.load(this.#control, DONE);
  }

  end() {
    Atomics.store(this.#control, COMMAND, END);
  }

  /** @param {number} command */
  #tell(command) {
    Atomics.store(this.#control, COMMAND, command);
    // The state is one more than the command that it answers to: 0 is "not there yet".
    while (Atomics.load(this.#control, STATE) !== command + 1);
  }
}

/** @param {{ token: string, pd: number, packed: Uint32Array, size: number, control: Int32Array }} data */
function work({ token, pd, packed, size, control }) {
  const device = Device.attach(token);
  const batch = device.importPd(pd).lkeyBatch(1);
  const views = Array.from(
    { length: packed.length / 4 / size },
    (_, i) => new Uint8Array(packed.buffer, 16 * size * i, 16 * size),
  );
  Atomics.store(control, STATE, IDLE + 1);
  Atomics.notify(control, STATE);
  for (let i = 0; ; i = (i + 1) % views.length) {
    const command = Atomics.load(control, COMMAND);
    if (command === END) break;
    if (command === WORK) {
      batch.checkPacked(/** @type {Uint8Array} */ (views[i]), Access.LocalWrite);
      Atomics.add(control, DONE, 1);
    }
    if (Atomics.load(control, STATE) !== command + 1) Atomics.store(control, STATE, command + 1);
  }
  device.detach({ cascade: true });
}

if (!isMainThread && workerData?.control) work(workerData);
