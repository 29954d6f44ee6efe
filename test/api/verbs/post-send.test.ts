import { Access, rkey, type SendWorkRequest } from '../../../lib';
import { ends, linesOf, memory, refusal } from '../../support/queue-pairs';

const none = { remoteAddr: 0, rkey: rkey(0) };
const write = { opcode: 'RDMA_WRITE', ...none } as const;

describe('wr_id', () => {
  test.each<[string, number | bigint | undefined, number | bigint]>([
    ['defaults to 0', undefined, 0],
    ['may be a number', 2 ** 53 - 1, 2 ** 53 - 1],
    ['may be a bigint', 5n, 5],
    ['may have 64 bits', 2n ** 64n - 1n, 2n ** 64n - 1n],
    ['above 2^53 is returned as a bigint', 2n ** 53n, 2n ** 53n],
    ['keeps both halves', 0x1_0000_0002, 0x1_0000_0002],
    ['may be -0', -0, 0],
  ])('%s', (_, wrId, expected) => {
    const { device, a, aCq } = ends();
    a.postSend({ ...write, signaled: true, ...(wrId === undefined ? {} : { wrId }) });
    device.run();
    expect(aCq.poll()[0]?.wrId).toBe(expected);
  });
});

test('a list is posted in order, and an empty list does nothing', () => {
  const { device, a, aCq } = ends();
  a.postSend([]);
  a.postSend([3, 1, 2].map((wrId) => ({ ...write, wrId, signaled: true })));
  device.run();
  expect(linesOf(aCq)).toEqual(['3 RDMA_WRITE SUCCESS', '1 RDMA_WRITE SUCCESS', '2 RDMA_WRITE SUCCESS']);
});

test('work requests before the refused one stay posted, and the error says how many', () => {
  const { device, pd, a, aCq } = ends();
  const { sge } = memory(pd, 8);
  const bad: SendWorkRequest<'RC'> = { ...write, sges: [{ ...sge(), length: 9 }] };
  const error = refusal(() => {
    a.postSend([
      { ...write, wrId: 1, signaled: true },
      { ...write, wrId: 2, signaled: true },
      bad,
      { ...write, wrId: 3 },
    ]);
  });
  expect(error).toEqual(['EINVAL', 'WrSgeRefused', 2, 2]);
  device.run();
  expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE SUCCESS', '2 RDMA_WRITE SUCCESS']);
});

test('more SGEs than maxSendSge are refused', () => {
  const { pd, a } = ends({ qp: { maxSendSge: 2 } });
  const { sge } = memory(pd, 8);
  expect(
    refusal(() => {
      a.postSend({ ...write, sges: [sge(0, 1), sge(0, 1), sge(0, 1)] });
    }),
  ).toEqual(['EINVAL', 'WrSges', 0, 0]);
});

test('a message of more than 2^31 bytes is refused', () => {
  const { a, pd } = ends();
  // Four elements over the same memory: the sum counts.
  const big = Buffer.from(new SharedArrayBuffer(2 ** 29 + 1));
  const mr = pd.regUserMr(big);
  const { refs } = mr;
  const sge = { addr: mr.start, length: 2 ** 29 + 1, lkey: mr.lkey };
  expect(
    refusal(() => {
      a.postSend({ ...write, sges: [sge, sge, sge, sge] });
    }),
  ).toEqual(['EINVAL', 'WrLength', 0, 0]);
  expect(mr.refs).toBe(refs);
});

test.each(['RESET', 'INIT', 'RTR'] as const)(
  'state %s forbids sends: no work request is at fault',
  (state) => {
    const { device, pd } = ends();
    const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(4) });
    if (state !== 'RESET') qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
    if (state === 'RTR')
      qp.modify({
        state: 'RTR',
        av: { dlid: 1 },
        pathMtu: 256,
        destQpn: 2,
        rqPsn: 0,
        maxDestRdAtomic: 1,
        minRnrTimer: 1,
      });
    expect(
      refusal(() => {
        qp.postSend([write, write]);
      }),
    ).toEqual(['EINVAL', 'QpState', undefined, 0]);
  },
);

test('the reference of an SGE is given back when its work request completes', () => {
  const { device, pd, a } = ends();
  const { mr, sge } = memory(pd, 8);
  const { refs } = mr;
  a.postSend([
    { ...write, sges: [sge()] },
    { opcode: 'RDMA_READ', sges: [sge(0, 4), sge(4)], ...none },
  ]);
  expect(mr.refs).toBe(refs + 3);
  device.run();
  expect(mr.refs).toBe(refs);
});

test('the bytes of a work request are read when the engine carries it out, INLINE or not', () => {
  const { device, pd, a } = ends();
  const [from, to] = [memory(pd, 'old'), memory(pd, 3)];
  a.postSend({ opcode: 'RDMA_WRITE', sges: [from.sge()], ...to.at(), inline: true });
  from.bytes.write('new');
  device.run();
  expect(to.bytes.toString()).toBe('new');
});

test('without the manual mode the engine works in the call', () => {
  const { pd, a } = ends({ device: { engine: 'auto' } });
  const [from, to] = [memory(pd, 'now'), memory(pd, 3)];
  a.postSend({ opcode: 'RDMA_WRITE', sges: [from.sge()], ...to.at() });
  expect(to.bytes.toString()).toBe('now');
});

