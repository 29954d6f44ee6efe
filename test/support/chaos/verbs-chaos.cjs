// Chaos on one device from several threads: `node verbs-chaos.cjs SEED SECONDS`. The main thread and three workers each
// have a domain, queues, memory and queue pairs whose peers belong to the others. They post (objects, or slots of packed queues),
// take completions (by polling, or from a ring), wait for promises, iterate, deregister, invalidate, detach and end; the main thread
// also terminates workers, closes domains of others, and closes the device.
//
// Each thread checks, for what it owns:
// - the completions of a queue pair arrive in the order of posting, each at most once; a signaled work request is skipped only if
//   its queue pair was reset or destroyed. A queue pair in error gives back everything that was posted to it;
// - every promise settles, also if its queue pair or the device ends; every iteration ends with its queue;
// - memory that was taken back (dereg, invalidation, detach, close, the end of a worker) is not written any more, and nothing is read
//   from it: it is filled with a poison that must stay there, and that must not arrive in other memory;
// - each arming of a completion queue emits one event at most, and exactly one if a completion followed;
// - in the end no region is held and nothing is left on the device.
//
// Prints its counts as JSON. A violation is printed to stderr at once, and the exit code is then 1.
'use strict';
const { writeSync } = require('node:fs');
const { join } = require('node:path');
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');
const { Access, Device } = require(join(__dirname, '..', '..', '..', 'dist', 'index.js'));
const { Board, CounterName, SLOTS } = require('./board.cjs');
const { Party } = require('./party.cjs');

const HANG_MS = 20_000;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Lives on one device after the other, until the run is over. `next` resolves to a Device object, or to undefined at the end. */
async function live(board, slot, seed, next, answerAtRest) {
  for (let life = 0; ; life++) {
    const device = await next();
    if (device === undefined) return;
    const party = new Party({ board, slot, device, seed: seed * 1000 + life, Access });
    await party.live(turn);
    if (party.isAtRest) await answerAtRest();
    await party.end();
  }
}

/** A worker: attaches to the device that the board's token names. */
async function work() {
  const { shared, slot, seed } = workerData;
  const board = new Board(shared);
  let checked;
  const mayCheck = new Promise((resolve) => (checked = resolve));
  parentPort.on('message', (message) => {
    if (message === 'check') checked();
  });
  const next = async () => {
    for (;;) {
      if (board.isStopping) return undefined;
      const token = board.token();
      try {
        if (token) return Device.attach(token);
      } catch (error) {
        if (error.code !== 'ENODEV' && error.code !== 'EBADF') board.wrong(`attach: ${error.message}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  await live(board, slot, seed, next, async () => {
    parentPort.postMessage('quiet');
    await mayCheck;
  });
  parentPort.close();
}

/** Resolves as the promise does. Ends the process if that takes too long. */
async function within(promise, what, ms = HANG_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`hung: ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function main(seed, seconds) {
  const board = Board.create();
  const random = board.random(seed);
  const until = Date.now() + seconds * 1000;
  const startWorker = (slot) => {
    const data = { shared: board.shared, slot, seed: random(1 << 30) };
    const worker = new Worker(__filename, { workerData: data });
    const quiet = new Promise((resolve) => worker.on('message', resolve));
    worker.on('error', (error) => board.wrong(`worker ${slot}: ${error.stack}`));
    const ended = new Promise((resolve) => worker.on('exit', resolve));
    return { worker, ended, quiet };
  };
  const workers = Array.from({ length: SLOTS - 1 }, (_, i) => startWorker(i + 1));
  let device;
  const open = () => {
    device = new Device();
    board.setToken(device.share());
    return device;
  };

  const terminate = async () => {
    const slot = 1 + random(SLOTS - 1);
    const entry = workers[slot - 1];
    board.count(CounterName.Terminations);
    await within(Promise.all([entry.worker.terminate(), entry.ended]), 'terminate');
    // The worker's objects have ended, so its memory is private from now on.
    board.poisonAll(slot);
    await new Promise((resolve) => setTimeout(resolve, random(20)));
    board.checkAll(slot, 'the end of a worker');
    workers[slot - 1] = startWorker(slot);
  };
  const closeDevice = () => {
    board.count(CounterName.Closes);
    board.setToken('');
    board.duringEnd(() => device.close({ cascade: true }));
  };
  const closeDomain = () => {
    const slot = 1 + random(SLOTS - 1);
    const id = board.domain(slot);
    if (!id) return;
    board.count(CounterName.Domains);
    board.duringEnd(() => {
      try {
        device.importPd(id).dealloc({ cascade: true });
      } catch (error) {
        if (error.code !== 'EINVAL' && error.code !== 'EBADF' && error.code !== 'ENODEV')
          board.wrong(`dealloc: ${error.message}`);
      }
    });
  };
  const next = async () => (board.isStopping ? undefined : open());
  const disturb = async () => {
    while (Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 50 + random(250)));
      const die = random(10);
      if (die < 4) await terminate();
      else if (die < 6) closeDevice();
      else if (die < 8) closeDomain();
    }
    board.stop();
  };
  let release;
  const mayCheck = new Promise((resolve) => (release = resolve));
  const disturbing = disturb();
  const living = live(board, 0, seed, next, async () => {
    await within(
      Promise.all(workers.map(({ quiet, ended }) => Promise.race([quiet, ended]))),
      'coming to rest',
    );
    for (const { worker } of workers) worker.postMessage('check');
    release();
    await within(Promise.all(workers.map(({ ended }) => ended)), 'the ends of the workers');
    const left = device.resources();
    if (left.contexts.join() !== `${device.context}`) board.wrong(`contexts ${left.contexts} are left`);
    for (const [kind, rows] of Object.entries(left))
      if (Array.isArray(rows) && rows.some(({ own }) => own === false))
        board.wrong(`${kind} of workers are left`);
  });
  await within(Promise.all([disturbing, living]), 'the main party', 1000 * seconds + 3 * HANG_MS);
  await Promise.race([mayCheck, turn()]);
  // The main party may have been between two lives when the run ended.
  for (const { worker } of workers) worker.postMessage('check');
  await within(Promise.all(workers.map(({ ended }) => ended)), 'the ends of the workers');
  for (let slot = 0; slot < SLOTS; slot++) board.checkAll(slot, 'the end');
  const counts = board.counts();
  console.log(JSON.stringify({ seed, ...counts }));
  process.exitCode = board.violations ? 1 : 0;
}

const failed = (error) => {
  writeSync(2, `chaos: ${error.stack}\n`);
  process.exit(1);
};
process.on('unhandledRejection', failed);
if (isMainThread) main(Number(process.argv[2] ?? 1), Number(process.argv[3] ?? 5)).catch(failed);
else work().catch(failed);
