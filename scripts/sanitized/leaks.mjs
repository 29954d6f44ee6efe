// What the add-on never frees: LeakSanitizer, on a program that makes and closes some thousand objects of every kind.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sanitizedEnvironment } from './addon.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const directory = join(root, 'build', 'asan');
const ROUNDS = 500;

/**
 * References of Node-API that are alive when the environment ends belong to it, and some versions of Node do not free them: 40
 * bytes for each buffer and batch that was never collected.
 */
const suppressions = 'leak:napi_create_reference\n';

const program = `
  const { Device, SgeState } = require('rdmavt');
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const DMA = 0x100000n;
  function round(number) {
    const device = new Device({ remoteKeyZero: true, lkeyTableBits: 8 });
    const pd = device.allocPd({ trusted: true });
    const qp = pd.createQp();
    const memory = Buffer.alloc(8192, 1);
    device.dma.map(memory, { address: DMA });
    const mr = pd.regUserMr(memory, { access: 31 });
    const dma = pd.getDmaMr();
    const sg = pd.allocMr({ maxNumSg: 2 });
    sg.mapSg([{ addr: DMA, length: 8192 }]);
    const fmr = pd.allocFmr({ maxPages: 2, access: 31 });
    fmr.mapPhys([DMA, DMA + 4096n], 0);
    const held = [mr, dma, sg, fmr].map((region) =>
      pd.lkeyOk({ addr: region === dma ? DMA : region.start, length: 8, lkey: region.lkey }, 0).sge);
    const remote = qp.rkeyOk({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, 31).sge;
    remote.fetchAdd(1n);
    new SgeState(held).copyOut(Buffer.alloc(12));
    new SgeState(held).walk([8, 8]);
    const batch = pd.sgeBatch(8, { places: true });
    batch.set(0, mr.start, 8, mr.lkey);
    batch.acquire(1, 0);
    batch.take(0).put();
    batch.gather(Buffer.alloc(8), 1, 0);
    pd.checkBlock().check(mr.start, 8, mr.lkey, 0);
    device.table();
    if (number % 3 > 0) {
      for (const sge of [...held, remote]) sge.put();
      mr.dereg();
    }
    // Some are left to the garbage collector, and some to the end of the process.
    if (number % 5 > 0) device.close({ cascade: true });
  }
  (async () => {
    for (let number = 0; number < ${ROUNDS}; number++) {
      round(number);
      if (number % 100 === 0) { gc(); await turn(); }
    }
  })();`;

/** @returns {string[]} what leaks */
export function leaks() {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, 'leaks.supp');
  writeFileSync(file, suppressions);
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', '--no-warnings', '--eval', program],
    {
      cwd: root,
      encoding: 'utf8',
      env: {
        ...process.env,
        ...sanitizedEnvironment({ leaks: true }),
        LSAN_OPTIONS: `suppressions=${file}:print_suppressions=0`,
      },
    },
  );
  return status === 0 ? [] : [stderr];
}
