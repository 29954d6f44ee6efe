// Moves the bytes of a region repeatedly until the thread that ends the region signals that it has ended. This is usually the
// program of a worker; a test may also call `copyUntilEnded` directly.
'use strict';

const { parentPort, receiveMessageOnPort, workerData } = require('node:worker_threads');

const BYTES = 1 << 20;
/** The number of elements in the lists of list-to-list copies. */
const PIECES = 8;
/** The byte that writing accesses write. */
const WRITTEN = 0x5a;

/**
 * The words of the control block. `Phase` holds one of the phases below, `Ended` and `Filled` are flags, `Moved` counts calls
 * that moved bytes.
 */
const Control = { Phase: 0, Ended: 1, Filled: 2, Moved: 3, Count: 4 };
const Phase = { Idle: 0, Go: 1, Started: 2, Done: 3 };

/** The bytes that writing accesses write. Each thread has its own. */
const source = new Uint8Array(new SharedArrayBuffer(BYTES)).fill(WRITTEN);

/** The objects with which one thread moves bytes: a device, a domain and a queue pair in it. */
class Hands {
  #own = new Map();

  /** @param rdmavt - the exports of the package */
  constructor(rdmavt, { token, pd, sink }) {
    this.rdmavt = rdmavt;
    this.device = rdmavt.Device.attach(token);
    this.pd = this.device.importPd(pd);
    this.qp = this.pd.createQp();
    this.sink = new Uint8Array(sink);
  }

  /** Returns a batch over `count` equal pieces of a memory. */
  batch({ remote = false, address, iova, key }, count = 1) {
    const batch = remote ? this.qp.rkeyBatch(count) : this.pd.lkeyBatch(count);
    const first = remote ? iova : address;
    const piece = BYTES / count;
    for (let i = 0; i < count; i++) batch.set(i, first + BigInt(i * piece), piece, key);
    return batch;
  }

  /** Returns a batch over memory of this thread: the sink or the source. */
  ownBatch(memory) {
    if (!this.#own.has(memory)) {
      const mr = this.pd.regUserMr(memory, { access: this.rdmavt.Access.LocalWrite });
      this.#own.set(memory, this.batch({ address: mr.start, key: mr.lkey }, PIECES));
    }
    return this.#own.get(memory);
  }

  /** Detaches from the device and closes everything created here. */
  close() {
    this.device.detach({ cascade: true });
  }
}

function accepted(check) {
  if (!check.ok) throw new Error(`refused: ${check.reason}`);
  return check.sge;
}

/** Returns an access that holds an SGE. `use` creates the function that moves bytes with the SGE. */
const held = (use) => (hands, job) => {
  const { LocalWrite } = hands.rdmavt.Access;
  const sge = accepted(hands.pd.acquire({ addr: job.address, length: BYTES, lkey: job.key }, LocalWrite));
  return { move: use(hands, sge), put: () => sge.put() };
};

/**
 * The accesses by name. For a job (`address`, `key`), each creates a function that moves bytes once and, for held SGEs, a
 * function that puts the SGE.
 */
const accesses = {
  gather(hands, job) {
    const batch = hands.batch(job);
    const access = job.remote ? hands.rdmavt.Access.RemoteRead : 0;
    return { move: () => batch.gather(hands.sink, 1, access) };
  },
  scatter(hands, job) {
    const batch = hands.batch(job);
    const access = job.remote ? hands.rdmavt.Access.RemoteWrite : hands.rdmavt.Access.LocalWrite;
    return { move: () => batch.scatter(source, 1, access) };
  },
  copyFromList(hands, job) {
    const from = hands.batch(job, PIECES);
    const to = hands.ownBatch(hands.sink);
    const access = job.remote ? hands.rdmavt.Access.RemoteRead : 0;
    return { move: () => from.copyTo(to, PIECES, access, PIECES, hands.rdmavt.Access.LocalWrite) };
  },
  copyToList(hands, job) {
    const from = hands.ownBatch(source);
    const to = hands.batch(job, PIECES);
    const access = job.remote ? hands.rdmavt.Access.RemoteWrite : hands.rdmavt.Access.LocalWrite;
    return { move: () => from.copyTo(to, PIECES, 0, PIECES, access) };
  },
  sgeCopyTo: held(
    ({ sink }, sge) =>
      () =>
        sge.copyTo(sink),
  ),
  sgeCopyFrom: held((_, sge) => () => sge.copyFrom(source)),
  stateCopyOut: held(
    ({ sink, rdmavt }, sge) =>
      () =>
        new rdmavt.SgeState([sge]).copyOut(sink),
  ),
  stateCopyIn: held(
    ({ rdmavt }, sge) =>
      () =>
        new rdmavt.SgeState([sge]).copyIn(source),
  ),
  atomics(hands, job) {
    const request = { vaddr: job.iova, length: 8, rkey: job.key };
    const sge = accepted(hands.qp.acquire(request, hands.rdmavt.Access.RemoteAtomic));
    const move = () => {
      const sum = BigInt.asUintN(64, sge.fetchAdd(1n) + 1n);
      sge.compareSwap(sum, BigInt.asUintN(64, sum + 1n));
      return 8;
    };
    return { move, put: () => sge.put() };
  },
};

