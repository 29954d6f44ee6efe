// Creates arguments for the verbs of the native module: encoded work requests, attributes and limits. The package itself writes only
// valid words; here any word may be invalid.
import { types } from 'node:util';
import { layoutNumber } from '../../scripts/layout.mjs';
import { label } from './labels.mjs';

/** @typedef {import('./world.mjs').World} World */

const LIMITS = layoutNumber('RVT_LIMIT_COUNT');
const FAULT_NUMBERS = layoutNumber('RVT_FAULT_KINDS') * layoutNumber('RVT_FAULT_WORD_COUNT');
const FAULT_COUNTS = layoutNumber('RVT_FAULT_COUNT_COUNT');
const ENDPOINT_COUNTERS = layoutNumber('RVT_ENDPOINT_COUNTER_COUNT');
const CM_OFFER_WORDS = layoutNumber('RVT_CM_OFFER_WORDS');
const CM_EVENT_WORDS = layoutNumber('RVT_CM_EVENT_WORD_WORDS');
const WC_WORDS = layoutNumber('RVT_WC_WORD_COUNT');
const WC_STATUS = layoutNumber('RVT_WC_WORD_STATUS');
const SET_WORDS = layoutNumber('RVT_QP_ATTR_SET_WORDS');
const QUERY_WORDS = layoutNumber('RVT_QP_ATTR_WORDS');
const SEND = Object.fromEntries(
  [
    'ID',
    'OPCODE',
    'FLAGS',
    'NUM_SGE',
    'IMM',
    'REMOTE_ADDR',
    'RKEY',
    'INVALIDATE_RKEY',
    'REGION',
    'KEY',
    'ACCESS',
    'AH',
    'REMOTE_QPN',
    'REMOTE_QKEY',
    'WORDS',
  ].map((name) => [name, layoutNumber(`RVT_SEND_WR_${name}`)]),
);
const RECV_WORDS = layoutNumber('RVT_RECV_WR_WORDS');
const RECV_NUM_SGE = layoutNumber('RVT_RECV_WR_NUM_SGE');
const ATTR = /** @type {(name: string) => number} */ ((name) => layoutNumber(`RVT_QP_ATTR_${name}`));
const MASK = /** @type {(...names: string[]) => number} */ (
  (...names) => names.reduce((mask, name) => mask | layoutNumber(`RVT_QPA_${name}`), 0)
);
const OPCODES = [0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 9, 32];
const STRANGE = [0, 1, 8, 10, 11, 14, 31, 33, 64, 255, 65536, 2 ** 31, 2 ** 32 - 1];
const QKEY = 0x11;

/**
 * @typedef {object} Access what the arguments refer to
 * @property {() => { lkey: number, address: bigint }} target key and address of a region
 * @property {() => import('./command-block.mjs').NativeRegion} region
 * @property {(name: string) => any} one a native object of a class
 */

export class NativeQueues {
  #random;
  #world;
  #access;

  /**
   * @param {World} world
   * @param {Access} access
   */
  constructor(world, access) {
    this.#world = world;
    this.#random = world.random;
    this.#access = access;
  }

  /**
   * Returns the last arguments of `openDevice`: none, or a seed and rules of faults of any numbers, and how much inline data a
   * strict device takes.
   *
   * @returns {unknown[]}
   */
  faults() {
    const random = this.#random;
    const strict = random.chance(0.2) ? [random.pick([0, 16, 2 ** 32 - 1])] : [];
    if (random.chance(0.7)) return strict.length > 0 ? [undefined, undefined, ...strict] : [];
    const rules = new Float64Array(random.chance(0.95) ? FAULT_NUMBERS : FAULT_NUMBERS - 1);
    for (let i = 0; i < rules.length; i++)
      rules[i] = random.pick([0, 0, 0, 0.2, 1, 2, 3, 4, 1000, NaN, -1, Infinity, 2 ** 60]);
    return [
      label('a seed', new BigUint64Array(random.chance(0.95) ? 1 : 0)),
      label('rules of faults', rules),
      ...strict,
    ];
  }

  /** Returns limits of a device. */
  limits() {
    const random = this.#random;
    const limits = new Uint32Array(random.chance(0.95) ? LIMITS : LIMITS - 1).fill(
      random.pick([64, 64, 1000]),
    );
    if (random.chance(0.2)) limits[random.dice(LIMITS)] = random.pick([0, 1, 2 ** 32 - 1, ...STRANGE]);
    return label('limits', limits);
  }

