// A second thread that repeatedly copies from a region of the same device with a batch, which takes no reference.
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

import { Access, Device } from 'rdmavt';

/** Words of the control block. */
const KEY = 0; // key of the region; 0: copy nothing
const STATE = 1; // 0: starting, THERE or END
const DONE = 2; // number of completed copies
const COPYING = 3; // 1 during a copy

const THERE = 1;
const END = 2;

/** Controls the second thread from the main thread. */
export class CopyingThread {
  #control = new Int32Array(new SharedArrayBuffer(16));
  #address = new BigUint64Array(new SharedArrayBuffer(8));

  /**
   * @param {Device} device
   * @param {import('rdmavt').ProtectionDomain} pd
   * @param {number} bytes size of a region
   */
  constructor(device, pd, bytes) {
    const worker = new Worker(fileURLToPath(import.meta.url), {
      workerData: { token: device.share(), pd: pd.id, bytes, control: this.#control, address: this.#address },
    });
    worker.unref();
    Atomics.wait(this.#control, STATE, 0);
  }

  /** Starts copying from the region. Returns when a copy has completed. @param {import('rdmavt').MemoryRegion} mr */
  start(mr) {
    this.#address[0] = mr.start;
    const before = this.done;
    Atomics.store(this.#control, KEY, mr.lkey | 0);
    while (this.done === before);
  }

  /** Stops copying. Returns when no copy is running. */
  stop() {
    Atomics.store(this.#control, KEY, 0);
    while (Atomics.load(this.#control, COPYING));
  }

  /** Number of copies that the second thread has completed. */
  get done() {
    return Atomics.load(this.#control, DONE);
  }

  end() {
    Atomics.store(this.#control, STATE, END);
  }
}

/** @param {{ token: string, pd: number, bytes: number, control: Int32Array, address: BigUint64Array }} data */
function work({ token, pd, bytes, control, address }) {
  const device = Device.attach(token);
  const batch = device.importPd(pd).lkeyBatch(1);
  const target = new Uint8Array(bytes);
  Atomics.store(control, STATE, THERE);
  Atomics.notify(control, STATE);
  while (Atomics.load(control, STATE) !== END) {
    Atomics.store(control, COPYING, 1);
    const key = /** @type {import('rdmavt').Lkey} */ (Atomics.load(control, KEY) >>> 0);
    if (key) {
      batch.set(0, /** @type {bigint} */ (address[0]), bytes, key);
      if (batch.gather(target, 1, Access.LocalWrite)) Atomics.add(control, DONE, 1);
    }
    Atomics.store(control, COPYING, 0);
  }
  device.detach({ cascade: true });
}

if (!isMainThread && workerData?.address) work(workerData);
