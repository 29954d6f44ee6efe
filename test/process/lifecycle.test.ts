// Runs separate programs: whatever they leave open and however they end, their exit status is the expected one, and none of them
// crashes.
import { runProgram } from '../support/programs';

const prelude = `
  const { Access, Device, RdmaError, FastMemoryRegion, SgeState } = require('rdmavt');
  const DMA = 0x100000n;
  /** Opens a device with one object of every kind. */
  function everything() {
    const device = new Device({ remoteKeyZero: true });
    const pd = device.allocPd({ trusted: true });
    const qp = pd.createQp();
    const memory = Buffer.alloc(8192, 1);
    const mapping = device.dma.map(memory, { address: DMA });
    const mr = pd.regUserMr(memory, { access: 31 });
    const dma = pd.getDmaMr();
    const sg = pd.allocMr({ maxNumSg: 2 });
    sg.mapSg([{ addr: DMA, length: 8192 }]);
    const fmr = pd.allocFmr({ maxPages: 2, access: 31 });
    fmr.mapPhys([DMA, DMA + 4096n], 0);
    const held = [mr, dma, sg, fmr].map((region) =>
      pd.acquire({ addr: region === dma ? DMA : region.start, length: 8, lkey: region.lkey }, 0).sge);
    const remote = qp.acquire({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, 2).sge;
    const state = new SgeState(held);
    state.copyOut(Buffer.alloc(12));
    return { device, pd, qp, memory, mapping, mr, dma, sg, fmr, held, remote, state };
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve));
`;

interface Ending {
  status?: number;
  stdout?: string;
  /** What standard error must match; by default it must be empty. */
  stderr?: RegExp;
}

/**
 * Runs the program after the prelude and expects how it ends. Warnings are disabled: leaks of DMA regions are tested elsewhere.
 */
function expectEnding(program: string, { status = 0, stdout, stderr = /^$/ }: Ending = {}): void {
  const result = runProgram(prelude + program, ['--no-warnings']);
  expect({ ...result, stdout: stdout === undefined ? undefined : result.stdout }).toEqual({
    status,
    signal: null,
    stdout,
    stderr: expect.stringMatching(stderr),
  });
}

describe('exit', () => {
  const endings: [string, string, Ending?][] = [
    ['with nothing opened', ''],
    ['with everything open', 'everything();'],
    ['with everything open and reachable', 'globalThis.all = everything();'],
    ['with many devices open', 'for (let i = 0; i < 50; i++) everything();'],
    ['by process.exit', 'everything(); process.exit(7);', { status: 7 }],
    [
      'by process.exit in a promise',
      'everything(); Promise.resolve().then(() => process.exit(7));',
      { status: 7 },
    ],
    ['by process.exit in a timer', 'everything(); setTimeout(() => process.exit(7), 1);', { status: 7 }],
    ['by process.reallyExit', 'everything(); process.reallyExit(7);', { status: 7 }],
    [
      'in a getter that a call reads',
      'const { pd } = everything(); pd.regUserMr(Buffer.alloc(8), { get access() { process.exit(7); } });',
      { status: 7 },
    ],
    [
      'in a getter of a list element',
      'const { fmr } = everything(); fmr.unmap(); fmr.mapPhys([{ get x() {} }].map(() => process.exit(7)), 0);',
      { status: 7 },
    ],
    [
      'while deregAsync waits',
      'everything().mr.deregAsync(); setTimeout(() => process.exit(7), 5);',
      { status: 7 },
    ],
    [
      'in a finalizer',
      `const registry = new FinalizationRegistry(() => process.exit(7));
       (() => registry.register(everything().mr))();
       (async () => { for (;;) { gc(); await turn(); } })();`,
      { status: 7 },
    ],
    [
      'in an exit listener that uses everything',
      `const all = everything();
       process.on('exit', () => {
         all.held[0].copyTo(Buffer.alloc(8));
         all.device.close({ cascade: true });
         everything();
         process.exitCode = 7;
       });`,
      { status: 7 },
    ],
    [
      // The collector finds the holders of elements when the module's state is freed already.
      'with a collection that runs while the environment ends',
      `everything();
       process.on('exit', () => {
         everything();
         gc({ type: 'major', execution: 'async' });
         process.exitCode = 7;
       });`,
      { status: 7 },
    ],
    [
      'by an uncaught throw',
      `everything(); throw new Error('on purpose');`,
      { status: 1, stderr: /on purpose/ },
    ],
    [
      'by an uncaught throw in a getter',
      `const { pd } = everything();
       pd.regUserMr(Buffer.alloc(8), { get iova() { throw new Error('on purpose'); } });`,
      { status: 1, stderr: /on purpose/ },
    ],
    [
      'by an uncaught RdmaError',
      'everything().device.close();',
      {
        status: 1,
        stderr: /RdmaError: EBUSY: Device.close: 1 protection domain, .* still exist on this device/,
      },
    ],
    [
      'by an unhandled rejection',
      'everything().mr.deregAsync({ timeoutMs: 0 });',
      { status: 1, stderr: /EBUSY: MemoryRegion.deregAsync: 2 elements are still held/ },
    ],
    [
      'after everything was closed',
      'const { device } = everything(); device.close({ cascade: true }); device[Symbol.dispose]();',
    ],
  ];

  test.each(endings.map(([name, program, ending = {}]) => ({ name, program, ending })))(
    '$name',
    ({ program, ending }) => {
      expectEnding(program, ending);
    },
  );

  test('waits for deregAsync', () => {
    expectEnding(
      `const { mr, held, remote } = everything();
       mr.deregAsync().then(() => console.log(mr.state));
       setTimeout(() => { held[0].put(); remote.put(); }, 20);`,
      { stdout: 'Closed\n' },
    );
  });
});

