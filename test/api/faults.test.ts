// Faults that a device makes on purpose.
import {
  Access,
  type CheckReason,
  type Completion,
  CompletionError,
  Device,
  type DeviceFaults,
  fastRegKey,
  type FaultCounters,
  type FaultName,
  rkey,
} from '../../lib';
import { checkReasons } from '../../lib/internal/reasons';
import { argumentError, outOfRange, rdma, wrongType } from '../support/answers';
import { describeIf } from '../support/conditions';
import { ends, lineOf, linesOf, memory } from '../support/queue-pairs';
import { open } from '../support/scene';
import { Peer } from '../support/workers';
import { wireEnds } from '../support/wire-ends';

const write = Access.LocalWrite;

/** A device with these faults, a domain, and a region of 4096 bytes. */
function scene(faults: DeviceFaults) {
  const device = open({ faults });
  const pd = device.allocPd();
  const mr = pd.regUserMr(Buffer.alloc(4096), { access: 15 });
  const asked = { addr: mr.start, length: 8, lkey: mr.lkey };
  return { device, pd, mr, asked };
}

/** The numbers of the checks, of `count`, that are refused with this reason. */
function refusedOf(count: number, faults: DeviceFaults, reason: CheckReason = 'Revoked'): number[] {
  const { device, pd, asked } = scene(faults);
  const refused: number[] = [];
  for (let i = 1; i <= count; i++) {
    const answer = pd.check(asked, write);
    if (!answer.ok) {
      expect(answer.reason).toBe(reason);
      refused.push(i);
    }
  }
  expect(device.faults()?.refuse).toEqual({ seen: count, made: refused.length });
  expect(device.counters()).toMatchObject({
    accepted: count - refused.length,
    reasons: refused.length > 0 ? { [reason]: refused.length } : {},
  });
  return refused;
}

describe('when a fault is made', () => {
  test('at the n-th occasion, and at each n-th', () => {
    expect(refusedOf(20, { seed: 1, refuse: { at: 3 } })).toEqual([3]);
    expect(refusedOf(20, { seed: 1, refuse: { every: 6 } })).toEqual([6, 12, 18]);
    expect(refusedOf(20, { seed: 1, refuse: { at: 7, every: 9 } })).toEqual([7, 9, 18]);
  });

  test('by probability: 0 never, 1 always, others about as often as asked', () => {
    expect(refusedOf(50, { seed: 1, refuse: 1 }).length).toBe(50);
    for (const [probability, least, most] of [
      [0.5, 900, 1100],
      [0.01, 5, 45],
    ] as const) {
      const { length } = refusedOf(2000, { seed: 9, refuse: { probability } });
      expect(length).toBeGreaterThan(least);
      expect(length).toBeLessThan(most);
    }
  });

  test('the same seed gives the same run, another seed another one', () => {
    const of = (seed: number | bigint): number[] => refusedOf(300, { seed, refuse: 0.2 });
    expect(of(5)).toEqual(of(5n));
    expect(of(2n ** 64n - 1n)).toEqual(of(2n ** 64n - 1n));
    expect(of(5)).not.toEqual(of(6));
    expect(of(0)).not.toEqual(of(2n ** 63n));
  });

  test('the draws of one kind do not shift those of another', () => {
    expect(refusedOf(200, { seed: 5, refuse: 0.2, rnr: 0.5, flush: 0.5, slow: 1 })).toEqual(
      refusedOf(200, { seed: 5, refuse: 0.2 }),
    );
  });
});

/** Returns the counts of one kind, which must exist. */
function countOf(device: Device, kind: FaultName): FaultCounters[FaultName] | undefined {
  return device.faults()?.[kind];
}

