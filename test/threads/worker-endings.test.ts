// When a worker ends, in whatever way, its objects are closed and its references are released; all other threads continue.

import { accepted, rdma, refusal } from '../support/answers';
import { collect } from '../support/garbage';
import { runProgram } from '../support/programs';
import { ALL, DMA, dmaPages, open, PAGE, scene } from '../support/scene';
import { Peer, type Scope } from '../support/workers';

const shared = (length: number, fill = 0): Uint8Array =>
  new Uint8Array(new SharedArrayBuffer(length)).fill(fill);

describe('a worker that', () => {
  const endings: [string, (peer: Peer) => Promise<number>, number][] = [
    ['has nothing left to do', (peer) => peer.close(), 0],
    [
      'throws',
      (peer) => {
        peer.tell((w) =>
          w.parentPort.emit(
            'nobody',
            setImmediate(() => {
              throw new Error('on purpose');
            }),
          ),
        );
        return peer.ended;
      },
      1,
    ],
    [
      'calls process.exit',
      (peer) => {
        peer.tell(() => process.exit(7));
        return peer.ended;
      },
      7,
    ],
    [
      'calls process.exit in a getter that a call reads',
      (peer) => {
        peer.tell((w) =>
          w.pd.regUserMr(new Uint8Array(8), {
            get access() {
              return process.exit(8);
            },
          }),
        );
        return peer.ended;
      },
      8,
    ],
    ['is terminated', (peer) => peer.worker.terminate(), 1],
  ];

  test.each(endings)('%s leaves nothing behind but device memory', async (_, end, code) => {
    const { device, pd } = scene({ trusted: true });
    dmaPages(device, 1, 2n * DMA);
    const mr = pd.regUserMr(shared(PAGE, 1), { access: ALL });
    const peer = new Peer({ token: device.share() });
    const theirs = await peer.run(
      (w, number, at, key, dma) => {
        w.common = w.device.importPd(number);
        w.pd = w.device.allocPd();
        w.qps = [w.common.createQp(), w.pd.createQp()];
        w.region = w.common.regUserMr(new SharedArrayBuffer(4096), { access: 31 });
        w.own = w.pd.regUserMr(new Uint8Array(8));
        w.mapping = w.device.dma.map(new Uint8Array(new SharedArrayBuffer(4096)).fill(9), { address: dma });
        // Hold references on a region of the main thread, in every form.
        const element = { addr: at, length: 8, lkey: key };
        w.sges = [
          w.common.acquire(element, 0).sge,
          w.qps[0].acquire({ vaddr: at, length: 8, rkey: key }, 4).sge,
        ];
        w.batch = w.common.lkeyBatch(4);
        for (let i = 0; i < 4; i++) w.batch.set(i, at, 8, key);
        w.batch.acquire(4, 0);
        w.taken = w.batch.take(3);
        w.state = new w.SgeState(w.sges);
        w.state.update(4);
        w.memory = w.device.allocDm(4096);
        new Uint8Array(w.memory.buffer).fill(5);
        w.overMemory = w.common.regUserMr(new Uint8Array(w.memory.buffer, 8, 8));
        return {
          lkey: w.region.lkey,
          start: w.region.start,
          own: w.pd.id,
          memory: w.memory.id,
          over: [w.overMemory.start, w.overMemory.lkey],
        };
      },
      pd.id,
      mr.start,
      mr.lkey,
      DMA,
    );
    expect(mr.refs).toBe(2 + 6);
    const element = { addr: theirs.start, length: 8, lkey: theirs.lkey };
    const held = accepted(pd.acquire(element, 0));
    const batch = pd.lkeyBatch(1);
    batch.set(0, theirs.start, 8, theirs.lkey);
    batch.acquire(1, 0);
    const fmr = pd.allocFmr({ maxPages: 2 });
    fmr.mapPhys([DMA, 2n * DMA], 0n);
    const sg = pd.allocMr({ maxNumSg: 1 });
    sg.mapSg([{ addr: DMA, length: PAGE }]);
    pd.getDmaMr();
    const zero = accepted(pd.acquire({ addr: DMA, length: 8, lkey: 0 as any }, 0));
    const target = Buffer.alloc(8);
    zero.copyTo(target);
    expect(target).toEqual(Buffer.alloc(8, 9));
    expect(device.resources().contexts).toEqual([1, 2]);

    expect(await end(peer)).toBe(code);

    expect(device.resources()).toMatchObject({
      contexts: [1],
      pds: [{ id: pd.id, own: true }],
      queuePairs: [{ own: true }],
      mappings: [{ own: true }],
      memories: [{ id: theirs.memory, uses: 0 }],
    });
    expect(device.resources().regions.map(({ own }) => own)).toEqual([true, true, true, true]);
    expect(() => device.importPd(theirs.own)).toThrow(rdma('EINVAL', 'import_pd'));
    expect(refusal(pd.acquire(element, 0))).toBe('Revoked');
    const [address, lkey] = theirs.over as [bigint, typeof theirs.lkey];
    expect(refusal(pd.acquire({ addr: address, length: 8, lkey }, 0))).toBe('Revoked');
    for (const sge of [held, zero, batch.take(0)!]) {
      expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
      sge.put();
    }
    expect([fmr.length, sg.length]).toEqual([0, 0]);
    expect(refusal(pd.acquire({ addr: 0n, length: 1, lkey: fmr.lkey }, 0))).toBe('OutOfBounds');
    expect(refusal(pd.acquire({ addr: DMA, length: 8, lkey: 0 as any }, 0))).toBe('Unmapped');
    expect(mr.refs).toBe(2);
    mr.dereg();
    expect(mr.state).toBe('Closed');
    const memory = device.importDm(theirs.memory);
    expect(new Uint8Array(memory.buffer).every((byte) => byte === 5)).toBe(true);
    memory.free();
  });
});

