// Runs copies and atomics, predicts their result in plain JavaScript, and compares the bytes.
import { label } from './labels.mjs';
import { PAGE } from './plausible.mjs';

/** @typedef {import('./world.mjs').World} World */
/** @typedef {import('./memories.mjs').Memory} Memory */

/**
 * A range of bytes in a region: the request to check, and the location of its bytes.
 *
 * @typedef {object} Range
 * @property {bigint} addr
 * @property {number} length
 * @property {number} lkey
 * @property {number} rkey
 * @property {{ memory: Memory, at: number }[]} bytes one entry per byte
 */

/** Returns whether a device makes faults on purpose. @param {any} device */
function makesFaults(device) {
  try {
    return device.faults() !== undefined;
  } catch {
    return false; // it is closed, or restricted to a domain: the transfer fails as well
  }
}

export class Transfers {
  #world;
  #random;
  /** Undo what the running transfer has created outside of its domain. @type {(() => void)[]} */
  #undo = [];

  constructor(/** @type {World} */ world) {
    this.#world = world;
    this.#random = world.random;
  }

  /** Runs one transfer with its own domain and regions, in a device that other calls use too. */
  run(/** @type {any} */ device) {
    const world = this.#world;
    const random = this.#random;
    if (makesFaults(device)) return; // it may refuse what is valid
    const kind = random.pick([
      'copyTo',
      'copyFrom',
      'copyOut',
      'copyIn',
      'gather',
      'scatter',
      'list to list',
      'atomics',
      'write',
      'read',
      'send',
      'datagram',
      'remote atomics',
    ]);
    world.note(`a transfer (${kind})`);
    world.attempt(`transfer ${kind}`, () => {
      const pd = device.allocPd({ trusted: false });
      try {
        this.#transfer(kind, device, pd);
        world.ledger.account.transfers++;
      } catch (error) {
        // The request is valid, so it may fail only because the device is closed or full. (Atomics may also fail with EINVAL if
        // unaligned.)
        const { code } = /** @type {{ code?: unknown }} */ (error);
        if (/EACCES|EBUSY|EPERM/.test(`${code}`) || (code === 'EINVAL' && !/atomics/.test(kind))) {
          this.#wrong(kind, `failed: ${error}`);
        }
        throw error;
      } finally {
        pd.dealloc({ cascade: true });
        for (const undo of this.#undo.splice(0)) undo();
      }
    });
  }

  /**
   * @param {string} kind
   * @param {any} device
   * @param {any} pd
   */
  #transfer(kind, device, pd) {
    if (kind === 'atomics') return this.#atomics(pd);
    if (kind === 'remote atomics') return this.#remoteAtomics(device, pd);
    if (/^(write|read|send|datagram)$/.test(kind)) return this.#message(kind, device, pd);
    const random = this.#random;
    const count = /^copy(To|From)$/.test(kind) ? 1 : 1 + random.dice(3);
    const ranges = Array.from({ length: count }, () => this.#range(device, pd));
    const places = ranges.flatMap(({ bytes }) => bytes);
    const before = places.map(({ memory, at }) => memory.body()[at]);
    const { move, bytes, offset, length } = this.#prepared(kind, pd, ranges, places.length);
    if (length === 0) return;

    const lost = random.chance(0.25) ? this.#takeAway(places) : Infinity;
    let moved;
    try {
      moved = move();
    } catch (error) {
      // If memory was taken away, the call must fail with EACCES.
      if (lost < Infinity && /** @type {any} */ (error).code === 'EACCES') return;
      throw error;
    }
    if (lost < Infinity) {
      if (offset + moved > lost)
        this.#wrong(kind, `moved ${moved} bytes, but byte ${lost} and later ones no longer exist`);
      return;
    }
    if (moved !== length) return this.#wrong(kind, `moved ${moved} of ${length} bytes`);
    if (/^(copyFrom|copyIn|scatter)$/.test(kind)) {
      // A byte may be written more than once if ranges overlap; other bytes must not change.
      const model = new Map(places.map((place, i) => [name(place), before[i]]));
      for (const [i, place] of places.slice(offset, offset + moved).entries())
        model.set(name(place), bytes[i]);
      const wrong = places.find((place) => place.memory.body()[place.at] !== model.get(name(place)));
      if (wrong) this.#wrong(kind, `wrote a wrong byte ${wrong.at}`);
    } else {
      const wrong = before.slice(offset, offset + moved).findIndex((byte, i) => byte !== bytes[i]);
      if (wrong >= 0) this.#wrong(kind, `read a wrong byte ${wrong}`);
    }
  }

  /**
   * Prepares a transfer except for the final call: acquires elements, fills batches.
   *
   * @param {string} kind
   * @param {any} pd
   * @param {Range[]} ranges
   * @param {number} total total length of the ranges in bytes
   * @returns {{ move: () => number, bytes: Uint8Array, offset: number, length: number }} `bytes`: the source or target
   */
  #prepared(kind, pd, ranges, total) {
    const random = this.#random;
    const { SgeState } = this.#world.rdmavt;
    const sges = () => ranges.map((range) => accepted(pd.acquire(range, 31)));
    const batch = () => {
      const filled = pd.lkeyBatch(4, { places: random.chance(0.5) });
      for (const [i, { addr, length, lkey }] of ranges.entries()) filled.set(i, addr, length, lkey);
      return filled;
    };
    const memory = this.#world.memories.make(total);
    const offset = /^copy(To|From)$/.test(kind) ? random.dice(total) : 0;
    const length = offset ? random.dice(total - offset + 1) : total;
    const bytes = memory.body().subarray(0, length);
    const data = this.#disguised(memory.body().subarray(0, length));
    const prepared = (/** @type {() => number} */ move) => ({ move, bytes, offset, length });
    const ordered = random.chance(0.5);
    switch (kind) {
      case 'copyTo': {
        const [sge] = sges();
        return prepared(() => sge.copyTo(data, ...(offset ? [{ offset }] : [])));
      }
      case 'copyFrom': {
        const [sge] = sges();
        return prepared(() => sge.copyFrom(data, ...(offset || ordered ? [{ offset, ordered }] : [])));
      }
      case 'copyOut': {
        const state = new SgeState(sges());
        return prepared(() => state.copyOut(data));
      }
      case 'copyIn': {
        const state = new SgeState(sges());
        return prepared(() => state.copyIn(data, { ordered }));
      }
      case 'gather': {
        const filled = batch();
        return prepared(() => filled.gather(data, ranges.length, 0));
      }
      case 'scatter': {
        const filled = batch();
        return prepared(() => filled.scatter(data, ranges.length, 1));
      }
      default: {
        const target = pd.regUserMr(data, { access: 31 });
        const other = pd.lkeyBatch(2);
        other.set(0, target.start, total, target.lkey);
        const filled = batch();
        return prepared(() => filled.copyTo(other, ranges.length, 0, 1, 1));
      }
    }
  }

