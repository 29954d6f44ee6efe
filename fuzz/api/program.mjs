// A program of random calls. Run by fuzz.mjs as a process of its own:
//
//   program.mjs --seed N --calls N --journal FILE --result FILE [--until MS] [--only RANGES] [--verbose] [--threads]
//
// and by itself as a thread. It ends well, with an account of what it did; or somebody has to be told of it.
import { writeFileSync } from 'node:fs';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { parseArgs } from 'node:util';
import { Hostile } from './hostile.mjs';
import { Journal } from './journal.mjs';
import { label } from './labels.mjs';
import { Mischief } from './mischief.mjs';
import { Natives } from './natives.mjs';
import { Plausible } from './plausible.mjs';
import { mix } from './random.mjs';
import { parseRanges } from './ranges.mjs';
import { openScene } from './scenes.mjs';
import { Transfers } from './transfers.mjs';
import { World } from './world.mjs';

/** After so many calls the event loop turns: promises go on, finalizers run, workers are heard. */
const CALLS_A_TURN = 50;

const options = isMainThread
  ? fromCommandLine()
  : { until: Infinity, only: undefined, verbose: false, result: '', ...workerData };
const { seed, calls, until, only } = options;

// Where an exception comes from decides whether it may be: the frames of traps can be many.
Error.stackTraceLimit = 25;

const journal = new Journal(options.journal);
const world = new World(journal, options.verbose);
const { random, ledger, objects } = world;
const plausible = new Plausible(world);
const hostile = new Hostile(world);
const mischief = new Mischief(world, hostile, plausible, options);
const transfers = new Transfers(world);
const natives = new Natives(world, hostile, plausible);
hostile.plausible = () => plausible.value();
hostile.mischief = () => mischief.inside(anyCall);

process.on('unhandledRejection', (reason) =>
  ledger.finding(`an unhandled rejection: ${inspectError(reason)}`),
);
process.on('uncaughtException', (error) => ledger.finding(`an uncaught exception: ${inspectError(error)}`));
// In the middle of a call in `natives` things end that lib believes alive; that must be no matter to it.
parentPort?.postMessage({});

try {
  for (let index = 0; index < calls && Date.now() < until; index++) {
    if (index % CALLS_A_TURN === 0) await turn();
    if (only && !only(index)) continue;
    random.begin(mix(seed, index));
    ledger.index = index;
    step();
    if (!isMainThread) tell();
  }
} catch (error) {
  ledger.finding(`this program itself failed: ${inspectError(error)}`);
}
await end();

/** One step: mostly one call. */
function step() {
  if (objects.objects('Device').length === 0 || random.chance(0.01))
    return openScene(world, plausible, natives);
  random.weighed([
    [50, plausibleCall],
    [28, hostileCall],
    [5, wrongCall],
    [6, () => transfers.run(plausible.one('Device'))],
    [8, () => mischief.between()],
    [13, () => natives.call()],
  ])();
}

/** What hostile values call back into. */
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
  // Getters are many, and there is not much to them.
  const methods = kind.members.filter((member) => member.kind === 'method');
  return {
    member: random.pick(methods.length && random.chance(0.8) ? methods : kind.members),
    self: random.pick(kind.objects),
  };
}

/** What ends other things is called seldom, or nothing would ever be reached. */
function tooOften(/** @type {import('./pool.mjs').Member} */ { key }) {
  const name = typeof key === 'symbol' ? 'dispose' : key;
  if (/^(close|detach|dispose|dealloc|destroy|free)/.test(name)) return random.chance(0.93);
  if (/^(dereg|unmap|put)/.test(name)) return random.chance(0.7);
  return /^(allocDm|allocPd|attach|createQp|Device)$/.test(name) && random.chance(0.8);
}

function plausibleCall() {
  const { member, self } = anyMember();
  if (tooOften(member)) return;
  // Closed objects are used now and then, but not for ever.
  if (self?.state === 'Closed' && random.chance(0.7)) objects.forget(self);
  world.call(member, self, plausible.arguments(member, self));
}

function hostileCall() {
  const { member, self } = anyMember();
  // An error makes text of whatever it is given, as errors do: of an array of 2^32 holes, too, and that takes its time.
  if (tooOften(member) || member.name === 'new RdmaError') return;
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

/** A member of one class on an object of another one, a class without `new`, a method with it. */
function wrongCall() {
  const { member, self } = anyMember();
  if (member.name === 'new RdmaError') return;
  const how = { wrongThis: true };
  if (random.chance(0.7))
    return world.call(
      member,
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

/** Leaves something open, or closes it, or lets it be collected; and ends in one of several ways. */
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
  for (const damage of world.memories.damages()) ledger.finding(damage);
  tell();
  if (!isMainThread) return;
  writeFileSync(options.result, JSON.stringify(ledger.account));
  const status = ledger.account.findings.length ? 3 : 0;
  // Workers that still run keep nothing from ending.
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

/** A thread tells its findings at once: it may be terminated next. */
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
    seed: Number(values.seed),
    calls: Number(values.calls),
    until: Number(values.until ?? Infinity),
    only: values.only === undefined ? undefined : parseRanges(values.only),
  };
}
