// The resident memory of devices and batches, and the amounts that are reported to the engine. Each program runs in a process of
// its own.
import { existsSync } from 'node:fs';
import { tellsMemory, testIf } from '../support/conditions';
import { runProgram } from '../support/programs';

const testResident = testIf(
  existsSync('/proc/self/smaps_rollup') && tellsMemory,
  'needs /proc/self/smaps_rollup, which only Linux has',
);

const prelude = `
  const { Device } = require('rdmavt');
  const { constants, PerformanceObserver } = require('node:perf_hooks');
  const { openSync, readFileSync, readSync } = require('node:fs');
  const rollup = openSync('/proc/self/smaps_rollup');
  const text = Buffer.alloc(4096);
  /** Returns the resident memory in KiB, which the system counts page by page. */
  const resident = () => Number(/Rss: +(\\d+)/.exec(text.latin1Slice(0, readSync(rollup, text, 0, text.length, 0)))[1]);
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const memory = new Uint8Array(16);
  const open = (options) => {
    const device = new Device(options);
    const pd = device.allocPd();
    return { device, pd, mr: pd.regUserMr(memory) };
  };
  const close = ({ device }) => device.close({ cascade: true });
  /**
   * Counts the full collections during \`work\`. Their flags are not counted: the same report leads to a collection with the flag
   * of external memory or, on a busy machine, to one that the engine started earlier on its own schedule.
   */
  const fullCollectionsDuring = async (work) => {
    let full = 0;
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) full++;
    });
    observer.observe({ entryTypes: ['gc'] });
    await work();
    await wait(50);
    observer.disconnect();
    return full;
  };
`;

/** Returns what the program prints, parsed as JSON. */
function answerOf(program: string, ...nodeOptions: string[]): unknown {
  const options = ['--no-warnings', ...nodeOptions];
  const { status, signal, stdout, stderr } = runProgram(prelude + program, options);
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  if (process.env.RDMAVT_SHOW_MEMORY) process.stderr.write(`${expect.getState().currentTestName}\n${stdout}`);
  return JSON.parse(stdout);
}

const kinds = [
  ['with default options', {}],
  ['with sequential keys', { keyPolicy: 'sequential' }],
  ['with random keys', { keyPolicy: 'random' }],
  ['with the largest table', { lkeyTableBits: 23 }],
  ['with the largest table and random keys', { lkeyTableBits: 23, keyPolicy: 'random' }],
] as const;

/** The resident memory in KiB that a device takes. */
interface Taken {
  opened: number;
  closed: number;
}

/**
 * Runs the program in three processes, and returns the lowest of each number: what a device takes is in all of them. Beside it, V8
 * takes up to 2 MiB for itself in some processes, more often on a busy machine.
 */
function lowestOf(program: string, ...nodeOptions: string[]): Taken {
  const taken = Array.from({ length: 3 }, () => answerOf(program, ...nodeOptions) as Taken);
  return {
    opened: Math.min(...taken.map(({ opened }) => opened)),
    closed: Math.min(...taken.map(({ closed }) => closed)),
  };
}

