// The library of a plugin: its windows. It is a convenience, and no part of the protection.
import { subscribe } from 'node:diagnostics_channel';
import { parentPort, workerData } from 'node:worker_threads';

import { Access, Device } from 'rdmavt';

const device = Device.attach(workerData.token);
const qp = device.importPd(workerData.pd).createQp();

// The host cuts off what is refused: tell it why.
subscribe('rdmavt:refused', (message) => {
  const { explain } = /** @type {import('rdmavt').RefusedMessage} */ (message);
  parentPort?.postMessage(explain());
});

class Window {
  #memory;

  /** @param {import('rdmavt').Advertisement} memory */
  constructor(memory) {
    this.#memory = memory;
  }

  get length() {
    return this.#memory.length;
  }

  /**
   * @param {number} offset
   * @param {number} length
   * @param {Access} access
   */
  #acquire(offset, length, access) {
    const { vaddr, rkey } = this.#memory;
    const check = qp.acquire({ vaddr: vaddr + BigInt(offset), length, rkey }, access);
    if (!check.ok) throw new Error(`refused: ${check.reason}`);
    return check.sge;
  }

  /**
   * Reads bytes of the window.
   *
   * @param {number} [offset]
   * @param {number} [length]
   */
  read(offset = 0, length = this.length) {
    const sge = this.#acquire(offset, length, Access.RemoteRead);
    const bytes = Buffer.alloc(length);
    sge.copyTo(bytes);
    sge.put();
    return bytes;
  }

  /**
   * Writes bytes into the window.
   *
   * @param {Uint8Array} bytes
   * @param {number} [offset]
   */
  write(bytes, offset = 0) {
    const sge = this.#acquire(offset, bytes.length, Access.RemoteWrite);
    sge.copyFrom(bytes);
    sge.put();
  }
}

/** What the plugin may read. */
export const input = new Window(workerData.input);
/** What it may read and write. */
export const output = new Window(workerData.output);