describe('when the opener of a device ends', () => {
  test.each<[string, (peer: Peer) => Promise<number>]>([
    ['by itself', (peer) => peer.close()],
    ['by termination', (peer) => peer.worker.terminate()],
  ])('%s, the other threads continue to use the device', async (_, end) => {
    const opener = new Peer();
    const token = await opener.run((w) => {
      w.device = new w.Device({ lkeyTableBits: 9 });
      w.pd = w.device.allocPd();
      w.mr = w.pd.regUserMr(new SharedArrayBuffer(8));
      return w.device.share();
    });
    const [one, two] = [new Peer({ token }), new Peer({ token })];
    await one.run((w) => {
      w.pd = w.device.allocPd();
      w.mr = w.pd.regUserMr(new Uint8Array(new SharedArrayBuffer(8)).fill(4));
    });
    await end(opener);
    const [number, start, lkey] = await one.run((w) => [w.pd.id, w.mr.start, w.mr.lkey]);
    expect(
      await two.run(
        (w, pd, addr, key) => {
          const target = new Uint8Array(8);
          w.accepted(w.device.importPd(pd).acquire({ addr, length: 8, lkey: key }, 0)).copyTo(target);
          return [
            target[7],
            w.device.lkeyTableBits,
            w.device.resources().contexts,
            w.device.resources().pds.length,
          ];
        },
        number,
        start,
        lkey,
      ),
    ).toEqual([4, 9, [2, 3], 1]);
  });

  test('and no other thread uses the device, the device is closed', async () => {
    const opener = new Peer();
    const token = await opener.run((w) => {
      w.device = new w.Device();
      return w.device.share();
    });
    await opener.close();
    const peer = new Peer();
    expect(await peer.run((w, posted) => w.codeOf(() => w.Device.attach(posted)), token)).toBe('ENODEV');
  });
});

