// The store: values in registered shared memory, each with a region and therefore a key of its own. Clients read values by
// RDMA_READ; the store's program takes no part in a read. Deleting a value deregisters its region.
import { Access, Device } from 'rdmavt';

import { connect } from './connection.mjs';
import { PLACE, valueOf } from './values.mjs';

/** What clients know about the state of a key, to judge what they read. The store itself does not need it. */
export const State = Object.freeze({ LIVE: 0, DELETING: 1, DELETED: 2 });

/**
 * What a client needs to read a value: its address, length and rkey.
 *
 * @typedef {object} Offer
 * @property {number} key
 * @property {bigint} vaddr
 * @property {number} length in bytes
 * @property {import('rdmavt').Rkey} rkey
 */

/**
 * A stored value.
 *
 * @typedef {object} Entry
 * @property {number} place index of its place in the memory
 * @property {import('rdmavt').MemoryRegion} mr
 */

export class Store {
  device = new Device();
  pd = this.device.allocPd();
  /** The queue pairs of the store complete nothing: it posts no work requests. */
  cq = this.device.createCq(1);
  /** A region in another protection domain: no client of this store may reach it. */
  foreign = this.device.allocPd().regUserMr(new SharedArrayBuffer(64), { access: Access.RemoteRead });
  #memory;
  #seed;
  #states;
  /** @type {Map<number, Entry>} */
  #entries = new Map();

  /**
   * @param {number} places how many values the store can hold
   * @param {number} seed
   * @param {Uint8Array} states one state per key
   */
  constructor(places, seed, states) {
    this.#memory = new SharedArrayBuffer(places * PLACE);
    this.#seed = seed;
    this.#states = states;
  }

  /** Keys of the stored values in ascending order. */
  get keys() {
    return [...this.#entries.keys()].sort((a, b) => a - b);
  }

  /**
   * Stores the value of a key and registers it.
   *
   * @param {number} key
   * @param {number} place
   */
  put(key, place) {
    const value = valueOf(this.#seed, key);
    const bytes = new Uint8Array(this.#memory, place * PLACE, value.length);
    bytes.set(value);
    this.#entries.set(key, { place, mr: this.pd.regUserMr(bytes, { access: Access.RemoteRead }) });
    Atomics.store(this.#states, key, State.LIVE);
  }

  /**
   * Deletes a value. When this method returns, no client can read it, whatever it has cached.
   *
   * @param {number} key
   * @returns the place of the value. Its memory can be used again at once
   */
  delete(key) {
    const entry = this.#entry(key);
    Atomics.store(this.#states, key, State.DELETING);
    // A read that a client has posted holds no reference on the region: it fails. This call waits until no thread copies its bytes.
    entry.mr.dereg();
    Atomics.store(this.#states, key, State.DELETED);
    this.#entries.delete(key);
    return entry.place;
  }

  /**
   * Returns the offer of a value, which clients cache.
   *
   * @param {number} key
   * @returns {Offer}
   */
  offer(key) {
    return { key, ...this.#entry(key).mr.advertise() };
  }

  /** Creates a queue pair for a client, which connects it when it knows the number of the client's. */
  createQp() {
    return this.pd.createQp({ type: 'RC', sendCq: this.cq, maxSendWr: 1, maxRecvWr: 1 });
  }

  /**
   * Connects a queue pair with a client's: for the first time, or after a refusal.
   *
   * @param {import('rdmavt').QueuePair<'RC'>} qp
   * @param {number} peer number of the client's queue pair
   */
  connect(qp, peer) {
    connect(qp, peer, Access.RemoteRead); // clients may only read
  }

  /**
   * Explains why a client may not read a range. The store knows its regions; a client only learns a reason.
   *
   * @param {import('rdmavt').QueuePair<'RC'>} qp of the store
   * @param {import('rdmavt').RemoteRequest} request
   * @returns undefined if the client may read it
   */
  explain(qp, request) {
    const check = qp.check(request, Access.RemoteRead);
    return check.ok ? undefined : check.explain();
  }

  close() {
    this.device.close({ cascade: true });
  }

  /** @param {number} key */
  #entry(key) {
    const entry = this.#entries.get(key);
    if (entry === undefined) throw new Error(`no value has key ${key}`);
    return entry;
  }
}
