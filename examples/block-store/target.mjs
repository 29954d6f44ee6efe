// The target: memory that others may read, and the side that checks whether they may.
import { readFileSync } from 'node:fs';

import { Access, Device } from 'rdmavt';

export class BlockTarget {
  /**
   * @param {string} path the file whose bytes are offered
   * @param {number} batch the most requests that are served together
   */
  constructor(path, batch) {
    // A small table, so that the example can show a slot being used again; a server would take the default of 16 bits.
    this.device = new Device({ lkeyTableBits: 4 });
    this.pd = this.device.allocPd();
    this.qp = this.pd.createQp();
    this.content = readFileSync(path);
    if (this.content.length === 0) {
      this.close();
      throw new Error(`${path} is empty: there is nothing to register`);
    }
    this.mr = this.pd.regUserMr(this.content, { access: Access.RemoteRead });
    /** Where an initiator leaves the requests that it wants served together. */
    this.requests = this.qp.rkeyBatch(batch);
  }

  /** What an initiator must know, and all it ever learns: a name for the memory, no pointer. */
  get advertisement() {
    return { address: this.mr.iova, rkey: this.mr.rkey, length: this.mr.length };
  }

  /**
   * Serve one RDMA read request: prove it, put the bytes on the wire, put the reference.
   *
   * @param {import('rdmavt').RemoteRequest} request as it came from the peer
   * @param {Uint8Array} wire where the response packet is built
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
   * Serve the first requests of the batch in one call. No packet is built: the bytes go straight to where the responses belong, and both
   * sides are checked on the way.
   *
   * @param {number} count
   * @param {import('rdmavt').CheckBatch} elements of the initiator
   * @returns bytes
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
