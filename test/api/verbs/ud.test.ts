// Datagrams: any UD queue pair of the device may be a peer, and what it cannot take is lost.
import {
  type CreateQpOptions,
  type DatagramDestination,
  type QueuePair,
  rkey,
  type SendWorkRequest,
} from '../../../lib';
import { open } from '../../support/scene';
import { linesOf, memory, refusal } from '../../support/queue-pairs';

const GRH = 40;

function world(options: Partial<CreateQpOptions<'UD'>> = {}) {
  const device = open({ engine: 'manual', keyPolicy: 'sequential' });
  const pd = device.allocPd();
  const [aCq, bCq] = [device.createCq(64), device.createCq(64)];
  const a = pd.createQp({ type: 'UD', sendCq: aCq, ...options });
  const b = pd.createQp({ type: 'UD', sendCq: bCq, ...options });
  for (const qp of [a, b]) qp.activate({ qkey: 0x77 });
  const ah = pd.createAh({ sl: 3 });
  const to = (qp: QueuePair<'UD'> = b, remoteQkey = 0x77): DatagramDestination => ({
    ah,
    remoteQpn: qp.qpn,
    remoteQkey,
  });
  const send = (wr: SendWorkRequest<'UD'>): string => {
    a.postSend({ wrId: 1, signaled: true, ...wr });
    device.run();
    return linesOf(aCq).join();
  };
  return { device, pd, a, b, aCq, bCq, ah, to, send };
}

test('a datagram arrives behind 40 bytes that stay as they were', () => {
  const { pd, a, b, bCq, to, send } = world();
  const target = memory(pd, 'x'.repeat(48));
  b.postRecv({ wrId: 2, sges: [target.sge()] });
  expect(send({ opcode: 'SEND_WITH_IMM', sges: [memory(pd, 'hello').sge()], imm: 9, ...to() })).toBe(
    '1 SEND SUCCESS',
  );
  expect(bCq.poll()).toMatchObject([
    { wrId: 2, opcode: 'RECV', ok: true, byteLength: 5 + GRH, imm: 9, srcQp: a.qpn, slid: 1, sl: 3, port: 1 },
  ]);
  expect(target.bytes.toString()).toBe(`${'x'.repeat(GRH)}helloxxx`);
});

test('one queue pair sends to several, each datagram with a handle of its own', () => {
  const { device, pd, a, b, bCq, to } = world();
  const cq = device.createCq(4);
  const c = pd.createQp({ type: 'UD', sendCq: cq });
  c.activate({ qkey: 1 });
  for (const qp of [b, c])
    qp.postRecv([
      { wrId: 2, sges: [memory(pd, 64).sge()] },
      { wrId: 3, sges: [memory(pd, 64).sge()] },
    ]);
  const [second, third] = [pd.createAh({ sl: 1 }), pd.createAh({ sl: 2 })];
  a.postSend([
    { opcode: 'SEND', ...to() },
    { opcode: 'SEND', ...to(c, 1), ah: second },
    { opcode: 'SEND', ...to(c, 1), ah: third },
    { opcode: 'SEND', ...to() },
  ]);
  second.destroy();
  third.destroy();
  device.run();
  expect(cq.poll().map(({ sl }) => sl)).toEqual([1, 2]);
  expect(bCq.poll().map(({ sl }) => sl)).toEqual([3, 3]);
});

describe('a datagram is dropped, and its send succeeds, if', () => {
  const cases: [string, (all: ReturnType<typeof world>) => object][] = [
    ['the peer has another Q_Key', ({ to, b }) => to(b, 0x78)],
    ['no queue pair has the number', ({ to }) => ({ ...to(), remoteQpn: 999 })],
    [
      'the peer is not ready',
      ({ to, b }) => {
        b.modify({ state: 'RESET' });
        return to();
      },
    ],
    [
      'the peer is of another type',
      ({ to, pd, bCq }) => ({ ...to(), remoteQpn: pd.createQp({ type: 'RC', sendCq: bCq }).qpn }),
    ],
  ];
  test.each(cases)('%s', (_, destination) => {
    const all = world();
    all.b.postRecv({ wrId: 2, sges: [memory(all.pd, 64).sge()] });
    expect(all.send({ opcode: 'SEND', ...(destination(all) as DatagramDestination) })).toMatch(
      /^1 SEND SUCCESS/,
    );
    expect(linesOf(all.bCq)).toEqual([]);
  });

  test('the peer has no receive', () => {
    const all = world();
    expect(all.send({ opcode: 'SEND', ...all.to() })).toMatch(/^1 SEND SUCCESS/);
  });

  test('it does not fit; the receive stays for the next datagram', () => {
    const { pd, b, bCq, to, send } = world();
    b.postRecv({ wrId: 2, sges: [memory(pd, GRH + 4).sge()] });
    const five = memory(pd, 'hello');
    expect(send({ opcode: 'SEND', sges: [five.sge()], ...to() })).toMatch(/^1 SEND SUCCESS/);
    expect(linesOf(bCq)).toEqual([]);
    send({ opcode: 'SEND', sges: [five.sge(0, 4)], ...to() });
    expect(linesOf(bCq)).toEqual(['2 RECV SUCCESS']);
  });
});