describe('a device', () => {
  for (const [kind, options] of kinds) {
    testResident(`${kind}, with a domain and a region, takes at most 64 KiB`, () => {
      const { opened, closed } = lowestOf(
        `close(open(${JSON.stringify(options)}));
         resident();
         const before = resident();
         const devices = Array.from({ length: 64 }, () => open(${JSON.stringify(options)}));
         const opened = (resident() - before) / devices.length;
         devices.forEach(close);
         console.log(JSON.stringify({ opened, closed: (resident() - before) / devices.length }));`,
      );
      expect(opened).toBeLessThanOrEqual(64);
      expect(closed).toBeLessThanOrEqual(opened);
    });

    testResident(`${kind}, closed but still referenced, takes at most 16 KiB`, () => {
      const { opened, closed } = lowestOf(
        `const MANY = 256;
         const warm = Array.from({ length: 64 }, () => open(${JSON.stringify(options)}));
         warm.forEach(close);
         gc();
         resident();
         const before = resident();
         const all = Array.from({ length: MANY }, () => open(${JSON.stringify(options)}));
         gc();
         const opened = (resident() - before) / MANY;
         all.forEach(close);
         gc();
         const closed = (resident() - before) / MANY;
         console.log(JSON.stringify({ opened, closed, kept: all.length + warm.length }));`,
        // The optimizing compiler takes about 4 MiB once, and may or may not run during the measurement. On a busy machine the
        // collector's own threads may not have released the pages of dead objects yet.
        '--no-opt',
        '--single-threaded-gc',
      );
      expect(opened).toBeLessThanOrEqual(64);
      expect(closed).toBeLessThanOrEqual(16);
    });
  }

  testResident('releases the memory of many regions when it is closed', () => {
    const { opened, closed, stale } = answerOf(
      `const shared = new SharedArrayBuffer(16);
       const fill = (device) => {
         const pd = device.allocPd();
         const qp = pd.createQp();
         for (let i = 0; i < 20000; i++) pd.regUserMr(shared);
         return { device, pd, qp, mr: pd.regUserMr(shared) };
       };
       close(fill(new Device({ lkeyTableBits: 23, keyPolicy: 'random' })));
       gc();
       const before = resident();
       const { device, pd, qp, mr } = fill(new Device({ lkeyTableBits: 23, keyPolicy: 'random' }));
       gc();
       const opened = resident() - before;
       const { start, iova, lkey, rkey } = mr;
       device.close({ cascade: true });
       gc();
       const closed = resident() - before;
       const refused = (check) => { if (check.reason === 'Closed') throw { code: 'EBADF' }; };
       const stale = [
         () => refused(pd.check({ addr: start, length: 8, lkey }, 0)),
         () => refused(pd.acquire({ addr: start, length: 8, lkey }, 0)),
         () => refused(qp.check({ vaddr: iova, length: 8, rkey }, 4)),
         () => qp.invalidateRkey(rkey),
         () => pd.regUserMr(shared),
         () => device.keyTable(),
       ].map((use) => { try { use(); return 'nothing'; } catch (error) { return error.code; } });
       console.log(JSON.stringify({ opened, closed, stale }));`,
    ) as { opened: number; closed: number; stale: string[] };
    // 20,000 records and as many owners, on pages of their own.
    expect(opened).toBeGreaterThan(100 << 10);
    expect(closed).toBeLessThan(40 << 10);
    expect(new Set(stale)).toEqual(new Set(['EBADF']));
  });

  testResident('uses a page for each region with random keys, not a large page', () => {
    const { grown } = answerOf(
      `const { pd } = open({ lkeyTableBits: 23, keyPolicy: 'random' });
       const before = resident();
       for (let i = 0; i < 600; i++) pd.regUserMr(memory);
       console.log(JSON.stringify({ grown: resident() - before }));`,
    ) as { grown: number };
    expect(grown).toBeLessThan(16 << 10);
  });

  testResident('uses large pages once an eighth of its table is in use', () => {
    const { few, many } = answerOf(
      `const large = () => (readFileSync('/proc/self/smaps', 'latin1').match(/^VmFlags:.* hg\\b/gm) ?? []).length;
       const { pd } = open();
       for (let i = 1; i < 8192; i++) pd.regUserMr(memory);
       const few = large();
       pd.regUserMr(memory);
       pd.regUserMr(memory);
       console.log(JSON.stringify({ few, many: large() }));`,
    ) as { few: number; many: number };
    expect(few).toBe(0);
    expect(many).toBe(existsSync('/sys/kernel/mm/transparent_hugepage') ? 1 : 0);
  });
});

