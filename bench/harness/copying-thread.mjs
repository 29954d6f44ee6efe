// A second thread that copies from a region of the same device, again and again, by a batch: without a reference.
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

import { Access, Device } from 'rdmavt';

/** Words of the control block. */
const KEY = 0; // of the region; 0: copy nothing
const STATE = 1;
const DONE = 2; // copies
const COPYING = 3;

const THERE = 1;
const END = 2;

/** The other thread, from the first one's side. */
export class CopyingThread {
  #control = new Int32Array(new SharedArrayBuffer(16));
  #address = new BigUint64Array(new SharedArrayBuffer(8));

  /**
   * @param {Device} device
   * @param {import('rdmavt').ProtectionDomain} pd
   * @param {number} bytes of a region
   */
  constructor(device, pd, bytes) {
    const worker = new Worker(fileURLToPath(import.meta.url), {
      workerData: { token: device.share(), pd: pd.id, bytes, control: this.#control, address: this.#address },
    });
    worker.unref();
    Atomics.wait(this.#control, STATE, 0);
  }

  /** Begins to copy from the region; returns when a copy has begun. @param {import('rdmavt').MemoryRegion} mr */
  start(mr) {
    this.#address[0] = mr.start;
    const before = this.done;
    Atomics.store(this.#control, KEY, mr.lkey | 0);
    while (this.done === before);
  }

  /** Returns when no copy runs any more. */
  stop() {
    Atomics.store(this.#control, KEY, 0);
    while (Atomics.load(this.#control, COPYING));
  }

  /** Copies so far. */
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