describe('an idle thread', () => {
  test.each<[string, (device: ReturnType<typeof open>, pd: ReturnType<typeof scene>['pd']) => void]>([
    ['its domain ends', (_, pd) => pd.dealloc({ cascade: true })],
    ['its device is closed', (device) => device.close({ cascade: true })],
  ])('releases its buffers when %s in another thread', async (_, end) => {
    const { device, pd } = scene();
    const peer = new Peer({ token: device.share() });
    await peer.run((w, number) => {
      // Only the regions keep the buffers alive.
      const memories = [new ArrayBuffer(64), new SharedArrayBuffer(64), new Uint8Array(64).buffer];
      const common = w.device.importPd(number);
      for (const memory of memories) common.regUserMr(memory);
      common.regUserMr(memories[0]);
      w.buffers = memories.map((memory) => new WeakRef(memory));
    }, pd.id);
    const left = async (w: Scope): Promise<number> => {
      const alive = (): number => w.buffers.filter((buffer: WeakRef<object>) => buffer.deref()).length;
      return (await w.collect(() => alive() === 0)) ? 0 : alive();
    };
    expect(await peer.run(left)).toBe(3);
    end(device, pd);
    // From here on the worker does nothing with the package.
    expect(await peer.run(left)).toBe(0);
  });

  test('releases its buffers when a worker closes the domain', async () => {
    const { device, pd } = scene();
    const peer = new Peer({ token: device.share() });
    const memories = [new ArrayBuffer(64), new SharedArrayBuffer(64)].map((memory) => {
      pd.regUserMr(memory);
      return new WeakRef(memory);
    });
    await peer.run((w, number) => w.device.importPd(number).dealloc({ cascade: true }), pd.id);
    expect(await collect(() => memories.every((memory) => memory.deref() === undefined))).toBe(true);
  });
});

// Each test below runs in a separate process: a crash ends the process with a signal.

const prelude = `
  const { Worker, isMainThread, parentPort, workerData, threadId } = require('node:worker_threads');
  const { Access, Device, RdmaError, FastMemoryRegion, SgeState } = require('rdmavt');
  const DMA = 0x100000n, PAGE = 4096;
  const shared = (length, fill = 0) => new Uint8Array(new SharedArrayBuffer(length)).fill(fill);
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  let seed = 12345;
  const dice = (n) => ((seed = (seed * 1103515245 + 12345) % 2147483648) >>> 8) % n;
  const same = (a, b, what) => {
    const text = (value) => JSON.stringify(value, (_, v) => typeof v === 'bigint' ? String(v) : v);
    if (text(a) !== text(b)) throw new Error(what + ': ' + text(a) + ' is not ' + text(b));
  };
  /** Runs a call that may fail with an RdmaError, because the other thread changes its objects. Other errors are thrown. */
  const attempt = (use) => {
    try { return use(); } catch (error) { if (!(error instanceof RdmaError)) throw error; return error; }
  };
`;

/** Runs a main program and a worker program, both preceded by the prelude. In the main program, `start(data)` starts a worker. */
function run(main: string, worker: string, status = 0): string {
  const program = `${prelude}
    const start = (data) => new Worker(${JSON.stringify(prelude + worker)}, { eval: true, workerData: data });
    ${main}`;
  const result = runProgram(program, ['--no-warnings']);
  expect({ ...result, stdout: '' }).toEqual({ status, signal: null, stdout: '', stderr: '' });
  return result.stdout;
}