describe('refuse', () => {
  test.each(checkReasons)('with the reason %s', (reason) => {
    expect(refusedOf(3, { seed: 1, refuse: { every: 2, reason } }, reason)).toEqual([2]);
  });

  test('a number is a probability, and 0 is no fault', () => {
    const { device, pd, asked } = scene({ seed: 1, refuse: 0 });
    expect(pd.check(asked, write).ok).toBe(true);
    expect(countOf(device, 'refuse')).toEqual({ seen: 0, made: 0 });
  });

  test('says in the explanation that the device did it, unless the rules refuse it as well', () => {
    const { pd, mr, asked } = scene({ seed: 1, refuse: { every: 1, reason: 'OutOfBounds' } });
    const refused = pd.check(asked, write);
    expect(refused.ok ? '' : refused.explain()).toMatch(
      /^OutOfBounds: .* was refused\. The device refuses accesses on purpose \(options\.faults\.refuse\)/,
    );
    const wrong = pd.check({ ...asked, length: 5000 }, write);
    expect(wrong.ok ? '' : wrong.explain()).toMatch(/ends 904 bytes past the last byte/);
    mr.dereg();
    expect(refused.ok ? '' : refused.explain()).not.toMatch(/on purpose/);
    const usual = open().allocPd().check(asked, write);
    expect(usual.ok ? '' : usual.explain()).not.toMatch(/on purpose/);
  });

  test('elements, remote checks, batches and copies; a refused one holds nothing', () => {
    const { device, pd, mr, asked } = scene({ seed: 1, refuse: { every: 2 } });
    const qp = pd.createQp();
    const first = pd.acquire(asked, write);
    const second = pd.acquire(asked, write);
    expect([first.ok, second.ok, mr.refs]).toEqual([true, false, 3]);
    if (first.ok && !first.coalesced) first.sge.put();
    const remote = { vaddr: mr.iova, length: 8, rkey: mr.rkey };
    expect([qp.check(remote, Access.RemoteRead).ok, qp.check(remote, Access.RemoteRead).ok]).toEqual([
      true,
      false,
    ]);
    const batch = pd.lkeyBatch(4);
    for (let i = 0; i < 4; i++) batch.set(i, asked.addr + BigInt(i * 8), 8, asked.lkey);
    batch.check(4, write);
    expect(Array.from({ length: 4 }, (_, i) => batch.reason(i))).toEqual([
      undefined,
      'Revoked',
      undefined,
      'Revoked',
    ]);
    expect(batch.gather(new Uint8Array(32), 4, 0)).toBe(8);
    expect(countOf(device, 'refuse')).toEqual({ seen: 10, made: 5 });
    expect(mr.refs).toBe(2);
    // The counters of a region count what was told.
    const counted = pd.regUserMr(Buffer.alloc(8), { access: 15 });
    counted.countAccesses();
    for (let i = 0; i < 4; i++) pd.check({ addr: counted.start, length: 8, lkey: counted.lkey }, write);
    expect(counted.counters).toMatchObject({ accepted: 2, refused: 2 });
  });

  test('other kinds of regions: after fastRegMr, of device memory, key 0', () => {
    const device = open({ faults: { seed: 1, refuse: { every: 2 } } });
    const pd = device.allocPd({ trusted: true });
    const qp = pd.createQp();
    const mapping = device.dma.map(Buffer.alloc(4096), { address: 0x10_0000n });
    const fast = pd.allocMr({ maxNumSg: 1 });
    fast.mapSg([{ addr: mapping.address, length: 4096 }], { pageSize: 4096 });
    qp.fastRegMr(fast, { key: fastRegKey(fast.lkey, 7), access: write });
    const dm = pd.regUserMr(device.allocDm(4096).buffer, { access: write });
    const dma = pd.getDmaMr({ access: write });
    for (const mr of [fast, dm]) {
      const ask = () => pd.check({ addr: mr.start, length: 8, lkey: mr.lkey }, write).ok;
      expect([ask(), ask()]).toEqual([true, false]);
    }
    const zero = () => pd.check({ addr: 0x10_0000n, length: 8, lkey: dma.lkey }, write).ok;
    expect([zero(), zero()]).toEqual([true, false]);
    dma.dereg();
  });

  test('of a work request when it is posted, of a receive, of the remote access', () => {
    const faults = { seed: 1, refuse: { at: 1, reason: 'WrongPd' } } as const;
    const posted = ends({ device: { faults } });
    const from = memory(posted.pd, 'hello');
    const wr = { opcode: 'RDMA_WRITE', sges: [from.sge()], wrId: 1, signaled: true, ...from.at() } as const;
    expect(() => posted.a.postSend(wr)).toThrow(
      expect.objectContaining({ code: 'EINVAL', detail: expect.objectContaining({ reason: 'WrongPd' }) }),
    );
    const written = ends({ device: { faults: { ...faults, refuse: { at: 2, reason: 'WrongPd' } } } });
    const [source, target] = [memory(written.pd, 'hello'), memory(written.pd, 5)];
    written.a.postSend({ ...wr, sges: [source.sge()], ...target.at() });
    written.device.run();
    const [wc] = written.aCq.poll(1);
    expect(wc).toMatchObject({ status: 'REM_ACCESS_ERR', reason: 'WrongPd' });
    expect(wc?.explain()).toMatch(/WrongPd/);
    expect(target.bytes.toString()).toBe('\0'.repeat(5));
  });
});