describe('the engine is informed', () => {
  // process.memoryUsage().external omits memory reported by add-ons, so the test observes that the collector reacts to the
  // report.
  testResident('of 64 KiB for each open device, and of the rest when it is closed', () => {
    const { opened, closed } = answerOf(
      `const many = async (use) => {
         const all = [];
         for (let i = 0; i < 2000; i++) {
           all.push(use());
           if (i % 100 === 0) await turn();
         }
         return all;
       };
       (async () => {
         const kept = [];
         const closed = await fullCollectionsDuring(async () => kept.push(await many(() => {
           const device = new Device();
           device.close();
           return device;
         })));
         const opened = await fullCollectionsDuring(async () => kept.push(await many(() => new Device())));
         console.log(JSON.stringify({ opened, closed }));
       })();`,
    ) as { opened: number; closed: number };
    expect(closed).toBe(0);
    expect(opened).toBeGreaterThan(0);
  });

  testResident('of regions with random keys, by the pages that they touch', () => {
    const { sequential, random } = answerOf(
      `const fill = async (keyPolicy) => {
         const pd = new Device({ lkeyTableBits: 23, keyPolicy }).allocPd();
         return fullCollectionsDuring(async () => {
           for (let i = 0; i < 60000; i++) {
             pd.regUserMr(memory).dereg();
             if (i % 100 === 0) await turn();
           }
         });
       };
       (async () => {
         const sequential = await fill('sequential');
         console.log(JSON.stringify({ sequential, random: await fill('random') }));
       })();`,
    ) as Record<'sequential' | 'random', number>;
    // Typical counts of collections are 0 and 3. About 300 MiB of pages are reported, and the engine collects after 64 MiB or
    // more.
    expect(random).toBeGreaterThan(sequential + 1);
  });
});

describe('a batch', () => {
  testResident('of 2^21 elements that holds one element takes the memory of one element', () => {
    const { grown, collections } = answerOf(
      `const { pd, mr } = open();
       const fill = (batch) => {
         batch.set(0, mr.start, 1, mr.lkey);
         if (batch.acquire(1, 0) !== 1) throw new Error('refused');
         if (batch.put(1) !== 1) throw new Error('not held');
       };
       fill(pd.lkeyBatch(16));
       (async () => {
         const kept = [];
         let grown;
         const collections = await fullCollectionsDuring(() => {
           const batch = pd.lkeyBatch(1 << 21);
           const before = resident();
           fill(batch);
           grown = resident() - before;
           kept.push(batch);
         });
         console.log(JSON.stringify({ grown, collections }));
       })();`,
    ) as { grown: number; collections: number };
    expect(grown).toBeLessThan(256);
    expect(collections).toBe(0);
  });

  testResident(
    'grows with the highest count, keeps the references that it holds, and reports its memory to the engine',
    () => {
      const { grown, collections, held, put, refs, after } = answerOf(
        `const { pd, mr } = open();
       const ALL = 1 << 21;
       const batch = pd.lkeyBatch(ALL);
       for (let i = 0; i < ALL; i++) batch.set(i, mr.start, 1, mr.lkey);
       batch.check(ALL, 0);
       (async () => {
         const held = [];
         const before = resident();
         const collections = await fullCollectionsDuring(async () => {
           for (const count of [1, 2, 3, 100, 5000, ALL]) {
             held.push(batch.acquire(count, 0));
             if (count === 5000) {
               batch.take(4999).put();
               held.push(batch.put(4000));
               held.push(batch.put(ALL)); // more than the capacity
               continue;
             }
             if (count !== ALL) batch.put(count);
             await turn();
           }
         });
         const grown = resident() - before;
         const refs = mr.refs;
         const put = batch.put(ALL);
         console.log(JSON.stringify({ grown, collections, held, refs, put, after: mr.refs }));
       })();`,
      ) as {
        grown: number;
        collections: number;
        held: number[];
        put: number;
        refs: number;
        after: number;
      };
      expect(held).toEqual([1, 2, 3, 100, 5000, 4000, 999, 1 << 21]);
      expect({ put, refs, after }).toEqual({ put: 1 << 21, refs: (1 << 21) + 2, after: 2 });
      expect(collections).toBeGreaterThan(0);
      expect(grown).toBeGreaterThan(100 << 10);
    },
  );

  testResident('that is dropped releases its memory and its references', () => {
    const { grown, refs } = answerOf(
      `const { pd, mr } = open();
       const SOME = 1 << 13;
       const use = async (times) => {
         for (let i = 0; i < times; i++) {
           const batch = pd.lkeyBatch(SOME);
           for (let k = 0; k < SOME; k++) batch.set(k, mr.start, 1, mr.lkey);
           batch.acquire(SOME, 0);
           await turn();
         }
       };
       (async () => {
         await use(40);
         const before = resident();
         await use(400); // 576 KiB each
         const grown = resident() - before;
         for (let i = 0; i < 20 && mr.refs > 2; i++) { gc(); await turn(); }
         console.log(JSON.stringify({ grown, refs: mr.refs }));
       })();`,
    ) as { grown: number; refs: number };
    expect(grown).toBeLessThan(100 << 10);
    expect(refs).toBe(2);
  });
});

