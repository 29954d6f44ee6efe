// Repeated work must not make the process grow. Each program runs in a process of its own, warms up, and is then measured. The
// bounds are generous, and no test depends on the time that the work takes.
import { runProgram } from '../support/programs';

const prelude = `
  const { Device } = require('rdmavt');
  const { Worker } = require('node:worker_threads');
  const MIB = 1 << 20, PAGE = 4096, DMA = 0x100000n;
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const settle = async () => { for (let i = 0; i < 4; i++) { gc(); await turn(); } };
  const now = () => { const { rss, external, heapUsed } = process.memoryUsage(); return { rss, external, heap: heapUsed }; };
  /** Prints by how much memory figures grow from after \`warmUp\` to after \`work\`, in MiB. */
  const measure = async (warmUp, work) => {
    await warmUp();
    await settle();
    const before = now();
    const start = performance.now();
    await work();
    const seconds = (performance.now() - start) / 1000;
    await settle();
    const after = now();
    const grown = Object.fromEntries(Object.keys(before).map((key) => [key, (after[key] - before[key]) / MIB]));
    console.log(JSON.stringify({ ...grown, seconds }));
  };
`;

/** The growth of the process's memory, in MiB. */
interface Grown {
  rss: number;
  external: number;
  heap: number;
  seconds: number;
}

function grown(program: string): Grown[] {
  // A small young generation, because otherwise the memory that the engine reserves dominates the measurement.
  const { status, signal, stdout, stderr } = runProgram(prelude + program, [
    '--no-warnings',
    '--max-semi-space-size=2',
  ]);
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  const all = stdout
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text) as Grown);
  if (process.env.RDMAVT_SHOW_MEMORY) process.stderr.write(`${expect.getState().currentTestName}\n${stdout}`);
  return all;
}

function expectBounded(program: string, { rss, external = 2, heap = 5 }: Partial<Grown>): void {
  for (const result of grown(program)) {
    expect(result.rss).toBeLessThan(rss!);
    expect(result.external).toBeLessThan(external);
    expect(result.heap).toBeLessThan(heap);
  }
}