test('many SGEs and work requests in a list are all encoded', () => {
  const { device, pd, a } = ends({ qp: { maxSendWr: 2000, maxSendSge: 32 } });
  const [from, to] = [memory(pd, 32 * 1000), memory(pd, 32 * 1000)];
  for (let i = 0; i < from.bytes.length; i++) from.bytes[i] = i % 251;
  a.postSend(
    Array.from({ length: 1000 }, (_, i) => ({
      opcode: 'RDMA_WRITE' as const,
      sges: Array.from({ length: 32 }, (__, j) => from.sge(32 * i + j, 1)),
      ...to.at(32 * i),
    })),
  );
  device.run();
  expect(to.bytes.equals(from.bytes)).toBe(true);
});

describe('throws, and posts nothing, for', () => {
  const at = (wr: object) => [write, { ...write, ...wr }];
  test.each<[string, unknown, RegExp]>([
    ['no work request', undefined, /"wr" argument must be of type object/],
    ['a number', 1, /"wr" argument must be of type object/],
    ['a hole in the list', [write, , write], /"wrs\[1\]" argument must be of type object/], // eslint-disable-line no-sparse-arrays
    ['no opcode', [{}], /"wrs\[0\].opcode" property must be of type string/],
    ['an unknown opcode', at({ opcode: 'LSO' }), /'wrs\[1\].opcode' must be one of: 'SEND'/],
    ['an opcode of Object.prototype', at({ opcode: 'toString' }), /'wrs\[1\].opcode' must be one of/],
    ['an opcode that is a number', { ...write, opcode: 0 }, /"wr.opcode" property must be of type string/],
    [
      'a wr_id that is a string',
      at({ wrId: '1' }),
      /"wrs\[1\].wrId" property must be of type bigint or number/,
    ],
    ['a negative wr_id', at({ wrId: -1 }), /"wrs\[1\].wrId" is out of range/],
    ['a wr_id above 64 bits', at({ wrId: 2n ** 64n }), /"wrs\[1\].wrId" is out of range/],
    ['a wr_id that is no integer', at({ wrId: 0.5 }), /"wrs\[1\].wrId" is out of range/],
    ['a flag that is a number', at({ signaled: 1 }), /"wrs\[1\].signaled" property must be of type boolean/],
    ['a flag that is null', at({ fence: null }), /"wrs\[1\].fence" property must be of type boolean/],
    ['SGEs that are no list', at({ sges: {} }), /"wrs\[1\].sges" property must be an instance of Array/],
    ['an SGE that is null', at({ sges: [null] }), /"wrs\[1\].sges\[0\]" property must be of type object/],
    [
      'an SGE without an address',
      at({ sges: [{ length: 1, lkey: 1 }] }),
      /"wrs\[1\].sges\[0\].addr" property must be of type bigint or number/,
    ],
    [
      'an SGE with a length above 32 bits',
      at({ sges: [{ addr: 0, length: 2 ** 32, lkey: 1 }] }),
      /"wrs\[1\].sges\[0\].length" is out of range/,
    ],
    [
      'an SGE with an lkey that is a bigint',
      at({ sges: [{ addr: 0, length: 1, lkey: 1n }] }),
      /"wrs\[1\].sges\[0\].lkey" property must be of type number/,
    ],
    [
      'no remote address',
      { opcode: 'RDMA_WRITE', rkey: 0 },
      /"wr.remoteAddr" property must be of type bigint or number/,
    ],
    ['no rkey', { opcode: 'RDMA_READ', remoteAddr: 0 }, /"wr.rkey" property must be of type number/],
    ['no immediate data', { opcode: 'SEND_WITH_IMM' }, /"wr.imm" property must be of type number/],
    [
      'immediate data above 32 bits',
      { opcode: 'RDMA_WRITE_WITH_IMM', ...none, imm: 2 ** 32 },
      /"wr.imm" is out of range/,
    ],
    [
      'no key to invalidate',
      { opcode: 'SEND_WITH_INV' },
      /"wr.invalidateRkey" property must be of type number/,
    ],
    [
      'no summand',
      { opcode: 'ATOMIC_FETCH_AND_ADD', ...none },
      /"wr.compareAdd" property must be of type bigint or number/,
    ],
    [
      'no value to swap',
      { opcode: 'ATOMIC_CMP_AND_SWP', ...none, compareAdd: 1 },
      /"wr.swap" property must be of type bigint or number/,
    ],
    [
      'no region',
      { opcode: 'REG_MR', mr: {}, key: 1, access: 0 },
      /"wr.mr" property must be an instance of MemoryRegion/,
    ],
  ])('%s', (_, wrs, message) => {
    const { a } = ends();
    expect(() => {
      a.postSend(wrs as never);
    }).toThrow(message);
    expect(a.query().sends).toBe(0);
  });
});

test('unknown properties of a work request are ignored', () => {
  const { device, a, aCq } = ends();
  a.postSend({ ...write, wrId: 1, signaled: true, next: 5 } as SendWorkRequest<'RC'>);
  device.run();
  expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE SUCCESS']);
});

test('solicited work requests report to a queue that is armed for solicited completions', async () => {
  const { device, a, b, bCq } = ends();
  let events = 0;
  bCq.on('completion', () => events++);
  b.postRecv([{}, {}]);
  bCq.arm({ solicited: true });
  const turn = () => new Promise((resolve) => setTimeout(resolve, 20));
  a.postSend({ opcode: 'SEND' });
  device.run();
  await turn();
  expect(events).toBe(0);
  a.postSend({ opcode: 'SEND', solicited: true });
  device.run();
  await turn();
  expect(events).toBe(1);
});

test('REG_MR of a region of another device is refused', () => {
  const { a } = ends();
  const mr = ends().pd.allocMr({ maxNumSg: 1 });
  expect(
    refusal(() => {
      a.postSend({ opcode: 'REG_MR', mr, key: mr.rkey, access: Access.LocalWrite });
    }),
  ).toEqual(['EINVAL', 'RegionOnOtherDevice', 0, 0]);
});