/** What a worker is doing when it is terminated. */
const busy: Record<string, string> = {
  'batches of checks': `
    const batch = pd.lkeyBatch(4096, { places: true });
    for (let i = 0; i < 4096; i++) batch.set(i, start + BigInt(i), 8, lkey);
    ready();
    for (;;) batch.check(4096, 0);`,
  'batches that hold references': `
    const batch = pd.lkeyBatch(4096);
    for (let i = 0; i < 4096; i++) batch.set(i, start + BigInt(i), 8, lkey);
    ready();
    for (;;) { batch.acquire(4096, 0); batch.take(5).put(); batch.put(); }`,
  'calls that hold elements': `
    const held = [];
    ready();
    for (let i = 0; ; i++) { held.push(pd.acquire({ addr: start, length: 8, lkey }, 0).sge); if (held.length > 5000) held.length = 0; }`,
  registrations: `
    ready();
    for (const kept = []; ;) {
      kept.push(pd.regUserMr(shared(64), { access: 31 }), device.allocPd().regUserMr(new Uint8Array(64)));
      if (kept.length > 40) for (const mr of kept.splice(0)) mr.dereg();
    }`,
  'gathers and scatters of MiBs': `
    const batch = pd.lkeyBatch(2), own = pd.lkeyBatch(1);
    const memory = pd.regUserMr(shared(8 << 20), { access: 31 });
    for (let i = 0; i < 2; i++) batch.set(i, start, 4 << 20, lkey);
    own.set(0, memory.start, 8 << 20, memory.lkey);
    const target = new Uint8Array(8 << 20);
    ready();
    for (;;) { batch.gather(target, 2, 0); own.scatter(target, 1, 1); batch.copyTo(own, 2, 0, 1, 1); }`,
  'page lists and DMA mappings': `
    const fmr = pd.allocFmr({ maxPages: 512, access: 31 });
    const pages = BigUint64Array.from({ length: 512 }, (_, i) => DMA + BigInt(i % 16 * PAGE));
    ready();
    for (;;) { fmr.mapPhys(pages, 0); fmr.unmap(); const mapping = device.dma.map(shared(PAGE)); fmr.mapPhys([mapping.address], 0); fmr.unmap(); mapping.unmap(); }`,
  'all calls that create objects': `
    ready();
    for (const kept = []; ;) {
      const other = Device.attach(device.share(), { captureStacks: true, reportLeaks: true });
      const memory = other.allocDm(PAGE * 4);
      const mr = other.importPd(workerData.pd).regUserMr(new Uint8Array(memory.buffer, 8, 64));
      kept.push(other.importDm(memory.id).buffer, mr, other.resources(), other.keyTable(), other.counters());
      if (kept.length > 100) { kept.length = 0; other.detach({ cascade: true }); }
      else { mr.dereg(); memory.free(); }
    }`,
  'an idle wait': 'ready(); setInterval(() => {}, 1000);',
};

