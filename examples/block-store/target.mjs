// The target: offers its memory for remote reading, and checks every request.
import { readFileSync } from 'node:fs';

import { Access, Device } from 'rdmavt';

export class BlockTarget {
  /**
   * @param {string} path of the file whose bytes are offered
   * @param {number} batch maximum number of requests in one batch
   */
  constructor(path, batch) {
    // A small key table, so that the example can quickly show the reuse of a slot. A server would use the default of 16 bits.
    this.device = new Device({ lkeyTableBits: 4 });
    this.pd = this.device.allocPd();
    this.qp = this.pd.createQp();
    this.content = readFileSync(path);
    if (this.content.length === 0) {
      this.close();
      throw new Error(`${path} is empty: there is nothing to register`);
    }
    this.mr = this.pd.regUserMr(this.content, { access: Access.RemoteRead });
    /** The initiator writes the requests of a batch here. */
    this.requests = this.qp.rkeyBatch(batch);
  }

  /** Returns what an initiator needs to read the memory: an address, a key and a length. It never gets a pointer. */
  get advertisement() {
    return { address: this.mr.iova, rkey: this.mr.rkey, length: this.mr.length };
  }

  /**
   * Serves one RDMA read request: checks it, copies the bytes to the response packet, and puts the reference.
   *
   * @param {import('rdmavt').RemoteRequest} request as it came from the peer
   * @param {Uint8Array} wire receives the response packet
   */
  serveRead(request, wire) {
    const check = this.qp.acquire(request, Access.RemoteRead);
    if (!check.ok) {
      throw new Error(`remote access error: ${check.reason}`);
    }
    try {
      return check.sge.copyTo(wire);
    } finally {
      check.sge.put();
    }
  }

  /**
   * Serves the first requests of the batch in one call. Copies the bytes directly to the initiator's elements, without a response
   * packet; the call checks both the requests and the elements.
   *
   * @param {number} count number of requests
   * @param {import('rdmavt').CheckBatch} elements of the initiator
   * @returns the number of bytes copied
   */
  serveReads(count, elements) {
    const moved = this.requests.copyTo(elements, count, Access.RemoteRead, count, Access.LocalWrite);
    if (this.requests.firstReason) {
      throw new Error(`remote access error: ${this.requests.firstReason}`);
    }
    return moved;
  }

  close() {
    this.device.close({ cascade: true });
  }
}
