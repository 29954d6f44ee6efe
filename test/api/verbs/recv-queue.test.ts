// Packed receive queues do what postRecv does, on a queue pair and on a shared receive queue.
import {
  type LocalSge,
  lkey,
  type QueuePair,
  type ReceiveWorkRequest,
  RecvQueue,
  type SharedReceiveQueue,
  type RdmaError,
} from '../../../lib';
import { ends, linesOf, memory, refusal, REMOTE } from '../../support/queue-pairs';

/** What queue pairs and shared receive queues have in common. */
type Owner = Pick<SharedReceiveQueue, 'postRecv' | 'recvQueue' | 'id'>;

/** Two connected queue pairs; the responder has its own receive queue, or a shared one. */
function world(shared: boolean, { maxWr = 8, maxSge = 2 } = {}) {
  const all = ends({ qp: { maxSendWr: 64 } });
  const { device, pd, bCq } = all;
  const requester = all.pd.createQp({ type: 'RC', sendCq: all.aCq });
  const srq = shared ? pd.createSrq({ maxWr, maxSge }) : undefined;
  const responder = pd.createQp(
    srq === undefined
      ? { type: 'RC', sendCq: bCq, maxRecvWr: maxWr, maxRecvSge: maxSge }
      : { type: 'RC', sendCq: bCq, srq },
  );
  requester.connect(responder, { access: REMOTE });
  const owner = (srq ?? responder) as Owner;
  const held = (): number => srq?.query().held ?? responder.query().receives;
  const send = (text: string): void => {
    requester.postSend({ opcode: 'SEND', sges: text === '' ? [] : [memory(pd, text).sge()] });
    device.run();
  };
  return {
    device,
    pd,
    bCq,
    owner,
    responder,
    srq,
    held,
    send,
    queue: (capacity: number) => owner.recvQueue(capacity),
  };
}

function facts(error: RdmaError | undefined) {
  if (error === undefined) return undefined;
  const { code, operation, detail, index, posted, message } = error;
  return { code, operation, detail, index, posted, text: message.slice(message.indexOf(':', 10)) };
}

