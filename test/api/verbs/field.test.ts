// What tests of RDMA devices and drivers in the field check: registrations, every operation, every way it can fail, and what the
// completions then say.
import { Access, type Rkey, rkey, type SendWorkRequest, type QueuePair } from '../../../lib';
import { detach } from '../../support/reach';
import { open } from '../../support/scene';
import { ends, linesOf, memory, outcome, refusal, registered, REMOTE } from '../../support/queue-pairs';

const { LocalWrite, RemoteAtomic, RemoteRead, RemoteWrite } = Access;
const NO_KEY = rkey(0xff00_0001);

describe('registration', () => {
  test.each([
    ['remote write without local write', RemoteWrite],
    ['remote atomics without local write', RemoteAtomic],
    ['unknown bits', 1 << 5],
  ])('refuses %s', (_, access) => {
    const { pd } = ends();
    expect(refusal(() => memory(pd, 8, access))[0]).toBe('EINVAL');
  });

  test('two regions on one buffer have keys and rights of their own', () => {
    const all = ends();
    const bytes = Buffer.alloc(8);
    const [first, second] = [
      registered(all.pd, bytes, RemoteRead),
      registered(all.pd, bytes, LocalWrite | RemoteWrite),
    ];
    const from = memory(all.pd, 'abcdefgh');
    expect(outcome(all, { opcode: 'RDMA_WRITE', sges: [from.sge()], ...second.at() })).toBe(
      '1 RDMA_WRITE SUCCESS',
    );
    expect(bytes.toString()).toBe('abcdefgh');
    first.mr.dereg();
    expect(outcome(all, { opcode: 'RDMA_WRITE', sges: [from.sge(0, 1)], ...second.at(7) })).toBe(
      '1 RDMA_WRITE SUCCESS',
    );
    expect(bytes.toString()).toBe('abcdefga');
    expect(outcome(all, { opcode: 'RDMA_READ', sges: [from.sge()], ...second.at() })).toBe(
      '1 RDMA_READ REM_ACCESS_ERR AccessDenied',
    );
  });
});

describe('atomic operations', () => {
  const word = (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    return bytes;
  };

  test.each([
    ['swap if the values are equal', 7n, 9n],
    ['keep the value if they differ', 8n, 7n],
  ])('%s, and return the old value', (_, compareAdd, after) => {
    const all = ends();
    const [old, target] = [memory(all.pd, 8), registered(all.pd, word(7n))];
    const wr = {
      opcode: 'ATOMIC_CMP_AND_SWP',
      sges: [old.sge()],
      ...target.at(),
      compareAdd,
      swap: 9,
    } as const;
    expect(outcome(all, wr)).toBe('1 COMP_SWAP SUCCESS');
    expect([old.bytes.readBigUInt64LE(), target.bytes.readBigUInt64LE()]).toEqual([7n, after]);
  });

  test('add modulo 2^64', () => {
    const all = ends();
    const [old, target] = [memory(all.pd, 8), registered(all.pd, word(2n ** 64n - 1n))];
    expect(
      outcome(all, { opcode: 'ATOMIC_FETCH_AND_ADD', sges: [old.sge()], ...target.at(), compareAdd: 3n }),
    ).toBe('1 FETCH_ADD SUCCESS');
    expect([old.bytes.readBigUInt64LE(), target.bytes.readBigUInt64LE()]).toEqual([2n ** 64n - 1n, 2n]);
  });

  const wr = (all: ReturnType<typeof ends>, target: { remoteAddr: bigint | number; rkey: Rkey }) =>
    ({ opcode: 'ATOMIC_FETCH_AND_ADD', sges: [memory(all.pd, 8).sge()], ...target, compareAdd: 1 }) as const;

  test('need RemoteAtomic of the queue pair', () => {
    const all = ends({ connect: { access: RemoteRead | RemoteWrite } });
    expect(outcome(all, wr(all, memory(all.pd, 8).at()))).toBe('1 FETCH_ADD REM_INV_REQ_ERR QpAccess');
  });

  test('need RemoteAtomic of the region', () => {
    const all = ends();
    expect(outcome(all, wr(all, memory(all.pd, 8, LocalWrite | RemoteWrite).at()))).toBe(
      '1 FETCH_ADD REM_ACCESS_ERR AccessDenied',
    );
  });

  test('need a remote address that is a multiple of 8', () => {
    const all = ends();
    expect(outcome(all, wr(all, memory(all.pd, 16).at(4)))).toBe('1 FETCH_ADD REM_INV_REQ_ERR AtomicAddress');
  });

  test('need a valid rkey', () => {
    const all = ends();
    expect(outcome(all, wr(all, { remoteAddr: 0, rkey: NO_KEY }))).toBe(
      '1 FETCH_ADD REM_ACCESS_ERR NoSuchKey',
    );
  });

  test('need 8 local bytes, aligned, writable, with a valid lkey', () => {
    const { pd, a } = ends();
    const target = memory(pd, 8).at();
    const local = memory(pd, 24);
    const post = (sges: object[]) =>
      refusal(() => {
        a.postSend({ opcode: 'ATOMIC_FETCH_AND_ADD', sges: sges as never, ...target, compareAdd: 1 });
      });
    expect(post([])).toEqual(['EINVAL', 'WrAtomicSge', 0, 0]);
    expect(post([local.sge(0, 7)])).toEqual(['EINVAL', 'WrAtomicSge', 0, 0]);
    expect(post([local.sge(4, 8)])).toEqual(['EINVAL', 'WrAtomicAddress', 0, 0]);
    expect(post([{ ...local.sge(0, 8), lkey: NO_KEY }])).toEqual(['EINVAL', 'WrSgeRefused', 0, 0]);
    expect(post([memory(pd, 8, RemoteRead).sge()])).toEqual(['EINVAL', 'WrSgeRefused', 0, 0]);
  });

  test('need maxRdAtomic above 0, as reads do', () => {
    const { pd, a } = ends({ connect: { maxRdAtomic: 0 } });
    const { sge, at } = memory(pd, 8);
    for (const wrs of [
      { opcode: 'RDMA_READ', sges: [sge()], ...at() },
      { opcode: 'ATOMIC_FETCH_AND_ADD', sges: [sge()], ...at(), compareAdd: 1 },
    ] as const) {
      expect(
        refusal(() => {
          a.postSend(wrs);
        }),
      ).toEqual(['EINVAL', 'WrNoRdAtomic', 0, 0]);
    }
  });
});

