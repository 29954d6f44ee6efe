// One thread's part in verbs-chaos.cjs: its objects on the device, what it does with them, and what it checks. Only the owner of a
// queue pair posts to it, so the owner knows the order in which completions must arrive.
'use strict';
const { BYTES, CounterName, MEMORIES, QPS, SLOTS, WINDOW, WORD_BYTES } = require('./board.cjs');

/** Queue pairs by index: RC that is polled, UC that is polled, RC whose completions are iterated, RC used through promises. */
const [POLLED, UNRELIABLE, ITERATED, PROMISED] = [0, 1, 2, 3];
const DEPTH = 32;
/** Slots of packed queues. */
const SLOTS_OF_QUEUE = 4;
/** Work requests that a queue can hold: few, because an error flushes them all. */
const MOST_RECEIVES = 6;
const ALL = 15;
const MOST_TRIES = 20_000;
/** How long a memory may stay busy, in ms. */
const BUSY_MS = 10_000;

/** Thrown when the device or the domain was closed by another thread. */
class Over extends Error {}

/** Work requests of one queue that have not completed, oldest first. */
class Posted {
  entries = [];
  constructor(board, name) {
    this.board = board;
    this.name = name;
  }
  /** Removes the entries up to the completion's. Only those without a completion may be skipped. */
  find(wc) {
    for (;;) {
      const entry = this.entries.shift();
      if (entry === undefined) {
        this.board.wrong(
          `${this.name}: a completion of nothing that was posted: ${wc.wrId} ${wc.opcode} ${wc.status}`,
        );
        return undefined;
      }
      if (entry.id === wc.wrId) return entry;
      if (entry.signaled) {
        this.board.wrong(
          `${this.name}: ${entry.id} is missing or out of order: ${wc.wrId} ${wc.opcode} ${wc.status}`,
        );
        return undefined;
      }
    }
  }
  forget() {
    this.board.count(CounterName.Dropped, this.entries.length);
    this.entries = [];
  }
}

class Party {
  isAtRest = false;
  /** What is still expected to settle. */
  #promises = new Set();
  /** How many promises of work requests have not settled. */
  #operations = 0;
  #memories = [];
  #qps = [];
  /** A queue pair could not be replaced, because the device or the domain was closed meanwhile. */
  #isCutOff = false;
  #armed = false;
  #mustFire = false;
  #lastId = 0;

  constructor({ board, slot, device, seed, Access }) {
    this.board = board;
    this.slot = slot;
    this.device = device;
    this.random = board.random(seed);
    this.sleeper = new Int32Array(new SharedArrayBuffer(4));
    this.remote = Access.RemoteRead | Access.RemoteWrite | Access.RemoteAtomic;
  }

