// What the threads of verbs-chaos.cjs share: their memory, the names by which peers reach it, counters, and the state of the run. All
// of it is in one SharedArrayBuffer, so that it survives the termination of a worker.
'use strict';
const { writeSync } = require('node:fs');

const SLOTS = 4;
const QPS = 4;
/** Memories of a slot: two regions, and a window that is only a remote target. */
const MEMORIES = 3;
const WINDOW = 2;
const BYTES = 4 * 65_536;
/** At the start of each memory: results of atomics, any bytes. */
const WORD_BYTES = 64;
const POISON = 0xd7;
const POISONED = Buffer.alloc(BYTES, POISON);
/** Live memory holds bytes below this. */
const LIVE = 0x80;

const CounterName = {
  Posted: 0,
  Completed: 1,
  Dropped: 2,
  Promises: 3,
  Settled: 4,
  Iterated: 5,
  Deregs: 6,
  Busy: 7,
  Windows: 8,
  Quiets: 9,
  Arms: 10,
  Events: 11,
  Detaches: 12,
  Lives: 13,
  Terminations: 14,
  Closes: 15,
  Domains: 16,
  Tried: 17,
  Fetched: 18,
  FromRings: 19,
  Packed: 20,
  First: 21, // completions by status, from here on
};
const STATUSES = [
  'SUCCESS',
  'LOC_LEN_ERR',
  'LOC_QP_OP_ERR',
  'LOC_PROT_ERR',
  'WR_FLUSH_ERR',
  'REM_INV_REQ_ERR',
  'REM_ACCESS_ERR',
  'REM_OP_ERR',
  'RETRY_EXC_ERR',
  'RNR_RETRY_EXC_ERR',
];
const COUNTERS = CounterName.First + STATUSES.length;

/** Words of the head. */
const Word = { Stopping: 0, Violations: 1, TokenLength: 2, Ending: 3, Words: 4 };
/** 64-bit words of a slot: domain, qpns, and address and key of each memory and of the counter. */
const SLOT_WORDS = 1 + QPS + 2 * (MEMORIES + 1);
const TOKEN_BYTES = 256;

class Board {
  constructor(shared) {
    this.shared = shared;
    let at = 0;
    const take = (Type, length) => {
      const view = new Type(shared, at, length);
      at += Math.ceil(view.byteLength / 64) * 64;
      return view;
    };
    this.words = take(Int32Array, Word.Words);
    this.tokenBytes = take(Uint8Array, TOKEN_BYTES);
    this.counters = take(BigInt64Array, COUNTERS);
    this.slots = take(BigUint64Array, SLOTS * SLOT_WORDS);
    this.atomics = take(BigInt64Array, SLOTS * 8);
    this.memories = Array.from({ length: SLOTS }, () =>
      Array.from({ length: MEMORIES }, () => take(Uint8Array, BYTES)),
    );
    this.size = at;
  }

  static create() {
    const { size } = new Board(new SharedArrayBuffer(SLOTS * MEMORIES * (BYTES + 64) + 65_536));
    return new Board(new SharedArrayBuffer(size));
  }