describe('rnr', () => {
  test('the sender waits, and sends again when its timer fires', () => {
    const { device, pd, a, aCq, b, bCq } = ends({ device: { faults: { seed: 1, rnr: { at: 1 } } } });
    const from = memory(pd, 'hello');
    b.postRecv({ wrId: 7, sges: [memory(pd, 8).sge()] });
    a.postSend({ opcode: 'SEND', sges: [from.sge()], wrId: 1, signaled: true });
    device.run();
    expect([linesOf(aCq), linesOf(bCq)]).toEqual([[], []]);
    expect(device.fireTimers()).toHaveLength(1);
    device.run();
    expect([linesOf(aCq), linesOf(bCq)]).toEqual([['1 SEND SUCCESS'], ['7 RECV SUCCESS']]);
    expect(countOf(device, 'rnr')).toEqual({ seen: 2, made: 1 });
  });

  test('always: the retries are used up, and the completion says who did it', async () => {
    const { device, pd, a, b } = ends({
      device: { engine: 'auto', faults: { seed: 1, rnr: 1 } },
      connect: { rnrRetry: 1, minRnrTimer: 1 },
    });
    b.postRecv({ sges: [memory(pd, 8).sge()] });
    const error = await a.send(memory(pd, 'hello').sge()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CompletionError);
    expect(error).toMatchObject({ status: 'RNR_RETRY_EXC_ERR', reason: 'Injected' });
    expect((error as CompletionError).message).toMatch(/options\.faults\.rnr/);
    expect(countOf(device, 'rnr')).toEqual({ seen: 2, made: 2 });
  });
});

describe('flush', () => {
  test('the work request and those behind it complete with WR_FLUSH_ERR', () => {
    const { device, pd, a, aCq } = ends({ device: { faults: { seed: 1, flush: { at: 2 } } } });
    const at = memory(pd, 64);
    for (let wrId = 1; wrId <= 3; wrId++)
      a.postSend({ opcode: 'RDMA_WRITE', sges: [at.sge(0, 8)], wrId, signaled: true, ...at.at(8) });
    device.run();
    const [, injected] = aCq.poll(2) as [Completion, Completion];
    expect(lineOf(injected)).toBe('2 RDMA_WRITE WR_FLUSH_ERR Injected');
    expect(injected.explain()).toMatch(/options\.faults\.flush/);
    expect(linesOf(aCq)).toEqual(['3 RDMA_WRITE WR_FLUSH_ERR Flushed']);
    expect(a.query().state).toBe('ERR');
    expect(countOf(device, 'flush')).toEqual({ seen: 2, made: 1 });
  });

  test('promises reject', async () => {
    const { pd, a } = ends({ device: { engine: 'auto', faults: { seed: 1, flush: 1 } } });
    const at = memory(pd, 8);
    await expect(a.write(at.sge(), at.at())).rejects.toMatchObject({
      status: 'WR_FLUSH_ERR',
      reason: 'Injected',
    });
  });
});