describe('sends', () => {
  test('gather from several SGEs and scatter to several', () => {
    const { device, pd, a, b, bCq } = ends();
    const [from, to] = [memory(pd, 'abcdefgh'), memory(pd, 8)];
    b.postRecv({ wrId: 2, sges: [to.sge(6, 1), to.sge(0, 0), to.sge(0, 4)] });
    a.postSend({ opcode: 'SEND', sges: [from.sge(6, 2), from.sge(3, 0), from.sge(0, 2)] });
    device.run();
    const [wc] = bCq.poll();
    expect(wc).toMatchObject({
      wrId: 2,
      opcode: 'RECV',
      ok: true,
      byteLength: 4,
      imm: undefined,
      qp: b,
      srcQp: a.qpn,
    });
    expect(to.bytes.toString()).toBe('hab\0\0\0g\0');
  });

  test('deliver immediate data', () => {
    const { device, a, b, bCq } = ends();
    b.postRecv({ wrId: 2 });
    a.postSend({ opcode: 'SEND_WITH_IMM', imm: 0xffff_ffff });
    device.run();
    expect(bCq.poll()).toMatchObject([{ wrId: 2, opcode: 'RECV', imm: 0xffff_ffff, byteLength: 0 }]);
  });

  test('invalidate a key of the peer, and say so; a key that is not valid there is ignored', () => {
    const all = ends();
    const { device, pd, a, b, bCq } = all;
    const target = memory(pd, 8);
    b.postRecv([{ wrId: 2 }, { wrId: 3 }]);
    a.postSend([
      { opcode: 'SEND_WITH_INV', invalidateRkey: target.mr.rkey },
      { opcode: 'SEND_WITH_INV', invalidateRkey: NO_KEY },
    ]);
    device.run();
    expect(bCq.poll().map(({ wrId, invalidatedRkey }) => [wrId, invalidatedRkey])).toEqual([
      [2, target.mr.rkey],
      [3, undefined],
    ]);
    expect(outcome(all, { opcode: 'RDMA_READ', sges: [memory(pd, 8).sge()], ...target.at() })).toBe(
      '1 RDMA_READ REM_ACCESS_ERR Invalidated',
    );
  });

  test('of no bytes take a receive', () => {
    const { device, a, b, bCq } = ends();
    b.postRecv([{ wrId: 2 }, { wrId: 3 }]);
    a.postSend({ opcode: 'SEND' });
    device.run();
    expect(linesOf(bCq)).toEqual(['2 RECV SUCCESS']);
    expect(b.query().receives).toBe(1);
  });

  test('longer than the receive put the peer into error', () => {
    const all = ends();
    const { pd, b, bCq } = all;
    const to = memory(pd, 8);
    b.postRecv([{ wrId: 2, sges: [to.sge(0, 3)] }, { wrId: 3 }]);
    expect(outcome(all, { opcode: 'SEND', sges: [memory(pd, 'four').sge()] })).toBe(
      '1 SEND REM_INV_REQ_ERR ReceiveTooShort',
    );
    expect(linesOf(bCq)).toEqual(['2 RECV LOC_QP_OP_ERR ReceiveTooShort', '3 RECV WR_FLUSH_ERR Flushed']);
    expect([all.a.state, b.state, to.bytes[0]]).toEqual(['ERR', 'ERR', 0]);
  });

  test('into a receive with a bad lkey put the peer into error', () => {
    const all = ends();
    const { pd, b, bCq } = all;
    b.postRecv([{ wrId: 2, sges: [memory(pd, 8, RemoteRead).sge()] }, { wrId: 3 }]);
    expect(outcome(all, { opcode: 'SEND', sges: [memory(pd, 'x').sge()] })).toBe(
      '1 SEND REM_OP_ERR AccessDenied',
    );
    expect(linesOf(bCq)).toEqual(['2 RECV LOC_PROT_ERR AccessDenied', '3 RECV WR_FLUSH_ERR Flushed']);
  });
});