describe.each([
  ['a queue pair', false],
  ['a shared receive queue', true],
])('of %s', (_, shared) => {
  test('posts slots, again and again, from any first slot', () => {
    const { pd, bCq, queue, send, held } = world(shared);
    const inbox = memory(pd, 64);
    const receives = queue(4);
    for (let i = 0; i < 4; i++) receives.fill(i, { wrId: 10 + i, sges: [inbox.sge(16 * i, 16)] });
    expect([receives.post(2, 2), receives.error]).toEqual([2, undefined]);
    expect(receives.post(4)).toBe(4);
    expect(held()).toBe(6);
    for (const text of ['one', 'two', 'three', 'four']) send(text);
    expect(linesOf(bCq)).toEqual([12, 13, 10, 11].map((id) => `${id} RECV SUCCESS`));
    expect(inbox.bytes.toString('latin1').replaceAll(/\0+/g, ' ')).toBe('three four one two ');
  });

  test('scatters a message over the SGEs of a slot', () => {
    const { pd, queue, send } = world(shared);
    const inbox = memory(pd, 8);
    const receives = queue(1);
    receives.fill(0, { sges: [inbox.sge(6, 2), inbox.sge(0, 4)] });
    receives.post(1);
    send('abcdef');
    expect(inbox.bytes.toString()).toBe('cdef\0\0ab');
  });

  test('setters change the wr_id and the first SGE', () => {
    const { pd, bCq, queue, send } = world(shared);
    const inbox = memory(pd, 4);
    const receives = queue(2);
    receives.setId(1, 2n ** 64n - 1n);
    receives.setLocal(1, inbox.mr.start, 2, inbox.mr.lkey); // never filled: a receive without SGEs
    expect(receives.post(1, 1)).toBe(1);
    receives.setId(1, 2 ** 53 - 1);
    receives.setLocal(1, Number(inbox.mr.start) + 2, 2, inbox.mr.lkey);
    receives.post(1, 1);
    for (const text of ['ab', 'cd']) send(text);
    expect(bCq.poll().map(({ wrId }) => wrId)).toEqual([2n ** 64n - 1n, 2 ** 53 - 1]);
    expect(inbox.bytes.toString()).toBe('abcd');
  });

  test('posts as many as there is room for; the error is that of postRecv', () => {
    const [first, second] = [world(shared, { maxWr: 3 }), world(shared, { maxWr: 3 })];
    let error: RdmaError | undefined;
    try {
      first.owner.postRecv(Array.from({ length: 5 }, () => ({})));
    } catch (thrown) {
      error = thrown as RdmaError;
    }
    const receives = second.queue(5);
    expect(receives.post(5)).toBe(3);
    expect(facts(receives.error)).toEqual(facts(error));
    expect(receives.error).toMatchObject({
      code: 'ENOMEM',
      index: 3,
      posted: 3,
      detail: { cause: 'QueueFull' },
    });
    expect(receives.error?.operation).toBe(shared ? 'post_srq_recv' : 'post_recv');
    expect(receives.error?.message).toContain(shared ? '(maxWr)' : '(maxRecvWr)');
    expect(second.held()).toBe(3);
    expect(receives.post(1)).toBe(0);
    expect(receives.error).toMatchObject({ index: 0, posted: 0 });
  });

  test.each([1, 2, 7, 32])('posts 1,000 receives with %p SGEs each', (sges) => {
    const all = world(shared, { maxWr: 16 });
    const pd = all.pd;
    const wide = all.device.createCq(4);
    const owner = shared
      ? pd.createSrq({ maxWr: 1000, maxSge: sges })
      : pd.createQp({ type: 'RC', sendCq: wide, maxRecvWr: 1000, maxRecvSge: sges });
    if ('connect' in owner) owner.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
    const receives = (owner as Owner).recvQueue(1001);
    const list: LocalSge[] = Array.from({ length: sges }, () => ({ addr: 1, length: 1, lkey: lkey(1) }));
    for (let i = 0; i < 1001; i++) receives.fill(i, { wrId: i, sges: list });
    expect(receives.post(1001)).toBe(1000);
    expect(receives.error).toMatchObject({ code: 'ENOMEM', index: 1000, posted: 1000 });
  });

  test.each<[string, unknown, RegExp]>([
    ['no receive', undefined, /"wr" argument must be of type object/],
    ['a bad wr_id', { wrId: -1 }, /"wr.wrId" is out of range/],
    ['SGEs that are no list', { sges: {} }, /"wr.sges" property must be an instance of Array/],
    [
      'too many SGEs',
      { sges: Array.from({ length: 3 }, () => ({ addr: 0, length: 0, lkey: 0 })) },
      /wr.sges has 3 SGEs, but at most 2 are allowed/,
    ],
  ])('fill refuses %s, and leaves the slot as it was', (__, wr, message) => {
    const { bCq, queue, send } = world(shared);
    const receives = queue(1);
    receives.setId(0, 4);
    expect(() => {
      receives.fill(0, wr as ReceiveWorkRequest);
    }).toThrow(message);
    receives.post(1);
    send('');
    expect(linesOf(bCq)).toEqual(['4 RECV SUCCESS']);
  });

  test.each([
    [2, 0],
    [1, 1],
    [-1, 0],
    [0, 2],
    [0.5, 0],
  ])('post refuses %p slots from %p of a queue of one', (count, first) => {
    const { queue, held } = world(shared);
    const receives = queue(1);
    expect(() => receives.post(count, first)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
    expect(held()).toBe(0);
  });

  test.each([0, 2 ** 20 + 1, 0.5])('cannot have the capacity %p', (capacity) => {
    const { queue } = world(shared);
    expect(() => queue(capacity)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  });

  test('posts nothing once its owner, the domain or the device is closed', () => {
    const ends: ((all: ReturnType<typeof world>) => void)[] = [
      ({ responder, srq }) => {
        responder.destroy();
        srq?.destroy();
      },
      ({ pd }) => {
        pd.dealloc({ cascade: true });
      },
      ({ device }) => {
        device.close({ cascade: true });
      },
    ];
    for (const end of ends) {
      const all = world(shared);
      const receives = all.queue(2);
      end(all);
      receives.setId(0, 1);
      expect(receives.post(2)).toBe(0);
      expect([receives.error?.code, receives.error?.index, receives.error?.posted]).toEqual([
        'EBADF',
        undefined,
        0,
      ]);
      expect(refusal(() => all.queue(1))[0]).toBe('EBADF');
    }
  });

  test('describes itself', () => {
    const { owner, queue } = world(shared);
    const receives = queue(3);
    expect(receives.toJSON()).toEqual({ class: 'RecvQueue', owner: owner.id, capacity: 3 });
    expect(String(receives)).toBe(`RecvQueue { owner ${owner.id} capacity 3 }`);
    expect([receives.owner, receives.capacity]).toEqual([owner, 3]);
  });
});

describe('of a queue pair', () => {
  test('is refused if the queue pair uses a shared receive queue, or has no queues', () => {
    const { responder, pd } = world(true);
    expect(refusal(() => responder.recvQueue(1)).slice(0, 2)).toEqual(['EINVAL', 'QpHasSrq']);
    const check = pd.createQp() as QueuePair as unknown as QueuePair<'RC'>;
    expect(refusal(() => check.recvQueue(1)).slice(0, 2)).toEqual(['EINVAL', 'QpHasNoQueues']);
  });

  test('posts nothing in RESET, and flushed receives in ERR', () => {
    const { device, pd } = ends();
    const cq = device.createCq(8);
    const qp = pd.createQp({ type: 'RC', sendCq: cq });
    const receives = qp.recvQueue(2);
    receives.setId(1, 1);
    expect(receives.post(2)).toBe(0);
    expect([receives.error?.detail?.cause, receives.error?.index, receives.error?.posted]).toEqual([
      'QpState',
      undefined,
      0,
    ]);
    qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
    qp.modify({ state: 'ERR' });
    expect(receives.post(2)).toBe(2);
    expect(linesOf(cq)).toEqual(['0 RECV WR_FLUSH_ERR Flushed', '1 RECV WR_FLUSH_ERR Flushed']);
  });

  test('setLocal needs a queue that takes SGEs', () => {
    const { device, pd } = ends();
    const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(4), maxRecvSge: 0 });
    const receives = qp.recvQueue(2);
    expect(
      refusal(() => {
        receives.setLocal(0, 0, 0, lkey(0));
      }).slice(0, 2),
    ).toEqual(['EINVAL', 'WrSges']);
  });
});

test('only queues create one', () => {
  expect(() => new (RecvQueue as new () => unknown)()).toThrow(/Illegal constructor/);
  const { post, fill, setLocal, setId } = RecvQueue.prototype;
  for (const method of [post, fill, setLocal, setId])
    expect(() => Reflect.apply(method as () => unknown, {}, [0, 0, 0, 0])).toThrow(TypeError);
});