describe('overflow', () => {
  test.each([false, true])('the queue is broken and tells so (ring: %s)', async (ring) => {
    const { device, pd, b } = ends({ device: { engine: 'auto', faults: { seed: 1, overflow: { at: 2 } } } });
    const cq = device.createCq(8, { ring: ring as false });
    const a = pd.createQp({ type: 'RC', sendCq: cq });
    const other = pd.createQp({ type: 'RC', sendCq: b.sendCq! });
    a.connect(other, { access: 15 });
    const broken = new Promise((resolve) => cq.once('cqError', () => resolve(undefined)));
    const at = memory(pd, 64);
    for (let wrId = 1; wrId <= 2; wrId++)
      a.postSend({ opcode: 'RDMA_WRITE', sges: [at.sge(0, 8)], wrId, signaled: true, ...at.at(8) });
    await broken;
    expect(linesOf(cq)).toEqual(['1 RDMA_WRITE SUCCESS']);
    expect(a.query().state).toBe('ERR');
    expect(device.counters().completions).toMatchObject({ SUCCESS: 1, lost: 1 });
    expect(countOf(device, 'overflow')).toEqual({ seen: 2, made: 1 });
  });
});

test('a completion that is late when its queue overflows is not lost: its promise is resolved', async () => {
  const { pd, a, aCq } = ends({
    device: {
      engine: 'auto',
      faults: { seed: 1, slow: { probability: 1, usec: 20_000 }, overflow: { at: 3 } },
    },
  });
  const at = memory(pd, 64);
  const settled = await Promise.allSettled([1, 2, 3].map(() => a.write(at.sge(0, 8), at.at(8))));
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
  expect(aCq.isBroken).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(aCq.poll(8)).toEqual([]);
});

describe('slow', () => {
  test.each([false, true])('in the manual mode, until the timers are fired (ring: %s)', (ring) => {
    const { device, pd, b } = ends({ device: { faults: { seed: 1, slow: { at: 2 } } } });
    const cq = device.createCq(8, { ring: ring as false });
    const a = pd.createQp({ type: 'RC', sendCq: cq });
    a.connect(pd.createQp({ type: 'RC', sendCq: b.sendCq! }), { access: 15 });
    const at = memory(pd, 64);
    for (let wrId = 1; wrId <= 3; wrId++)
      a.postSend({ opcode: 'RDMA_WRITE', sges: [at.sge(0, 8)], wrId, signaled: true, ...at.at(8) });
    device.run();
    expect(linesOf(cq)).toEqual(['1 RDMA_WRITE SUCCESS']);
    expect(device.fireTimers()).toEqual([]);
    expect(linesOf(cq)).toEqual(['2 RDMA_WRITE SUCCESS', '3 RDMA_WRITE SUCCESS']);
    expect(countOf(device, 'slow')).toEqual({ seen: 3, made: 1 });
  });

  test('promises, events and iteration wait for them, in order', async () => {
    const { device, pd, a, aCq } = ends({
      device: { engine: 'auto', faults: { seed: 1, slow: { every: 2, usec: 20_000 } } },
    });
    const at = memory(pd, 64);
    const begin = performance.now();
    const order: number[] = [];
    await Promise.all(
      [1, 2, 3, 4].map(async (number) => {
        await a.write(at.sge(0, 8), at.at(8));
        order.push(number);
      }),
    );
    expect(order).toEqual([1, 2, 3, 4]);
    // Two waits, one after the other. Node's timers may fire a millisecond early.
    expect(performance.now() - begin).toBeGreaterThan(2 * 19);
    a.postSend({ opcode: 'RDMA_WRITE', sges: [at.sge(0, 8)], wrId: 9, signaled: true, ...at.at(8) });
    a.postSend({ opcode: 'RDMA_WRITE', sges: [at.sge(0, 8)], wrId: 10, signaled: true, ...at.at(8) });
    const seen: string[] = [];
    for await (const wc of aCq) {
      seen.push(lineOf(wc));
      if (seen.length === 2) break;
    }
    expect(seen).toEqual(['9 RDMA_WRITE SUCCESS', '10 RDMA_WRITE SUCCESS']);
    expect(countOf(device, 'slow')).toEqual({ seen: 6, made: 3 });
  });

  test.each(['reset', 'destroy'] as const)(
    'after a %s no completion is late: promises are settled by it, and none is left over',
    async (way) => {
      const { device, pd, b } = ends({
        device: { engine: 'auto', faults: { seed: 1, slow: { probability: 1, usec: 50_000 } } },
      });
      const cq = device.createCq(4);
      const at = memory(pd, 64);
      const connected = () => {
        const a = pd.createQp({ type: 'RC', sendCq: cq });
        a.connect(pd.createQp({ type: 'RC', sendCq: b.sendCq! }), { access: 15 });
        return a;
      };
      // More than the queue has room for: completions that nobody takes would fill it.
      for (let round = 0; round < 6; round++) {
        const a = connected();
        const written = a.write(at.sge(0, 8), at.at(8));
        if (way === 'reset') a.modify({ state: 'RESET' });
        else a.destroy();
        await written;
      }
      await connected().write(at.sge(0, 8), at.at(8));
      expect(cq.poll(10)).toEqual([]);
    },
  );

  test('a queue is destroyed, and a device closed, with completions that are late', () => {
    const { device, pd, a, aCq, b } = ends({ device: { engine: 'auto', faults: { seed: 1, slow: 1 } } });
    const at = memory(pd, 64);
    a.postSend({ opcode: 'RDMA_WRITE', sges: [at.sge(0, 8)], signaled: true, ...at.at(8) });
    b.postSend({ opcode: 'RDMA_WRITE', sges: [at.sge(0, 8)], signaled: true, ...at.at(8) });
    a.destroy();
    aCq.destroy();
    device.close({ cascade: true });
    expect(() => device.faults()).toThrow(rdma('EBADF'));
  });
});