/** Moves bytes once. Returns 0 if the package refuses. */
function attempt(move) {
  try {
    return move();
  } catch (error) {
    if (error.name === 'RdmaError') return 0;
    throw error;
  }
}

/**
 * Moves bytes until the control block signals that the region has ended. Unless `job.goesOn` is set (the key may then name other
 * bytes), the last move starts after the memory was made private.
 */
function copyUntilEnded(hands, job, control) {
  const { move, put } = accesses[job.access](hands, job);
  setPhase(control, Phase.Started);
  let moved = 0;
  while (!Atomics.load(control, Control.Ended)) if (attempt(move)) moved++;
  if (!job.goesOn) {
    while (!Atomics.load(control, Control.Filled));
    attempt(move);
  }
  attempt(() => put?.());
  Atomics.store(control, Control.Moved, moved);
}

function setPhase(control, phase) {
  Atomics.store(control, Control.Phase, phase);
  Atomics.notify(control, Control.Phase);
}

/** Waits until the phase is `wanted`. Returns false after `timeout` ms. */
function waitForPhase(control, wanted, timeout = Infinity) {
  for (;;) {
    const phase = Atomics.load(control, Control.Phase);
    if (phase === wanted) return true;
    if (Atomics.wait(control, Control.Phase, phase, timeout) === 'timed-out') return false;
  }
}

/** Runs the worker that copies, one job after another. A problem is reported through the port and ends the job. */
function serve({ control, port }) {
  const rdmavt = require('rdmavt');
  let kept; // the objects of the previous job, which the next job may reuse
  for (;;) {
    waitForPhase(control, Phase.Go);
    const job = receiveMessageOnPort(port).message;
    try {
      if (kept?.token !== job.token || kept.pd !== job.pd) {
        kept?.hands.close();
        kept = { token: job.token, pd: job.pd, hands: new Hands(rdmavt, job) };
      }
      copyUntilEnded(kept.hands, job, control);
    } catch (error) {
      port.postMessage(String(error.stack));
    }
    setPhase(control, Phase.Done);
  }
}

/** Runs the worker that only registers memory: when the worker ends, its region ends. */
function own({ token, pd, memory }) {
  const rdmavt = require('rdmavt');
  const mr = rdmavt.Device.attach(token).importPd(pd).regUserMr(new Uint8Array(memory), { access: 31 });
  parentPort.postMessage({ address: mr.start, iova: mr.iova, key: mr.lkey });
  setInterval(() => mr.state, 1 << 30);
}

/** Runs the worker that ends one region after another while its parent copies (reversed.ts). */
function end({ control, token, pd, memory, port, force, privateByte }) {
  const rdmavt = require('rdmavt');
  const domain = rdmavt.Device.attach(token).importPd(pd);
  const bytes = new Uint8Array(memory);
  for (;;) {
    waitForPhase(control, Phase.Go);
    const mr = domain.regUserMr(bytes, { access: 31 });
    port.postMessage({ address: mr.start, iova: mr.iova, key: mr.lkey });
    waitForPhase(control, Phase.Started);
    spin(Math.random() * 0.25);
    let error;
    try {
      mr.dereg({ force });
    } catch (thrown) {
      error = String(thrown);
    }
    Atomics.store(control, Control.Ended, 1);
    bytes.fill(privateByte);
    Atomics.store(control, Control.Filled, 1);
    port.postMessage({ error });
    setPhase(control, Phase.Done);
  }
}

/** @param {number} duration ms */
function spin(duration) {
  const until = performance.now() + duration;
  while (performance.now() < until);
}

module.exports = {
  BYTES,
  Control,
  copyUntilEnded,
  Hands,
  Phase,
  setPhase,
  spin,
  waitForPhase,
};

const roles = { copy: serve, own, end };
if (workerData?.role in roles) roles[workerData.role](workerData);