  /** Returns a function that draws numbers below its argument. */
  random(seed) {
    let state = (seed * 2654435761 + 12345) >>> 0;
    return (below) => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
    };
  }

  wrong(text) {
    if (Atomics.add(this.words, Word.Violations, 1) < 10) writeSync(2, `chaos: ${text}\n`);
  }
  get violations() {
    return Atomics.load(this.words, Word.Violations);
  }

  get isStopping() {
    return Atomics.load(this.words, Word.Stopping) === 1;
  }
  stop() {
    Atomics.store(this.words, Word.Stopping, 1);
  }

  setToken(token) {
    Atomics.store(this.words, Word.TokenLength, 0);
    for (let i = 0; i < token.length; i++) Atomics.store(this.tokenBytes, i, token.charCodeAt(i));
    Atomics.store(this.words, Word.TokenLength, token.length);
  }
  token() {
    const length = Atomics.load(this.words, Word.TokenLength);
    return String.fromCharCode(...Array.from({ length }, (_, i) => Atomics.load(this.tokenBytes, i)));
  }

  /** Makes a call that ends objects of other threads. A thread that finds an object closed waits until the call is over. */
  duringEnd(call) {
    Atomics.add(this.words, Word.Ending, 1);
    try {
      call();
    } finally {
      Atomics.sub(this.words, Word.Ending, 1);
      Atomics.notify(this.words, Word.Ending);
    }
  }
  /** Waits until no such call is in progress. Not for the main thread, which makes these calls. */
  awaitEnds() {
    for (let calls; (calls = Atomics.load(this.words, Word.Ending)) !== 0;)
      if (Atomics.wait(this.words, Word.Ending, calls, 10_000) === 'timed-out')
        return this.wrong('a closing call hangs');
  }

  count(counter, more = 1) {
    Atomics.add(this.counters, counter, BigInt(more));
  }
  countStatus(status) {
    const index = STATUSES.indexOf(status);
    if (index < 0) this.wrong(`status ${status}`);
    else this.count(CounterName.First + index);
  }
  counts() {
    const completions = {};
    STATUSES.forEach((status, i) => {
      const count = Number(this.counters[CounterName.First + i]);
      if (count) completions[status] = count;
    });
    const counts = {};
    for (const [name, index] of Object.entries(CounterName))
      if (name !== 'First') counts[name[0].toLowerCase() + name.slice(1)] = Number(this.counters[index]);
    const fetched = [...Array(SLOTS).keys()].reduce((sum, slot) => sum + Number(this.atomics[slot * 8]), 0);
    if (fetched < counts.fetched || fetched > counts.tried)
      this.wrong(`atomics: ${counts.tried} tried, ${fetched} carried out, ${counts.fetched} completed`);
    return { ...counts, completions, violations: this.violations };
  }

  #at(slot, word) {
    return slot * SLOT_WORDS + word;
  }
  domain(slot) {
    return Number(Atomics.load(this.slots, this.#at(slot, 0)));
  }
  setDomain(slot, id) {
    Atomics.store(this.slots, this.#at(slot, 0), BigInt(id));
  }
  qpn(slot, index) {
    return Number(Atomics.load(this.slots, this.#at(slot, 1 + index)));
  }
  setQpn(slot, index, qpn) {
    Atomics.store(this.slots, this.#at(slot, 1 + index), BigInt(qpn));
  }
  /** Address and key of a memory (MEMORIES: of the counter). Key 0: it cannot be used now. */
  shown(slot, index) {
    const at = this.#at(slot, 1 + QPS + 2 * index);
    return { addr: Atomics.load(this.slots, at), key: Number(Atomics.load(this.slots, at + 1)) };
  }
  show(slot, index, addr, key) {
    const at = this.#at(slot, 1 + QPS + 2 * index);
    Atomics.store(this.slots, at, addr);
    Atomics.store(this.slots, at + 1, BigInt(key));
  }
  counter(slot) {
    return this.atomics.subarray(slot * 8, slot * 8 + 1);
  }

  /** Fills memory with poison. No other thread may use it any more. */
  poison(slot, index) {
    this.show(slot, index, 0n, 0);
    this.memories[slot][index].fill(POISON);
  }
  makeLive(slot, index, tag) {
    this.memories[slot][index].fill(tag % LIVE);
  }
  poisonAll(slot) {
    for (let i = 0; i < QPS; i++) this.setQpn(slot, i, 0);
    for (let i = 0; i < MEMORIES; i++) this.poison(slot, i);
  }
  #bytes(slot, index) {
    const { byteOffset, byteLength } = this.memories[slot][index];
    return Buffer.from(this.shared, byteOffset, byteLength);
  }
  /** Checks that poisoned memory was not written. */
  check(slot, index, after) {
    const bytes = this.#bytes(slot, index);
    if (bytes.compare(POISONED, 0, bytes.length) === 0) return;
    const at = bytes.findIndex((byte) => byte !== POISON);
    this.wrong(`memory ${slot}.${index} was written after ${after}, at ${at}: ${bytes[at]}`);
  }
  checkAll(slot, after) {
    for (let i = 0; i < MEMORIES; i++) this.check(slot, i, after);
  }
  /** Checks that no poison arrived in live memory. No other thread may use it any more. */
  checkLive(slot, index, after) {
    const at = this.#bytes(slot, index).indexOf(POISON, WORD_BYTES);
    if (at >= 0) this.wrong(`memory ${slot}.${index} holds poison after ${after}, at ${at}`);
  }
}

module.exports = { Board, BYTES, CounterName, MEMORIES, QPS, SLOTS, WINDOW, WORD_BYTES };
