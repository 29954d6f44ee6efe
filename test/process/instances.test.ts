// Many copies of the package's JavaScript in one process, with one native module: what a copy holds is released when the copy is
// dropped, although the native module watches the holders of all copies for the lifetime of the process.
import { runProgram } from '../support/programs';

const prelude = `
  const { join, dirname } = require('node:path');
  const vm = require('node:vm');
  const { readFileSync } = require('node:fs');
  const { native } = require('./test/support/native.cjs');
  const self = module;
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const collect = async (done) => {
    for (let i = 0; i < 40; i++) {
      gc();
      await turn();
      if (done()) return true;
      await turn(); // an object returned by WeakRef.deref stays alive until the end of the turn
    }
    return false;
  };
  const entry = join(process.cwd(), 'dist', 'index.js');
  /** Loads a separate copy of the package; the native module is shared. */
  const load = () => {
    for (const path of Object.keys(require.cache)) if (path.startsWith(dirname(entry))) delete require.cache[path];
    self.children.length = 0;
    const copy = require(entry);
    for (const path of Object.keys(require.cache)) if (path.startsWith(dirname(entry))) delete require.cache[path];
    self.children.length = 0;
    return copy;
  };
  /** Loads a separate copy of the package in a separate realm. Its code is in the library, of which the entry shows a part. */
  const library = join(dirname(entry), 'library.js'), source = readFileSync(library, 'utf8');
  const loadInRealm = () => {
    const context = vm.createContext({ process, performance, setTimeout, clearTimeout, setImmediate, console, Buffer, URL });
    const exported = {}, inner = { exports: exported };
    vm.runInContext('(function (exports, require, module, __filename, __dirname) {' + source + '\\n})', context, { filename: library })
      .call(exported, exported, require, inner, library, dirname(library));
    return inner.exports.index;
  };
  /** One device of the main copy, to which each copy attaches and whose region each copy holds. */
  const main = require(entry);
  const device = new main.Device(), pd = device.allocPd(), mr = pd.regUserMr(new SharedArrayBuffer(64), { start: 0x1000n, access: 31 });
  const token = device.share(), element = { addr: mr.start, length: 8, lkey: mr.lkey };
  /** Creates SGEs, walks and batches with a copy, some of which are put or dropped at once. */
  const use = ({ Device, SgeState }, count) => {
    const attached = Device.attach(token), theirs = attached.importPd(pd.id), held = [];
    for (let i = 0; i < count; i++) {
      const { sge } = theirs.acquire(element, 0);
      if (i % 4 === 1) sge.put();
      else if (i % 4 === 2) held.push(new SgeState([sge]));
      else held.push(sge);
    }
    const batch = theirs.lkeyBatch(4);
    for (let i = 0; i < 4; i++) batch.set(i, mr.start, 8, mr.lkey);
    batch.acquire(4, 0);
    held.push(batch, batch.take(1));
    return { attached, theirs, held };
  };
`;

function output(program: string): unknown {
  const { status, signal, stdout, stderr } = runProgram(prelude + program, ['--no-warnings']);
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  return JSON.parse(stdout);
}

describe.each(['load', 'loadInRealm'])('copies of the package that are dropped (%s)', (how) => {
  test('release the SGEs that they hold and are garbage-collected, fifty copies at once', () => {
    expect(
      output(
        `(async () => {
           const kept = [];
           const made = (() => Array.from({ length: 50 }, (_, i) => {
             const copy = ${how}();
             const used = use(copy, 200);
             if (i % 10 === 0) kept.push(used);
             return { of: new WeakRef(copy.Sge), sge: new WeakRef(used.held[0]), device: new WeakRef(used.attached), i };
           }))();
           if (new Set(made.map(({ of }) => of.deref())).size !== 50) throw new Error('one copy');
           const each = 100 + 50 + 4, all = mr.refs;
           const gone = await collect(() => mr.refs === 2 + 5 * each);
           const alive = () => made.filter(({ of }) => of.deref() !== undefined).map(({ i }) => i).join();
           await collect(() => alive() === '0,10,20,30,40');
           const some = [all - 2, gone, mr.refs - 2, alive(), device.resources().contexts.length];
           // The SGEs that are still held keep working.
           const moved = kept.map(({ held }) => held[0].copyTo(new Uint8Array(8)));
           kept.length = 0;
           const over = await collect(() => mr.refs === 2 && alive() === '');
           console.log(JSON.stringify({ some, moved, over, left: alive(), refs: mr.refs, contexts: device.resources().contexts.length }));
           device.close({ cascade: true });
         })();`,
      ),
    ).toEqual({
      some: [50 * 154, true, 5 * 154, '0,10,20,30,40', 6],
      moved: [8, 8, 8, 8, 8],
      over: true,
      left: '',
      refs: 2,
      contexts: 1,
    });
  });

  // memory-pressure.test.ts measures the memory of the process.
  test('leave nothing in the heap, and their cells are reused', () => {
    const { heap, cells } = output(
      `(async () => {
         const round = async (count) => {
           for (let i = 0; i < count; i++) {
             (() => { use(${how}(), 400); })();
             if (i % 5 === 4) await collect(() => mr.refs === 2);
           }
           await collect(() => mr.refs === 2);
           for (let i = 0; i < 5; i++) { gc(); await turn(); }
           if (mr.refs !== 2) throw new Error('refs ' + mr.refs);
         };
         await round(20);
         const before = process.memoryUsage().heapUsed;
         await round(50);
         const after = process.memoryUsage().heapUsed;
         console.log(JSON.stringify({ heap: (after - before) / 2 ** 20, cells: native.bindCell({}) }));
         device.close({ cascade: true });
       })();`,
    ) as { heap: number; cells: number };
    expect(heap).toBeLessThan(3);
    // `bindCell` returns the lowest free cell. About 5 copies with 300 SGEs each exist at a time, and some are not collected yet.
    expect(cells).toBeLessThan(4000);
  });
});