describe('writes', () => {
  test('with immediate data take a receive without looking at its SGEs', () => {
    const all = ends();
    const { pd, b, bCq } = all;
    const [from, to] = [memory(pd, 'abc'), memory(pd, 3)];
    b.postRecv({ wrId: 2, sges: [{ addr: 0, length: 1, lkey: NO_KEY as never }] });
    expect(outcome(all, { opcode: 'RDMA_WRITE_WITH_IMM', sges: [from.sge()], ...to.at(), imm: 5 })).toBe(
      '1 RDMA_WRITE SUCCESS',
    );
    expect(bCq.poll()).toMatchObject([{ wrId: 2, opcode: 'RECV_RDMA_WITH_IMM', imm: 5, byteLength: 3 }]);
    expect(to.bytes.toString()).toBe('abc');
  });

  test('of no bytes need no key', () => {
    const all = ends();
    expect(outcome(all, { opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: NO_KEY })).toBe('1 RDMA_WRITE SUCCESS');
    all.b.postRecv({ wrId: 2 });
    expect(outcome(all, { opcode: 'RDMA_WRITE_WITH_IMM', remoteAddr: 0, rkey: NO_KEY, imm: 1 })).toBe(
      '1 RDMA_WRITE SUCCESS',
    );
  });

  test('with immediate data that are refused complete the receive with LOC_PROT_ERR', () => {
    const all = ends();
    const { pd, b, bCq } = all;
    b.postRecv({ wrId: 2 });
    const wr = {
      opcode: 'RDMA_WRITE_WITH_IMM',
      sges: [memory(pd, 1).sge()],
      remoteAddr: 0,
      rkey: NO_KEY,
      imm: 1,
    } as const;
    expect(outcome(all, wr)).toBe('1 RDMA_WRITE REM_ACCESS_ERR NoSuchKey');
    expect(linesOf(bCq)).toEqual(['2 RECV LOC_PROT_ERR NoSuchKey']);
  });
});