describeIf(process.platform === 'linux', 'endpoints need Linux')('packets', () => {
  const kinds = ['lost', 'late', 'doubled', 'reordered'] as const;

  /** Writes and reads 60 times over the wire; everything must arrive, whatever happens to packets. */
  async function transfer(faults: DeviceFaults): Promise<FaultCounters> {
    const { a, b } = wireEnds({ device: { faults }, connect: { timeout: 10, retryCnt: 7 } });
    const [source, target, back] = [memory(a.pd, 6000), memory(b.pd, 6000), memory(a.pd, 6000)];
    for (let round = 0; round < 60; round++) {
      source.bytes.fill(round + 1);
      await a.qp.write(source.sge(), target.at());
      expect(target.bytes.equals(source.bytes)).toBe(true);
      if (round % 4 === 0) {
        await a.qp.read(back.sge(), target.at());
        expect(back.bytes.equals(source.bytes)).toBe(true);
      }
    }
    const counts = a.device.faults();
    if (counts === undefined) throw new Error('no faults');
    for (const end of [a, b]) end.device.close({ cascade: true });
    return counts;
  }

  test.each(kinds)('RC repeats what is %s', async (kind) => {
    const counts = await transfer({ seed: 3, [kind]: { probability: 0.05, direction: 'both' } });
    expect(counts[kind].made).toBeGreaterThan(0);
    expect(counts[kind].seen).toBeGreaterThan(counts[kind].made);
    for (const other of kinds) if (other !== kind) expect(counts[other]).toEqual({ seen: 0, made: 0 });
  });

  test('all at once, with late packets of 3 ms', async () => {
    const rule = { probability: 0.03, direction: 'both' } as const;
    const counts = await transfer({
      seed: 4,
      lost: rule,
      late: { ...rule, usec: 3000 },
      doubled: rule,
      reordered: { ...rule, every: 20 },
    });
    for (const kind of kinds) expect(counts[kind].made).toBeGreaterThan(0);
  });

  test('the n-th packet that is sent is lost: its timer runs out once', async () => {
    const { a, b } = wireEnds({
      device: { faults: { seed: 1, lost: { at: 1 } } },
      connect: { timeout: 8, retryCnt: 7 },
    });
    const [source, target] = [memory(a.pd, 'hello'), memory(b.pd, 5)];
    await a.qp.write(source.sge(), target.at());
    expect(target.bytes.toString()).toBe('hello');
    expect(a.device.faults()?.lost).toMatchObject({ made: 1 });
    // The other end, whose device has the same faults, has lost its first answer.
    expect(b.device.faults()?.lost.made).toBe(1);
    expect(a.endpoint.counters().retransmitted).toBeGreaterThan(0);
  });

  test('rnr and flush are made on the wire, too', async () => {
    const { a, b } = wireEnds({
      device: { faults: { seed: 1, rnr: { at: 1 }, flush: { at: 2 } } },
      connect: { rnrRetry: 7, minRnrTimer: 1 },
    });
    const received = b.qp.recv(memory(b.pd, 8).sge());
    await a.qp.send(memory(a.pd, 'hello').sge());
    expect((await received).ok).toBe(true);
    expect(b.device.faults()?.rnr.made).toBe(1);
    expect(b.endpoint.counters().rnrNaks).toBe(1);
    const at = memory(a.pd, 8);
    await expect(a.qp.write(at.sge(), memory(b.pd, 8).at())).rejects.toMatchObject({
      status: 'WR_FLUSH_ERR',
      reason: 'Injected',
    });
    expect(a.qp.query().state).toBe('ERR');
  });
});