  /**
   * Creates queues and connected queue pairs in a domain, and posts some work requests.
   *
   * @param {(name: string, make: () => any) => any} part runs one step, which may fail
   * @param {any} device
   * @param {any} pd
   */
  openScene(part, device, pd) {
    const cq = part('NativeDevice.createCq', () => device.createCq(64, 0, 0));
    if (!cq) return;
    part('NativeProtectionDomain.createSrq', () => pd.createSrq(8, 4, 0, true));
    const ah = part('NativeProtectionDomain.createAh', () => pd.createAh(1, 0, 0, 1));
    for (const type of [2, 3, 4]) {
      const make = () => pd.createQp(cq, cq, undefined, this.#init(type));
      const qps = [0, 1].map(() => part('NativeProtectionDomain.createQp', make));
      if (!qps[0] || !qps[1]) continue;
      for (const [at, qp] of qps.entries())
        for (const state of [1, 2, 3])
          part('NativeQueuePair.modify', () => qp.modify(...this.#step(state, type, qps[1 - at].qpn())));
      for (const qp of qps) {
        part('NativeQueuePair.postRecv', () => qp.postRecv(this.#receives(2), 2));
        part('NativeQueuePair.postSend', () => qp.postSend(this.#sends(2), 2, ah ? [ah] : []));
      }
    }
    part('NativeDevice.run', () => device.run([]));
    part('NativeCompletionQueue.poll', () => this.#polled(cq, new Uint32Array(16 * WC_WORDS), 16));
  }

  /** Polls a queue and counts the statuses. */
  #polled(/** @type {any} */ cq, /** @type {Uint32Array} */ words, /** @type {number} */ count) {
    const polled = cq.poll(words, count);
    this.count(words, polled);
    return polled;
  }

  /** Counts the statuses of polled completions. */
  count(/** @type {unknown} */ words, /** @type {unknown} */ polled) {
    if (!types.isUint32Array(words) || typeof polled !== 'number') return;
    for (let i = 0; i < polled; i++)
      this.#world.ledger.saw(`native completion, status ${words[i * WC_WORDS + WC_STATUS]}`);
  }

  #init(type = this.#random.pick([2, 2, 3, 4])) {
    return label('sizes', Uint32Array.from([type, this.#random.dice(2), 8, 8, 4, 4]));
  }

  /**
   * Returns the mask and the words of a change of state that succeeds.
   *
   * @param {number} state
   * @param {number} type
   * @param {number} peer number of the peer's queue pair
   * @returns {[mask: number, words: Uint32Array]}
   */
  #step(state, type, peer) {
    const words = new Uint32Array(SET_WORDS);
    words[ATTR('STATE')] = state;
    words[ATTR('ACCESS')] = 14;
    words[ATTR('QKEY')] = QKEY;
    words[ATTR('DEST_QPN')] = peer;
    words[ATTR('PORT')] = 1;
    words[ATTR('PATH_MTU')] = this.#random.pick([1, 3, 5]); // enum ib_mtu
    words[ATTR('MIN_RNR_TIMER')] = 1;
    words[ATTR('RNR_RETRY')] = this.#random.pick([0, 1, 7]);
    words[ATTR('MAX_RD_ATOMIC')] = 1;
    words[ATTR('MAX_DEST_RD_ATOMIC')] = 1;
    words.set([1, 0, 0, 1], ATTR('AV'));
    const reliable = type === 2;
    const datagram = type === 4;
    let mask = MASK('STATE');
    if (state === 1) mask |= MASK('PKEY_INDEX', 'PORT', datagram ? 'QKEY' : 'ACCESS_FLAGS');
    if (state === 2 && !datagram) mask |= MASK('AV', 'PATH_MTU', 'DEST_QPN', 'RQ_PSN');
    if (state === 2 && reliable) mask |= MASK('MAX_DEST_RD_ATOMIC', 'MIN_RNR_TIMER');
    if (state === 3) mask |= MASK('SQ_PSN');
    if (state === 3 && reliable) mask |= MASK('TIMEOUT', 'RETRY_CNT', 'RNR_RETRY', 'MAX_RD_ATOMIC');
    return [mask, label(`attributes for state ${state}`, words)];
  }

  /** Appends elements to encoded work requests. */
  #addSges(/** @type {number[]} */ words, /** @type {number} */ count) {
    const random = this.#random;
    for (let i = 0; i < count; i++) {
      const { lkey, address } = this.#access.target();
      words.push(
        Number(address & 0xffffffffn),
        Number(address >> 32n),
        random.pick([0, 8, 8, 64, 100, random.bits()]),
        random.chance(0.95) ? lkey : random.bits(),
      );
    }
  }

  #sends(/** @type {number} */ count) {
    const random = this.#random;
    /** @type {number[]} */
    const all = [];
    for (let i = 0; i < count; i++) {
      const words = new Array(SEND['WORDS'] ?? 0).fill(0);
      const set = (/** @type {string} */ name, /** @type {number[]} */ ...values) =>
        values.forEach((value, at) => (words[(SEND[name] ?? 0) + at] = value));
      const remote = this.#access.target();
      const { checker, index, generation } = this.#access.region();
      set('ID', random.bits(), random.bits());
      set('OPCODE', random.chance(0.95) ? random.pick(OPCODES) : random.pick(STRANGE));
      set('FLAGS', random.chance(0.9) ? random.pick([2, 2, 6, 3, 0]) : random.bits());
      const sges = random.pick([0, 1, 1, 2, 4]);
      set('NUM_SGE', random.chance(0.97) ? sges : random.pick(STRANGE));
      set('IMM', random.bits());
      set('REMOTE_ADDR', Number(remote.address & 0xfffffff8n), Number(remote.address >> 32n));
      set('RKEY', remote.lkey);
      set('INVALIDATE_RKEY', random.chance(0.2) ? remote.lkey : random.bits());
      set('REGION', checker, index, Number(generation & 0xffffffffn), Number(generation >> 32n));
      set('KEY', (remote.lkey & -256) | random.dice(256));
      set('ACCESS', random.chance(0.9) ? 31 : random.bits());
      set('AH', random.pick([0, 0, 0, 0, 1, 2 ** 32 - 1]));
      set('REMOTE_QPN', this.#qpn());
      set('REMOTE_QKEY', random.pick([QKEY, QKEY, 0x80000000]));
      if (random.chance(0.05)) words[random.dice(words.length)] = random.pick(STRANGE);
      all.push(...words);
      this.#addSges(all, sges);
    }
    return this.#cut(all);
  }

  #receives(/** @type {number} */ count) {
    const random = this.#random;
    /** @type {number[]} */
    const all = [];
    for (let i = 0; i < count; i++) {
      const words = new Array(RECV_WORDS).fill(0);
      const sges = random.pick([0, 1, 1, 2, 4]);
      words[0] = random.bits();
      words[RECV_NUM_SGE] = random.chance(0.97) ? sges : random.pick(STRANGE);
      if (random.chance(0.03)) words[random.dice(words.length)] = random.pick(STRANGE);
      all.push(...words);
      this.#addSges(all, sges);
    }
    return this.#cut(all);
  }

  /** Returns an array of the words. Sometimes it is too short. */
  #cut(/** @type {number[]} */ words) {
    const random = this.#random;
    const end = random.chance(0.93) ? words.length : random.dice(words.length + 1);
    return label('work requests', Uint32Array.from(words.slice(0, end)));
  }

  /** Returns the number of a queue pair. */
  #qpn() {
    try {
      return Number(this.#access.one('NativeQueuePair')?.qpn() ?? 0) >>> 0;
    } catch {
      return 0; // not a native queue pair any more
    }
  }

  #count(/** @type {number} */ count) {
    return this.#random.chance(0.95) ? count : this.#random.pick([count + 1, ...STRANGE]);
  }

  /**
   * Returns the arguments of a native member; undefined if this class does not know the member.
   *
   * @param {string} name
   * @returns {unknown[] | undefined}
   */
  arguments(name) {
    const random = this.#random;
    const { one } = this.#access;
    const out = (/** @type {number} */ words) =>
      label('words', new Uint32Array(random.chance(0.95) ? words : random.dice(words)));
    const ahs = () => {
      const ah = one('NativeAddressHandle');
      return ah ? random.pick([[ah], [ah], [ah, ah], []]) : [];
    };
    /** @type {Record<string, () => unknown[]>} */
    const shapes = {
      'NativeDevice.createCq': () => [
        random.pick([1, 4, 64, 64, ...STRANGE]),
        0,
        random.pick([0, 0, 0, 1, 2 ** 31]),
        random.chance(0.5)
          ? undefined
          : new Uint8Array(new SharedArrayBuffer(random.pick([128, 216, 5760, 8192]))),
      ],
      'NativeDevice.limits': () => [out(LIMITS)],
      'NativeDevice.run': () => [
        random.chance(0.5) ? [] : Array.from({ length: random.dice(4) }, () => one('NativeQueuePair')),
      ],
      'NativeDevice.completionCounts': () => [
        label('counts', new BigUint64Array(random.pick([64, 64, 64, 14, 1]))),
      ],
      'NativeDevice.rkeyMask': () => [],
      'NativeDevice.faults': () => [
        label('counts', new BigUint64Array(FAULT_COUNTS - random.pick([0, 0, 0, 1]))),
      ],
      'NativeEndpoint.poll': () => [random.pick([0, 0, 100, 1000, 1_000_001])],
      'NativeEndpoint.listen': () => [random.pick([1n, 2n, 2n ** 64n - 1n]), random.pick([0, 1, 64])],
      'NativeEndpoint.unlisten': () => [random.pick([0, 1, 2, 3])],
      'NativeEndpoint.cmConnect': () => [
        random.pick(['127.0.0.1', '127.0.0.1', '::1', '']),
        random.pick([1, 4791]),
        random.pick([1n, 2n]),
        out(CM_OFFER_WORDS),
        new Uint8Array(random.pick([0, 1, 56, 92, 93])),
        random.pick([1000, 100_000]),
        random.pick([0, 15, 16]),
      ],
      'NativeEndpoint.cmAccept': () => [
        random.bits(),
        out(CM_OFFER_WORDS),
        new Uint8Array(random.pick([0, 196, 197])),
      ],
      'NativeEndpoint.cmReject': () => [random.bits(), new Uint8Array(random.pick([0, 148, 149]))],
      'NativeEndpoint.cmConfirm': () => [random.bits()],
      'NativeEndpoint.cmDisconnect': () => [random.bits()],
      'NativeEndpoint.takeCmEvent': () => [out(CM_EVENT_WORDS), new Uint8Array(random.pick([196, 196, 195]))],
      'NativeEndpoint.cmCounters': () => [new BigUint64Array(random.pick([13, 32, 12]))],
      'NativeEndpoint.counters': () => [
        label('counts', new BigUint64Array(random.pick([32, 32, ENDPOINT_COUNTERS, 1]))),
      ],
      'NativeCompletionQueue.poll': () => {
        const count = random.pick([0, 1, 16]);
        return [out(count * WC_WORDS), this.#count(count)];
      },
      'NativeCompletionQueue.arm': () => [random.pick([0, 1, 2, 3, 4, 6, 7, random.bits()])],
      'NativeCompletionQueue.resize': () => [random.pick([64, 64, 16, 1, ...STRANGE])],
      'NativeCompletionQueue.query': () => [out(layoutNumber('RVT_CQ_ATTR_WORDS'))],
      'NativeSharedReceiveQueue.modify': () => [
        random.pick([1, 2, 3, 0, 4, random.bits()]),
        random.pick([8, 64, 1, ...STRANGE]),
        random.pick([0, 1, 4, ...STRANGE]),
      ],
      'NativeSharedReceiveQueue.query': () => [out(layoutNumber('RVT_SRQ_ATTR_WORDS'))],
      'NativeSharedReceiveQueue.postRecv': () => {
        const count = random.dice(4);
        return [this.#receives(count), this.#count(count)];
      },
      'NativeProtectionDomain.createCheckQp': () => [],
      'NativeProtectionDomain.createQp': () => {
        const words = this.#init();
        if (random.chance(0.2)) words[random.dice(words.length)] = random.pick(STRANGE);
        return [
          one('NativeCompletionQueue'),
          one('NativeCompletionQueue'),
          random.chance(0.3) ? one('NativeSharedReceiveQueue') : undefined,
          words,
        ];
      },
      'NativeProtectionDomain.createSrq': () => [
        random.pick([8, 64, ...STRANGE]),
        random.pick([1, 4, ...STRANGE]),
        random.pick([0, 1, ...STRANGE]),
        random.chance(0.8),
      ],
      'NativeProtectionDomain.createAh': () => [
        random.pick([1, 1, 1, ...STRANGE]),
        random.pick([0, 3, ...STRANGE]),
        random.pick([0, 2, ...STRANGE]),
        random.pick([1, 1, 1, ...STRANGE]),
      ],
      'NativeQueuePair.modify': () => {
        const [mask, words] = this.#step(
          random.pick([0, 0, 1, 2, 3]),
          random.pick([2, 2, 3, 4]),
          this.#qpn(),
        );
        if (random.chance(0.2)) words[random.dice(words.length)] = random.pick(STRANGE);
        if (random.chance(0.1)) return [random.pick([1, random.bits()]), words];
        return [mask, words];
      },
      'NativeQueuePair.query': () => [out(QUERY_WORDS)],
      'NativeQueuePair.postSend': () => {
        const count = random.dice(4);
        return [this.#sends(count), this.#count(count), ahs()];
      },
      'NativeQueuePair.postRecv': () => {
        const count = random.dice(4);
        return [this.#receives(count), this.#count(count)];
      },
    };
    return shapes[name]?.();
  }
}