describe('a remote access is refused with', () => {
  type All = ReturnType<typeof ends>;
  const read = (all: All, remote: { remoteAddr: bigint | number; rkey: Rkey }): SendWorkRequest<'RC'> => ({
    opcode: 'RDMA_READ',
    sges: [memory(all.pd, 8).sge()],
    ...remote,
  });
  const write = (all: All, remote: { remoteAddr: bigint | number; rkey: Rkey }): SendWorkRequest<'RC'> => ({
    opcode: 'RDMA_WRITE',
    sges: [memory(all.pd, 8).sge()],
    ...remote,
  });

  test.each<[string, string, (all: All) => SendWorkRequest<'RC'>]>([
    [
      'QpAccess',
      'a read that the queue pair does not allow',
      (all) => {
        all.b.modify({ state: 'RTS', access: RemoteWrite });
        return read(all, memory(all.pd, 8).at());
      },
    ],
    [
      'QpAccess',
      'a write that the queue pair does not allow',
      (all) => {
        all.b.modify({ state: 'RTS', access: RemoteRead });
        return write(all, memory(all.pd, 8).at());
      },
    ],
    [
      'AccessDenied',
      'a read that the region does not allow',
      (all) => read(all, memory(all.pd, 8, LocalWrite | RemoteWrite).at()),
    ],
    [
      'AccessDenied',
      'a write that the region does not allow',
      (all) => write(all, memory(all.pd, 8, RemoteRead).at()),
    ],
    ['NoSuchKey', 'a key that was never used', (all) => read(all, { remoteAddr: 0, rkey: NO_KEY })],
    ['KeyZeroDenied', 'key 0', (all) => read(all, { remoteAddr: 0, rkey: rkey(0) })],
    [
      'StaleKey',
      'a key with another low byte',
      (all) => {
        const { mr } = memory(all.pd, 8);
        return read(all, { remoteAddr: mr.iova, rkey: rkey(mr.rkey ^ 1) });
      },
    ],
    [
      'Revoked',
      'a deregistered region',
      (all) => {
        const target = memory(all.pd, 8);
        target.mr.dereg();
        return read(all, target.at());
      },
    ],
    [
      'Invalidated',
      'an invalidated key',
      (all) => {
        const target = memory(all.pd, 8);
        all.b.invalidateRkey(target.mr.rkey);
        return read(all, target.at());
      },
    ],
    ['OutOfBounds', 'a range that ends outside', (all) => read(all, memory(all.pd, 8).at(1))],
    ['WrongPd', 'a region of another domain', (all) => read(all, memory(all.device.allocPd(), 8).at())],
  ])('%s: %s', (reason, _, build) => {
    const all = ends();
    const { a, b, bCq } = all;
    b.postRecv({ wrId: 9 });
    const status = reason === 'QpAccess' ? 'REM_INV_REQ_ERR' : 'REM_ACCESS_ERR';
    const wr = build(all);
    expect(outcome(all, wr)).toBe(`1 ${wr.opcode} ${status} ${reason}`);
    expect([a.state, b.state]).toEqual(['ERR', 'ERR']);
    expect(linesOf(bCq)).toEqual(['9 RECV WR_FLUSH_ERR Flushed']);
  });

  test('MemoryDetached: a detached buffer', () => {
    const all = ends();
    const buffer = new ArrayBuffer(8);
    const target = registered(all.pd, Buffer.from(buffer));
    detach(buffer);
    expect(outcome(all, read(all, target.at()))).toBe('1 RDMA_READ REM_ACCESS_ERR MemoryDetached');
  });
});

describe('a local SGE is refused by the call that posts it:', () => {
  test.each<[string, (all: ReturnType<typeof ends>) => object]>([
    ['an unknown lkey', () => ({ addr: 0, length: 1, lkey: NO_KEY })],
    ['an lkey of another domain', ({ device }) => memory(device.allocPd(), 8).sge()],
    ['bytes outside the region', ({ pd }) => ({ ...memory(pd, 8).sge(), length: 9 })],
    [
      'a deregistered region',
      ({ pd }) => {
        const { mr, sge } = memory(pd, 8);
        mr.dereg();
        return sge();
      },
    ],
  ])('%s', (_, sge) => {
    const all = ends();
    expect(
      refusal(() => {
        all.a.postSend({ opcode: 'SEND', sges: [sge(all) as never] });
      }),
    ).toEqual(['EINVAL', 'WrSgeRefused', 0, 0]);
    expect(all.a.state).toBe('RTS');
  });

  test('but not one of length 0, whatever its key', () => {
    const all = ends();
    all.b.postRecv({});
    expect(outcome(all, { opcode: 'SEND', sges: [{ addr: 1, length: 0, lkey: NO_KEY as never }] })).toBe(
      '1 SEND SUCCESS',
    );
  });

  test('one for a read that the region does not allow to write', () => {
    const { pd, a } = ends();
    const target = memory(pd, 8);
    expect(
      refusal(() => {
        a.postSend({ opcode: 'RDMA_READ', sges: [memory(pd, 8, RemoteRead).sge()], ...target.at() });
      }).slice(0, 2),
    ).toEqual(['EINVAL', 'WrSgeRefused']);
  });
});