describe('termination of a worker', () => {
  // The worker uses a region of the main thread, on which it may hold references, and its own regions in the same domain.
  test.each(Object.entries(busy))('in the middle of %s leaves nothing behind', (_, work) => {
    run(
      `const ROUNDS = 6;
       (async () => {
         const device = new Device();
         const pd = device.allocPd();
         const memory = shared(4 << 20, 1);
         const mr = pd.regUserMr(memory, { access: 31 });
         device.dma.map(shared(16 * PAGE), { address: DMA });
         const token = device.share();
         for (let round = 0; round < ROUNDS; round++) {
           const workers = [0, 1].map(() => start({ token, pd: pd.id, start: mr.start, lkey: mr.lkey }));
           await Promise.all(workers.map(async (worker) => {
             const failed = new Promise((_, reject) => worker.on('error', reject));
             await Promise.race([failed, new Promise((resolve) => worker.once('message', resolve))]);
             await sleep(dice(6));
             await Promise.race([failed, worker.terminate()]);
           }));
           const { contexts, pds, regions, queuePairs, mappings } = device.resources();
           same(contexts, [device.context], 'contexts');
           same([pds.length, pds[0].children, queuePairs.length, mappings.length], [1, 1, 0, 1], 'what is left');
           same(regions.map(({ lkey, refs }) => [lkey, refs]), [[mr.lkey, 2]], 'regions');
         }
         same(memory.every((byte) => byte === 1), true, 'bytes');
         mr.dereg();
         device.close({ cascade: true });
       })();`,
      `const device = Device.attach(workerData.token);
       const pd = device.importPd(workerData.pd);
       const { start, lkey } = workerData;
       const ready = () => parentPort.postMessage('ready');
       ${work}`,
    );
  });

  test("while this thread copies from the worker's shared memory: the copies succeed and are then refused", () => {
    run(
      `const ROUNDS = 24;
       (async () => {
         const device = new Device();
         const pd = device.allocPd({ trusted: true });
         const token = device.share();
         const target = new Uint8Array(4 << 20);
         const reasons = {};
         for (let round = 0; round < ROUNDS; round++) {
           const worker = start({ token, pd: pd.id });
           const [address, lkey] = await new Promise((resolve) => worker.once('message', resolve));
           const ended = new Promise((resolve) => worker.once('exit', resolve));
           const sge = pd.acquire({ addr: address, length: 4 << 20, lkey }, 1).sge;
           const fmr = pd.allocFmr({ maxPages: 64, access: 31 });
           fmr.mapPhys(Array.from({ length: 64 }, (_, i) => DMA + BigInt(i * PAGE)), 0);
           const batch = pd.lkeyBatch(3), other = pd.lkeyBatch(1);
           batch.set(0, address, 4 << 20, lkey);
           batch.set(1, address, 3 << 20, lkey);
           other.set(0, 0, 64 * PAGE, fmr.lkey);
           const uses = [
             () => sge.copyTo(target),
             () => sge.copyFrom(target),
             () => batch.gather(target, 1, 0) || batch.firstReason,
             () => batch.scatter(target, 1, 1) || batch.firstReason,
             () => batch.copyTo(other, 1, 0, 1, 1) || batch.firstReason || other.firstReason,
             () => new SgeState([sge]).copyOut(target),
           ];
           const use = uses[round % uses.length];
           // The worker ends even though this thread does not return to its event loop.
           worker.terminate();
           let moved = 0, answer;
           for (const until = Date.now() + 20000; Date.now() < until;) {
             answer = attempt(use);
             if (typeof answer !== 'number') break;
             moved += answer;
             const bytes = new Set([target[0], target[1 << 20], target[(4 << 20) - 1]]);
             bytes.delete(0);
             same([...bytes].every((byte) => byte === 77), true, 'bytes');
           }
           answer = answer.reason ?? answer;
           reasons[answer] = (reasons[answer] ?? 0) + 1;
           same([fmr.length, pd.acquire({ addr: address, length: 8, lkey }, 0).reason], [0, 'Revoked'], 'afterwards');
           sge.put();
           fmr.dealloc();
           await ended;
         }
         same(Object.keys(reasons).every((reason) => ['RegionRevoked', 'Revoked', 'OutOfBounds'].includes(reason)), true, JSON.stringify(reasons));
         same(device.resources().regions, [], 'regions');
       })();`,
      `const device = Device.attach(workerData.token);
       const mr = device.importPd(workerData.pd).regUserMr(shared(4 << 20, 77), { access: 31 });
       device.dma.map(shared(64 * PAGE, 77), { address: DMA });
       parentPort.postMessage([mr.start, mr.lkey]);
       setInterval(() => {}, 1000);`,
    );
  });

  test('while it copies from the memory of another worker that is terminated as well', () => {
    run(
      `(async () => {
         const device = new Device();
         const pd = device.allocPd();
         const token = device.share();
         for (let round = 0; round < 8; round++) {
           const owner = start({ token, pd: pd.id });
           const keys = await new Promise((resolve) => owner.once('message', resolve));
           const reader = start({ token, pd: pd.id, keys });
           await new Promise((resolve) => reader.once('message', resolve));
           await sleep(dice(4));
           const order = dice(2) ? [owner, reader] : [reader, owner];
           await Promise.all(order.map((worker) => worker.terminate()));
           same([device.resources().contexts, device.resources().regions], [[1], []], 'what is left');
         }
       })();`,
      `const device = Device.attach(workerData.token);
       const pd = device.importPd(workerData.pd);
       if (workerData.keys) {
         const [addr, lkey] = workerData.keys;
         const { sge } = pd.acquire({ addr, length: 8 << 20, lkey }, 1);
         const target = new Uint8Array(8 << 20);
         parentPort.postMessage('ready');
         for (;;) { attempt(() => sge.copyTo(target)); attempt(() => sge.copyFrom(target)); }
       }
       const mr = pd.regUserMr(shared(8 << 20), { access: 31 });
       parentPort.postMessage([mr.start, mr.lkey]);
       setInterval(() => {}, 1000);`,
    );
  });
});