describe('the process does not grow', () => {
  test('over 1,000,000 registrations', () => {
    expectBounded(
      `const device = new Device();
       const pd = device.allocPd();
       const memory = new Uint8Array(64);
       const options = { start: 0x1000n, access: 31 };
       const cycles = async (count) => {
         for (let i = 1; i <= count; i++) {
           pd.regUserMr(memory, options).dereg();
           if (i % 5000 === 0) await turn(); // finalizers run in between
           if (i % 50000 === 0) gc();
         }
       };
       measure(() => cycles(300000), () => cycles(1000000));`,
      { rss: 60 },
    );
  });

  test('over 1,000 devices that are closed and 1,000 that are dropped', () => {
    const devices = (end: string): string =>
      `(async (count) => {
         for (let i = 1; i <= count; i++) {
           (() => {
             const device = new Device({ remoteKeyZero: true });
             const pd = device.allocPd({ trusted: true });
             const qp = pd.createQp();
             device.dma.map(new Uint8Array(PAGE), { address: DMA });
             const mr = pd.regUserMr(new Uint8Array(PAGE), { access: 31 });
             const fmr = pd.allocFmr({ maxPages: 16, access: 31 });
             fmr.mapPhys(Array(16).fill(DMA), 0);
             pd.getDmaMr();
             new Uint8Array(device.allocDm(PAGE).buffer).fill(1);
             const { sge } = qp.acquire({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, 4);
             pd.lkeyBatch(16).check(16, 0);
             if (i % 2) device.share();
             ${end}
           })();
           if (i % 50 === 0) await settle();
         }
       })`;
    expectBounded(
      `(async () => {
         for (const run of [${devices('device.close({ cascade: true });')}, ${devices('')}]) {
           await measure(() => run(200), () => run(1000));
         }
       })();`,
      { rss: 40 },
    );
  });

  test('over 200 workers that attach, work and end, some of them by termination', () => {
    const worker = `
      const { Device } = require('rdmavt');
      const { parentPort, workerData: { token, number, start, lkey } } = require('node:worker_threads');
      const device = Device.attach(token);
      const pd = device.importPd(number);
      const memory = device.allocDm(64 << 10);
      new Uint8Array(memory.buffer).fill(1);
      const own = pd.regUserMr(memory.buffer, { access: 31 });
      const list = pd.allocFmr({ maxPages: 256 });
      device.dma.map(new SharedArrayBuffer(4096), { address: BigInt(memory.id) << 20n });
      list.mapPhys(Array(256).fill(BigInt(memory.id) << 20n), 0);
      const batch = pd.lkeyBatch(100);
      for (let i = 0; i < 100; i++) batch.set(i, start, 8, lkey);
      batch.acquire(100, 0);
      for (let i = 0; i < 100; i++) pd.acquire({ addr: own.start, length: 8, lkey: own.lkey }, 0).sge.copyTo(new Uint8Array(8));
      parentPort.once('message', () => {});
      parentPort.postMessage(memory.id);`;
    expectBounded(
      `const device = new Device();
       const pd = device.allocPd();
       const mr = pd.regUserMr(new SharedArrayBuffer(64));
       const workerData = { token: device.share(), number: pd.id, start: mr.start, lkey: mr.lkey };
       const one = async (terminated) => {
         const worker = new Worker(${JSON.stringify(worker)}, { eval: true, workerData });
         const ended = new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
         const number = await Promise.race([ended, new Promise((resolve) => worker.once('message', resolve))]);
         if (terminated) worker.terminate(); else worker.postMessage('end');
         await ended;
         const memory = device.importDm(number);
         // EBUSY while another worker is still inside a call; retry until the timeout of the test.
         for (let busy = true; busy; ) {
           try { memory.free(); busy = false; } catch (error) { if (error.code !== 'EBUSY') throw error; await turn(); }
         }
       };
       const workers = async (count) => {
         for (let i = 0; i < count; i += 4) await Promise.all([0, 1, 2, 3].map((j) => one(j % 2)));
         const { contexts, regions, mappings, memories } = device.resources();
         const left = [contexts.length, regions.length, mr.refs, mappings.length, memories.length];
         if (left.join() !== '1,1,2,0,0') throw new Error('left: ' + left);
       };
       measure(() => workers(24), () => workers(200));`,
      { rss: 60 },
    );
  });

  test('over 100,000 SGEs that are dropped without a put', () => {
    expectBounded(
      `const device = new Device();
       const pd = device.allocPd();
       const mr = pd.regUserMr(new Uint8Array(64));
       const element = { addr: mr.start, length: 8, lkey: mr.lkey };
       const elements = async (count) => {
         for (let i = 1; i <= count; i++) {
           pd.acquire(element, 0);
           if (i % 5000 === 0) await turn();
         }
         for (let i = 0; i < 50 && mr.refs > 2; i++) await settle();
         if (mr.refs !== 2) throw new Error('refs: ' + mr.refs);
       };
       measure(() => elements(20000), () => elements(100000)).then(() => mr.dereg());`,
      { rss: 40 },
    );
  });

  test('over 100 copies of the package that are dropped with the SGEs that they hold', () => {
    expectBounded(
      `const device = new Device();
       const pd = device.allocPd();
       const mr = pd.regUserMr(new SharedArrayBuffer(64));
       const token = device.share(), element = { addr: mr.start, length: 8, lkey: mr.lkey };
       const self = module, entry = require.resolve('rdmavt'), dist = require('node:path').dirname(entry);
       const copies = async (count) => {
         for (let i = 0; i < count; i++) {
           (() => {
             for (const path of Object.keys(require.cache)) if (path.startsWith(dist)) delete require.cache[path];
             self.children.length = 0;
             const copy = require(entry), theirs = copy.Device.attach(token).importPd(pd.id);
             if (copy.Device === Device) throw new Error('one copy');
             for (let k = 0; k < 2000; k++) if (k % 2) theirs.acquire(element, 0).sge.put(); else theirs.acquire(element, 0);
           })();
           for (let k = 0; k < 20 && (k < 2 || mr.refs > 2); k++) await settle();
         }
         if (mr.refs !== 2) throw new Error('refs: ' + mr.refs);
       };
       measure(() => copies(30), () => copies(100));`,
      { rss: 40 },
    );
  });

  test('over 100,000 mappings of a page list, and over lists of 65,536 pages', () => {
    expectBounded(
      `const device = new Device();
       const pd = device.allocPd();
       const memory = new Uint8Array(64 * PAGE);
       device.dma.map(memory, { address: DMA });
       device.dma.map(memory, { address: 16n * DMA });
       const fmr = pd.allocFmr({ maxPages: 65536, access: 31 });
       const list = (length, more) => BigUint64Array.from({ length }, (_, i) => DMA + BigInt(i % 64 * PAGE) + (more && i % 2 ? 15n * DMA : 0n));
       const [few, many, spread] = [list(16), list(65536), list(65536, true)];
       const maps = async (pages, count, shift) => {
         for (let i = 1; i <= count; i++) {
           fmr.mapPhys(pages, 0);
           fmr.unmap();
           if (i % 5000 === 0) await turn();
         }
       };
       (async () => {
         await measure(() => maps(few, 1000), () => maps(few, 100000));
         await measure(() => maps(many, 20), () => maps(many, 300));
         await measure(() => maps(spread, 20), () => maps(spread, 300));
         await measure(() => maps(few, 20), async () => { for (let i = 0; i < 100; i++) { await maps(many, 1); await maps(few, 1); await maps(spread, 1); } });
       })();`,
      { rss: 40 },
    );
  });

  test('over 20,000 DMA mappings, device memories and domains', () => {
    expectBounded(
      `const device = new Device();
       const memory = new Uint8Array(PAGE);
       const cycles = async (count) => {
         for (let i = 1; i <= count; i++) {
           device.dma.map(memory).unmap();
           const own = device.allocDm(PAGE);
           if (i % 4 === 0) own.buffer;
           own.free();
           const pd = device.allocPd();
           pd.createQp();
           pd.dealloc({ cascade: true });
           if (i % 500 === 0) await turn();
         }
       };
       measure(() => cycles(4000), () => cycles(20000));`,
      { rss: 60 },
    );
  });
});

describe('the garbage collector', () => {
  test('knows the size of page lists, and collects dropped devices in time without a request', () => {
    const { status, stdout, stderr } = runProgram(
      `${prelude}
       const pages = new BigUint64Array(65536).fill(DMA);
       const memory = new Uint8Array(PAGE);
       (async () => {
         let peak = 0;
         for (let i = 0; i < 200; i++) {
           (() => {
             const device = new Device();
             const pd = device.allocPd();
             device.dma.map(memory, { address: DMA });
             for (let j = 0; j < 16; j++) pd.allocFmr({ maxPages: 65536 }).mapPhys(pages, 0);
           })();
           await turn();
           peak = Math.max(peak, process.memoryUsage.rss());
         }
         console.log(peak / MIB);
       })();`,
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    // In MiB: the page lists of all 200 devices together would need 1600.
    expect(Number(stdout)).toBeLessThan(600);
  });
});
