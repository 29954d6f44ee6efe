// Shared receive queues: posting, limits, events, lifetime.
import { inspect } from 'node:util';
import { SharedReceiveQueue, type SrqAttributes } from '../../../lib';
import { argumentError, outOfRange, rdma, wrongType } from '../../support/answers';
import { linesOf, memory, refusal, REMOTE } from '../../support/queue-pairs';
import { open } from '../../support/scene';

const turns = async (count = 8): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

const srqOf = (maxWr = 4, maxSge = 2, limit = 0) => open().allocPd().createSrq({ maxWr, maxSge, limit });

/** Two requesters whose responders share a receive queue. */
function shared(limit = 0, maxWr = 8) {
  const device = open();
  const pd = device.allocPd();
  const cq = device.createCq(64);
  const srq = pd.createSrq({ maxWr, limit });
  const pairs = [1, 2].map(() => {
    const a = pd.createQp({ type: 'RC', sendCq: device.createCq(64) });
    const b = pd.createQp({ type: 'RC', sendCq: cq, srq });
    a.connect(b, { access: REMOTE, rnrRetry: 0 });
    return { a, b };
  });
  return { device, pd, cq, srq, pairs, a: pairs[0]!.a, b: pairs[0]!.b };
}

describe('createSrq', () => {
  test('creates a queue of the requested sizes', () => {
    const device = open();
    const pd = device.allocPd();
    const srq = pd.createSrq({ maxWr: 7, maxSge: 3, limit: 2 });
    expect([srq.id, srq.query()]).toEqual([1, { maxWr: 7, maxSge: 3, limit: 2, held: 0 }]);
    expect(pd.createSrq({ maxWr: 1 }).query()).toEqual({ maxWr: 1, maxSge: 1, limit: 0, held: 0 });
    expect(device.resources().sharedReceiveQueues).toMatchObject([
      { id: 1, pd: pd.id, maxWr: 7, maxSge: 3, limit: 2 },
      { id: 2 },
    ]);
  });

  test('rejects sizes that are 0 or above the limits of the device; does not check the limit', () => {
    const pd = open({ limits: { maxSrqWr: 8, maxSrqSge: 2 } }).allocPd();
    for (const options of [{ maxWr: 0 }, { maxWr: 9 }, { maxWr: 1, maxSge: 0 }, { maxWr: 1, maxSge: 3 }]) {
      expect(() => pd.createSrq(options)).toThrow(rdma('EINVAL', 'create_srq'));
      expect(refusal(() => pd.createSrq(options))[1]).toBe('Capacity');
    }
    expect(pd.createSrq({ maxWr: 8, maxSge: 2, limit: 0xffff_ffff }).query().limit).toBe(0xffff_ffff);
  });

  test('fails with ENOMEM while maxSrq queues exist, and with EBADF in a closed domain', () => {
    const pd = open({ limits: { maxSrq: 1 } }).allocPd();
    const srq = pd.createSrq({ maxWr: 1 });
    expect(refusal(() => pd.createSrq({ maxWr: 1 })).slice(0, 2)).toEqual(['ENOMEM', 'TooManyObjects']);
    srq.destroy();
    pd.createSrq({ maxWr: 1 }).destroy();
    pd.dealloc();
    expect(refusal(() => pd.createSrq({ maxWr: 1 })).slice(0, 2)).toEqual(['EBADF', 'PdGone']);
  });

  test('rejects arguments of wrong types, and unknown options', () => {
    const pd = open().allocPd();
    expect(() => pd.createSrq(undefined as never)).toThrow(wrongType('"options"'));
    expect(() => pd.createSrq({} as never)).toThrow(wrongType('"options.maxWr"'));
    expect(() => pd.createSrq({ maxWr: 1, type: 'BASIC' } as never)).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE', 'options.type'),
    );
    for (const name of ['maxWr', 'maxSge', 'limit']) {
      expect(() => pd.createSrq({ maxWr: 1, [name]: '1' })).toThrow(wrongType(`"options.${name}"`));
      expect(() => pd.createSrq({ maxWr: 1, [name]: 2 ** 32 })).toThrow(outOfRange(`"options.${name}"`));
    }
    expect(() => new (SharedReceiveQueue as any)()).toThrow(argumentError('ERR_ILLEGAL_CONSTRUCTOR'));
  });
});

