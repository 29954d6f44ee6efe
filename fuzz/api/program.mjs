// Runs a program of random calls. fuzz.mjs runs it as a child process:
//
//   program.mjs --seed N --calls N --journal FILE --result FILE [--until MS] [--only RANGES] [--verbose] [--threads]
//
// mischief.mjs also runs it as a worker thread. The program writes an account of its calls and findings to the result file.
import { writeFileSync } from 'node:fs';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { parseArgs } from 'node:util';
import { Hostile } from './hostile.mjs';
import { Journal } from './journal.mjs';
import { label } from './labels.mjs';
import { Mischief } from './mischief.mjs';
import { Natives } from './natives.mjs';
import { Plausible } from './plausible.mjs';
import { functionOf } from './pool.mjs';
import { mix } from './random.mjs';
import { parseRanges } from './ranges.mjs';
import { openScene, openShared } from './scenes.mjs';
import { Traffic } from './traffic.mjs';
import { Transfers } from './transfers.mjs';
import { isOfEmitter } from './verbs.mjs';
import { World } from './world.mjs';

/** Calls between two turns of the event loop, in which promises settle, finalizers run and messages of workers arrive. */
const CALLS_A_TURN = 50;

const options = isMainThread
  ? fromCommandLine()
  : { until: Infinity, only: undefined, verbose: false, result: '', token: undefined, ...workerData };
const { seed, calls, until, only } = options;

// verdict.mjs decides by the stack whether an exception is permitted, and nested traps add many frames.
Error.stackTraceLimit = 25;

const journal = new Journal(options.journal);
const world = new World(journal, options.verbose);
const { random, ledger, objects } = world;
const plausible = new Plausible(world);
const hostile = new Hostile(world);
const mischief = new Mischief(world, hostile, plausible, options);
const transfers = new Transfers(world);
const traffic = new Traffic(world, plausible);
const natives = new Natives(world, hostile, plausible);
hostile.plausible = () => plausible.value();
hostile.mischief = () => mischief.inside(anyCall);

process.on('unhandledRejection', (reason) =>
  ledger.finding(`an unhandled rejection: ${inspectError(reason)}`),
);
process.on('uncaughtException', (error) => ledger.finding(`an uncaught exception: ${inspectError(error)}`));
// Tell the parent thread that the program has started: from now on it may terminate this thread at any time.
parentPort?.postMessage({});

try {
  random.begin(seed);
  if (options.token && openShared(world, plausible, traffic, options.token))
    parentPort?.postMessage({ state: 'queue pairs of two threads in a device' });
  for (let index = 0; index < calls && Date.now() < until; index++) {
    if (index % CALLS_A_TURN === 0) await turn();
    if (only && !only(index)) continue;
    random.begin(mix(seed, index));
    ledger.index = index;
    step();
    if (!isMainThread) tell();
  }
} catch (error) {
  ledger.finding(`the fuzzer itself failed: ${inspectError(error)}`);
}
await end();

/** Runs one step, usually one call. */
function step() {
  if (objects.objects('Device').length === 0 || random.chance(0.01))
    return openScene(world, plausible, natives, traffic);
  random.weighed([
    [50, plausibleCall],
    [28, hostileCall],
    [5, wrongCall],
    [6, () => transfers.run(plausible.one('Device'))],
    [8, () => mischief.between()],
    [13, () => natives.call()],
    [14, () => traffic.step()],
  ])();
}

/** Makes a call from inside a hostile value. */
function anyCall() {
  random.weighed([
    [5, plausibleCall],
    [2, hostileCall],
    [1, () => natives.call()],
  ])();
}

/** @returns {{ member: import('./pool.mjs').Member, self: any }} */
function anyMember() {
  const kind = random.chance(0.08) ? undefined : objects.anyKind();
  if (!kind) return { member: random.pick(objects.free), self: undefined };
  // Prefer methods, because there are many getters and they do little.
  const methods = kind.members.filter((member) => member.kind === 'method');
  return {
    member: random.pick(methods.length && random.chance(0.8) ? methods : kind.members),
    self: random.pick(kind.objects),
  };
}

/** Returns whether to skip a call that closes or frees objects: it must be rare, or programs would not reach deep states. */
function tooOften(/** @type {import('./pool.mjs').Member} */ { key }) {
  const name = typeof key === 'symbol' ? 'dispose' : key;
  if (/^(close|detach|dispose|dealloc|destroy|free)/.test(name)) return random.chance(0.93);
  if (isOfEmitter(key)) return random.chance(0.8);
  if (/^(dereg|unmap|put)/.test(name)) return random.chance(0.7);
  return /^(allocDm|allocPd|attach|create(Qp|Cq|Srq|Ah)|Device)$/.test(name) && random.chance(0.8);
}