describe('the device', () => {
  test('without the option has no faults; with the seed alone it counts nothing', () => {
    expect(open().faults()).toBeUndefined();
    const device = open({ faults: { seed: 7 } });
    const none = { seen: 0, made: 0 };
    expect(device.faults()).toEqual({
      seed: 7n,
      refuse: none,
      rnr: none,
      flush: none,
      overflow: none,
      slow: none,
      lost: none,
      late: none,
      doubled: none,
      reordered: none,
    });
    device.close();
    expect(() => device.faults()).toThrow(rdma('EBADF'));
  });

  test('is the one that has the faults: threads that attach share them', async () => {
    const { device, pd, mr } = scene({ seed: 1, refuse: { every: 5 } });
    const token = device.share();
    const attached = Device.attach(token);
    const peer = new Peer({ token });
    const asked = { address: mr.start, key: mr.lkey as number, pd: pd.id };
    const refused = await peer.run((w, { address, key, pd: id }) => {
      const domain = w.device.importPd(id);
      let count = 0;
      for (let i = 0; i < 50; i++)
        if (!domain.check({ addr: address, length: 8, lkey: w.lkey(key) }, 1).ok) count++;
      return [count, w.device.faults()?.refuse.made];
    }, asked);
    expect(refused).toEqual([10, 10]);
    expect(attached.faults()).toEqual(device.faults());
    expect(device.faults()?.refuse).toEqual({ seen: 50, made: 10 });
    expect(() => Device.attach(device.share({ pd })).faults()).toThrow(rdma('EPERM'));
  });
});

