// A second thread that uses the same device. On command, it checks (or acquires and puts) batches of the same kind as the main
// thread, in the same key table, through an imported protection domain. It polls for commands instead of sleeping, so that it
// starts at once.
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

import { Access, Device } from 'rdmavt';

/** Words of the control block. */
const COMMAND = 0;
const STATE = 1;
/** Number of batches that the second thread has checked. */
const DONE = 2;

const IDLE = 0;
const WORK = 1;
const END = 2;

/** Controls the second thread from the main thread. */
export class SecondThread {
  #control = new Int32Array(new SharedArrayBuffer(12));
  #worker;

  /**
   * @param {Device} device
   * @param {import('rdmavt').ProtectionDomain} pd
   * @param {Uint32Array} packed the elements for the second thread, four words each
   * @param {number} size elements per batch
   * @param {object} [options]
   * @param {boolean} [options.hold] whether to acquire and put the elements instead of only checking them
   */
  constructor(device, pd, packed, size, { hold = false } = {}) {
    this.#worker = new Worker(fileURLToPath(import.meta.url), {
      workerData: { token: device.share(), pd: pd.id, packed, size, hold, control: this.#control },
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

  /**
   * Returns a function that does the work while the second thread is working.
   *
   * @param {(passes: number) => number} run
   * @returns {(passes: number) => number}
   */
  during(run) {
    return (passes) => {
      this.start();
      const found = run(passes);
      this.stop();
      return found;
    };
  }

  /** Number of batches that the second thread has completed. */
  get done() {
    return Atomics.load(this.#control, DONE);
  }

  end() {
    Atomics.store(this.#control, COMMAND, END);
  }

  /** @param {number} command */
  #tell(command) {
    Atomics.store(this.#control, COMMAND, command);
    // The state is the last executed command plus one; 0 means that the thread has not started.
    while (Atomics.load(this.#control, STATE) !== command + 1);
  }
}

/**
 * Returns one function per batch of elements.
 *
 * @param {import('rdmavt').ProtectionDomain} domain
 * @param {Uint32Array} packed
 * @param {number} size
 * @param {boolean} hold
 * @returns {(() => void)[]}
 */
function callsOf(domain, packed, size, hold) {
  const checking = domain.lkeyBatch(1);
  return Array.from({ length: packed.length / 4 / size }, (_, i) => {
    const view = new Uint8Array(packed.buffer, 16 * size * i, 16 * size);
    if (!hold) return () => void checking.checkPacked(view, Access.LocalWrite);
    const batch = domain.lkeyBatch(size);
    batch.words.set(packed.subarray(4 * size * i, 4 * size * (i + 1)));
    return () => {
      batch.acquire(size, Access.LocalWrite);
      batch.put(size);
    };
  });
}

/** @param {{ token: string, pd: number, packed: Uint32Array, size: number, hold: boolean, control: Int32Array }} data */
function work({ token, pd, packed, size, hold, control }) {
  const device = Device.attach(token);
  const calls = callsOf(device.importPd(pd), packed, size, hold);
  Atomics.store(control, STATE, IDLE + 1);
  Atomics.notify(control, STATE);
  for (let i = 0; ; i = (i + 1) % calls.length) {
    const command = Atomics.load(control, COMMAND);
    if (command === END) break;
    if (command === WORK) {
      calls[i]?.();
      Atomics.add(control, DONE, 1);
    }
    if (Atomics.load(control, STATE) !== command + 1) Atomics.store(control, STATE, command + 1);
  }
  device.detach({ cascade: true });
}

if (!isMainThread && workerData?.control) work(workerData);