describe('after closing', () => {
  test('every method of every object throws or is a no-op', () => {
    expectEnding(
      `const all = everything();
       all.device.close({ cascade: true });
       const codes = {}, answers = {}, optionsRefused = new Set();
       const { EventEmitter } = require('node:events');
       for (const [name, object] of Object.entries({ ...all, held: all.held[0], key0: all.held[1], memory: {} })) {
         for (let level = object; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
           for (const key of Reflect.ownKeys(level)) {
             if (key === 'constructor' || key === 'put' || typeof key === 'symbol' || key in EventEmitter.prototype) continue;
             for (const args of [[], [Buffer.alloc(8)], [1, false], [[DMA], 0n], [{ addr: 0n, vaddr: 0n, length: 0, lkey: 256, rkey: 256 }, 4]]) {
               try {
                 const value = object[key], answer = typeof value === 'function' ? value.apply(object, args) : undefined;
                 if (typeof answer?.ok === 'boolean') answers[answer.ok || answer.reason] = true;
               } catch (error) {
                 codes[error.code] = true;
                 if (error.code === 'ERR_INVALID_ARG_VALUE') optionsRefused.add(object.constructor.name + '.' + key);
               }
             }
           }
         }
       }
       console.log(Object.keys(codes).sort().join());
       console.log(Object.keys(answers).join());
       console.log([...optionsRefused].sort().join());`,
      {
        stdout: [
          'EACCES,EBADF,EINVAL,ERR_INVALID_ARG_TYPE,ERR_INVALID_ARG_VALUE',
          'Closed', // Checks return this reason instead of throwing.
          // Methods whose first argument is an options object: they reject the unknown names in the request above.
          'Device.allocPd,Device.close,Device.counters,Device.detach,Device.run,Device.share,FastMemoryRegion.advertise,' +
            'FastMemoryRegion.dealloc,FastMemoryRegion.deallocAsync,MemoryRegion.advertise,MemoryRegion.dereg,MemoryRegion.deregAsync,MemoryRegion.rereg,' +
            'ProtectionDomain.allocFmr,ProtectionDomain.allocMr,ProtectionDomain.createAh,ProtectionDomain.createQp,' +
            'ProtectionDomain.createSrq,ProtectionDomain.dealloc,ProtectionDomain.getDmaMr,QueuePair.activate,' +
            'QueuePair.connect,QueuePair.modify',
          '',
        ].join('\n'),
      },
    );
  });

  test('every order of closing works', () => {
    expectEnding(
      `const endings = [
         (all) => all.device.close({ cascade: true }), (all) => all.pd.dealloc({ cascade: true }),
         (all) => all.qp.destroy(), (all) => all.mr.dereg({ force: true }), (all) => all.mr[Symbol.dispose](),
         (all) => all.fmr.dealloc({ force: true }), (all) => all.sg[Symbol.dispose](), (all) => all.dma.dereg({ force: true }),
         (all) => all.state.put(), (all) => all.held.forEach((sge) => sge.put()), (all) => all.remote.put(),
         (all) => all.mapping[Symbol.dispose](), (all) => all.device[Symbol.dispose](),
       ];
       let seed = 12345;
       const dice = (n) => ((seed = (seed * 1103515245 + 12345) % 2147483648) >>> 8) % n;
       for (let round = 0; round < 300; round++) {
         const all = everything();
         const left = [...endings];
         while (left.length) left.splice(dice(left.length), 1)[0](all);
         if (all.mr.state !== 'Closed' || all.fmr.state !== 'Closed') throw new Error('not closed');
       }
       gc();`,
    );
  });

  test('children that outlive the object of their parent keep working', () => {
    expectEnding(
      `const { fmr, held } = everything();
       (async () => {
         for (let i = 0; i < 5; i++) { gc(); await turn(); }
         held[3].copyTo(Buffer.alloc(8));
         held[3].put();
         fmr.unmap();
         console.log(fmr.state, held[0].at);
       })();`,
      { stdout: 'Valid 0n\n' },
    );
  });
});