describe('bad options', () => {
  const opened = (faults: unknown) => () => open({ faults: faults as DeviceFaults });

  test.each([null, 1, 'x', true, [], () => 1, Symbol('x'), 1n])('faults is %p', (faults) => {
    expect(opened(faults)).toThrow(wrongType('options.faults'));
  });

  test.each([undefined, null, '1', {}, true, Symbol('x')])('the seed is %p', (seed) => {
    expect(opened({ seed })).toThrow(wrongType('options.faults.seed'));
  });

  test.each([-1, 1.5, NaN, Infinity, 2 ** 53, -1n, 2n ** 64n])('the seed is out of range: %p', (seed) => {
    expect(opened({ seed })).toThrow(outOfRange('options.faults.seed'));
  });

  test('a seed is required, and every name must be that of a kind', () => {
    expect(opened({ lost: 1 })).toThrow(wrongType('options.faults.seed'));
    expect(opened({ seed: 1, loss: 1 })).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE', "The property 'options.faults.loss' is not a known option"),
    );
    expect(opened(Object.create({ seed: 1, lost: 1 }))).toThrow(wrongType('options.faults.seed'));
  });

  const kinds: FaultName[] = [
    'refuse',
    'rnr',
    'flush',
    'overflow',
    'slow',
    'lost',
    'late',
    'doubled',
    'reordered',
  ];
  test.each(kinds)('of %s', (kind) => {
    const rule = (value: unknown) => opened({ seed: 1, [kind]: value });
    const name = `options.faults.${kind}`;
    for (const value of [null, 'x', true, [], 1n]) expect(rule(value)).toThrow(wrongType(name));
    for (const value of [-0.1, 1.1, NaN, Infinity]) {
      expect(rule(value)).toThrow(outOfRange(name));
      expect(rule({ probability: value })).toThrow(outOfRange(`${name}.probability`));
    }
    for (const value of ['1', 1n, null, {}]) {
      expect(rule({ probability: value })).toThrow(wrongType(`${name}.probability`));
      expect(rule({ at: value })).toThrow(wrongType(`${name}.at`));
      expect(rule({ every: value })).toThrow(wrongType(`${name}.every`));
    }
    for (const value of [0, -1, 1.5, NaN, 2 ** 53]) {
      expect(rule({ at: value })).toThrow(outOfRange(`${name}.at`));
      expect(rule({ every: value })).toThrow(outOfRange(`${name}.every`));
    }
    expect(rule({ odds: 1 })).toThrow(argumentError('ERR_INVALID_ARG_VALUE', `${name}.odds`));
    const takes = (option: string, good: unknown, bad: unknown, error: Error): void => {
      expect(rule({ [option]: good })).not.toThrow();
      expect(rule({ [option]: bad })).toThrow(error);
    };
    const takesNot = (option: string, good: unknown): void => {
      expect(rule({ [option]: good })).toThrow(argumentError('ERR_INVALID_ARG_VALUE', option));
    };
    const isPacket = kinds.indexOf(kind) > kinds.indexOf('slow');
    if (kind === 'refuse') {
      takes('reason', 'Unmapped', 'MemoryDetached', argumentError('ERR_INVALID_ARG_VALUE', 'reason'));
      expect(rule({ reason: 4 })).toThrow(wrongType(`${name}.reason`));
    } else {
      takesNot('reason', 'Unmapped');
    }
    if (kind === 'slow' || kind === 'late') {
      takes('usec', 1, 0, outOfRange(`${name}.usec`));
      takes('usec', 2 ** 32 - 1, 2 ** 32, outOfRange(`${name}.usec`));
    } else {
      takesNot('usec', 5);
    }
    if (isPacket) takes('direction', 'in', 'up', argumentError('ERR_INVALID_ARG_VALUE', 'direction'));
    else takesNot('direction', 'in');
  });

  test('each option is read once, and a getter that throws leaves no device open', () => {
    let reads = 0;
    const faults = {
      seed: 1,
      get refuse() {
        reads++;
        return {
          get probability() {
            reads++;
            return 1;
          },
        };
      },
    };
    const device = open({ faults });
    expect(reads).toBe(2);
    expect(countOf(device, 'refuse')).toEqual({ seen: 0, made: 0 });
    expect(() =>
      opened({
        seed: 1,
        get rnr(): number {
          throw new Error('getter');
        },
      })(),
    ).toThrow('getter');
  });
});

test('checks of keys that no device has are refused as usual', () => {
  const { device, pd, asked } = scene({ seed: 1, refuse: { every: 1 } });
  const qp = pd.createQp();
  const refused = qp.check({ vaddr: asked.addr, length: 8, rkey: rkey(0x1234_5678) }, Access.RemoteRead);
  expect(refused.ok).toBe(false);
  expect(countOf(device, 'refuse')).toEqual({ seen: 0, made: 0 });
});
