// Checks the add-on for leaks with LeakSanitizer: runs a program that creates and closes several thousand objects of all kinds.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { sanitizedEnvironment } from './addon.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const ROUNDS = 500;
const WORKERS = 10;
const WIRE_ROUNDS = 60;

/** An endpoint at a free port, with a queue pair. */
const wireEnd = `
  const wireEnd = (device) => {
    const pd = device.allocPd();
    const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
    const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(64) });
    const mr = pd.regUserMr(Buffer.alloc(65536), { access: 31 });
    return { device, endpoint, qp, mr, there: endpoint.describe(qp) };
  };`;

/** Worker threads that exit without closing their objects; one of these is a buffer over device memory. */
const worker = `
  const { Device, Endpoint } = require('rdmavt');
  ${wireEnd}
  const { parentPort, workerData } = require('node:worker_threads');
  const device = Device.attach(workerData);
  const owned = device.allocDm(8192);
  globalThis.kept = [owned, owned.buffer, device.allocPd().regUserMr(owned.buffer), wireEnd(device)];
  kept[3].endpoint.unref();
  kept[3].qp.connect({ endpoint: kept[3].endpoint, ...kept[3].there, access: 14 });
  if (device.context % 2) parentPort.once('message', () => {}); // stay alive until terminated
  parentPort.postMessage(device.context % 2 === 1);`;

const program = `
  const { Worker } = require('node:worker_threads');
  const { Access, Device, Endpoint, SgeState } = require('rdmavt');
  ${wireEnd}
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
      pd.acquire({ addr: region === dma ? DMA : region.start, length: 8, lkey: region.lkey }, 0).sge);
    const remote = qp.acquire({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, Access.RemoteAtomic).sge;
    remote.fetchAdd(1n);
    new SgeState(held).copyOut(Buffer.alloc(12));
    new SgeState(held).walk([8, 8]);
    const batch = pd.lkeyBatch(8, { places: true });
    batch.set(0, mr.start, 8, mr.lkey);
    batch.acquire(1, 0);
    batch.take(0).put();
    batch.gather(Buffer.alloc(8), 1, 0);
    pd.checker().refusal(mr.start, 8, mr.lkey, 0);
    device.keyTable();
    const owned = device.allocDm(8192);
    pd.regUserMr(owned.buffer);
    const attached = Device.attach(device.share());
    const common = attached.importPd(pd.id);
    const theirs = common.regUserMr(Buffer.alloc(64));
    theirs.countAccesses();
    const elsewhere = common.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0).sge;
    device.resources();
    device.counters();
    if (number % 3 > 0) elsewhere.put();
    if (number % 3 > 0) attached.detach({ cascade: true });
    if (number % 3 > 0) {
      for (const sge of [...held, remote]) sge.put();
      mr.dereg();
    }
    // Leave some devices to the garbage collector, and some open until the process exits.
    if (number % 5 > 0) device.close({ cascade: true });
  }
  // Traffic between two devices, which ends in the middle of messages, and with a refusal.
  async function wireRound(number) {
    const [a, b] = [wireEnd(new Device()), wireEnd(new Device())];
    a.qp.connect({ endpoint: a.endpoint, ...b.there, access: 14, timeout: 8, retryCnt: 1 });
    b.qp.connect({ endpoint: b.endpoint, ...a.there, access: 14 });
    const sge = { addr: a.mr.start, length: 65536, lkey: a.mr.lkey };
    const remote = { vaddr: b.mr.iova, rkey: b.mr.rkey };
    await a.qp.write(sge, remote);
    await a.qp.read(sge, remote);
    await a.qp.fetchAdd({ ...sge, length: 8 }, remote, 1n);
    b.qp.recv({ addr: b.mr.start, length: 65536, lkey: b.mr.lkey }).catch(() => {});
    if (number % 2) await a.qp.send(sge);
    if (number % 3 === 0) await a.qp.write(sge, { vaddr: 0n, rkey: 7 }).catch(() => {});
    const last = [a.qp.write(sge, remote), a.qp.read(sge, remote)].map((done) => done.catch(() => {}));
    if (number % 4 === 1) b.qp.destroy();
    if (number % 4 === 2) b.mr.dereg({ force: true });
    if (number % 4 === 3) b.endpoint.close();
    if (number % 5 === 0) {
      // Open until the process exits; operations that wait would keep it alive.
      for (const { endpoint, qp } of [a, b]) {
        endpoint.unref();
        qp.destroy();
      }
      return;
    }
    b.device.close({ cascade: true });
    if (number % 2) await Promise.all(last);
    a.device.close({ cascade: true });
  }
  (async () => {
    for (let number = 0; number < ${WIRE_ROUNDS}; number++) await wireRound(number);
    for (let number = 0; number < ${ROUNDS}; number++) {
      round(number);
      if (number % 100 === 0) { gc(); await turn(); }
    }
    const device = new Device();
    for (let number = 0; number < ${WORKERS}; number++) {
      const worker = new Worker(${JSON.stringify(worker)}, { eval: true, workerData: device.share() });
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      if (await new Promise((resolve) => worker.once('message', resolve))) worker.terminate();
      await ended;
    }
  })();`;

/** Runs the program. @returns {string[]} the report of LeakSanitizer, or an empty list */
export function leaks() {
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', '--no-warnings', '--eval', program],
    {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, ...sanitizedEnvironment({ leaks: true }) },
    },
  );
  return status === 0 ? [] : [stderr];
}
