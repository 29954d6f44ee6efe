// Every function may throw when the stack overflows. A verb that throws there must have done nothing: no unreachable object is
// left, and nothing was closed, moved or put.
import { runProgram } from '../support/programs';

/** Every verb that changes state, as an expression over the objects of a `world`. */
const verbs: Record<string, string> = {
  'Device.attach': 'Device.attach(w.token)',
  'device.allocPd': 'w.device.allocPd()',
  'device.allocDm': 'w.device.allocDm(8)',
  'device.detach': 'w.device.detach({ cascade: true })',
  'device.close': 'w.device.close({ cascade: true })',
  'dma.map': 'w.device.dma.map(w.bytes)',
  'mapping.unmap': 'w.mapping.unmap()',
  'memory.free': 'w.memory.free()',
  'pd.regUserMr': 'w.pd.regUserMr(w.bytes)',
  'pd.getDmaMr': 'w.pd.getDmaMr()',
  'pd.allocMr': 'w.pd.allocMr({ maxNumSg: 1 })',
  'pd.allocFmr': 'w.pd.allocFmr({ maxPages: 1 })',
  'pd.createQp': 'w.pd.createQp()',
  'pd.acquire': 'w.pd.acquire({ addr: 0x5000, length: 1, lkey: w.key }, 0)',
  'pd.acquire, coalescing': 'w.pd.acquire({ addr: 0x5008, length: 1, lkey: w.key }, 4, { last: w.sge })',
  'pd.deregMany': 'w.pd.deregMany([w.spare])',
  'pd.dealloc': 'w.pd.dealloc({ cascade: true })',
  'qp.acquire': 'w.qp.acquire({ vaddr: 0x5000, length: 1, rkey: w.key }, 4)',
  'qp.fastRegMr': 'w.qp.fastRegMr(w.sg, { key: w.sgKey, access: 1, iova: 0x9000 })',
  'qp.invalidateRkey': 'w.qp.invalidateRkey(w.key)',
  'qp.destroy': 'w.qp.destroy()',
  'mr.dereg': 'w.spare.dereg()',
  'mr.dereg, held': 'w.mr.dereg({ force: true })',
  'mr[Symbol.dispose]': 'w.mr[w.dispose]()',
  'mr.countAccesses': 'w.mr.countAccesses()',
  'mr.rereg': 'w.spare.rereg({ access: 1 })',
  'mr.rereg, moving': 'w.spare.rereg({ translation: { memory: w.target, iova: 7 } })',
  'pd.allocMw': 'w.pd.allocMw()',
  'mw.dealloc': 'w.mw.dealloc()',
  'mr.advertise, a lease': 'w.mr.advertise({ expiresInMs: 100000 })',
  'lease.revoke': 'w.lease.revoke()',
  'mr.mapSg': 'w.sg.mapSg([{ addr: DMA, length: 16 }])',
  'fmr.mapPhys': 'w.fmr.mapPhys([DMA, DMA], 0x7000)',
  'fmr.unmap': 'w.mapped.unmap()',
  'fmr.dealloc': 'w.fmr.dealloc()',
  'sge.put': 'w.sge.put()',
  'sge.copyFrom': 'w.sge.copyFrom(w.source)',
  'sge.copyTo': 'w.sge.copyTo(w.target)',
  'sge.fetchAdd': 'w.sge.fetchAdd(1)',
  'sge.compareSwap': 'w.sge.compareSwap(0, 1)',
  'state.update': 'w.state.update(1)',
  'state.skip': 'w.state.skip(1)',
  'state.put': 'w.state.put()',
  'state.copyIn': 'w.writing.copyIn(w.source, { put: true })',
  'state.copyOut': 'w.state.copyOut(w.target.subarray(0, 4), { put: true })',
  'state.walk': 'w.state.walk([4])',
  'batch.acquire': 'w.batch.acquire(1, 0)',
  'batch.put': 'w.holding.put()',
  'batch.take': 'w.keep.push(w.holding.take(0))',
  'batch.gather': 'w.batch.gather(w.target, 1, 0)',
  'batch.scatter': 'w.batch.scatter(w.source, 1, 1)',
};

/** The verbs that create objects, and therefore capture stacks. */
const makers = Object.entries(verbs).filter(([name]) =>
  /\.alloc|advertise|createQp|regUserMr|getDmaMr|dma\.map|attach/.test(name),
);