describe('local operations', () => {
  const DMA_PAGE = 4096;
  const fast = () => {
    const all = ends({ otherPd: false });
    const mapping = all.device.dma.map(Buffer.alloc(DMA_PAGE), { address: 0x10_0000n });
    const mr = all.pd.allocMr({ maxNumSg: 1 });
    mr.mapSg([{ addr: mapping.address, length: DMA_PAGE }]);
    return { ...all, mr };
  };

  test('REG_MR makes a region usable, LOCAL_INV ends that', () => {
    const all = fast();
    const { pd, a, aCq, mr } = all;
    const key = rkey((mr.rkey & ~0xff) + 7);
    a.postSend({ wrId: 5, opcode: 'REG_MR', mr, key, access: LocalWrite | RemoteWrite, signaled: true });
    all.device.run();
    expect(linesOf(aCq)).toEqual(['5 REG_MR SUCCESS']);
    expect([mr.rkey, mr.access]).toEqual([key, LocalWrite | RemoteWrite]);
    const write = {
      opcode: 'RDMA_WRITE',
      sges: [memory(pd, 8).sge()],
      remoteAddr: mr.iova,
      rkey: key,
    } as const;
    expect(outcome(all, write)).toBe('1 RDMA_WRITE SUCCESS');
    a.postSend({ wrId: 6, opcode: 'LOCAL_INV', invalidateRkey: key, signaled: true });
    all.device.run();
    expect(linesOf(aCq)).toEqual(['6 LOCAL_INV SUCCESS']);
    expect(outcome(all, write)).toBe('1 RDMA_WRITE REM_ACCESS_ERR Invalidated');
  });

  test('that are not signaled are carried out by the call and never complete, even on a full queue', () => {
    const { device, a, aCq, mr } = fast();
    const posts = Array.from({ length: 64 }, () => ({ opcode: 'SEND' }) as const);
    a.postSend(posts);
    const key = rkey(mr.rkey ^ 1);
    a.postSend({ opcode: 'REG_MR', mr, key, access: LocalWrite });
    expect(mr.rkey).toBe(key);
    expect(
      refusal(() => {
        a.postSend({ opcode: 'REG_MR', mr, key: rkey(key ^ 1), access: LocalWrite, signaled: true });
      }),
    ).toEqual(['ENOMEM', 'QueueFull', 0, 0]);
    expect(mr.rkey).toBe(rkey(key ^ 1));
    device.run();
    expect(linesOf(aCq)).toEqual([]);
  });

  test('REG_MR refuses regions of other domains, other kinds, other slots and released ones', () => {
    const { device, pd, a, mr } = fast();
    const post = (region: typeof mr, key: Rkey) =>
      refusal(() => {
        a.postSend([
          { opcode: 'LOCAL_INV', invalidateRkey: mr.rkey },
          { opcode: 'REG_MR', mr: region, key, access: 0 },
        ]);
      });
    const other = device.allocPd().allocMr({ maxNumSg: 1 });
    expect(post(other, other.rkey)).toEqual(['EACCES', 'RegionInOtherPd', 1, 1]);
    const user = memory(pd, 8).mr;
    expect(post(user, user.rkey)).toEqual(['EINVAL', 'RegionKind', 1, 1]);
    expect(post(mr, rkey(mr.rkey ^ 0x100))).toEqual(['EINVAL', 'KeySlot', 1, 1]);
    const gone = pd.allocMr({ maxNumSg: 1 });
    const key = gone.rkey;
    gone.dereg();
    expect(post(gone, key)).toEqual(['EBADF', 'RegionGone', 1, 1]);
  });

  test('REG_MR refuses rights that no region can have, before anything is posted', () => {
    const { a, mr } = fast();
    const call = () => {
      a.postSend([{ opcode: 'SEND' }, { opcode: 'REG_MR', mr, key: mr.rkey, access: RemoteWrite }]);
    };
    expect(refusal(call)).toEqual(['EINVAL', 'RightsNeedLocalWrite', 1, 0]);
    expect(a.query().sends).toBe(0);
  });

  test('LOCAL_INV with FENCE waits for its turn, and fails without putting the queue pair into error', () => {
    const { device, pd, a, b, aCq } = fast();
    const { mr } = memory(pd, 8);
    b.postRecv({});
    a.postSend([
      { wrId: 1, opcode: 'SEND', signaled: true },
      { wrId: 2, opcode: 'LOCAL_INV', invalidateRkey: mr.rkey, fence: true, signaled: true },
      { wrId: 3, opcode: 'LOCAL_INV', invalidateRkey: NO_KEY, signaled: true },
    ]);
    expect(mr.state).toBe('Valid');
    device.run();
    expect(linesOf(aCq)).toEqual([
      '1 SEND SUCCESS',
      '2 LOCAL_INV SUCCESS',
      '3 LOCAL_INV LOC_PROT_ERR InvalidateRefused',
    ]);
    expect([mr.state, a.state]).toEqual(['Invalid', 'RTS']);
  });

  test('LOCAL_INV of an unknown key is refused by the call', () => {
    const { a } = fast();
    expect(
      refusal(() => {
        a.postSend({ opcode: 'LOCAL_INV', invalidateRkey: NO_KEY });
      }),
    ).toEqual(['EINVAL', 'UnknownKey', 0, 0]);
    expect(
      refusal(() => {
        a.postSend({ opcode: 'LOCAL_INV', invalidateRkey: rkey(0) });
      }),
    ).toEqual(['EINVAL', 'KeyZero', 0, 0]);
  });
});