describe('5,000 devices in sequence, each with a region', () => {
  const loop = (
    options: unknown,
    end: string,
    between: string,
  ): { grown: number; maps: number; first: number } =>
    answerOf(
      `// Counts the mappings of the process, without the pages of V8's heap: those come and go with the times of its collections, by
       // the hundred on a busy machine. They are aligned to 256 KiB, which mappings of this package seldom are.
       const isPageOfV8 = (line) => {
         const [, from = '1', to = '1'] = /^(\\w+)-(\\w+)/.exec(line) ?? [];
         return (BigInt('0x' + from) | BigInt('0x' + to)) % 0x40000n === 0n;
       };
       const maps = () => readFileSync('/proc/self/maps', 'latin1').split('\\n').filter((line) => !isPageOfV8(line)).length;
       const some = async (count) => {
         for (let i = 0; i < count; i++) {
           (() => { const one = open(${JSON.stringify(options)}); ${end} })();
           ${between}
         }
       };
       (async () => {
         await some(500);
         const before = resident();
         const first = maps();
         await some(5000);
         console.log(JSON.stringify({ grown: (resident() - before) / 1024, maps: maps() - first, first }));
       })();`,
    ) as { grown: number; maps: number; first: number };
  const turns = 'if (i % 16 === 0) await turn();';

  for (const [kind, options] of kinds) {
    testResident(`${kind}: closed devices do not make the process grow`, () => {
      const { grown, maps } = loop(options, 'close(one);', turns);
      expect(grown).toBeLessThan(60);
      expect(maps).toBeLessThan(200);
    });

    testResident(`${kind}: dropped devices do not make the process grow`, () => {
      const { grown, maps } = loop(options, '', turns);
      expect(grown).toBeLessThan(60);
      expect(maps).toBeLessThan(200);
    });
  }

  // Node runs finalizers between jobs only, so all the objects still exist at the end.
  testResident('closed in one job, each takes at most 16 KiB', () => {
    const { grown, maps } = loop({}, 'close(one);', '');
    expect(grown).toBeLessThan((5000 * 16) / 1024);
    expect(maps).toBeLessThan(200);
  });

  testResident('dropped in one job, each takes at most 64 KiB', () => {
    const { grown, maps } = loop({ lkeyTableBits: 23, keyPolicy: 'random' }, '', '');
    expect(grown).toBeLessThan((5000 * 64) / 1024);
    expect(maps).toBeLessThan(200);
  });
});