function plausibleCall() {
  const { member, self } = anyMember();
  if (tooOften(member)) return;
  // Sometimes use closed objects, but drop them soon.
  if (isClosed(self) && random.chance(0.7)) objects.forget(self);
  world.call(member, self, plausible.arguments(member, self));
}

/** Returns whether an object says that it is closed. The state of a closed queue pair throws. */
function isClosed(/** @type {any} */ object) {
  try {
    return object?.state === 'Closed';
  } catch {
    return object.type !== 'CHECK';
  }
}

function hostileCall() {
  const { member, self } = anyMember();
  // Do not call `new RdmaError` with hostile values: it converts its arguments to text, which takes long for an array of 2^32
  // holes.
  if (tooOften(member) || isOfEmitter(member.key) || member.name === 'new RdmaError') return;
  const args = plausible.arguments(member, self);
  const at = random.dice(args.length);
  random.weighed([
    [args.length ? 4 : 0, () => (args[at] = hostile.value())],
    [args.length ? 4 : 0, () => args.splice(0, args.length, ...args.map((value) => hostile.acting(value)))],
    [1, () => args.push(hostile.value())],
    [
      2,
      () => args.splice(0, args.length, ...Array.from({ length: 1 + random.dice(4) }, () => hostile.value())),
    ],
  ])();
  world.call(member, self, args);
}

/** Calls a member on an object of another class, a class without `new`, or a method with `new`. */
function wrongCall() {
  const { member, self } = anyMember();
  if (member.name === 'new RdmaError') return;
  const how = { wrongThis: true };
  if (random.chance(0.7))
    return world.call(
      { ...member, invoke: functionOf(member, self) }, // the wrong `this` need not have it
      random.chance(0.7) ? hostile.impostor() : hostile.value(),
      plausible.arguments(member, self),
      { ...how, construct: false },
    );
  const construct = member.kind !== 'constructor' || random.chance(0.5);
  const newTarget = random.pick([
    Array,
    Uint8Array,
    label('a class', class {}),
    label('Proxy of a class', new Proxy(class {}, {})),
  ]);
  if (member.invoke)
    world.call(member, self, [hostile.value(), plausible.value()], { ...how, construct, newTarget });
}

/**
 * Ends the program in one of several ways, with objects left open, closed or collected. Checks all memory and writes the result.
 */
async function end() {
  random.begin(mix(seed, 0x7fffffff));
  const ending = random.pick(['naturally', 'at once', 'in a getter', 'closed', 'collected']);
  ledger.index = calls;
  world.note(`the end, ${ending}`);
  for (let i = 0; i < 3; i++) await turn();
  if (random.chance(0.7)) await mischief.end();
  if (ending === 'closed')
    for (const device of objects.objects('Device')) /** @type {any} */ (device).close({ cascade: true });
  if (ending === 'collected') {
    objects.forgetMany(1);
    world.natives.forgetMany(1);
    natives.forget(1);
    for (let i = 0; i < 3; i++) {
      /** @type {any} */ (globalThis).gc?.();
      await turn();
    }
  }
  if (isMainThread && !/^(at once|in a getter)$/.test(ending)) world.letGo();
  for (const damage of world.memories.damages()) ledger.finding(damage);
  tell();
  if (!isMainThread) return;
  writeFileSync(options.result, JSON.stringify(ledger.account));
  const status = ledger.account.findings.length ? 3 : 0;
  // Workers that are still running do not keep the process alive.
  if (ending === 'in a getter') {
    const pd = new world.rdmavt.Device().allocPd();
    pd.regUserMr(new Uint8Array(8), {
      get access() {
        return process.exit(status);
      },
    });
  }
  if (ending === 'at once') process.exit(status);
  await mischief.end();
  process.exitCode = status;
}

/** Sends findings from a worker thread to its parent at once, because the thread may be terminated at any time. */
function tell() {
  if (isMainThread) return;
  for (const finding of ledger.account.findings.splice(0)) parentPort?.postMessage({ finding });
}

function turn() {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function inspectError(/** @type {unknown} */ error) {
  return error instanceof Error ? error.stack : String(error);
}

function fromCommandLine() {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      calls: { type: 'string', default: '5000' },
      journal: { type: 'string', default: '/dev/null' },
      result: { type: 'string', default: '/dev/null' },
      until: { type: 'string' },
      only: { type: 'string' },
      verbose: { type: 'boolean', default: false },
      threads: { type: 'boolean', default: false },
    },
  });
  return {
    ...values,
    token: undefined,
    seed: Number(values.seed),
    calls: Number(values.calls),
    until: Number(values.until ?? Infinity),
    only: values.only === undefined ? undefined : parseRanges(values.only),
  };
}