describe('process.exit of the main thread', () => {
  test.each(['gathers and scatters of MiBs', 'registrations', 'all calls that create objects'])(
    'while workers are in the middle of %s ends the process normally',
    (work) => {
      for (const delay of [0, 5]) {
        run(
          `const device = new Device();
           const pd = device.allocPd();
           const mr = pd.regUserMr(shared(4 << 20, 1), { access: 31 });
           device.dma.map(shared(16 * PAGE), { address: DMA });
           let ready = 0;
           for (let i = 0; i < 3; i++) {
             start({ token: device.share(), pd: pd.id, start: mr.start, lkey: mr.lkey })
               .on('message', () => { if (++ready === 3) setTimeout(() => process.exit(7), ${delay}); });
           }`,
          `const device = Device.attach(workerData.token);
           const pd = device.importPd(workerData.pd);
           const { start, lkey } = workerData;
           const ready = () => parentPort.postMessage('ready');
           ${busy[work]!}`,
          7,
        );
      }
    },
  );
});

describe('all operations at once', () => {
  test('in two workers and the main thread read only bytes of the right region', () => {
    // Every region is filled with the number of its thread, so a reader must see one value only.
    const work = `
      const MS = 1500, SLOTS = 8;
      function hammer(device, pd, keys, me, starts) {
        const qp = pd.createQp();
        const SIZE = 3 * PAGE + 100;
        const target = new Uint8Array(SIZE);
        const done = { moved: 0, refused: 0 };
        const mine = [];
        const mapping = device.dma.map(shared(4 * PAGE, me), { address: DMA * BigInt(me) });
        const fmr = pd.allocFmr({ maxPages: 4, access: 31 });
        const batch = pd.lkeyBatch(4), to = pd.lkeyBatch(1);
        const block = pd.checker();
        const held = [];
        const publish = (slot, start, lkey) => {
          starts[me * SLOTS + slot] = start;
          Atomics.store(keys, me * SLOTS + slot, lkey);
        };
        const own = [...Array(SLOTS)].map((_, slot) => {
          const mr = pd.regUserMr(slot % 2 ? shared(SIZE, me) : memoryOf(device, SIZE, me), { access: 31 });
          publish(slot, mr.start, mr.lkey);
          return mr;
        });
        const until = Date.now() + MS;
        for (let round = 0; Date.now() < until; round++) {
          const whose = 1 + dice(3), slot = dice(SLOTS);
          const lkey = Atomics.load(keys, whose * SLOTS + slot);
          const addr = starts[whose * SLOTS + slot];
          const length = 1 + dice(SIZE);
          const pure = (bytes, count) => {
            // All bytes come from one region, but a reused key may belong to another region, even of another thread.
            const first = bytes[0];
            if (first < 1 || first > 3) throw new Error('byte ' + first);
            for (let i = 1; i < count; i++) if (bytes[i] !== first) throw new Error('mixed: ' + first + ', ' + bytes[i]);
            done.moved += count;
          };
          const answer = attempt(() => {
            const which = dice(10);
            if (which === 0) {
              const check = pd.acquire({ addr, length, lkey }, 0);
              if (!check.ok) return void done.refused++;
              held.push(check.sge);
              pure(target, check.sge.copyTo(target));
              if (held.length > 20) for (const sge of held.splice(0)) sge.put();
            } else if (which === 1) {
              batch.set(0, addr, length, lkey);
              const moved = batch.gather(target, 1, 0);
              if (moved) pure(target, moved); else done.refused++;
            } else if (which === 2) {
              // Remote SGEs that a walk holds and puts.
              const checks = [0, 1, 2].map(() => qp.acquire({ vaddr: addr, length, rkey: lkey }, 4)).filter(({ ok }) => ok);
              if (!checks.length) return void done.refused++;
              const state = new SgeState(checks.map(({ sge }) => sge));
              try { state.copyOut(target.subarray(0, length), { put: true }); } finally { state.put(); }
            } else if (which === 3) {
              const slot_ = dice(SLOTS);
              own[slot_].dereg({ force: true });
              const mr = pd.regUserMr(shared(SIZE, me), { access: 31 });
              own[slot_] = mr;
              publish(slot_, mr.start, mr.lkey);
            } else if (which === 4) {
              const page = BigInt(dice(4) * PAGE);
              const from = BigInt(1 + dice(3)) * DMA;
              fmr.unmap();
              fmr.mapPhys([from + page, DMA * BigInt(me)], 0);
              const { sge } = pd.acquire({ addr: 0, length: PAGE, lkey: fmr.lkey }, 0);
              if (sge) {
                held.push(sge);
                pure(target, sge.copyTo(target.subarray(0, PAGE)));
                for (const one of held.splice(0)) one.put();
              }
            } else if (which === 5) {
              for (let i = 0; i < 4; i++) batch.set(i, addr, length, Atomics.load(keys, (1 + dice(3)) * SLOTS + dice(SLOTS)));
              batch.acquire(4, 0);
              batch.put();
            } else if (which === 6) {
              block.refusal(addr, length, lkey, 0);
            } else if (which === 7) {
              device.resources(); device.counters(); device.keyTable();
            } else if (which === 8) {
              const memory = device.allocDm(PAGE);
              const mr = pd.regUserMr(new Uint8Array(memory.buffer).fill(me));
              mr.countAccesses();
              mr.dereg({ force: true });
              memory.free();
            } else {
              const one = device.allocPd();
              one.regUserMr(shared(64));
              one.dealloc({ cascade: true });
            }
          });
          if (answer instanceof RdmaError) done.refused++;
          done.rounds = round;
        }
        for (const sge of held) sge.put();
        return done;
      }
      function memoryOf(device, length, fill) {
        return new Uint8Array(device.allocDm(length).buffer).fill(fill);
      }`;
    const stdout = run(
      `${work}
       (async () => {
         const device = new Device({ lkeyTableBits: 7 });
         const pd = device.allocPd({ trusted: true });
         const keys = new Uint32Array(new SharedArrayBuffer(4 * 4 * 8));
         const starts = new BigUint64Array(new SharedArrayBuffer(8 * 4 * 8));
         const workers = [2, 3].map((me) => start({ token: device.share(), pd: pd.id, me, keys, starts }));
         const answers = workers.map((worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)));
         const ends = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
         await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('online', resolve))));
         const all = [hammer(device, pd, keys, 1, starts), ...(await Promise.all(answers))];
         same(await Promise.all(ends), [0, 0], 'codes');
         for (const { moved } of all) if (!moved) throw new Error('nothing was moved');
         const { contexts, regions } = device.resources();
         same([contexts, regions.every(({ own, refs }) => own && refs === 2)], [[1], true], 'what is left');
         console.log(JSON.stringify(all));
       })();`,
      `${work}
       const device = Device.attach(workerData.token);
       seed += workerData.me;
       parentPort.postMessage(hammer(device, device.importPd(workerData.pd), workerData.keys, workerData.me, workerData.starts));`,
    );
    expect(JSON.parse(stdout)).toHaveLength(3);
  });
});