describe('postRecv', () => {
  test('posts one receive or several, up to the size of the queue', () => {
    const srq = srqOf(3);
    srq.postRecv({ wrId: 1 });
    srq.postRecv([{ wrId: 2 }, {}]);
    srq.postRecv([]);
    expect(srq.query().held).toBe(3);
    expect(refusal(() => srq.postRecv({}))).toEqual(['ENOMEM', 'QueueFull', 0, 0]);
  });

  test('says which receive was refused, and keeps those before it', () => {
    const srq = srqOf(3, 1);
    const sge = { addr: 0, length: 0, lkey: 0 as never };
    expect(refusal(() => srq.postRecv([{}, {}, { sges: [sge, sge] }, {}]))).toEqual([
      'EINVAL',
      'WrSges',
      2,
      2,
    ]);
    expect(srq.query().held).toBe(2);
    expect(refusal(() => srq.postRecv([{}, {}]))).toEqual(['ENOMEM', 'QueueFull', 1, 1]);
    expect(srq.query().held).toBe(3);
    expect(() => srq.postRecv({ sges: [sge, sge] })).toThrow(rdma('EINVAL', 'post_srq_recv'));
  });

  test('rejects receives of wrong types, and then posts nothing', () => {
    const srq = srqOf();
    for (const wr of [undefined, null, 1, 'x', () => {}])
      expect(() => srq.postRecv(wr as never)).toThrow(wrongType());
    expect(() => srq.postRecv([{}, 1] as never)).toThrow(wrongType('wrs[1]'));
    expect(() => srq.postRecv([{}, { wrId: '1' }] as never)).toThrow(wrongType('wrs[1].wrId'));
    expect(() => srq.postRecv({ wrId: -1 })).toThrow(outOfRange('wr.wrId'));
    expect(() => srq.postRecv({ wrId: 2n ** 64n })).toThrow(outOfRange('wr.wrId'));
    expect(() => srq.postRecv({ sges: {} } as never)).toThrow(wrongType('wr.sges'));
    expect(() => srq.postRecv({ sges: [{ addr: 0, length: -1, lkey: 0 }] } as never)).toThrow(
      outOfRange('length'),
    );
    expect(srq.query().held).toBe(0);
  });

  test('feeds all queue pairs that use the queue, in the order of the posts', () => {
    const { pd, srq, pairs, cq } = shared();
    const { sge, bytes } = memory(pd, 64);
    const text = memory(pd, 'ab');
    srq.postRecv([0, 1].map((i) => ({ wrId: 2n ** 63n + BigInt(i), sges: [sge(8 * i, 8)] })));
    pairs[1]!.a.postSend({ opcode: 'SEND', sges: [text.sge(1, 1)] });
    pairs[0]!.a.postSend({ opcode: 'SEND', sges: [text.sge(0, 1)] });
    expect(cq.poll().map(({ wrId, qp, byteLength }) => [wrId, qp, byteLength])).toEqual([
      [2n ** 63n, pairs[1]!.b, 1],
      [2n ** 63n + 1n, pairs[0]!.b, 1],
    ]);
    expect([bytes[0], bytes[8]]).toEqual([98, 97]);
  });

  test('does not look at the SGEs; a bad one fails when it is used', () => {
    const { srq, a, cq } = shared();
    srq.postRecv({ wrId: 5, sges: [{ addr: 0, length: 8, lkey: 1 as never }] });
    a.postSend({ opcode: 'SEND' });
    expect(linesOf(cq)).toEqual(['5 RECV LOC_PROT_ERR NoSuchKey']);
  });
});

describe('modify', () => {
  test('changes the size, the limit, or both', () => {
    const srq = srqOf(4);
    srq.modify({ limit: 4 });
    expect(srq.query()).toMatchObject({ maxWr: 4, limit: 4 });
    srq.modify({ maxWr: 9 });
    expect(srq.query()).toMatchObject({ maxWr: 9, limit: 4 });
    srq.modify({ maxWr: 2, limit: 1 });
    expect(srq.query()).toMatchObject({ maxWr: 2, limit: 1 });
    srq.modify({ maxWr: 0, limit: 0 });
    expect(srq.query()).toMatchObject({ maxWr: 0, limit: 0 });
    srq.modify({});
    srq.modify({ maxWr: undefined, limit: undefined } as never);
    expect(srq.query()).toMatchObject({ maxWr: 0, limit: 0 });
  });

  test('keeps the receives', () => {
    const { srq, a, cq } = shared();
    srq.postRecv([{ wrId: 1 }, { wrId: 2 }]);
    srq.modify({ maxWr: 100 });
    srq.modify({ maxWr: 2 });
    a.postSend([{ opcode: 'SEND' }, { opcode: 'SEND' }]);
    expect(linesOf(cq)).toEqual(['1 RECV SUCCESS', '2 RECV SUCCESS']);
  });

  test.each<[SrqAttributes, string]>([
    [{ maxWr: 17 }, 'Capacity'],
    [{ maxWr: 2 }, 'SrqLimit'],
    [{ maxWr: 5, limit: 6 }, 'SrqLimit'],
    [{ limit: 9 }, 'SrqLimit'],
    [{ maxWr: 1, limit: 0 }, 'SrqBelowHeld'],
  ])('rejects %j with EINVAL (%s) and changes nothing', (changes, cause) => {
    const srq = open({ limits: { maxSrqWr: 16 } })
      .allocPd()
      .createSrq({ maxWr: 8, limit: 3 });
    srq.postRecv([{}, {}]);
    expect(() => srq.modify(changes)).toThrow(rdma('EINVAL', 'modify_srq'));
    expect(refusal(() => srq.modify(changes))[1]).toBe(cause);
    expect(srq.query()).toEqual({ maxWr: 8, maxSge: 1, limit: 3, held: 2 });
  });

  test('rejects attributes of wrong types, and unknown ones', () => {
    const srq = srqOf();
    expect(() => srq.modify(undefined as never)).toThrow(wrongType());
    expect(() => srq.modify({ maxSge: 1 } as never)).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE', 'maxSge'),
    );
    expect(() => srq.modify({ maxWr: '1' } as never)).toThrow(wrongType('maxWr'));
    expect(() => srq.modify({ limit: -1 })).toThrow(outOfRange('limit'));
  });
});