describe('garbage collection', () => {
  test('of all objects works at any time and in any order', () => {
    expectEnding(
      `(async () => {
         let kept = [];
         for (let round = 0; round < 200; round++) {
           const all = everything();
           const parts = Object.values(all).flat();
           kept.push(parts[round % parts.length]);
           if (round % 20 === 0) { gc(); await turn(); kept = kept.slice(10); }
         }
         kept = [];
         for (let i = 0; i < 5; i++) { gc(); await turn(); }
       })();`,
    );
  });

  test('of an unreachable device releases its memory', () => {
    expectEnding(
      `let collected = 0;
       const registry = new FinalizationRegistry(() => collected++);
       (() => {
         for (let i = 0; i < 10; i++) registry.register(everything().memory.buffer);
       })();
       (async () => {
         for (let i = 0; i < 50 && collected < 10; i++) { gc(); await turn(); }
         console.log(collected);
       })();`,
      { stdout: '10\n' },
    );
  });

  test('may free memory used by the data path with its Buffer, but not while it is registered', () => {
    expectEnding(
      `const device = new Device();
       const pd = device.allocPd();
       const regions = Array.from({ length: 100 }, (_, i) => pd.regUserMr(Buffer.alloc(100000, i)));
       gc();
       for (const [i, mr] of regions.entries()) {
         const { sge } = pd.acquire({ addr: mr.start, length: mr.length, lkey: mr.lkey }, 0);
         const target = Buffer.alloc(mr.length);
         sge.copyTo(target);
         if (!target.equals(Buffer.alloc(100000, i))) throw new Error('other bytes');
       }`,
    );
  });
});

describe('worker threads', () => {
  const inWorker = (program: string): string =>
    `const { Worker } = require('node:worker_threads');
     const program = ${JSON.stringify(`${prelude}${program}`)};
     const start = () => new Worker(program, { eval: true });`;

  test('have devices of their own and may leave them open', () => {
    expectEnding(
      `${inWorker('everything();')}
       everything();
       for (let i = 0; i < 8; i++) start().on('exit', (code) => { process.exitCode ||= code; });`,
    );
  });

  test('may be terminated at any moment', () => {
    expectEnding(
      `${inWorker(`
         const { parentPort } = require('node:worker_threads');
         const all = everything();
         parentPort.postMessage('ready');
         for (;;) { everything().device.close({ cascade: true }); all.held[0].copyTo(Buffer.alloc(8)); }`)}
       for (let i = 0; i < 6; i++) {
         const worker = start();
         worker.on('message', () => setTimeout(() => worker.terminate(), i * 3));
       }`,
    );
  });

  test('may be terminated while native code creates objects for them', () => {
    // While a worker is being terminated, calls into JavaScript fail, and so does throwing. Native code must not abort the
    // process.
    expectEnding(
      `${inWorker(`
         const { parentPort } = require('node:worker_threads');
         const { pd, qp, device } = everything();
         const batch = pd.lkeyBatch(4, { places: true });
         parentPort.postMessage('ready');
         for (;;) {
           const mr = pd.regUserMr(new Uint8Array(64), { access: 31 });
           const { sge } = qp.acquire({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, Access.RemoteRead);
           new SgeState([sge]).walk([8]);
           batch.set(0, mr.start, 8, mr.lkey);
           batch.acquire(1, 0);
           batch.take(0).put();
           sge.put();
           device.keyTable();
           mr.dereg();
         }`)}
       for (let i = 0; i < 40; i++) {
         const worker = start();
         worker.on('message', () => setTimeout(() => worker.terminate(), i % 7));
       }`,
    );
  });

  test('may be the only users of the package', () => {
    const program = `
      const { Worker } = require('node:worker_threads');
      let left = 5;
      (function next() {
        if (left--) new Worker(${JSON.stringify(`${prelude} everything();`)}, { eval: true }).on('exit', next);
        else console.log('done');
      })();`;
    expect(runProgram(program, ['--no-warnings'])).toEqual({
      status: 0,
      signal: null,
      stdout: 'done\n',
      stderr: '',
    });
  });

  test('detach memory posted to them, which can be registered again there', () => {
    expectEnding(
      `const { Worker } = require('node:worker_threads');
       const pd = new Device().allocPd();
       const memory = new Uint8Array(8).fill(5);
       const mr = pd.regUserMr(memory);
       const { sge } = pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0);
       const worker = new Worker(${JSON.stringify(
         `${prelude}
          const { parentPort, workerData } = require('node:worker_threads');
          const pd = new Device().allocPd();
          const mr = pd.regUserMr(workerData);
          const { sge } = pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0);
          const target = new Uint8Array(8);
          sge.copyTo(target);
          parentPort.postMessage(target[7]);`,
       )}, { eval: true, workerData: memory, transferList: [memory.buffer] });
       try { sge.copyTo(Buffer.alloc(8)); } catch (error) { console.log(error.reason); }
       worker.on('message', (byte) => console.log(byte));`,
      { stdout: 'MemoryDetached\n5\n' },
    );
  });
});