  /** Makes a call. Returns undefined, or the code of an error that may occur here. */
  #try(call, ...codes) {
    try {
      call();
      return undefined;
    } catch (error) {
      if (codes.includes(error.code)) return error.code;
      if (error.code === 'EBADF') throw new Over();
      this.board.wrong(`slot ${this.slot}: ${error.stack}`);
      return error.code ?? 'unknown';
    }
  }

  get #isOver() {
    return this.#try(() => this.device.resources(), 'EBADF') !== undefined || !this.#pdLives;
  }
  get #pdLives() {
    return (
      this.pd === undefined ||
      this.#try(() => this.pd.check({ addr: 0n, length: 0, lkey: 0 }, 0), 'EBADF') === undefined
    );
  }

  /** Runs until the run ends, the device or domain is closed, or the party leaves by itself. */
  async live(turn) {
    const { board } = this;
    board.count(CounterName.Lives);
    try {
      this.#begin();
      while (!board.isStopping) {
        for (let i = 0; i < 20; i++) this.#act();
        await turn();
        if (this.random(60) === 0) await this.#quiet(this.random(QPS), turn, true);
        if (this.#qps[ITERATED].failed && !this.#qps[ITERATED].destroyed)
          await this.#quiet(ITERATED, turn, true);
        if (this.random(100) === 0) await this.#deregAsync();
        if (this.slot > 0 && this.random(3000) === 0) {
          board.count(CounterName.Detaches);
          return; // end() detaches in the middle
        }
      }
      for (let i = 0; i < QPS; i++) await this.#quiet(i, turn, false);
      this.isAtRest = true;
    } catch (error) {
      if (!(error instanceof Over)) throw error;
    }
  }

  /** Leaves the device, and takes all memory back. */
  async end() {
    const { board, slot } = this;
    if (this.isAtRest) this.#checkRest();
    board.setDomain(slot, 0);
    // Another thread may be closing the device or the domain: its call must be over, too.
    if (slot > 0) board.awaitEnds();
    this.#try(() => this.device.detach({ cascade: true }), 'EBADF');
    if (slot > 0) board.awaitEnds();
    for (const [i, memory] of this.#memories.entries()) {
      if (memory.back) board.check(slot, i, 'dereg');
      else this.#takeBack(i, 'the end of a life');
    }
    for (const qp of this.#qps) {
      qp.sends.forget();
      qp.receives.forget();
    }
    await this.#allSettle('the end of a life');
    for (const [i] of this.#memories.entries()) board.check(slot, i, 'the end of a life');
  }

  /** Every promise must settle, and every iteration end. */
  async #allSettle(when) {
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, 10_000, 'late');
    });
    const all = Promise.all([...this.#promises]);
    if ((await Promise.race([all, late])) === 'late')
      this.board.wrong(`${this.#promises.size} promises pend after ${when}`);
    clearTimeout(timer);
  }

  #checkRest() {
    for (const [i, memory] of this.#memories.entries())
      if (!memory.back && memory.mr.refs !== 2)
        this.board.wrong(`memory ${this.slot}.${i} has ${memory.mr.refs} references in the end`);
    if (this.counter.refs !== 2) this.board.wrong(`a counter has ${this.counter.refs} references in the end`);
  }

  // --- objects ---

  #begin() {
    const { board, slot } = this;
    for (let i = 0; i < MEMORIES; i++) this.#memories.push({ back: true, mr: undefined });
    for (let i = 0; i < MEMORIES; i++) board.poison(slot, i);
    this.#or(() => {
      this.pd = this.device.allocPd();
      const ring = () => ({ ring: this.random(2) === 0 });
      // One place more than can be in use: a cursor keeps the place of the completion at which it stands.
      this.cq = this.device.createCq(4 * 2 * DEPTH + 1, ring());
      this.iteratedCq = this.device.createCq(2 * DEPTH, ring());
      this.promisedCq = this.device.createCq(2 * DEPTH, ring());
    });
    board.setDomain(slot, this.pd.id);
    this.cq.on('completion', () => {
      board.count(CounterName.Events);
      if (!this.#armed) board.wrong('an event of a queue that is not armed');
      this.#armed = this.#mustFire = false;
    });
    for (let i = 0; i < MEMORIES; i++) this.#register(i);
    this.#or(() => {
      this.counter = this.pd.regUserMr(board.counter(slot), { access: ALL });
    });
    board.show(slot, MEMORIES, this.counter.iova, this.counter.rkey);
    for (let i = 0; i < QPS; i++) this.#qps.push(this.#create(i));
    this.#watch(this.#iterate());
  }

  /** Makes a call whose only error is that the party is over. */
  #or(call) {
    if (this.#try(call) !== undefined) throw new Over();
  }

  /** Expects that a promise settles. */
  #watch(promise) {
    this.#promises.add(promise);
    void promise.finally(() => this.#promises.delete(promise));
  }

  #register(i) {
    const { board, slot } = this;
    board.check(slot, i, 'dereg');
    board.makeLive(slot, i, this.random(128));
    const memory = this.#memories[i];
    memory.back = false;
    this.#or(() => {
      memory.mr = this.pd.regUserMr(board.memories[slot][i], { access: ALL });
    });
    memory.valid = true;
    board.show(slot, i, memory.mr.iova, memory.mr.rkey);
  }

  #takeBack(i, after) {
    this.board.checkLive(this.slot, i, after);
    this.board.poison(this.slot, i);
    this.#memories[i].back = true;
  }

  #create(index) {
    const cq = [this.cq, this.cq, this.iteratedCq, this.promisedCq][index];
    const type = index === UNRELIABLE ? 'UC' : 'RC';
    const name = `queue pair ${this.slot}.${index}`;
    const qp = {
      index,
      type,
      failed: false,
      sends: new Posted(this.board, `${name}, sends`),
      receives: new Posted(this.board, `${name}, receives`),
    };
    this.#or(() => {
      qp.object = this.pd.createQp({ type, sendCq: cq, maxSendWr: DEPTH, maxRecvWr: DEPTH, maxPending: 8 });
      qp.sendQueue = qp.object.sendQueue(SLOTS_OF_QUEUE);
      qp.recvQueue = qp.object.recvQueue(SLOTS_OF_QUEUE);
    });
    this.#connect(qp);
    return qp;
  }

  #connect(qp) {
    const { board, random } = this;
    const isReliable = qp.type === 'RC';
    qp.failed = false;
    let peer;
    for (let tries = 0; tries < 8; tries++) {
      qp.peer = random(SLOTS);
      peer = isReliable ? [POLLED, ITERATED, PROMISED][random(3)] : UNRELIABLE;
      if (board.qpn(qp.peer, peer) !== 0) break; // it is probably connected
    }
    const rc = (attributes) => (isReliable ? attributes : {});
    for (const attributes of [
      { state: 'INIT', pkeyIndex: 0, port: 1, access: this.remote },
      {
        state: 'RTR',
        av: { dlid: 1 },
        pathMtu: 4096,
        destQpn: board.qpn(qp.peer, peer),
        rqPsn: 0,
        ...rc({ maxDestRdAtomic: 4, minRnrTimer: 1 + random(20) }),
      },
      { state: 'RTS', sqPsn: 0, ...rc({ timeout: 14, retryCnt: 7, rnrRetry: random(8), maxRdAtomic: 4 }) },
    ])
      if (this.#try(() => qp.object.modify(attributes), 'EINVAL') !== undefined) return; // a peer has put it into error
    board.setQpn(this.slot, qp.index, qp.object.qpn);
  }

  #fail(qp) {
    qp.failed = true;
    this.board.setQpn(this.slot, qp.index, 0);
  }

  // --- completions ---

  #note(wc) {
    const { board } = this;
    const qp = this.#qps[wc.wrId & 3];
    const isReceive = (wc.wrId & 4) !== 0;
    board.count(CounterName.Completed);
    board.countStatus(wc.status);
    if (wc.qpn !== qp.object.qpn)
      return board.wrong(`${wc.wrId} of queue pair ${wc.qpn}, not ${qp.object.qpn}`);
    if (isReceive !== wc.opcode.startsWith('RECV')) board.wrong(`${wc.wrId} has opcode ${wc.opcode}`);
    const entry = (isReceive ? qp.receives : qp.sends).find(wc);
    if (entry === undefined) return;
    if (wc.ok && !entry.signaled) board.wrong(`${wc.wrId} ${wc.opcode} was not signaled`);
    if (!wc.ok) return this.#fail(qp);
    if (wc.opcode === 'FETCH_ADD') board.count(CounterName.Fetched);
    const key = isReceive ? wc.invalidatedRkey : entry.key;
    const window = this.#memories[WINDOW];
    if (key !== undefined && window.valid && !window.back && key === window.mr.rkey) this.#windowIsBack();
  }

  #windowIsBack() {
    this.#memories[WINDOW].valid = false;
    this.#takeBack(WINDOW, 'an invalidation');
    this.board.count(CounterName.Windows);
  }

  #poll() {
    const mustFire = this.#mustFire;
    let wcs = [];
    this.#try(() => {
      wcs = this.cq.ring !== undefined && this.random(2) ? this.#takeFromRing(64) : this.cq.poll(64);
    });
    if (wcs.length && mustFire) this.#expectEvent();
    for (const wc of wcs) this.#note(wc);
  }

  /** Takes up to `count` completions by the cursor. The cursor may stay on the last one, or leave it. */
  #takeFromRing(count) {
    const { ring } = this.cq;
    const wcs = [];
    while (wcs.length < count && ring.next()) {
      const { wrIdNumber: wrId, status, ok, opcode, qpn, invalidatedRkey } = ring;
      wcs.push({ wrId, status, ok, opcode, qpn, invalidatedRkey });
    }
    this.board.count(CounterName.FromRings, wcs.length);
    return wcs;
  }

  /** A completion came after the queue was armed while it was empty: its event must come soon. */
  #expectEvent() {
    this.#mustFire = false;
    const arming = this.arming;
    this.#watch(
      (async () => {
        for (let i = 0; i < 200 && this.#armed && this.arming === arming; i++)
          await new Promise((resolve) => setTimeout(resolve, 5));
        if (this.#armed && this.arming === arming && !this.#isOver)
          this.board.wrong('a completion without the event that was armed');
      })(),
    );
  }

  #arm() {
    if (this.#armed) return;
    this.arming = {};
    this.#armed = true;
    this.board.count(CounterName.Arms);
    this.#try(() => {
      this.#mustFire = !this.cq.arm();
    });
  }

  async #iterate() {
    try {
      for await (const wc of this.iteratedCq) {
        this.board.count(CounterName.Iterated);
        this.#note(wc);
      }
    } catch (error) {
      this.board.wrong(`an iteration threw ${error.stack}`);
    }
  }

  /** Puts a queue pair into error and waits until it has given back all that was posted. */
  async #quiet(index, turn, bringBack) {
    const { board } = this;
    while (this.#qps[index].destroyed) {
      if (this.#isCutOff) throw new Over();
      await turn();
    }
    const qp = this.#qps[index];
    this.#try(() => qp.object.modify({ state: 'ERR' }), 'EINVAL');
    for (let tries = 0; this.#sends(qp) > 0; tries++) {
      if (tries === MOST_TRIES)
        return board.wrong(`queue pair ${this.slot}.${index} in error is not flushed`);
      await turn();
    }
    this.#poll();
    // Iterations and promises get their completions from the event loop.
    const missing = () =>
      [...qp.sends.entries.filter(({ signaled }) => signaled), ...qp.receives.entries].map(({ id }) => id);
    const pending = () => (index === PROMISED ? this.#operations : 0);
    // The iteration may not have taken all completions yet, and unsignaled work requests may have failed.
    if (index === ITERATED) await this.#iterationIsIdle();
    for (let tries = 0; tries < 500 && (missing().length || pending()); tries++) {
      if (this.#isOver) throw new Over();
      await new Promise((resolve) => setTimeout(resolve, tries < 20 ? 0 : 5));
    }
    if (this.#isOver) throw new Over();
    if (missing().length) board.wrong(`queue pair ${this.slot}.${index}: ${missing()} never completed`);
    if (pending())
      board.wrong(`queue pair ${this.slot}.${index}: ${pending()} promises pend in the error state`);
    qp.sends.entries = [];
    qp.receives.entries = [];
    board.count(CounterName.Quiets);
    if (bringBack) this.#reset(qp);
  }

  /** Waits until the iteration has taken all completions of its queue. */
  async #iterationIsIdle() {
    const deadline = Date.now() + 10_000;
    for (let held = 1; held > 0;) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      this.#try(() => {
        held = this.iteratedCq.length;
      });
      if (Date.now() > deadline) {
        this.board.wrong(`an iteration leaves ${held} completions`);
        throw new Over();
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }

  #sends(qp) {
    let sends = 0;
    this.#try(() => {
      sends = qp.object.query().sends;
    });
    return sends;
  }

  #reset(qp) {
    let receives = 0;
    this.#try(() => {
      qp.object.modify({ state: 'RESET' });
      receives = qp.object.query().receives;
    });
    if (qp.index === POLLED || qp.index === UNRELIABLE) {
      for (let held = 1; held > 0;) {
        this.#poll();
        this.#try(() => {
          held = this.cq.length;
        });
      }
      qp.sends.forget();
      // Posted receives survive. The one in hand, which is the oldest, is dropped.
      const { entries } = qp.receives;
      if (entries.length === receives + 1) entries.shift();
      if (entries.length !== receives)
        this.board.wrong(`${entries.length} receives, but ${receives} after a reset`);
    }
    this.#connect(qp);
  }

  // --- posting ---

  #id(qp, isReceive) {
    return ++this.#lastId * 8 + (isReceive ? 4 : 0) + qp.index;
  }

  #local(i, length) {
    const { mr } = this.#memories[i];
    return { addr: mr.start + BigInt(WORD_BYTES), length, lkey: mr.lkey };
  }

  #liveMemory() {
    const i = this.random(2);
    return this.#memories[i].back ? 1 - i : i;
  }

  /** Makes a work request to the peer of a queue pair. */
  #request(qp) {
    const { board, random } = this;
    let target = [0, 1, WINDOW][random(3)];
    for (let tries = 0; tries < 3 && !board.shown(qp.peer, target).key; tries++)
      target = (target + 1) % MEMORIES;
    const { addr, key } = board.shown(qp.peer, target);
    const whole = BYTES - WORD_BYTES;
    const length = random(3) ? random(256) : whole / 2 + random(whole / 2);
    const sges = [this.#local(this.#liveMemory(), length)];
    const remote = { remoteAddr: addr + BigInt(WORD_BYTES + random(whole - length)), rkey: key };
    const die = qp.type === 'UC' ? random(4) : random(10);
    if (die < 3) return { opcode: 'RDMA_WRITE', sges, ...remote };
    if (die < 4) return { opcode: 'SEND', sges };
    if (die < 7) return { opcode: 'RDMA_READ', sges, ...remote };
    if (die < 8) {
      const { addr: at, key: rkey } = board.shown(qp.peer, MEMORIES);
      board.count(CounterName.Tried);
      return {
        opcode: 'ATOMIC_FETCH_AND_ADD',
        sges: [{ ...sges[0], addr: sges[0].addr - BigInt(WORD_BYTES), length: 8 }],
        remoteAddr: at,
        rkey,
        compareAdd: 1n,
      };
    }
    if (die < 9) return { opcode: 'RDMA_WRITE_WITH_IMM', sges, imm: 7, ...remote };
    return random(4)
      ? { opcode: 'SEND_WITH_IMM', sges, imm: 5 }
      : { opcode: 'SEND_WITH_INV', sges, invalidateRkey: board.shown(qp.peer, WINDOW).key || 1 };
  }

  #postSends(qp) {
    const wrs = [];
    for (let count = Math.min(1 + this.random(4), DEPTH - qp.sends.entries.length); count > 0; count--) {
      const wr = { wrId: this.#id(qp, false), signaled: this.random(3) > 0, ...this.#request(qp) };
      qp.sends.entries.push({ id: wr.wrId, signaled: wr.signaled });
      wrs.push(wr);
    }
    this.#postEither(qp, qp.sends, wrs, qp.sendQueue, (list) => qp.object.postSend(list));
  }

  #postReceives(qp) {
    const wrs = [];
    for (
      let count = Math.min(1 + this.random(3), MOST_RECEIVES - qp.receives.entries.length);
      count > 0;
      count--
    ) {
      const length = this.random(5) ? BYTES - WORD_BYTES : 100;
      const wr = { wrId: this.#id(qp, true), sges: [this.#local(this.#liveMemory(), length)] };
      qp.receives.entries.push({ id: wr.wrId, signaled: true });
      wrs.push(wr);
    }
    this.#postEither(qp, qp.receives, wrs, qp.recvQueue, (list) => qp.object.postRecv(list));
  }

  /** Posts a list by objects, or by slots of a packed queue. */
  #postEither(qp, posted, wrs, queue, call) {
    if (this.random(2)) return this.#post(qp, posted, wrs, call);
    const first = this.random(SLOTS_OF_QUEUE - wrs.length + 1);
    this.#post(qp, posted, wrs, () => {
      for (const [i, wr] of wrs.entries()) {
        queue.fill(first + i, wr);
        // The same values again, by the setters.
        const [{ addr, length, lkey }] = wr.sges;
        queue.setId(first + i, wr.wrId);
        queue.setLocal(first + i, addr, length, lkey);
        if (wr.remoteAddr !== undefined) queue.setRemote(first + i, wr.remoteAddr, wr.rkey);
        if (wr.signaled !== undefined) queue.setSignaled(first + i, wr.signaled);
      }
      const count = queue.post(wrs.length, first);
      this.board.count(CounterName.Packed, count);
      if (count === wrs.length) return;
      const { error } = queue;
      if (error?.posted !== count) this.board.wrong(`${count} of ${wrs.length} posted: ${error?.stack}`);
      throw error;
    });
  }

  #post(qp, posted, wrs, call) {
    if (!wrs.length) return;
    let accepted = wrs.length;
    try {
      call(wrs);
    } catch (error) {
      accepted = error.posted ?? 0;
      if (error.code === 'EBADF') {
        posted.entries.splice(posted.entries.length - wrs.length);
        throw new Over();
      }
      if (error.code !== 'EINVAL' && error.code !== 'ENOMEM') this.board.wrong(error.stack);
    }
    posted.entries.splice(posted.entries.length - (wrs.length - accepted), wrs.length - accepted);
    this.board.count(CounterName.Posted, accepted);
  }

  /** Calls a method that returns a promise. */
  #promise() {
    const qp = this.#qps[PROMISED];
    const { object } = qp;
    const wr = this.#request(qp);
    const [sge] = wr.sges;
    const method =
      wr.opcode === 'ATOMIC_FETCH_AND_ADD'
        ? 'fetchAdd'
        : ['send', 'recv', 'write', 'read'][this.random(wr.remoteAddr === undefined ? 2 : 4)];
    const call = {
      send: () => object.send(sge),
      recv: () => object.recv(this.#local(this.#liveMemory(), BYTES - WORD_BYTES)),
      write: () => object.write(sge, wr),
      read: () => object.read(sge, wr),
      fetchAdd: () => object.fetchAdd(sge, wr, 1n),
    }[method];
    this.board.count(CounterName.Promises);
    this.#operations++;
    this.#watch(
      call().then(
        (wc) => {
          this.#settled();
          this.board.countStatus('SUCCESS');
          if (method === 'fetchAdd') this.board.count(CounterName.Fetched);
          else if (!wc.ok) this.board.wrong(`${method} resolved to ${wc.status}`);
        },
        (error) => {
          this.#settled();
          if (error.status !== undefined) {
            this.#fail(qp);
            this.board.countStatus(error.status);
          } else if (!['EBADF', 'EINVAL', 'ENOMEM', 'EACCES'].includes(error.code))
            this.board.wrong(`${method}: ${error.stack}`);
        },
      ),
    );
  }

  #settled() {
    this.#operations--;
    this.board.count(CounterName.Settled);
  }

  // --- memory ---

  /** Deregisters a memory, or registers it again. */
  #useMemory(i) {
    const memory = this.#memories[i];
    const force = this.random(3) === 0;
    if (memory.back && i !== WINDOW) return this.#register(i);
    const deadline = Date.now() + BUSY_MS;
    while (this.#try(() => memory.mr.dereg({ force }), 'EBUSY') !== undefined) {
      this.board.count(CounterName.Busy);
      if (force || Date.now() > deadline) return this.board.wrong(`memory ${this.slot}.${i} stays busy`);
      // The thread that holds it may have lost its processor.
      Atomics.wait(this.sleeper, 0, 0, 0.1);
    }
    this.#hasEnded(i);
  }

  #hasEnded(i) {
    this.board.count(CounterName.Deregs);
    if (this.#memories[i].back) this.board.check(this.slot, i, 'an invalidation');
    else this.#takeBack(i, 'dereg');
    if (i === WINDOW) this.#register(i);
  }

  async #deregAsync() {
    const i = this.random(2);
    const memory = this.#memories[i];
    if (memory.back) return;
    try {
      await memory.mr.deregAsync({ timeoutMs: 5000 });
    } catch (error) {
      if (error.code === 'EBADF') throw new Over();
      this.board.wrong(`deregAsync: ${error.stack}`);
      return;
    }
    // In the meantime an iteration or a listener may have run, but none of them deregisters.
    this.#hasEnded(i);
  }

  /** Ends the window's key. */
  #endKey() {
    const memory = this.#memories[WINDOW];
    const qp = this.#qps[POLLED];
    if (!memory.valid || memory.back || qp.sends.entries.length === DEPTH) return;
    const key = memory.mr.rkey;
    if (this.random(2)) {
      if (this.#try(() => qp.object.invalidateRkey(key), 'EINVAL') === undefined) this.#windowIsBack();
      return; // EINVAL: a peer has invalidated it
    }
    const signaled = this.random(2) === 0;
    const wr = {
      opcode: 'LOCAL_INV',
      wrId: this.#id(qp, false),
      signaled,
      fence: signaled,
      invalidateRkey: key,
    };
    qp.sends.entries.push({ id: wr.wrId, signaled, key });
    this.#post(qp, qp.sends, [wr], (list) => qp.object.postSend(list));
  }

  // --- what a party does ---

  #destroy(qp) {
    this.#try(() => qp.object.destroy());
    if (qp.index === POLLED || qp.index === UNRELIABLE) this.#drain();
    else if (qp.index === ITERATED) return this.#rebuildLater(qp);
    this.#replace(qp);
  }

  #drain() {
    for (let held = 1; held > 0;) {
      this.#poll();
      this.#try(() => {
        held = this.cq.length;
      });
    }
  }

  #replace(qp) {
    qp.sends.forget();
    qp.receives.forget();
    this.#qps[qp.index] = this.#create(qp.index);
  }

  /** Replaces the queue pair once the iteration has taken the remaining completions. */
  #rebuildLater(qp) {
    qp.destroyed = true;
    this.#watch(
      (async () => {
        try {
          await this.#iterationIsIdle();
          this.#replace(qp);
        } catch (error) {
          this.#isCutOff = true;
          if (!(error instanceof Over)) this.board.wrong(error.stack);
        }
      })(),
    );
  }

  #act() {
    const { random } = this;
    const qp = this.#qps[random(QPS)];
    const die = random(1000);
    if (qp.destroyed) return;
    // What is posted to a queue pair in error is only flushed.
    if (qp.failed && die % 8 !== 0) {
      if (die % 8 < 4 && qp.index !== ITERATED) this.#reset(qp);
      return;
    }
    if (qp.index === PROMISED && die < 500) return this.#promise();
    if (die < 300) return this.#postSends(qp);
    if (die < 500) return this.#postReceives(qp);
    const region = random(2);
    if (this.#memories[region].back && die % 4 === 0) this.#useMemory(region);
    else if (die < 700) this.#poll();
    else if (die < 740) this.#arm();
    else if (die < 780) this.#endKey();
    else if (die < 790) this.#useMemory(region);
    else if (die < 800) this.#useMemory(WINDOW);
    else if (die < 805) this.#destroy(qp);
    else if (die < 810) this.#try(() => qp.object.modify({ state: 'ERR' }), 'EINVAL');
    else if (die < 830)
      for (let i = 0; i < MEMORIES; i++) if (this.#memories[i].back) this.board.check(this.slot, i, 'dereg');
  }
}

module.exports = { Party };