describe('a peer', () => {
  test('that is missing fails the request with RETRY_EXC_ERR', () => {
    const all = ends();
    all.b.destroy();
    expect(outcome(all, { opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: NO_KEY })).toBe(
      '1 RDMA_WRITE RETRY_EXC_ERR NoPeer',
    );
  });

  test('in the error state fails the request with RETRY_EXC_ERR', () => {
    const all = ends();
    all.b.modify({ state: 'ERR' });
    expect(outcome(all, { opcode: 'SEND' })).toBe('1 SEND RETRY_EXC_ERR PeerState');
  });

  test('of another type fails the request with RETRY_EXC_ERR', () => {
    const { device, pd, a, aCq } = ends();
    const cq = device.createCq(4);
    const uc = pd.createQp({ type: 'UC', sendCq: cq });
    uc.connect(uc, { access: REMOTE });
    const rc = pd.createQp({ type: 'RC', sendCq: aCq });
    rc.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
    rc.modify({
      state: 'RTR',
      av: { dlid: 1 },
      pathMtu: 256,
      destQpn: uc.qpn,
      rqPsn: 0,
      maxDestRdAtomic: 1,
      minRnrTimer: 1,
    });
    rc.modify({ state: 'RTS', timeout: 1, retryCnt: 1, rnrRetry: 1, sqPsn: 0, maxRdAtomic: 1 });
    expect(outcome({ device, a: rc, aCq }, { opcode: 'SEND' })).toBe('1 SEND RETRY_EXC_ERR PeerType');
    expect(a.state).toBe('RTS');
  });
});

describe('a peer without a receive', () => {
  test('is tried again after minRnrTimer, until it has one', () => {
    const { device, a, aCq, b, bCq } = ends({ connect: { minRnrTimer: 1, rnrRetry: 7 } });
    a.postSend({ wrId: 1, opcode: 'SEND', signaled: true });
    device.run();
    for (let i = 0; i < 20; i++) {
      expect(device.fireTimers()).toEqual([{ qp: a, qpId: a.id, usec: 10 }]);
      device.run();
    }
    expect(linesOf(aCq)).toEqual([]);
    b.postRecv({ wrId: 2 });
    device.fireTimers();
    device.run();
    expect([linesOf(aCq), linesOf(bCq), device.fireTimers()]).toEqual([
      ['1 SEND SUCCESS'],
      ['2 RECV SUCCESS'],
      [],
    ]);
  });

  test('fails the request with RNR_RETRY_EXC_ERR after rnrRetry retries', () => {
    const { device, a, aCq, b } = ends({ connect: { minRnrTimer: 0, rnrRetry: 2 } });
    a.postSend([
      { wrId: 1, opcode: 'SEND' },
      { wrId: 2, opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: NO_KEY },
    ]);
    device.run();
    for (let i = 0; i < 2; i++) {
      expect([device.fireTimers().map(({ usec }) => usec), linesOf(aCq)]).toEqual([[655_360], []]);
      device.run();
    }
    expect(linesOf(aCq)).toEqual(['1 SEND RNR_RETRY_EXC_ERR NoReceive', '2 RDMA_WRITE WR_FLUSH_ERR Flushed']);
    expect([a.state, b.state]).toEqual(['ERR', 'RTS']);
  });

  test('fails the request at once with rnrRetry 0', () => {
    const all = ends({ connect: { rnrRetry: 0 } });
    expect(outcome(all, { opcode: 'SEND' })).toBe('1 SEND RNR_RETRY_EXC_ERR NoReceive');
  });
});