  /**
   * Transfers or resizes some of the memory. @returns the index of the first byte that no longer exists; Infinity if all still
   * exist
   *
   * @param {{ memory: Memory }[]} places
   */
  #takeAway(places) {
    const { memory } = this.#random.pick(places);
    if (this.#random.chance(0.5)) this.#world.memories.transfer(memory);
    else this.#world.memories.resize(memory);
    const lost = places.findIndex((place) => !place.memory.whole);
    return lost < 0 ? Infinity : lost;
  }

  /** Returns the same bytes. Sometimes their properties claim that they are other bytes of the same length. */
  #disguised(/** @type {Uint8Array} */ bytes) {
    if (this.#random.chance(0.7)) return label('bytes', bytes);
    const other = this.#world.memories.make(bytes.length).body();
    for (const key of /** @type {const} */ (['buffer', 'byteOffset', 'byteLength', 'length'])) {
      Object.defineProperty(bytes, key, { get: () => other[key] });
    }
    return label('bytes with false properties', bytes);
  }

  /** Returns a random range of a new region: over user memory, or over pages of DMA memory in random order. @returns {Range} */
  #range(/** @type {any} */ device, /** @type {any} */ pd) {
    const random = this.#random;
    const { memories } = this.#world;
    if (random.chance(0.6)) {
      const memory = memories.make();
      const region = pd.regUserMr(this.#disguised(memory.body()), { access: 31 });
      const into = random.dice(memory.length);
      const length = 1 + random.dice(Math.min(600, memory.length - into));
      const bytes = Array.from({ length }, (_, i) => ({ memory, at: into + i }));
      return { addr: region.start + BigInt(into), length, lkey: region.lkey, rkey: region.rkey, bytes };
    }
    const memory = memories.make(4 * PAGE);
    const mapping = device.dma.map(memory.body());
    this.#undo.push(() => mapping.unmap());
    const order = Array.from({ length: 1 + random.dice(4) }, () => random.dice(4));
    const fmr = pd.allocFmr({ access: 31, maxPages: 4 });
    fmr.mapPhys(
      order.map((page) => mapping.address + BigInt(page * PAGE)),
      0x7000n,
    );
    const into = Math.max(0, random.dice(order.length) * PAGE - random.dice(300));
    const length = 1 + random.dice(Math.min(600, order.length * PAGE - into));
    const bytes = Array.from({ length }, (_, i) => ({
      memory,
      at: (order[Math.floor((into + i) / PAGE)] ?? 0) * PAGE + ((into + i) % PAGE),
    }));
    return { addr: 0x7000n + BigInt(into), length, lkey: fmr.lkey, rkey: fmr.rkey, bytes };
  }