// SGEs have no native objects that the environment frees one by one when it ends: the environment puts the SGEs in its cells.
describe('SGEs of a worker on a shared device', () => {
  const worker = `
    const { Device, SgeState } = require('rdmavt');
    const { parentPort, workerData: { token, number, start, lkey, how } } = require('node:worker_threads');
    const device = Device.attach(token), pd = device.importPd(number), qp = pd.createQp();
    const element = { addr: start, length: 8, lkey }, batch = pd.lkeyBatch(8);
    for (let i = 0; i < 8; i++) batch.set(i, start, 8, lkey);
    const held = [];
    let turn = 0;
    const step = () => {
      for (let i = 0; i < 100; i++) {
        const { sge } = i % 2 ? pd.acquire(element, 0) : qp.acquire({ vaddr: start, length: 8, rkey: lkey }, 4);
        switch (turn++ % 7) {
          case 0: case 1: held.push(sge); break;
          case 2: sge.put(); break;
          case 3: break; // dropped
          case 4: held.push(new SgeState([sge])); break; // held only by the walk
          case 5: held.push([sge, new SgeState([sge, sge])]); break;
          default: batch.put(); batch.acquire(8, 0); held.push(batch.take(turn % 8)); sge.copyTo(new Uint8Array(8));
        }
      }
      if (held.length > 5000) held.splice(0, 4000).forEach((one) => one.put?.());
    };
    for (let i = 0; i < 5; i++) step();
    parentPort.postMessage('holding');
    switch (how) {
      case 'end': break;
      case 'exit': process.exit(3);
      case 'throw': throw new Error('on purpose');
      case 'in a getter': pd.acquire({ get addr() { step(); process.exit(4); }, length: 8, lkey }, 0); break;
      case 'in the end': process.on('exit', step); break;
      default: for (let i = 0; ; i++) { step(); if (i % 50 === 49) gc(); }
    }`;

  const rest = { refs: 2, state: 'Closed', held: true };
  const run = (hows: string): unknown => {
    const { status, signal, stdout, stderr } = runProgram(
      `const { Device } = require('rdmavt');
       const { Worker } = require('node:worker_threads');
       const turn = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
       const device = new Device(), pd = device.allocPd(), mr = pd.regUserMr(new SharedArrayBuffer(64), { start: 0x1000n, access: 31 });
       let most = 0;
       const messages = new Set();
       const one = async (how) => {
         const workerData = { token: device.share(), number: pd.id, start: mr.start, lkey: mr.lkey, how };
         const worker = new Worker(${JSON.stringify(worker)}, { eval: true, workerData });
         const ended = new Promise((resolve) => worker.on('error', ({ message }) => messages.add(message)).once('exit', resolve));
         await Promise.race([ended, new Promise((resolve) => worker.once('message', resolve))]);
         most = Math.max(most, mr.refs);
         if (how === 'loop') { await turn(Math.random() * 40); await worker.terminate(); }
         return ended;
       };
       (async () => {
         const own = pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0).sge;
         const codes = new Set();
         for (const pair of ${hows}) {
           for (const code of await Promise.all(pair.map(one))) codes.add(code);
           const { contexts, queuePairs, regions } = device.resources();
           const left = [mr.refs, contexts.length, queuePairs.length, regions.length].join();
           if (left !== '3,1,0,1') throw new Error(pair + ' left ' + left);
         }
         if (own.copyTo(new Uint8Array(8)) !== 8) throw new Error('the own element');
         own.put();
         const refs = mr.refs;
         mr.dereg();
         pd.dealloc();
         device.close();
         console.log(JSON.stringify({ codes: [...codes].sort(), refs, state: mr.state, held: most > 100, messages: [...messages] }));
       })();`,
      ['--no-warnings'],
    );
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    return JSON.parse(stdout);
  };

  test('are put when the worker ends by itself, by process.exit or by an exception', () => {
    const hows = `[['end', 'exit'], ['throw', 'in a getter'], ['in the end', 'end'], ['exit', 'throw'], ['in a getter', 'in the end']]`;
    expect(run(hows)).toEqual({ ...rest, codes: [0, 1, 3, 4], messages: ['on purpose'] });
  });

  test('are put when the worker is terminated at any moment while it acquires and puts them', () => {
    const hows = `Array.from({ length: 25 }, () => ['loop', 'loop'])`;
    expect(run(hows)).toEqual({ ...rest, codes: [1], messages: [] });
  });
});