describe('queues', () => {
  test('that are full refuse further work requests with ENOMEM', () => {
    const { a, b } = ends({ qp: { maxSendWr: 2, maxRecvWr: 2 } });
    expect(
      refusal(() => {
        b.postRecv([{}, {}, {}, {}]);
      }),
    ).toEqual(['ENOMEM', 'QueueFull', 2, 2]);
    expect(
      refusal(() => {
        a.postSend([1, 2, 3, 4].map(() => ({ opcode: 'SEND' })));
      }),
    ).toEqual(['ENOMEM', 'QueueFull', 2, 2]);
    expect([a.query().sends, b.query().receives]).toEqual([2, 2]);
  });

  test('a lost completion of a send puts the queue pair into error, and the queue stays broken', () => {
    const all = ends({ cqe: 1 });
    const { device, a, aCq } = all;
    const wr = { opcode: 'RDMA_WRITE', signaled: true, remoteAddr: 0, rkey: NO_KEY } as const;
    a.postSend([
      { ...wr, wrId: 1 },
      { ...wr, wrId: 2 },
      { ...wr, wrId: 3 },
    ]);
    device.run();
    expect([a.state, aCq.isBroken, device.counters().completions?.lost]).toEqual(['ERR', true, 2]);
    expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE SUCCESS']);
    a.postSend({ ...wr, wrId: 4 });
    device.run();
    expect(linesOf(aCq)).toEqual([]);
  });

  test('a lost completion of a receive does not change the success of the sender', () => {
    const all = ends({ cqe: 1 });
    const { b } = all;
    b.postRecv([{ wrId: 2 }, { wrId: 3 }, { wrId: 4 }]);
    expect(outcome(all, { opcode: 'SEND' })).toBe('1 SEND SUCCESS');
    expect(outcome(all, { opcode: 'SEND' })).toBe('1 SEND SUCCESS');
    expect(b.state).toBe('ERR');
  });

  test('a queue pair in error flushes in order: the failed request, receives, then the other sends', () => {
    const { device, a, aCq } = ends();
    a.postRecv([{ wrId: 11 }, { wrId: 12 }]);
    a.postSend([
      { wrId: 1, opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: NO_KEY },
      { wrId: 2, opcode: 'RDMA_READ', sges: [], remoteAddr: 0, rkey: NO_KEY },
      { wrId: 3, opcode: 'SEND' },
      { wrId: 4, opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: NO_KEY },
    ]);
    device.run();
    expect(linesOf(aCq)).toEqual([
      '2 RDMA_READ REM_ACCESS_ERR NoSuchKey',
      '11 RECV WR_FLUSH_ERR Flushed',
      '12 RECV WR_FLUSH_ERR Flushed',
      '3 SEND WR_FLUSH_ERR Flushed',
      '4 RDMA_WRITE WR_FLUSH_ERR Flushed',
    ]);
  });

  test('in the error state, posted receives complete at once and posted sends at the next run', () => {
    const { device, a, aCq } = ends();
    a.modify({ state: 'ERR' });
    a.postRecv({ wrId: 1 });
    a.postSend({ wrId: 2, opcode: 'SEND' });
    expect(linesOf(aCq)).toEqual(['1 RECV WR_FLUSH_ERR Flushed']);
    device.run();
    expect(linesOf(aCq)).toEqual(['2 SEND WR_FLUSH_ERR Flushed']);
  });

  test('with sqSigAll every send completes', () => {
    const { device, a, aCq } = ends({ qp: { sqSigAll: true } });
    a.postSend([
      { wrId: 1, opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: NO_KEY },
      { wrId: 2, opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: NO_KEY, signaled: false },
    ]);
    device.run();
    expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE SUCCESS', '2 RDMA_WRITE SUCCESS']);
  });
});

describe('a shared receive queue', () => {
  const shared = () => {
    const device = open({ engine: 'manual', keyPolicy: 'sequential' });
    const pd = device.allocPd();
    const [aCq, bCq] = [device.createCq(64), device.createCq(64)];
    const srq = pd.createSrq({ maxWr: 8, limit: 2 });
    const a = pd.createQp({ type: 'RC', sendCq: aCq });
    const b = pd.createQp({ type: 'RC', sendCq: bCq, srq });
    a.connect(b, { access: REMOTE });
    return { device, pd, aCq, bCq, srq, a, b };
  };

  test('reports once that it fell below its limit', async () => {
    const { device, a, srq, bCq } = shared();
    let events = 0;
    srq.on('limit', () => events++);
    srq.postRecv([{ wrId: 1 }, { wrId: 2 }, { wrId: 3 }]);
    for (let i = 0; i < 3; i++) a.postSend({ opcode: 'SEND' });
    device.run();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([events, srq.query().limit, linesOf(bCq).length]).toEqual([1, 0, 3]);
  });

  test('takes the receives of its queue pairs, which then cannot be posted to', () => {
    const { b } = shared();
    expect(
      refusal(() => {
        b.postRecv({});
      }),
    ).toEqual(['EINVAL', 'QpHasSrq', undefined, 0]);
  });

  test('keeps its receives when a queue pair goes into error', () => {
    const { device, b, bCq, srq } = shared();
    srq.postRecv({ wrId: 1 });
    b.modify({ state: 'ERR' });
    device.run();
    expect([linesOf(bCq), srq.query().held]).toEqual([[], 1]);
  });
});