  #atomics(/** @type {any} */ pd) {
    const memory = this.#world.memories.make(64);
    const at = this.#random.dice(57);
    const region = pd.regUserMr(memory.body(), { access: 31, start: 0, iova: 0 });
    const qp = pd.createQp();
    const sge = accepted(qp.acquire({ vaddr: at, length: 8, rkey: region.rkey }, 8));
    const view = new DataView(memory.buffer, memory.bodyAt + at, 8);
    const before = view.getBigUint64(0, true);
    const image = memory.body().slice();
    const add = BigInt(this.#random.bits()) * 0x1234567n;
    const swapped = this.#random.chance(0.5) ? before : 0n;
    const compare = this.#random.chance(0.5);
    // Throws an RdmaError if the address is not aligned.
    const old = compare ? sge.compareSwap(swapped, add) : sge.fetchAdd(add);
    const after = compare ? (swapped === before ? add : before) : BigInt.asUintN(64, before + add);
    if (old !== before || view.getBigUint64(0, true) !== after)
      this.#wrong('atomics', `${before} became ${view.getBigUint64(0, true)}`);
    const beside = memory.body().findIndex((byte, i) => byte !== image[i] && (i < at || i >= at + 8));
    if (beside >= 0) this.#wrong('atomics', `byte ${beside} was written`);
  }

  /**
   * Creates two queue pairs that are ready.
   *
   * @param {any} device
   * @param {any} pd
   * @param {string} type
   */
  #ends(device, pd, type) {
    const cq = device.createCq(4);
    this.#undo.push(() => cq.destroy());
    const [a, b] = [0, 1].map(() => pd.createQp({ type, sendCq: cq, maxSendWr: 2, maxRecvWr: 2 }));
    if (type === 'UD') for (const qp of [a, b]) qp.activate({ qkey: 1 });
    else a.connect(b, { access: 14, pathMtu: this.#random.pick([256, 1024, 4096]) });
    return { cq, a, b };
  }

  /** Carries out the posted work request and returns its completions. */
  #completions(/** @type {any} */ device, /** @type {any} */ cq) {
    device.run();
    const completions = cq.poll();
    this.#world.saw(completions);
    return completions;
  }

