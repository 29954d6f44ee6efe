// What an inspector costs the program that it shows: npm run bench:inspect [-- --regions 10000] [--seconds 2] [--rounds 5]
//
// The program checks accesses to all regions in turn, without a rest. Prints by how much it gets slower, as a part of one core: without
// a viewer, with one, with eight, and while regions change. The viewers are in another process. What the program does with and without
// the inspector is measured in turns, because a machine is not equally fast at all times; the figure is the median of the rounds.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cpus } from 'node:os';

const { values } = parseArgs({
  options: {
    regions: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '2' }, // of one measurement
    rounds: { type: 'string', default: '5' },
    view: { type: 'string', multiple: true }, // the other process: addresses to look at
  },
});

if (values.view) view(values.view);
else await measure(Number(values.regions), Number(values.seconds), Number(values.rounds));

/**
 * Reads streams and throws away what they bring, until the process is killed.
 * @param {string[]} addresses
 */
function view(addresses) {
  let ticks = 0;
  process.on('message', () => process.send?.(ticks / addresses.length));
  for (const address of addresses) {
    get(`${address}events`, (response) => {
      response.on('data', (/** @type {Buffer} */ part) => {
        ticks += part.toString('latin1').split('event: ').length - 1;
      });
    });
  }
}

/**
 * @param {number} count of regions
 * @param {number} seconds
 * @param {number} rounds
 */
async function measure(count, seconds, rounds) {
  const require = createRequire(import.meta.url);
  /** @type {typeof import('rdmavt')} */
  const { Access, Device } = require('rdmavt');
  /** @type {typeof import('rdmavt/inspect')} */
  const { inspect } = require('rdmavt/inspect');

  const device = new Device({ lkeyTableBits: 17 });
  const pd = device.allocPd();
  const memory = new SharedArrayBuffer(count * 4096);
  const regions = Array.from({ length: count }, (_, i) =>
    pd.regUserMr(new Uint8Array(memory, i * 4096, 4096), { access: Access.RemoteRead | Access.LocalWrite }),
  );
  const all = regions.map((mr) => ({ addr: mr.start, length: 8, lkey: mr.lkey }));
  console.log(`${count} regions, updates each 100 ms, Node ${process.version}, ${cpus()[0]?.model}`);

  let next = 0;
  /** Checks an access to each region in turn. Returns how many it checks in a second. */
  const checksPerSecond = async () => {
    const begin = performance.now();
    const end = begin + seconds * 1000;
    let checks = 0;
    while (performance.now() < end) {
      for (let left = 1000; left > 0; left--, checks++) {
        pd.check(/** @type {typeof all[0]} */ (all[next]), 0);
        next = (next + 1) % count;
      }
      await new Promise((resolve) => setImmediate(resolve)); // timers and sockets have their turn
    }
    return (checks / (performance.now() - begin)) * 1000;
  };
  /**
   * Changes regions ten times a second: takes a reference on each of them, or gives it back.
   * @param {number} changed
   */
  const change = (changed) => {
    /** @type {import('rdmavt').Sge[]} */
    let sges = [];
    return setInterval(() => {
      if (sges.length === 0) {
        for (let i = 0; i < changed; i++) {
          const check = pd.acquire(/** @type {typeof all[0]} */ (all[i]), 0);
          if (check.ok) sges.push(check.sge);
        }
      } else {
        for (const sge of sges) sge.put();
        sges = [];
      }
    }, 100);
  };

  for (const [viewers = 0, changed = 0] of [
    [0, 0],
    [1, 0],
    [8, 0],
    [1, 100],
    [1, 1000],
    [1, count],
  ]) {
    const timer = change(changed);
    /** @type {{ part: number, ticks: number }[]} */
    const seen = [];
    for (let round = 0; round < rounds; round++) {
      const before = await checksPerSecond();
      const inspector = await inspect(device);
      const child = await viewersOf(inspector, viewers);
      await checksPerSecond(); // the first state is sent meanwhile
      const ticksBefore = await ticksOf(child);
      const begin = performance.now();
      const during = await checksPerSecond();
      const ticks = ((await ticksOf(child)) - ticksBefore) / ((performance.now() - begin) / 1000);
      child?.kill();
      if (child) await once(child, 'exit');
      await inspector.close();
      const alone = (before + (await checksPerSecond())) / 2;
      seen.push({ part: 1 - during / alone, ticks });
    }
    clearInterval(timer);
    const percent = (median(seen.map(({ part }) => part)) * 100).toFixed(1);
    console.log(
      `${viewers} viewers, ${String(changed).padStart(5)} regions change each 100 ms: ${percent.padStart(5)} % of a core` +
        (viewers ? `, ${median(seen.map(({ ticks }) => ticks)).toFixed(1)} updates a second` : ''),
    );
  }
  device.close({ cascade: true });
}

/**
 * @param {import('rdmavt/inspect').Inspector} inspector
 * @param {number} count
 */
async function viewersOf(inspector, count) {
  if (count === 0) return undefined;
  const addresses = Array.from({ length: count }, () => `--view=${inspector.url}`);
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...addresses], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  while (inspector.viewers < count) await sleep(50);
  return child;
}

/**
 * Returns how many messages each viewer has read.
 * @param {import('node:child_process').ChildProcess | undefined} child
 */
async function ticksOf(child) {
  if (!child) return 0;
  child.send('count');
  const [ticks] = await once(child, 'message');
  return Number(ticks);
}

/** @param {number[]} numbers */
function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