describe('deregistering a region that a queue pair uses', () => {
  test('flushes queue pairs with a queued send that holds it, and succeeds', () => {
    const { device, pd, a, aCq } = ends();
    const used = memory(pd, 8);
    a.postRecv({ wrId: 9 });
    a.postSend({ wrId: 1, opcode: 'SEND', sges: [used.sge()] });
    used.mr.dereg();
    expect([used.mr.state, a.state]).toEqual(['Closed', 'ERR']);
    device.run();
    expect(linesOf(aCq)).toEqual(['9 RECV WR_FLUSH_ERR Flushed', '1 SEND WR_FLUSH_ERR Flushed']);
  });

  test('does not disturb queue pairs that use other regions, or only receive into it', () => {
    const { device, pd, a, b, bCq, aCq } = ends();
    const [used, other] = [memory(pd, 8), memory(pd, 8)];
    b.postRecv({ wrId: 2, sges: [used.sge()] });
    a.postSend({ wrId: 1, opcode: 'SEND', sges: [other.sge()] });
    used.mr.dereg();
    expect([a.state, b.state]).toEqual(['RTS', 'RTS']);
    device.run();
    expect([linesOf(aCq), linesOf(bCq)]).toEqual([
      ['1 SEND REM_OP_ERR Revoked'],
      ['2 RECV LOC_PROT_ERR Revoked'],
    ]);
  });

  test('a region that is only the target of a queued request is refused later', () => {
    const { device, pd, a, aCq } = ends();
    const target = memory(pd, 8);
    a.postSend({ wrId: 1, opcode: 'RDMA_READ', sges: [memory(pd, 8).sge()], ...target.at() });
    target.mr.dereg();
    device.run();
    expect(linesOf(aCq)).toEqual(['1 RDMA_READ REM_ACCESS_ERR Revoked']);
  });

  test('fails with EBUSY while an element holds it as well', () => {
    const { pd, a } = ends();
    const used = memory(pd, 8);
    const check = pd.acquire(used.sge(), 0);
    if (!check.ok) throw new Error(check.reason);
    a.postSend({ opcode: 'SEND', sges: [used.sge()] });
    expect(
      refusal(() => {
        used.mr.dereg();
      }).slice(0, 2),
    ).toEqual(['EBUSY', 'RegionHeld']);
    expect(a.state).toBe('ERR');
    check.sge.put();
    used.mr.dereg();
  });
});

test('the manual mode is deterministic: the same program gives the same completions', () => {
  const run = () => {
    const { device, pd, a, aCq, b, bCq } = ends({ connect: { rnrRetry: 3 } });
    const mem = memory(pd, 64);
    const lines: string[] = [];
    for (let i = 0; i < 40; i++) {
      const wrs: SendWorkRequest<'RC'>[] = [
        { wrId: i, opcode: 'SEND', sges: [mem.sge(0, i)], signaled: i % 2 === 0 },
        { wrId: i, opcode: 'RDMA_READ', sges: [mem.sge(0, 8)], ...mem.at(i), signaled: true },
        { wrId: i, opcode: 'RDMA_WRITE', sges: [mem.sge(0, 8)], ...mem.at(i + 20), signaled: true },
      ];
      const wr = wrs[i % 3];
      if (wr) a.postSend(wr);
      if (i % 2 === 0) b.postRecv({ wrId: 100 + i, sges: [mem.sge(0, 30)] });
      if (i % 5 === 0) device.run();
      if (i % 7 === 0) {
        lines.push(JSON.stringify(device.fireTimers().map(({ usec }) => usec)));
        device.run();
      }
      lines.push(...linesOf(aCq), ...linesOf(bCq));
    }
    return lines;
  };
  const first = run();
  expect(first.length).toBeGreaterThan(20);
  expect(run()).toEqual(first);
});

test('completions are counted by status', () => {
  const all = ends();
  all.b.postRecv({});
  outcome(all, { opcode: 'SEND' });
  outcome(all, { opcode: 'RDMA_READ', sges: [], remoteAddr: 0, rkey: NO_KEY });
  expect(all.device.counters().completions).toMatchObject({ SUCCESS: 2, REM_ACCESS_ERR: 1, lost: 0 });
});

test('a queue pair of one domain cannot be used to reach regions of another, in either role', () => {
  const all = ends({ otherPd: true });
  const { pd, bPd, b } = all;
  expect(outcome(all, { opcode: 'RDMA_WRITE', sges: [memory(pd, 4).sge()], ...memory(bPd, 4).at() })).toBe(
    '1 RDMA_WRITE SUCCESS',
  );
  b.postRecv({ sges: [memory(pd, 4).sge()] });
  expect(outcome(all, { opcode: 'SEND', sges: [memory(pd, 4).sge()] })).toBe('1 SEND REM_OP_ERR WrongPd');
  expect((all.a as QueuePair).id).not.toBe((b as QueuePair).id);
});