describe("the event 'limit'", () => {
  test('comes once, after a receive was taken and fewer than the limit are left, and turns the limit off', async () => {
    const { srq, a } = shared(2);
    let events = 0;
    srq.on('limit', () => events++);
    srq.postRecv([{}, {}, {}, {}]);
    a.postSend({ opcode: 'SEND' });
    a.postSend({ opcode: 'SEND' });
    await turns();
    expect([events, srq.query()]).toEqual([0, { maxWr: 8, maxSge: 1, limit: 2, held: 2 }]);
    a.postSend({ opcode: 'SEND' });
    expect(events).toBe(0);
    await turns();
    expect([events, srq.query().limit]).toEqual([1, 0]);
    a.postSend({ opcode: 'SEND' });
    await turns();
    expect(events).toBe(1);
  });

  test('does not come for a limit that is set too high already', async () => {
    const { srq, a } = shared();
    let events = 0;
    srq.on('limit', () => events++);
    srq.postRecv([{}, {}]);
    srq.modify({ limit: 8 });
    await turns();
    expect(events).toBe(0);
    a.postSend({ opcode: 'SEND' });
    await turns();
    expect(events).toBe(1);
  });

  test('comes to listeners that post more receives and set the limit again', async () => {
    const { srq, a } = shared(1);
    srq.postRecv({});
    let refills = 0;
    srq.on('limit', () => {
      refills++;
      srq.postRecv([{}]);
      srq.modify({ limit: 1 });
    });
    for (let i = 1; i <= 3; i++) {
      a.postSend({ opcode: 'SEND' });
      await turns();
      expect([refills, srq.query().held]).toEqual([i, 1]);
    }
  });
});

describe('destroy', () => {
  test('is refused with EBUSY while a queue pair uses the queue', () => {
    const { srq, pairs } = shared();
    expect(() => srq.destroy()).toThrow(rdma('EBUSY', 'destroy_srq'));
    expect(refusal(() => srq.destroy())[1]).toBe('SrqInUse');
    srq[Symbol.dispose]();
    expect(srq.query().held).toBe(0);
    for (const { b } of pairs) b.destroy();
    srq[Symbol.dispose]();
    expect(srq.toJSON()).toEqual({ class: 'SharedReceiveQueue', id: 1, state: 'Closed' });
  });

  test('a second time does nothing, and all other calls fail with EBADF', () => {
    const srq = srqOf();
    srq.destroy();
    srq.destroy();
    srq[Symbol.dispose]();
    srq.on('limit', () => {});
    expect(srq.id).toBe(1);
    expect(() => srq.postRecv({})).toThrow(rdma('EBADF', 'post_srq_recv'));
    expect(() => srq.modify({})).toThrow(rdma('EBADF', 'modify_srq'));
    expect(() => srq.query()).toThrow(rdma('EBADF', 'query_srq'));
    expect(refusal(() => srq.query())[1]).toBe('SrqGone');
  });

  test('happens with the domain', () => {
    const pd = open().allocPd();
    const srq = pd.createSrq({ maxWr: 1 });
    srq.on('limit', () => {});
    expect(() => pd.dealloc()).toThrow(rdma('EBUSY', 'dealloc_pd'));
    pd.dealloc({ cascade: true });
    expect(refusal(() => srq.query())[1]).toBe('SrqGone');
  });
});

test('a shared receive queue shows its attributes, and has one own enumerable property', () => {
  const srq = srqOf(4, 2, 3);
  srq.on('limit', () => {});
  expect([inspect(srq), String(srq)]).toEqual([
    'SharedReceiveQueue { #1 maxWr 4 limit 3 held 0 Open }',
    'SharedReceiveQueue { #1 maxWr 4 limit 3 held 0 Open }',
  ]);
  expect(JSON.parse(JSON.stringify(srq))).toEqual({
    class: 'SharedReceiveQueue',
    id: 1,
    maxWr: 4,
    limit: 3,
    held: 0,
    state: 'Open',
  });
  expect(Reflect.ownKeys(Object.assign({}, srq))).toEqual([expect.any(Symbol)]);
  srq.destroy();
  expect(String(srq)).toBe('SharedReceiveQueue { #1 Closed }');
});
