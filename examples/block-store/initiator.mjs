// The initiator: reads the target's memory into a registered buffer on its own device.
import { randomInt } from 'node:crypto';

import { Access, Device } from 'rdmavt';

/**
 * Returns the elements of a list in random order (Fisher-Yates shuffle).
 *
 * @template T
 * @param {readonly T[]} list
 */
function shuffled(list) {
  /** @type {T[]} */
  const result = [];
  for (const element of list) {
    const place = randomInt(result.length + 1);
    if (place < result.length) {
      result.push(/** @type {T} */ (result[place]));
      result[place] = element;
    } else {
      result.push(element);
    }
  }
  return result;
}

/**
 * @typedef {object} Block
 * @property {number} offset of the first byte, in bytes
 * @property {number} length in bytes
 */

export class BlockReader {
  /**
   * @param {{ address: bigint, rkey: import('rdmavt').Rkey, length: number }} remote what the target advertised
   * @param {number} batch maximum number of blocks in one batch
   */
  constructor(remote, batch) {
    this.remote = remote;
    this.buffer = Buffer.alloc(remote.length);
    this.wire = new Uint8Array(64 * 1024);
    this.device = new Device();
    this.pd = this.device.allocPd();
    this.mr = this.pd.regUserMr(this.buffer, { access: Access.LocalWrite });
    this.elements = this.pd.lkeyBatch(batch);
  }

  /**
   * Returns every block once, in random order.
   *
   * @param {number} size of a block in bytes; the last block may be shorter
   */
  blocksInRandomOrder(size) {
    /** @type {Block[]} */
    const blocks = [];
    for (let offset = 0; offset < this.remote.length; offset += size) {
      blocks.push({ offset, length: Math.min(size, this.remote.length - offset) });
    }
    return shuffled(blocks);
  }

  /**
   * Reads bytes of the remote memory to the same offset of the local buffer.
   *
   * @param {import('./target.mjs').BlockTarget} target
   * @param {number} offset of the first byte, in bytes
   * @param {number} length in bytes
   */
  read(target, offset, length) {
    const { address, rkey } = this.remote;
    const packet = this.wire.subarray(0, length);
    target.serveRead({ vaddr: address + BigInt(offset), length, rkey }, packet);

    // The local buffer is protected too: writing the response to it requires a local key and the right LocalWrite.
    const local = this.pd.acquire(
      { addr: this.mr.start + BigInt(offset), length, lkey: this.mr.lkey },
      Access.LocalWrite,
    );
    if (!local.ok) {
      throw new Error(`local protection error: ${local.reason}`);
    }
    local.sge.copyFrom(packet);
    local.sge.put();
  }

  /**
   * Reads several blocks in one batch: one request and one local element per block.
   *
   * @param {import('./target.mjs').BlockTarget} target
   * @param {readonly Block[]} blocks
   * @param {number} first index of the first block
   * @param {number} count number of blocks
   */
  readMany(target, blocks, first, count) {
    const { address, rkey } = this.remote;
    const { start, lkey } = this.mr;
    const { requests } = target;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const { offset, length } = /** @type {Block} */ (blocks[first + i]);
      const distance = BigInt(offset);
      requests.set(i, address + distance, length, rkey);
      this.elements.set(i, start + distance, length, lkey);
      bytes += length;
    }
    const moved = target.serveReads(count, this.elements);
    if (moved < bytes) {
      throw new Error(`local protection error: ${this.elements.firstReason}`);
    }
  }

  close() {
    this.device.close({ cascade: true });
  }
}