test('a receive with a bad lkey puts the peer into error', () => {
  const { pd, b, bCq, to, send } = world();
  b.postRecv([{ wrId: 2, sges: [{ ...memory(pd, 64).sge(), lkey: 0x99 as never }] }, { wrId: 3 }]);
  expect(send({ opcode: 'SEND', ...to() })).toMatch(/^1 SEND SUCCESS/);
  expect(bCq.poll().map(({ wrId, status }) => [wrId, status])).toEqual([
    [2, 'LOC_PROT_ERR'],
    [3, 'WR_FLUSH_ERR'],
  ]);
  expect(b.state).toBe('ERR');
});

test('deregistering the region of a receive in hand completes it with LOC_PROT_ERR', () => {
  const { device, pd, b, bCq, to, send } = world();
  const target = memory(pd, GRH);
  b.postRecv({ wrId: 2, sges: [target.sge()] });
  send({ opcode: 'SEND', sges: [memory(pd, 1).sge()], ...to() }); // does not fit: the receive is in hand
  target.mr.dereg();
  device.run();
  expect([b.state, linesOf(bCq)]).toEqual(['ERR', ['2 RECV LOC_PROT_ERR RegionReleased']]);
});

test('a remote Q_Key with its highest bit set stands for that of the sender', () => {
  const { pd, b, bCq, to, send } = world();
  b.postRecv({ wrId: 2, sges: [memory(pd, 64).sge()] });
  send({ opcode: 'SEND', ...to(b, 0x8000_0000) });
  expect(linesOf(bCq)).toEqual(['2 RECV SUCCESS']);
});

describe('postSend refuses', () => {
  test('a datagram above 4096 bytes', () => {
    const { pd, a, to } = world();
    const { sge } = memory(pd, 4097);
    expect(
      refusal(() => {
        a.postSend({ opcode: 'SEND', sges: [sge()], ...to() });
      }),
    ).toEqual(['EINVAL', 'WrLength', 0, 0]);
    a.postSend({ opcode: 'SEND', sges: [sge(1)], ...to() });
  });

  test('address handles of another domain, and destroyed ones', () => {
    const { device, a, to, ah } = world();
    const other = device.allocPd().createAh();
    expect(
      refusal(() => {
        a.postSend([
          { opcode: 'SEND', ...to() },
          { opcode: 'SEND', ...to(), ah: other },
        ]);
      }),
    ).toEqual(['EINVAL', 'WrAhInOtherPd', 1, 1]);
    ah.destroy();
    expect(
      refusal(() => {
        a.postSend({ opcode: 'SEND', ...to() });
      }),
    ).toEqual(['EINVAL', 'AhGone', 0, 0]);
  });

  test.each(['RDMA_WRITE', 'RDMA_READ', 'SEND_WITH_INV', 'LOCAL_INV'] as const)('opcode %s', (opcode) => {
    const { a } = world();
    const wr = { opcode, remoteAddr: 0, rkey: rkey(0), invalidateRkey: rkey(1) };
    expect(
      refusal(() => {
        a.postSend(wr as unknown as SendWorkRequest<'UD'>);
      }),
    ).toEqual(['EINVAL', 'WrOpcode', 0, 0]);
  });

  test.each<[string, object, RegExp]>([
    ['no address handle', { ah: undefined }, /"wr.ah" property must be an instance of AddressHandle/],
    [
      'another object as the address handle',
      { ah: {} },
      /"wr.ah" property must be an instance of AddressHandle/,
    ],
    ['no queue pair number', { remoteQpn: undefined }, /"wr.remoteQpn" property must be of type number/],
    ['a Q_Key above 32 bits', { remoteQkey: 2 ** 32 }, /"wr.remoteQkey" is out of range/],
  ])('%s', (_, wrong, message) => {
    const { a, to } = world();
    expect(() => {
      a.postSend({ opcode: 'SEND', ...to(), ...wrong });
    }).toThrow(message);
    expect(a.query().sends).toBe(0);
  });
});