const program = (verb: string, options = ''): string => `
  const { Device, SgeState } = require('rdmavt');
  const DMA = 0x100000n;
  const accepted = (check) => { if (!check.ok) throw new Error(check.reason); return check.sge; };
  function world() {
    const device = new Device({ lkeyTableBits: 6, keyPolicy: 'sequential'${options} }), pd = device.allocPd({ trusted: true }), qp = pd.createQp();
    const bytes = new Uint8Array(64), target = new Uint8Array(8), source = new Uint8Array(8).fill(7);
    const pages = device.dma.map(new Uint8Array(8192), { address: DMA }), mapping = device.dma.map(new Uint8Array(64));
    const mr = pd.regUserMr(bytes, { start: 0x5000, iova: 0x5000, access: 31 }), key = mr.rkey;
    const spare = pd.regUserMr(bytes), sg = pd.allocMr({ maxNumSg: 2 }), sgKey = sg.rkey;
    const fmr = pd.allocFmr({ maxPages: 2 }), mapped = pd.allocFmr({ maxPages: 1 });
    mapped.mapPhys([DMA], 0x8000);
    const mw = pd.allocMw(), lease = pd.regUserMr(bytes, { access: 31 }).advertise({ expiresInMs: 1e9 });
    const sge = accepted(qp.acquire({ vaddr: 0x5000, length: 8, rkey: key }, 8));
    const last = accepted(pd.acquire({ addr: 0x5000, length: 8, lkey: key }, 4));
    const reading = accepted(pd.acquire({ addr: 0x5000, length: 8, lkey: key }, 4)), other = accepted(pd.acquire({ addr: 0x5010, length: 8, lkey: key }, 1));
    const batch = pd.lkeyBatch(1), holding = pd.lkeyBatch(1);
    for (const one of [batch, holding]) one.set(0, 0x5000, 8, key);
    holding.acquire(1, 0);
    return { device, pd, qp, bytes, target, source, mapping, mr, key, spare, sg, sgKey, fmr, mapped, mw, lease, sge: ${verb.includes('compareSwap') || verb.includes('fetchAdd') ? 'sge' : verb.includes('last:') ? 'last' : 'other'}, reading, last,
      state: new SgeState([reading]), writing: new SgeState([other]), batch, holding, keep: [], memory: device.allocDm(8), token: device.share(), dispose: Symbol.dispose ?? Symbol.for('nodejs.dispose') };
  }
  const alive = (ask) => { try { return ask(); } catch (error) { return error.code; } };
  // Returns the state that a verb could have changed, apart from its own result.
  const snapshot = (w) => JSON.stringify([
    alive(() => w.device.resources()), alive(() => w.sge.length), w.state.totalLength, w.state.remaining, w.writing.totalLength,
    w.mw.state, w.lease.state,
    [w.mr, w.spare, w.sg, w.fmr, w.mapped].map((region) => [region.state, alive(() => region.length), alive(() => region.iova), alive(() => region.refs), alive(() => region.counters)]),
    [...w.bytes], [...w.target], w.keep.length, alive(() => w.holding.take(0)?.length), alive(() => w.batch.take(0)?.length),
  ], (name, value) => ['region', 'stack', 'buffer', 'batch', 'msLeft'].includes(name) ? undefined : typeof value === 'bigint' ? String(value) : value);
  const verb = (w) => { ${verb}; };
  const frames = (pad) => new Function('use', 'left', 'return (function again(' + Array.from({ length: pad }, (_, i) => 'v' + i + ' = ' + i) + ') { try { return again(); } catch (error) { if (left-- === 0) return use(); throw error; } })()');
  // Warm up: the engine compiles functions at their first call.
  for (let i = 0; i < 3; i++) { const w = world(); verb(w); snapshot(w); alive(() => w.device.close({ cascade: true })); }
  const untouched = world(), before = snapshot(untouched);
  untouched.device.close({ cascade: true });
  let refused = 0, done = 0;
  const wrong = [];
  // Use frames of two sizes, so that the stack overflows at many points of the verb.
  for (const pad of [8, 11]) {
    const near = frames(pad);
    for (let left = 0; left < 1000; left++) {
      const w = world();
      let threw;
      try { near(() => verb(w), left); } catch (error) { threw = error; }
      if (threw === undefined) { done++; left = 1000; }
      else if (!/call stack/.test(threw.message)) wrong.push('threw ' + threw.message);
      else {
        refused++;
        const after = snapshot(w);
        if (after !== before) wrong.push('pad ' + pad + ', frame ' + left + ': ' + before + ' became ' + after);
      }
      alive(() => w.device.close({ cascade: true }));
    }
  }
  console.log(JSON.stringify({ refused: refused > 0, done, wrong: wrong.slice(0, 2) }));
  process.exit(0);
`;

/** A short stack overflows sooner. */
const shortStack = ['--stack-size=100', '--no-warnings'];

describe('a stack overflow in', () => {
  test.each(Object.entries(verbs))('%s changes nothing', (_, verb) => {
    const { stdout, stderr } = runProgram(program(verb), shortStack);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ refused: true, done: 2, wrong: [] });
  });

  test.each(makers)('%s changes nothing while stacks are captured', (_, verb) => {
    const { stdout, stderr } = runProgram(program(verb, ', captureStacks: true'), shortStack);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ refused: true, done: 2, wrong: [] });
  });
});

test.each(makers)('%s changes nothing if capturing the stack throws', (_, verb) => {
  const { stdout, stderr } = runProgram(`
    const told = [];
    ${/const \{ Device[^]*?\n {2}const verb = .*\n/.exec(program(verb, ', captureStacks: true'))![0]}
    const w = world();
    Error.prepareStackTrace = () => { throw new Error('from prepareStackTrace'); };
    try { verb(w); told.push('done'); } catch (error) { told.push('threw'); }
    const { split } = String.prototype;
    Error.prepareStackTrace = undefined;
    String.prototype.split = () => { throw new Error('from split'); };
    try { verb(w); told.push('done'); } catch (error) { told.push('threw'); }
    String.prototype.split = split;
    console.log(told.join());
    process.exit(0);
  `);
  expect(stderr).toBe('');
  expect(stdout).toBe('done,done\n');
});
