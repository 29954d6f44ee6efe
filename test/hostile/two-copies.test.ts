// Two copies of the package in one process, sharing one native module or with one each.
import { BLOCK_HEADER_BYTES, COMMAND_BYTES, HeaderWord, PACKED_SGE_BYTES } from '../../lib/internal/layout';
import { runProgram } from '../support/programs';

/** The size of the block of a batch of one element without places, and the index of the status word. */
const BATCH_BYTES = BLOCK_HEADER_BYTES + PACKED_SGE_BYTES + Uint32Array.BYTES_PER_ELEMENT;
const STATUS_WORD = HeaderWord.Status;

describe('two copies of the package in one process', () => {
  const load = (clearNative: boolean): string => `
    const first = require('rdmavt');
    for (const path of Object.keys(require.cache)) {
      if (path.includes('dist') ${clearNative ? '|| true' : ''}) delete require.cache[path];
    }
    const second = require('rdmavt');
    if (first.Sge === second.Sge) throw new Error('one copy');
    const DMA = 0x100000n;
    const make = ({ Device, SgeState }) => {
      const device = new Device({ remoteKeyZero: true }), pd = device.allocPd({ trusted: true }), qp = pd.createQp();
      const memory = Buffer.alloc(64, 1), mapping = device.dma.map(Buffer.alloc(8192), { address: DMA });
      const mr = pd.regUserMr(memory, { start: 0n, iova: 0n, access: 31 });
      const sg = pd.allocMr({ maxNumSg: 1 }), fmr = pd.allocFmr({ maxPages: 1 });
      const sge = pd.acquire({ addr: 0n, length: 64, lkey: mr.lkey }, 1).sge;
      const batch = pd.lkeyBatch(1), block = pd.checker();
      batch.set(0, 0n, 64, mr.lkey);
      return { device, pd, qp, memory, mapping, mr, sg, fmr, sge, batch, block, state: new SgeState([sge]) };
    };
    const [a, b] = [make(first), make(second)];
    const told = (use) => { try { use(); return 'ok'; } catch (error) { return error.code ?? error.name; } };
  `;

  test.each([
    ['with one native module', false],
    ['with a native module each', true],
  ])("%s, reject each other's objects, and share memory", (_, clearNative) => {
    const { status, signal, stdout, stderr } = runProgram(
      `${load(clearNative)}
       for (const [ours, theirs, lib] of [[a, b, first], [b, a, second]]) {
         console.log([
           () => new lib.SgeState([theirs.sge]), () => new lib.SgeState([ours.sge, theirs.sge]), () => lib.FastMemoryRegion.unmap([theirs.fmr]),
           () => ours.qp.fastRegMr(theirs.sg, { key: theirs.sg.rkey, access: 0 }), () => ours.pd.acquire({ addr: 0n, length: 1, lkey: ours.mr.lkey }, 0, { last: theirs.sge }),
           () => ours.batch.acquire(1, 0, { last: theirs.sge }), () => ours.batch.copyTo(theirs.batch, 1, 0, 1, 1),
           () => lib.Sge.prototype.copyTo.call(theirs.sge, Buffer.alloc(8)), () => lib.Device.prototype.keyTable.call(theirs.device),
         ].map(told).join());
         // Register one buffer with both copies.
         const shared = ours.pd.regUserMr(theirs.memory, { start: 0x5000n, access: 1 });
         const { sge } = ours.pd.acquire({ addr: 0x5000n, length: 64, lkey: shared.lkey }, 1);
         sge.copyFrom(Buffer.alloc(64, 9));
         const target = Buffer.alloc(64);
         theirs.sge.copyTo(target);
         console.log(target.every((byte) => byte === 9), ours.block.refusal(0n, 64, ours.mr.lkey, 1), theirs.block.refusal(0n, 65, theirs.mr.lkey, 1) > 0);
       }
       structuredClone(a.memory.buffer, { transfer: [a.memory.buffer] });
       console.log(told(() => a.sge.copyTo(Buffer.alloc(8))), told(() => b.sge.copyTo(Buffer.alloc(8))));
       for (const { device } of [a, b]) device.close({ cascade: true });
       gc();`,
      ['--no-warnings'],
    );
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    const wrong = `${Array(7).fill('ERR_INVALID_ARG_TYPE').join()},TypeError,TypeError\ntrue 0 true\n`;
    // The output after this depends on whether the small Buffers of both copies lie in one pool, which the transfer detaches.
    expect(stdout.startsWith(wrong.repeat(2))).toBe(true);
  });

  test("with one native module share the command block, but never take each other's results", () => {
    const { status, signal, stdout, stderr } = runProgram(
      `${load(false)}
       // Interrupt each check of one copy with checks of the other, at each property that it reads.
       const verdictOf = (use) => { try { const { ok, reason, sge } = use(); sge?.put(); return ok ? 'ok' : reason; } catch (error) { return error.code ?? error.name; } };
       let asked = 0;
       const answers = new Set();
       for (const [ours, theirs] of [[a, b], [b, a]]) {
         const interrupted = (fields) => Object.defineProperties({}, Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, { enumerable: true, get() {
           asked++;
           for (const use of [() => theirs.pd.acquire({ addr: 8n, length: 8, lkey: theirs.mr.lkey }, 31), () => theirs.qp.check({ vaddr: 60n, length: 8, rkey: theirs.mr.rkey }, 4), () => theirs.pd.regUserMr(Buffer.alloc(8)).dereg() ?? {}]) verdictOf(use);
           theirs.sge.length; theirs.mr.refs; theirs.block.refusal(1n, 1, 1, 1); theirs.sge.copyTo(Buffer.alloc(8));
           return value;
         } }])));
         for (const [addr, length, wanted] of [[0n, 64, 'ok'], [1n, 64, 'OutOfBounds'], [63n, 1, 'ok'], [64n, 1, 'OutOfBounds']]) {
           answers.add(verdictOf(() => ours.pd.check(interrupted({ addr, length, lkey: ours.mr.lkey }), 1)) === wanted).add(verdictOf(() => ours.pd.acquire(interrupted({ addr, length, lkey: ours.mr.lkey }), 1)) === wanted)
             .add(verdictOf(() => ours.qp.acquire(interrupted({ vaddr: addr, length, rkey: ours.mr.rkey }), 4)) === wanted);
         }
         const mr = ours.pd.regUserMr(Buffer.alloc(48), interrupted({ start: 0x7000n, iova: 0x8000n, access: 5 }));
         answers.add([mr.start, mr.iova, mr.length, mr.access, mr.refs].join() === '28672,32768,48,5,2');
       }
       console.log(asked, [...answers].join(), [a, b].map(({ mr }) => mr.refs).join());`,
      ['--no-warnings'],
    );
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    expect(stdout).toBe('78 true 3,3\n'); // each region has 2 references, plus 1 for its held SGE
  });

  test('with a native module each, handles of one module have the documented meaning in the other', () => {
    const { status, signal, stdout, stderr } = runProgram(
      `const [one, two] = [0, 1].map(() => {
         for (const path of Object.keys(require.cache)) delete require.cache[path];
         const { native, Block } = require('./test/support/native.cjs');
         const block = new Block();
         const device = native.openDevice(8, false, true, false, new Uint32Array(13).fill(250)), pd = device.allocPd(false), qp = pd.createCheckQp();
         const memory = new Uint8Array(4096).fill(3);
         const mr = block.register(pd, memory, 0x1000n, 0x1000n, 31);
         const sge = block.acquire(pd, 0x1000n, 64, 256, 1);
         return { native, block, device, pd, qp, memory, mr, sge, fmr: block.make(pd, 'allocFmr', 31, 4, 32, 12) };
       });
       if (one.native === two.native || one.block.words.buffer === two.block.words.buffer) throw new Error('one module');
       const told = (use) => { try { const answer = use(); return typeof answer === 'object' ? 'object' : answer; } catch (error) { return error.name; } };
       for (let round = 0; round < 50; round++) {
         for (const [a, b] of [[one, two], [two, one]]) {
           const memory = new Uint8Array(new SharedArrayBuffer(64 + 20));
           // Objects of the other module are native objects of other classes; its numbers are looked up in this module.
           const answers = [
             () => a.block.check(b.pd, 0x1000n, 8, 256, 1), () => a.block.register(b.pd, b.memory, 0n, 0n, 1), () => a.block.release(a.block.newRegion(a.pd)), () => a.block.describe(b.sge),
             () => a.native.createBatch(b.pd, memory, 1, false, false), () => Object.getPrototypeOf(a.device).bits.call(b.device), () => a.pd.number.call(b.pd),
             () => a.native.createSgeState(a.block.elements(b.sge)).totalLength(), () => a.native.createSgeState(a.block.elements(b.sge, a.sge)).copyOut(new Uint8Array(128), false), () => a.block.fastReg(b.qp, a.mr, 256, 1, undefined),
             () => b.native.createBatch(b.pd, memory, 1, false, false).copyTo(a.native.createBatch(a.pd, memory, 1, false, false)),
           ].map(told);
           if (round === 0) console.log(answers.join());
         }
         gc();
       }`,
      ['--no-warnings'],
    );
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    expect(stdout).toBe('0,object,0,object,object,TypeError,TypeError,64,128,-22,\n'.repeat(2));
  });

  test('loaded from two files: no function accepts a native object of the other file', () => {
    // A second file is a separate module with its own pools, readers and epochs.
    const { status, signal, stdout, stderr } = runProgram(
      `const { copyFileSync, mkdirSync, mkdtempSync, rmSync } = require('node:fs'), { dirname, join, relative } = require('node:path');
       const home = mkdtempSync(join(require('node:os').tmpdir(), 'rdmavt-copy-'));
       process.on('exit', () => { try { rmSync(home, { recursive: true }); } catch {} });
       const load = (folder) => {
         if (folder) process.env.RDMAVT_PREBUILD = folder;
         for (const path of Object.keys(require.cache)) delete require.cache[path];
         const build = require('node-gyp-build');
         const root = process.env.RDMAVT_PREBUILD || process.cwd(), file = build.resolve(root);
         return { root, file, native: require(file), lib: require('rdmavt') };
       };
       const first = load();
       // Keep the relative path: the suite also runs on prebuilt binaries alone, and no other path is searched then.
       const copy = join(home, relative(first.root, first.file));
       mkdirSync(dirname(copy), { recursive: true });
       copyFileSync(first.file, copy);
       const second = load(home);
       if (first.file === second.file) throw new Error('one file');
       const COMMANDS = ${COMMAND_BYTES};
       const things = ({ native }) => {
         native.commandBlock(new Uint8Array(new SharedArrayBuffer(COMMANDS)));
         const device = native.openDevice(8, true, false, false, new Uint32Array(13).fill(250)), pd = device.allocPd(true), qp = pd.createCheckQp();
         const mapping = device.mapDma(new Uint8Array(4096), undefined), memory = device.allocDm(4096, false);
         memory.buffer();
         const block = () => new Uint8Array(new SharedArrayBuffer(${BATCH_BYTES}));
         const batch = native.createBatch(pd, block(), 1, false, false);
         return { device, pd, qp, mapping, memory, buffer: memory.handle(), batch, block };
       };
       const [a, b] = [things(first), things(second)];
       const told = (use) => { try { const answer = use(); return typeof answer === 'object' ? 'taken' : String(answer); } catch (error) { return error.name; } };
       const answers = new Set();
       for (const [own, ours, theirs] of [[first, a, b], [second, b, a]]) {
         // Pass every object to every function and method.
         const objects = [theirs.device, theirs.pd, theirs.qp, theirs.mapping, theirs.memory, theirs.buffer, theirs.batch];
         for (const object of objects) {
           answers.add(told(() => own.native.createBatch(object, ours.block(), 1, false, false)));
           answers.add(told(() => ours.device.share(object)));
           answers.add(told(() => ours.device.mapDma(object, undefined)));
         }
         // copyTo writes its result into the block: EINVAL, and nothing was moved.
         const block = ours.block(), copier = own.native.createBatch(ours.pd, block, 1, false, false);
         for (const object of objects) { copier.copyTo(object); answers.add('status ' + new Int32Array(block.buffer)[${STATUS_WORD}]); }
         // Use the object as the receiver of every method of every class.
         for (const [mine, their] of [['device'], ['pd'], ['qp'], ['mapping'], ['memory']].map(([name]) => [ours[name], theirs[name]])) {
           for (const method of Object.getOwnPropertyNames(Object.getPrototypeOf(mine))) {
             if (method === 'constructor') continue;
             answers.add(told(() => Object.getPrototypeOf(mine)[method].call(their)));
           }
         }
       }
       console.log([...answers].sort().join());
       // The classes of lib recognize the objects of their own copy by identity, not by shape.
       const make = ({ lib: { Access, Device, SgeState } }) => {
         const device = new Device(), pd = device.allocPd(), qp = pd.createQp(), mr = pd.regUserMr(new Uint8Array(64), { access: 31 });
         const sg = pd.allocMr({ maxNumSg: 1 }), fmr = pd.allocFmr({ maxPages: 1 });
         return { device, pd, qp, mr, sg, fmr, sge: pd.acquire({ addr: mr.start, length: 64, lkey: mr.lkey }, 1).sge, batch: pd.lkeyBatch(1) };
       };
       const [x, y] = [make(first), make(second)], codes = new Set();
       for (const [{ lib }, ours, theirs] of [[first, x, y], [second, y, x]]) {
         for (const use of [
           () => ours.qp.fastRegMr(theirs.sg, { key: theirs.sg.rkey, access: 0 }), () => ours.pd.deregMany([theirs.mr]), () => lib.FastMemoryRegion.unmap([theirs.fmr]),
           () => new lib.SgeState([theirs.sge]), () => ours.batch.copyTo(theirs.batch, 1, 0, 1, 1), () => ours.batch.acquire(1, 0, { last: theirs.sge }),
           () => ours.pd.acquire({ addr: 0, length: 1, lkey: ours.mr.lkey }, 0, { last: theirs.sge }), () => ours.device.share({ pd: theirs.pd }),
         ]) { try { use(); codes.add('taken'); } catch (error) { codes.add(error.code); } }
         try { lib.Device.attach(theirs.device.share()); codes.add('taken'); } catch (error) { codes.add(error.code); }
       }
       console.log([...codes].sort().join());`,
      ['--no-warnings'],
    );
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    expect(stdout).toBe('TypeError,status -22\nERR_INVALID_ARG_TYPE,EXDEV\n');
  });
});
