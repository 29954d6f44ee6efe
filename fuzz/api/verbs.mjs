// Creates arguments for the verbs, mostly valid ones: options of queue pairs, attributes, work requests of every opcode.
import { label } from './labels.mjs';

/** @typedef {import('./world.mjs').World} World */

const OPCODES =
  'SEND SEND_WITH_IMM SEND_WITH_INV RDMA_WRITE RDMA_WRITE_WITH_IMM RDMA_READ ATOMIC_CMP_AND_SWP ATOMIC_FETCH_AND_ADD REG_MR LOCAL_INV BIND_MW'.split(
    ' ',
  );
/** The opcodes that a queue pair of a type may post. */
const OPCODES_OF = /** @type {Record<string, string[]>} */ ({
  RC: [...OPCODES.slice(0, 8), 'BIND_MW'],
  UC: ['SEND', 'SEND_WITH_IMM', 'RDMA_WRITE', 'RDMA_WRITE_WITH_IMM'],
  UD: ['SEND', 'SEND_WITH_IMM'],
});
const STATES = ['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'SQE', 'ERR'];
/** The Q_Key of most UD queue pairs. */
const QKEY = 0x11;
/** Methods of Node's EventEmitter whose second argument is a listener. */
const LISTENER = /^(on|once|off|addListener|removeListener|prependListener|prependOnceListener)$/;

/** Members of Node's EventEmitter. A listener must not be hostile, because its exceptions would end the program. */
export const isOfEmitter = (/** @type {string | symbol} */ key) =>
  typeof key === 'string' &&
  /^(on|once|off|emit|addListener|removeListener|removeAllListeners|prepend.*|setMaxListeners|getMaxListeners|listeners|rawListeners|listenerCount|eventNames)$/.test(
    key,
  );

export class Verbs {
  #world;
  #random;
  #plausible;

  /**
   * @param {World} world
   * @param {import('./plausible.mjs').Plausible} plausible
   */
  constructor(world, plausible) {
    this.#world = world;
    this.#random = world.random;
    this.#plausible = plausible;
  }

  /** Reads a property. Returns `otherwise` if the object is closed. */
  read(/** @type {() => any} */ read, /** @type {any} */ otherwise = undefined) {
    try {
      return read() ?? otherwise;
    } catch {
      return otherwise;
    }
  }

  /** Returns the queue pairs that have queues; mostly only those of the device of `near`. @returns {any[]} */
  queuePairs(/** @type {any} */ near = undefined) {
    const { deviceOf, objects } = this.#world;
    const device = deviceOf.get(near) ?? near;
    const all = objects.objects('QueuePair').filter((qp) => this.typeOf(qp) !== undefined);
    const kin = all.filter((qp) => deviceOf.get(qp) === device);
    return kin.length && this.#random.chance(0.95) ? kin : all;
  }

  /** Returns the type of a queue pair; undefined for one without queues. @returns {string | undefined} */
  typeOf(/** @type {any} */ qp) {
    const type = this.read(() => qp.type, 'CHECK');
    return type === 'CHECK' ? undefined : type;
  }

  /** Returns a queue pair that can be connected with another one. */
  #peer(/** @type {any} */ qp) {
    const type = this.typeOf(qp);
    const all = this.queuePairs(qp);
    const equal = all.filter((other) => this.typeOf(other) === type);
    const fresh = equal.filter((other) => this.read(() => other.state) === 'RESET');
    const random = this.#random;
    return random.pick(fresh.length && random.chance(0.9) ? fresh : equal.length ? equal : [qp]);
  }

  wrId() {
    return this.#random.pick([undefined, 1, this.#random.bits(), 2n ** 63n, 2n ** 64n - 1n]);
  }

  /**
   * Returns an element, mostly of a length that fits into a region.
   *
   * @param {any} near
   * @param {readonly number[]} lengths
   */
  #sge(near, lengths) {
    const random = this.#random;
    const { addr, length, lkey } = /** @type {any} */ (this.#plausible.element(near));
    return { addr, length: random.chance(0.93) ? Math.min(length, random.pick(lengths)) : length, lkey };
  }

  /** @param {any} near @param {readonly number[]} lengths */
  sges(near, lengths = [0, 8, 8, 16, 64, 700, 5000]) {
    const random = this.#random;
    const count = random.pick([0, 1, 1, 1, 2, 2, 3, 4, 5]);
    return label(
      `${count} elements`,
      Array.from({ length: count }, () => this.#sge(near, lengths)),
    );
  }

  /** Returns an element for the old value of an atomic, mostly 8 aligned bytes. */
  old(/** @type {any} */ near) {
    const { addr, length, lkey } = /** @type {any} */ (this.#plausible.element(near));
    if (this.#random.chance(0.1)) return { addr, length, lkey };
    return { addr: BigInt(addr) & -8n, length: 8, lkey };
  }

  target(/** @type {any} */ near, /** @type {boolean} */ isAtomic) {
    const { vaddr, rkey } = /** @type {any} */ (this.#plausible.element(near));
    return { remoteAddr: isAtomic && this.#random.chance(0.9) ? BigInt(vaddr) & -8n : vaddr, rkey };
  }

  opcode(/** @type {any} */ qp) {
    const random = this.#random;
    return random.chance(0.95)
      ? random.pick(OPCODES_OF[this.typeOf(qp) ?? ''] ?? OPCODES)
      : random.pick(OPCODES);
  }

  /** Returns a send work request. */
  send(/** @type {any} */ qp, opcode = this.opcode(qp)) {
    const random = this.#random;
    const isAtomic = opcode.startsWith('ATOMIC');
    const long = () => random.pick([0, 1n, BigInt(random.bits()), 2n ** 64n - 1n]);
    /** @type {Record<string, unknown>} */
    const wr = {
      opcode,
      wrId: this.wrId(),
      sges: isAtomic ? [this.old(qp)] : this.sges(qp),
      signaled: random.chance(0.8),
    };
    if (random.chance(0.2)) wr['solicited'] = true;
    if (random.chance(0.1)) wr['fence'] = true;
    if (random.chance(0.05)) wr['inline'] = true;
    if (opcode.endsWith('IMM')) wr['imm'] = random.bits();
    if (opcode.startsWith('RDMA') || isAtomic) Object.assign(wr, this.target(qp, isAtomic));
    if (isAtomic) Object.assign(wr, { compareAdd: long(), swap: long() });
    if (opcode.endsWith('INV')) {
      // Most regions must stay valid.
      wr['invalidateRkey'] = random.chance(0.2) ? this.#plausible.key(qp) : random.bits();
      if (opcode === 'LOCAL_INV' && random.chance(0.9)) wr['sges'] = [];
    }
    if (opcode === 'REG_MR') Object.assign(wr, this.#registration(qp));
    if (opcode === 'BIND_MW') Object.assign(wr, { sges: [], ...this.#binding(qp) });
    if (this.typeOf(qp) === 'UD') Object.assign(wr, this.#destination(qp));
    return label(`${opcode} ${String(wr['wrId'])}`, wr);
  }

  #registration(/** @type {any} */ qp) {
    const mr = this.#plausible.one('MemoryRegion', qp);
    const key = this.read(() => mr.rkey, 0x100);
    return { mr, key: ((key & -256) | this.#random.dice(256)) >>> 0, access: this.#plausible.access() };
  }

  #binding(/** @type {any} */ qp) {
    const random = this.#random;
    const mw = this.#plausible.one('MemoryWindow', qp);
    const mr = this.#plausible.one('MemoryRegion', qp);
    return {
      mw,
      mr,
      addr: this.read(() => mr.iova, 0n) + BigInt(random.pick([0, 0, 0, 8, 4096])),
      length: random.pick([1, 8, 64, 64, 0, 5000]),
      access: random.pick([4, 4, 6, 14, 1, 0]),
      key: this.read(() => mw.nextRkey, 0x100),
    };
  }

  #destination(/** @type {any} */ qp) {
    const random = this.#random;
    const peers = this.queuePairs(qp).filter((other) => random.chance(0.1) || this.typeOf(other) === 'UD');
    return {
      ah: this.#plausible.one('AddressHandle', qp),
      remoteQpn: peers.length && random.chance(0.9) ? random.pick(peers).qpn : random.dice(2 ** 24),
      remoteQkey: random.pick([QKEY, QKEY, QKEY, QKEY, 1, 0x80000000]),
    };
  }

  receive(/** @type {any} */ near) {
    return label('a receive', { wrId: this.wrId(), sges: this.sges(near, [0, 8, 200, 1000, 6000, 16384]) });
  }

  /** Returns the capacity of a packed queue. */
  #capacity() {
    return this.#random.pick([1, 4, 4, 16, 257]);
  }

  /** Returns the arguments of `setLocal`. @returns {unknown[]} */
  #local(/** @type {any} */ near) {
    const { addr, length, lkey } = this.#sge(near, [0, 8, 64, 700]);
    return [this.#random.dice(5), addr, length, lkey];
  }

  /** Returns one work request, or a list of them. @template T @param {() => T} make */
  #some(make) {
    if (this.#random.chance(0.5)) return make();
    const list = Array.from({ length: this.#random.pick([0, 1, 2, 3, 8]) }, make);
    return label(`[${list.length} work requests]`, list);
  }

  createQp(/** @type {any} */ pd, type = this.#random.pick(['RC', 'RC', 'RC', 'UC', 'UD'])) {
    const random = this.#random;
    const small = () => random.pick([1, 2, 4, 16, 64]);
    /** @type {Record<string, unknown>} */
    const options = { type, sendCq: this.#plausible.one('CompletionQueue', pd) };
    if (random.chance(0.4)) options['recvCq'] = this.#plausible.one('CompletionQueue', pd);
    const srq = this.#plausible.one('SharedReceiveQueue', pd);
    if (srq && random.chance(0.25)) options['srq'] = srq;
    if (random.chance(0.5)) options['maxSendWr'] = small();
    if (random.chance(0.5)) options['maxRecvWr'] = small();
    if (random.chance(0.3)) options['maxSendSge'] = small();
    if (random.chance(0.3)) options['maxRecvSge'] = small();
    if (random.chance(0.3)) options['sqSigAll'] = true;
    if (random.chance(0.3)) options['maxPending'] = random.pick([0, 1, 3, 1024]);
    return label(`{ type: ${type} }`, options);
  }

  connect() {
    const random = this.#random;
    const options = {
      access: random.pick([14, 14, 14, 14, 14, 0, 2, 4, 8, 15]),
      rnrRetry: random.pick([0, 1, 1, 2, 6, 7]),
      minRnrTimer: random.pick([1, 1, 1, 2, 5, 12, 0, 31]),
      ...(random.chance(0.7) ? { pathMtu: random.pick([256, 512, 1024, 2048, 4096]) } : {}),
      ...(random.chance(0.1) ? { maxRdAtomic: random.pick([0, 1, 16, 255]) } : {}),
      ...(random.chance(0.1) ? { retryCnt: random.dice(9), timeout: random.dice(32) } : {}),
    };
    return label(`{ access: ${options.access}, rnrRetry: ${options.rnrRetry} }`, options);
  }

  /** Returns an endpoint of the device of a queue pair; undefined if there is none. */
  #endpoint(/** @type {any} */ qp) {
    const all = this.#world.objects.objects('Endpoint');
    return all.find((endpoint) => this.read(() => /** @type {any} */ (endpoint).describe(qp)) !== undefined);
  }

  /** Returns the options of a connection through an endpoint, mostly with a peer that exists. */
  #wireConnect(/** @type {any} */ qp) {
    const random = this.#random;
    const all = this.#world.objects.objects('Endpoint');
    const peers = this.#world.objects.objects('QueuePair').filter((other) => this.typeOf(other) === 'RC');
    const [endpoint, far] = [this.#endpoint(qp) ?? random.pick(all), random.pick(all)];
    const peer = random.chance(0.2) ? qp : random.pick(peers);
    const there = this.read(() => /** @type {any} */ (far).describe(peer)) ??
      this.read(() => /** @type {any} */ (endpoint).describe(peer)) ?? {
        address: '127.0.0.1',
        qpn: 7,
        psn: 1,
      };
    const options = {
      endpoint,
      ...there,
      ...this.connect(),
      retryCnt: random.dice(3),
      timeout: random.pick([8, 8, 10, 1]), // a peer that never answers must not delay the end
      ...(random.chance(0.2) ? { localPsn: random.dice(2 ** 24) } : {}),
      ...(random.chance(0.1) ? { port: random.dice(70000) } : {}),
    };
    return label(`{ endpoint, qpn: ${options.qpn} }`, options);
  }

  /** What a program says of a queue pair that it connects by messages. */
  #connectionOptions() {
    const random = this.#random;
    return {
      qp:
        random.pick(this.#world.objects.objects('QueuePair').filter((qp) => this.typeOf(qp) === 'RC')) ??
        this.#plausible.one('QueuePair'),
      access: random.pick([0, 14]),
      ...(random.chance(0.5) && { privateData: new Uint8Array(random.pick([0, 5, 56, 57, 196, 300])) }),
    };
  }

  #answerRequest(/** @type {any} */ request) {
    try {
      if (this.#random.chance(0.7)) {
        request.accept(this.#connectionOptions()).then(
          (/** @type {any} */ connection) => {
            if (this.#random.chance(0.5)) void connection.disconnect();
          },
          () => {},
        );
      }
      if (this.#random.chance(0.4)) request.reject();
    } catch {
      // It was answered before, or the queue pair cannot be used.
    }
  }

  #newEndpoint() {
    const random = this.#random;
    const options = {
      device: this.#plausible.one('Device'),
      address: random.pick([
        '127.0.0.1',
        '127.0.0.1',
        '127.0.0.1',
        '127.0.0.2',
        '::1',
        '0.0.0.0',
        '192.0.2.1',
        'x',
      ]),
      port: random.pick([0, 0, 0, 0, 0, 65536, -1]),
      ...(random.chance(0.3) ? { refusalsPerMinute: random.pick([0, 1, 2 ** 32]) } : {}),
      allowForeseeableKeys: random.chance(0.95),
    };
    return label(`{ address: ${options.address}, port: ${options.port} }`, options);
  }

  attributes(/** @type {any} */ qp) {
    const random = this.#random;
    const av = () => ({ dlid: random.pick([1, 1, 2, 0xc000]), sl: random.dice(16) });
    if (random.chance(0.5)) return { state: random.pick(['RESET', 'ERR', 'SQD', 'RTS', 'ERR']) };
    const peer = this.#peer(qp);
    const whole = [
      {
        state: 'INIT',
        pkeyIndex: 0,
        port: 1,
        ...(this.typeOf(qp) === 'UD' ? { qkey: QKEY } : { access: 14 }),
      },
      {
        state: 'RTR',
        ...(this.typeOf(qp) === 'UD' ? {} : { av: av(), pathMtu: 1024, destQpn: peer.qpn, rqPsn: 0 }),
        ...(this.typeOf(qp) === 'RC' ? { maxDestRdAtomic: 1, minRnrTimer: 1 } : {}),
      },
      {
        state: 'RTS',
        sqPsn: 0,
        ...(this.typeOf(qp) === 'RC' ? { timeout: 1, retryCnt: 1, rnrRetry: 1, maxRdAtomic: 1 } : {}),
      },
    ];
    if (random.chance(0.6)) return random.pick(whole);
    const parts = Object.entries({
      state: random.pick(STATES),
      curState: random.pick(STATES),
      access: this.#plausible.access(),
      pkeyIndex: random.dice(2),
      port: random.pick([1, 1, 0, 2]),
      qkey: random.bits(),
      av: av(),
      pathMtu: random.pick([256, 4096, 100]),
      timeout: random.dice(40),
      retryCnt: random.dice(9),
      rnrRetry: random.dice(9),
      rqPsn: random.dice(2 ** 25),
      maxRdAtomic: random.dice(20),
      altPath: { ...av(), pkeyIndex: 0 },
      minRnrTimer: random.dice(33),
      sqPsn: random.dice(2 ** 25),
      maxDestRdAtomic: random.dice(20),
      pathMigState: random.pick(['MIGRATED', 'REARM', 'ARMED']),
      destQpn: random.dice(2 ** 24),
      enSqdAsyncNotify: true,
    });
    return Object.fromEntries(parts.filter(() => random.chance(0.2)));
  }

  /** Returns the options of an operation with a promise. */
  #operation(/** @type {Record<string, unknown>} */ more = {}) {
    const signal = this.#random.pick([
      new AbortController().signal,
      AbortSignal.abort(),
      AbortSignal.timeout(1),
    ]);
    return { ...more, ...(this.#random.chance(0.15) ? { signal } : {}) };
  }

  /** Returns limits for a new device: mostly generous enough for a scene. */
  limits() {
    const random = this.#random;
    const limits = Object.entries({
      maxQp: random.pick([12, 100, 2]),
      maxQpWr: random.pick([64, 1000]),
      maxSendSge: random.pick([4, 16]),
      maxRecvSge: random.pick([4, 16]),
      maxCq: random.pick([12, 100]),
      maxCqe: random.pick([64, 1000]),
      maxSrq: random.pick([4, 0]),
      maxSrqWr: random.pick([64, 1000]),
      maxSrqSge: random.pick([4, 16]),
      maxRdmaAtomic: random.pick([1, 16]),
      maxAh: random.pick([4, 20]),
    });
    return label('limits', Object.fromEntries(limits.filter(() => random.chance(0.3))));
  }

  /** Returns how strict a new device is. */
  strict() {
    const random = this.#random;
    return random.pick([true, true, false, { profile: random.pick(['mlx5', 'rxe']), maxInlineData: 8 }]);
  }

  /** Returns faults for a new device. */
  faults() {
    const random = this.#random;
    const rule = () =>
      random.pick([
        0.05,
        0.2,
        1,
        { at: 1 + random.dice(5) },
        { every: 2 + random.dice(9), probability: 0.1 },
      ]);
    const rules = Object.entries({
      refuse: random.pick([
        rule(),
        { every: 4, reason: random.pick(['WrongPd', 'Closed', 'KeyZeroDenied']) },
      ]),
      rnr: rule(),
      flush: rule(),
      overflow: rule(),
      slow: random.pick([rule(), { every: 3, usec: random.pick([1, 500, 2 ** 32 - 1]) }]),
      lost: random.pick([rule(), { every: 3, direction: random.pick(['out', 'in', 'both']) }]),
      late: random.pick([rule(), { every: 3, usec: random.pick([1, 500]) }]),
      doubled: rule(),
      reordered: rule(),
    });
    const chosen = rules.filter(() => random.chance(0.3));
    return label('faults', { seed: random.dice(1000), ...Object.fromEntries(chosen) });
  }

  #listener(/** @type {any} */ self) {
    const random = this.#random;
    const poll = random.chance(0.5);
    const rearm = random.chance(0.2);
    return label('a listener', () => {
      this.#world.ledger.saw('event delivered');
      if (poll) this.read(() => this.#world.saw(self.poll()));
      if (rearm) this.read(() => self.arm());
    });
  }

  /**
   * Returns the arguments of a member; undefined if this class does not know the member.
   *
   * @param {import('./pool.mjs').Member} member
   * @param {any} self
   * @returns {unknown[] | undefined}
   */
  arguments({ name, key }, self) {
    const random = this.#random;
    const p = this.#plausible;
    /** @type {Record<string, () => unknown[]>} */
    const shapes = {
      'Device.createCq': () => [
        random.pick([1, 2, 4, 16, 64, 64, 64]),
        ...(random.chance(0.4) ? [{ compVector: random.dice(3), ring: random.chance(0.8) }] : []),
      ],
      'Device.run': () =>
        random.chance(0.5) ? [] : [{ kick: this.queuePairs(self).filter(() => random.chance(0.3)) }],
      'Device.fireTimers': () => [],
      'Device.query': () => [],
      'Device.queryPort': () => (random.chance(0.5) ? [] : [1]),
      'ProtectionDomain.createQp': () =>
        random.chance(0.15) ? (random.chance(0.5) ? [] : [{ type: 'CHECK' }]) : [this.createQp(self)],
      'ProtectionDomain.createSrq': () => [
        {
          maxWr: random.pick([1, 4, 64]),
          maxSge: random.pick([1, 4]),
          ...(p.flag() ? { limit: random.dice(4) } : {}),
        },
      ],
      'ProtectionDomain.createAh': () => [
        random.chance(0.6)
          ? {}
          : {
              dlid: random.pick([1, 1, 2]),
              sl: random.dice(20),
              staticRate: random.pick([0, 2, 22, 1]),
              port: 1,
            },
      ],
      'QueuePair.postSend': () => [this.#some(() => this.send(self))],
      'QueuePair.postRecv': () => [this.#some(() => this.receive(self))],
      'SharedReceiveQueue.postRecv': () => [this.#some(() => this.receive(self))],
      'QueuePair.sendQueue': () => [this.#capacity()],
      'QueuePair.recvQueue': () => [this.#capacity()],
      'SharedReceiveQueue.recvQueue': () => [this.#capacity()],
      'SendQueue.fill': () => [random.dice(5), this.send(this.read(() => self.qp))],
      'SendQueue.setLocal': () => this.#local(self),
      'SendQueue.setRemote': () => {
        const { remoteAddr, rkey } = this.target(self, false);
        return [random.dice(5), remoteAddr, rkey];
      },
      'SendQueue.setId': () => [random.dice(5), this.wrId() ?? 0],
      'SendQueue.setSignaled': () => [random.dice(5), random.chance(0.7)],
      'SendQueue.post': () => [random.pick([0, 1, 1, 4, 4, 16]), random.pick([0, 0, 0, 1, 2])],
      'RecvQueue.fill': () => [random.dice(5), this.receive(self)],
      'RecvQueue.setLocal': () => this.#local(self),
      'RecvQueue.setId': () => [random.dice(5), this.wrId() ?? 0],
      'RecvQueue.post': () => [random.pick([0, 1, 1, 4, 4, 16]), random.pick([0, 0, 0, 1, 2])],
      'SharedReceiveQueue.modify': () => [
        random.pick([
          { limit: random.dice(4) },
          { maxWr: random.pick([1, 8, 64]) },
          { maxWr: 16, limit: 2 },
          { maxWr: 2, limit: 4 },
        ]),
      ],
      'SharedReceiveQueue.query': () => [],
      'QueuePair.query': () => [],
      'QueuePair.modify': () => [label('attributes', this.attributes(self))],
      'QueuePair.connect': () =>
        this.typeOf(self) === 'RC' && random.chance(0.5) && this.#plausible.one('Endpoint')
          ? [this.#wireConnect(self)]
          : [this.#peer(self), this.connect()],
      'new Endpoint': () => [this.#newEndpoint()],
      'Endpoint.describe': () => [
        random.pick(this.#world.objects.objects('QueuePair').filter((qp) => this.typeOf(qp) === 'RC')) ??
          p.one('QueuePair'),
      ],
      'Endpoint.counters': () => [],
      // Listeners accept and reject requests of other endpoints of the program, also twice, and late.
      'Endpoint.listen': () => [
        random.pick([4000, 4000, 4001, 0x1122n, 0, -1n]),
        (/** @type {any} */ request) => this.#answerRequest(request),
        random.pick([undefined, undefined, { backlog: random.pick([1, 64, 4096, 4097]) }]),
      ],
      'Endpoint.connect': () => [
        random.pick(['127.0.0.1', '127.0.0.1', '127.0.0.1', '::1', 'localhost']),
        random.pick([4000, 4000, 4001, 0x1122n]),
        {
          ...this.#connectionOptions(),
          port: this.#plausible.one('Endpoint')?.port || 4791,
          attempts: random.pick([1, 2, 16]),
          attemptMs: random.pick([1, 10, 1000]),
        },
      ],
      'Endpoint.poll': () => [random.pick([0, 0, 0, 100, 1000, -1, 1_000_001])],
      'Endpoint.ref': () => [],
      'Endpoint.unref': () => [],
      'QueuePair.activate': () => [{ qkey: random.pick([QKEY, QKEY, QKEY, random.bits()]) }],
      'QueuePair.write': () => [
        this.sges(self),
        this.target(self, false),
        this.#operation(p.flag() ? { imm: random.bits() } : {}),
      ],
      'QueuePair.read': () => [this.sges(self), this.target(self, false), this.#operation()],
      'QueuePair.send': () => [
        this.sges(self),
        this.#operation({
          ...random.pick([{}, { imm: 5 }, { invalidateRkey: random.bits() }, { solicited: true }]),
          ...(this.typeOf(self) === 'UD' ? this.#destination(self) : {}),
        }),
      ],
      'QueuePair.recv': () => [this.sges(self, [8, 1000, 16384]), this.#operation()],
      'QueuePair.fetchAdd': () => [this.old(self), this.target(self, true), random.bits(), this.#operation()],
      'QueuePair.compareSwap': () => [
        this.old(self),
        this.target(self, true),
        random.pick([0n, 1]),
        random.bits(),
        this.#operation(),
      ],
      'CompletionQueue.poll': () => random.pick([[], [], [0], [1], [64], [1000]]),
      'CompletionQueue.arm': () => random.pick([[], [{ solicited: true }], [{ solicited: false }]]),
      'CompletionQueue.resize': () => [random.pick([64, 64, 64, 100, 16, 2, 1, 0])],
    };
    const shape = shapes[name];
    if (shape) return shape();
    if (!isOfEmitter(key)) return undefined;
    const event = random.pick(['completion', 'cqError', 'lastWqe', 'limit', 'refused', 'close']);
    if (LISTENER.test(String(key))) return [event, this.#listener(self)];
    if (key === 'setMaxListeners') return [random.dice(20)];
    return /^(eventNames|getMaxListeners)$/.test(String(key)) ? [] : [event];
  }
}