  /**
   * Moves bytes between two queue pairs by a work request.
   *
   * @param {string} kind
   * @param {any} device
   * @param {any} pd
   */
  #message(kind, device, pd) {
    const random = this.#random;
    const datagram = kind === 'datagram';
    const { cq, a, b } = this.#ends(
      device,
      pd,
      datagram ? 'UD' : kind === 'read' || random.chance(0.7) ? 'RC' : 'UC',
    );
    const near = Array.from({ length: 1 + random.dice(3) }, () => this.#range(device, pd));
    const far = this.#range(device, pd);
    // A datagram's receive begins with 40 bytes for the global routing header.
    const header = datagram ? 40 : 0;
    if (far.length <= header) return;
    const listed = cut(near, far.length - header);
    const length = listed.reduce((sum, range) => sum + range.length, 0);
    const nearBytes = listed.flatMap(({ bytes }) => bytes);
    const farBytes = far.bytes.slice(header, header + length);
    const [from, to] = kind === 'read' ? [farBytes, nearBytes] : [nearBytes, farBytes];
    const expected = from.map(({ memory, at }) => memory.body()[at]);
    // Register the places of a receive as at most two elements.
    if (kind === 'send' || datagram) b.postRecv({ wrId: 2, sges: halves(far, random) });
    const imm = random.chance(0.3) ? { imm: 7 } : {};
    const wr = {
      opcode:
        kind === 'read'
          ? 'RDMA_READ'
          : kind === 'write'
            ? 'RDMA_WRITE'
            : 'imm' in imm
              ? 'SEND_WITH_IMM'
              : 'SEND',
      wrId: 1,
      sges: listed,
      signaled: true,
      remoteAddr: far.addr,
      rkey: far.rkey,
      ...imm,
      ...(datagram ? { ah: pd.createAh(), remoteQpn: b.qpn, remoteQkey: 1 } : {}),
    };
    const lost = random.chance(0.2) ? this.#takeAway([...from, ...to]) : Infinity;
    a.postSend(wr);
    const completions = this.#completions(device, cq);
    const all = completions.map((/** @type {any} */ { wrId, status }) => `${wrId} ${status}`).join();
    if (lost < Infinity) {
      // A datagram completes with SUCCESS even if it is dropped, but its receive must not complete then.
      const judged = datagram ? 2 : 1;
      const isDone = completions.some((/** @type {any} */ { wrId, ok }) => wrId === judged && ok);
      if (lost < from.length && isDone)
        this.#wrong(kind, `completed with ${all}, but its byte ${lost} no longer exists`);
      return;
    }
    const received = kind === 'send' || datagram;
    // Another thread may still be carrying out the work request.
    if (this.#world.sharesDevices && completions.length < (received ? 2 : 1)) return;
    if (completions.length !== (received ? 2 : 1) || completions.some((/** @type {any} */ { ok }) => !ok))
      return this.#wrong(kind, `completed with ${all || 'nothing'}`);
    const receipt = completions.find((/** @type {any} */ { wrId }) => wrId === 2);
    if (receipt && (receipt.byteLength !== length + header || receipt.imm !== imm.imm))
      return this.#wrong(kind, `received ${receipt.byteLength} of ${length} bytes with ${receipt.imm}`);
    const model = new Map(to.map((place, i) => [name(place), expected[i]]));
    const wrong = to.find((place) => place.memory.body()[place.at] !== model.get(name(place)));
    if (wrong) this.#wrong(kind, `wrote a wrong byte ${wrong.at}`);
    this.#world.ledger.saw(`${kind} compared`);
  }

  #remoteAtomics(/** @type {any} */ device, /** @type {any} */ pd) {
    const { cq, a } = this.#ends(device, pd, 'RC');
    const memory = this.#world.memories.make(64);
    const mr = pd.regUserMr(memory.body(), { access: 31, start: 0, iova: 0 });
    const at = 8 * this.#random.dice(7);
    const image = memory.body().slice();
    const view = new DataView(image.buffer);
    const before = view.getBigUint64(at, true);
    const operand = BigInt(this.#random.bits()) * 0x1234567n;
    const compare = this.#random.chance(0.5);
    const compareAdd = compare ? (this.#random.chance(0.5) ? before : 0n) : operand;
    a.postSend({
      opcode: compare ? 'ATOMIC_CMP_AND_SWP' : 'ATOMIC_FETCH_AND_ADD',
      sges: [{ addr: 56, length: 8, lkey: mr.lkey }],
      remoteAddr: at,
      rkey: mr.rkey,
      compareAdd,
      swap: operand,
      signaled: true,
    });
    const completions = this.#completions(device, cq);
    if (this.#world.sharesDevices && completions.length === 0) return;
    if (completions.length !== 1 || !completions[0].ok)
      return this.#wrong('remote atomics', `completed with ${completions.map(String).join() || 'nothing'}`);
    const swapped = before === compareAdd ? operand : before;
    view.setBigUint64(at, compare ? swapped : BigInt.asUintN(64, before + operand), true);
    view.setBigUint64(56, before, true);
    const wrong = memory.body().findIndex((byte, i) => byte !== image[i]);
    if (wrong >= 0) this.#wrong('remote atomics', `byte ${wrong} is wrong`);
    this.#world.ledger.saw('remote atomics compared');
  }

  #wrong(/** @type {string} */ kind, /** @type {string} */ what) {
    this.#world.ledger.finding(`a transfer (${kind}) ${what}`);
  }
}

/** @type {WeakMap<object, number>} */
const numbers = new WeakMap();
let last = 0;

/** Returns a unique name for a byte. */
function name(/** @type {{ memory: Memory, at: number }} */ { memory, at }) {
  const number = numbers.get(memory) ?? ++last;
  numbers.set(memory, number);
  return `${number} ${at}`;
}

/** @param {any} check */
function accepted(check) {
  if (!check.ok) throw new Error(`a transfer was refused: ${check.reason}`);
  return check.sge;
}

/**
 * Cuts ranges to a total length.
 *
 * @param {Range[]} ranges
 * @param {number} total
 * @returns {Range[]}
 */
function cut(ranges, total) {
  let left = total;
  return ranges.map((range) => {
    const length = Math.min(left, range.length);
    left -= length;
    return { ...range, length, bytes: range.bytes.slice(0, length) };
  });
}

/**
 * Returns a range as one element, or as two elements.
 *
 * @param {Range} range
 * @param {import('./random.mjs').Random} random
 */
function halves({ addr, length, lkey }, random) {
  if (random.chance(0.5)) return [{ addr, length, lkey }];
  const first = random.dice(length + 1);
  return [
    { addr, length: first, lkey },
    { addr: addr + BigInt(first), length: length - first, lkey },
  ];
}
