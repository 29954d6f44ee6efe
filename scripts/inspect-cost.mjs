// What an inspector costs the program that it shows: npm run bench:inspect [-- --regions 10000] [--seconds 5]
//
// Prints the processor time of the program's process, user and system, all threads, as a part of one core: without a viewer, with
// one, with eight, and while regions change. The viewers are in another process. The work that changes the regions is measured
// alone first, and taken off.
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
    seconds: { type: 'string', default: '5' },
    view: { type: 'string', multiple: true }, // the other process: addresses to look at
  },
});

if (values.view) view(values.view);
else await measure(Number(values.regions), Number(values.seconds));

/**
 * Reads streams and throws away what they bring, until the process is killed.
 * @param {string[]} addresses
 */
function view(addresses) {
  for (const address of addresses) {
    get(`${address}events`, (response) => {
      let bytes = 0;
      let ticks = 0;
      response.on('data', (/** @type {Buffer} */ part) => {
        bytes += part.length;
        ticks += part.toString('latin1').split('event: ').length - 1;
      });
      process.on('message', () => process.send?.({ bytes, ticks }));
    });
  }
}

/**
 * @param {number} count of regions
 * @param {number} seconds for each figure
 */
async function measure(count, seconds) {
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
  const held = regions.map((mr) => ({ addr: mr.start, length: 8, lkey: mr.lkey }));
  console.log(`${count} regions, updates each 100 ms, Node ${process.version}, ${cpus()[0]?.model}`);

  /**
   * Changes regions ten times a second: takes a reference on each of them, or gives it back.
   * @param {number} changed
   */
  const work = (changed) => {
    /** @type {import('rdmavt').Sge[]} */
    let sges = [];
    return setInterval(() => {
      if (sges.length === 0) {
        for (let i = 0; i < changed; i++) {
          const check = pd.acquire(/** @type {typeof held[0]} */ (held[i]), 0);
          if (check.ok) sges.push(check.sge);
        }
      } else {
        for (const sge of sges) sge.put();
        sges = [];
      }
    }, 100);
  };
  /** @param {number} changed */
  const cost = async (changed) => {
    const timer = work(changed);
    await sleep(500);
    const before = process.cpuUsage();
    const begin = performance.now();
    await sleep(seconds * 1000);
    const { user, system } = process.cpuUsage(before);
    const part = (user + system) / 1000 / (performance.now() - begin);
    clearInterval(timer);
    return part;
  };

  for (const [viewers, changed] of [
    [0, 0],
    [1, 0],
    [8, 0],
    [1, 100],
    [1, 1000],
    [1, count],
  ]) {
    const alone = await cost(changed ?? 0);
    const inspector = await inspect(device);
    const addresses = Array.from({ length: viewers ?? 0 }, () => `--view=${inspector.url}`);
    const child =
      addresses.length > 0
        ? spawn(process.execPath, [fileURLToPath(import.meta.url), ...addresses], {
            stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
          })
        : undefined;
    while (inspector.viewers < (viewers ?? 0)) await sleep(50);
    await sleep(1000);
    const seen = await cost(changed ?? 0);
    let ticks = 0;
    if (child) {
      child.send('count');
      [{ ticks }] = await once(child, 'message');
      child.kill();
      await once(child, 'exit');
    }
    await inspector.close();
    const percent = ((seen - alone) * 100).toFixed(2);
    console.log(
      `${viewers} viewers, ${String(changed).padStart(5)} regions change each 100 ms: ${percent.padStart(5)} % of a core` +
        (child ? `, ${(ticks / (seconds + 1.5)).toFixed(1)} events a second` : ''),
    );
  }
  device.close({ cascade: true });
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