describe('endpoints', () => {
  const begin = `
    const { Endpoint } = require('rdmavt');
    const { readdirSync } = require('node:fs');
    const descriptors = () => readdirSync('/proc/self/fd').length;
    const at = { address: '127.0.0.1', port: 0 };
    const end = () => {
      const device = new Device(), pd = device.allocPd(), cq = device.createCq(64);
      const endpoint = new Endpoint({ device, ...at });
      const qp = pd.createQp({ type: 'RC', sendCq: cq });
      const mr = pd.regUserMr(Buffer.alloc(65536), { access: 31 });
      return { device, pd, cq, endpoint, qp, mr };
    };
    const connect = async (a, b) => {
      const [here, there] = [a.endpoint.describe(a.qp), b.endpoint.describe(b.qp)];
      a.qp.connect({ endpoint: a.endpoint, ...there, access: 14 });
      b.qp.connect({ endpoint: b.endpoint, ...here, access: 14 });
      const sge = { addr: a.mr.start, length: 65536, lkey: a.mr.lkey };
      await a.qp.write(sge, { vaddr: b.mr.iova, rkey: b.mr.rkey });
      await a.qp.read(sge, { vaddr: b.mr.iova, rkey: b.mr.rkey });
    };
    /** Runs the cycle \`some\` times, and then \`many\` times, during which the memory may not grow. */
    const grows = async (cycle, some, many) => {
      const repeat = async (times) => {
        for (let i = 0; i < times; i++) {
          await cycle(i);
          if (i % 50 === 0) gc(); // otherwise the memory depends on when the engine collects closed objects
        }
        for (let i = 0; i < 5; i++) {
          gc();
          await wait(20);
        }
      };
      await repeat(some);
      const [memory, open] = [resident(), descriptors()];
      await repeat(many);
      console.log(JSON.stringify({ grown: (resident() - memory) / 1024, descriptors: descriptors() - open }));
    };
  `;
  /** Memory in MiB that V8 may take for itself meanwhile. An endpoint that is not freed takes 20 KiB or more. */
  const MOST = 24;
  const cycles: [string, string][] = [
    [
      'are opened and closed',
      `const device = new Device();
       grows(async () => { new Endpoint({ device, ...at }).close(); await turn(); }, 300, 3000);`,
    ],
    [
      'that wait in threads are opened and closed',
      `require('./test/support/wait-by-thread.cjs');
       const device = new Device();
       grows(async () => { new Endpoint({ device, ...at }).close(); await turn(); }, 300, 3000);`,
    ],
    [
      'connect queue pairs, which are reset and connected again',
      `const a = end(), b = end();
       grows(async () => {
         await connect(a, b);
         for (const { qp } of [a, b]) qp.modify({ state: 'RESET' });
       }, 300, 3000).then(() => { close(a); close(b); });`,
    ],
    [
      'connect queue pairs, which are destroyed',
      `const a = end(), b = end();
       grows(async () => {
         await connect(a, b);
         for (const one of [a, b]) {
           one.qp.destroy();
           one.qp = one.pd.createQp({ type: 'RC', sendCq: one.cq });
         }
       }, 300, 2000).then(() => { close(a); close(b); });`,
    ],
    [
      'close with their devices, connected and in the middle of a message',
      `grows(async () => {
         const a = end(), b = end();
         await connect(a, b);
         const sge = { addr: a.mr.start, length: 65536, lkey: a.mr.lkey };
         a.qp.write(sge, { vaddr: b.mr.iova, rkey: b.mr.rkey }).catch(() => {});
         close(b);
         close(a);
         await turn();
       }, 300, 900);`,
    ],
    [
      'refuse requests, which nobody listens to',
      `const a = end(), b = end();
       b.endpoint.close();
       b.endpoint = new Endpoint({ device: b.device, ...at, refusalsPerMinute: 0 });
       grows(async () => {
         await connect(a, b);
         const sge = { addr: a.mr.start, length: 8, lkey: a.mr.lkey };
         await a.qp.write(sge, { vaddr: 1n, rkey: 1 }).then(() => { throw new Error('accepted'); }, () => {});
         for (const { qp } of [a, b]) qp.modify({ state: 'RESET' });
       }, 300, 3000).then(() => { close(a); close(b); });`,
    ],
    [
      'end with their threads',
      `const { Worker } = require('node:worker_threads');
       const program = \`
         const { Device, Endpoint } = require('rdmavt');
         const device = new Device();
         new Endpoint({ device, address: '127.0.0.1', port: 0 });
         require('node:worker_threads').parentPort.postMessage(0);\`;
       grows(() => new Promise((resolve, reject) => {
         const worker = new Worker(program, { eval: true });
         worker.once('error', reject).once('message', () => worker.terminate()).once('exit', resolve);
       }), 15, 30);`,
    ],
    [
      'drop packets that strangers send',
      `const a = end();
       const socket = require('node:dgram').createSocket('udp4');
       const junk = Buffer.alloc(64, 4);
       const send = () => new Promise((resolve) => socket.send(junk, a.endpoint.port, '127.0.0.1', resolve));
       grows(async (i) => { await send(); if (i % 64 === 0) await turn(); }, 3000, 30000).then(() => {
         if (a.endpoint.counters().received < 10000) throw new Error('nothing has arrived');
         socket.close();
         close(a);
       });`,
    ],
  ];

  for (const [title, program] of cycles) {
    testResident(`${title}: the process does not grow`, () => {
      const { grown, descriptors } = answerOf(begin + program) as { grown: number; descriptors: number };
      expect(grown).toBeLessThan(MOST);
      expect(descriptors).toBe(0);
    });
  }
});
