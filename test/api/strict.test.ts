// Strict devices: what works by the rules of the reference, and fails on a NIC. Each rule both ways.
import {
  Access,
  type Completion,
  Device,
  type DeviceOptions,
  fastRegKey,
  formatAdvertisement,
  lkey,
  packAdvertisement,
  parseAdvertisement,
  type RdmaError,
  rkey,
} from '../../lib';
import { argumentError, outOfRange, rdma, wrongType } from '../support/answers';
import { describeIf } from '../support/conditions';
import { ends, linesOf, memory } from '../support/queue-pairs';
import { open } from '../support/scene';
import { Peer } from '../support/workers';
import { wireEnds } from '../support/wire-ends';

const { LocalWrite, RemoteAtomic, RemoteRead, RemoteWrite } = Access;

/** Returns the code and the cause of the error that a call throws; 'ok' if it throws none. */
function outcomeOf(call: () => unknown): string {
  try {
    call();
    return 'ok';
  } catch (error) {
    const { code, detail } = error as RdmaError;
    return `${code} ${detail?.cause}`;
  }
}

/** Calls a function with a strict device and with a usual one; returns both outcomes. */
function both(call: (device: Device) => unknown): [strict: string, usual: string] {
  return [outcomeOf(() => call(open({ strict: true }))), outcomeOf(() => call(open()))];
}

describe('the start and the iova', () => {
  test.each([
    [0x1000n, 0x1008n],
    [0x1001n, 0x1000n],
    [0x1fffn, 0x2ffen],
  ])('start %s and iova %s have unequal offsets in their pages', (start, iova) => {
    expect(both((device) => device.allocPd().regUserMr(Buffer.alloc(64), { start, iova }))).toEqual([
      'EINVAL PageOffsets',
      'ok',
    ]);
  });

  test('of equal offsets are accepted, and without a start the device begins a page', () => {
    const pd = open({ strict: true }).allocPd();
    for (const options of [
      {},
      { iova: 0n },
      { iova: 0x7000n },
      { start: 0x1008n, iova: 0x9008n },
      { start: 0x1008n },
    ])
      expect(outcomeOf(() => pd.regUserMr(Buffer.alloc(64), options))).toBe('ok');
    expect(outcomeOf(() => pd.regUserMr(Buffer.alloc(64), { iova: 8 }))).toBe('EINVAL PageOffsets');
    expect(() => pd.regUserMr(Buffer.alloc(64), { start: 0x1010n, iova: 0x2008n })).toThrow(
      /the iova is 8 bytes behind the beginning of its page, but the start 16/,
    );
    expect(() => pd.regUserMr(Buffer.alloc(64), { start: 0x1010n, iova: 0x2008n })).toThrow(
      expect.objectContaining({
        detail: expect.objectContaining({ cause: 'PageOffsets', value: 8, limit: 16 }),
      }),
    );
  });

  test('a refused registration leaves nothing', () => {
    const device = open({ strict: true });
    const pd = device.allocPd();
    const { start } = pd.regUserMr(Buffer.alloc(64));
    expect(outcomeOf(() => pd.regUserMr(Buffer.alloc(64), { iova: 1n }))).toBe('EINVAL PageOffsets');
    expect(device.keySlots.used).toBe(1);
    expect(pd.regUserMr(Buffer.alloc(64)).start).toBe(start + 0x2000n);
  });

  test('of a re-registration: the old registration stays', () => {
    const rereg = (device: Device) => {
      const mr = device.allocPd().regUserMr(Buffer.alloc(64), { start: 0x1000n, access: LocalWrite });
      try {
        mr.rereg({ translation: { memory: Buffer.alloc(64), start: 0x2000n, iova: 0x2010n } });
      } finally {
        expect(mr.state).toBe('Valid');
      }
    };
    expect(both(rereg)).toEqual(['EINVAL PageOffsets', 'ok']);
    const mr = open({ strict: true }).allocPd().regUserMr(Buffer.alloc(64));
    expect(outcomeOf(() => mr.rereg({ translation: { memory: Buffer.alloc(64), iova: 8n } }))).toBe(
      'EINVAL PageOffsets',
    );
    expect(outcomeOf(() => mr.rereg({ translation: { memory: Buffer.alloc(64), iova: 0n } }))).toBe('ok');
  });

  test('of a page list: fastRegMr with an iova, and mapPhys', () => {
    const fast = (iova: bigint) => (device: Device) => {
      const pd = device.allocPd({ trusted: true });
      const { address } = device.dma.map(Buffer.alloc(8192), { address: 0x10_0000n });
      const mr = pd.allocMr({ maxNumSg: 2 });
      mr.mapSg([{ addr: address + 16n, length: 64 }]);
      pd.createQp().fastRegMr(mr, { key: mr.rkey, access: LocalWrite, iova });
    };
    expect(both(fast(0x5000n))).toEqual(['EINVAL PageOffsets', 'ok']);
    expect(both(fast(0x5010n))).toEqual(['ok', 'ok']);
    const phys = (iova: bigint) => (device: Device) => {
      const pd = device.allocPd({ trusted: true });
      const { address } = device.dma.map(Buffer.alloc(8192), { address: 0x10_0000n });
      pd.allocFmr({ maxPages: 2, access: LocalWrite }).mapPhys([address], iova);
    };
    expect(both(phys(0x5008n))).toEqual(['EINVAL PageOffsets', 'ok']);
    expect(both(phys(0x5000n))).toEqual(['ok', 'ok']);
  });
});

describe('access rights', () => {
  test('of a DMA region need LocalWrite for remote writes', () => {
    for (const access of [RemoteWrite, RemoteAtomic, RemoteWrite | RemoteRead]) {
      const get = (device: Device) => {
        device.allocPd({ trusted: true }).getDmaMr({ access }).dereg();
      };
      expect(both(get)).toEqual(['EINVAL RightsNeedLocalWrite', 'ok']);
    }
    const get = (device: Device) => {
      device
        .allocPd({ trusted: true })
        .getDmaMr({ access: LocalWrite | RemoteWrite })
        .dereg();
    };
    expect(both(get)).toEqual(['ok', 'ok']);
  });

  test('of other regions need it on every device, and unknown bits are refused on every device', () => {
    const reg = (access: number) => (device: Device) =>
      device.allocPd().regUserMr(Buffer.alloc(8), { access });
    expect(both(reg(RemoteWrite))).toEqual(['EINVAL RightsNeedLocalWrite', 'EINVAL RightsNeedLocalWrite']);
    expect(both(reg(1 << 20))).toEqual(['EINVAL UnknownRights', 'EINVAL UnknownRights']);
  });
});

/** A strict device with a region, and what sends to it. */
function keyed(options: DeviceOptions = {}) {
  const device = open({ strict: true, ...options });
  const pd = device.allocPd();
  const mr = pd.regUserMr(Buffer.alloc(64), { iova: 0x9000n, access: 15 });
  return { device, pd, mr, qp: pd.createQp() };
}

describe('keys', () => {
  test.each(['random', 'sequential'] as const)(
    'the lkey and the rkey of a region differ by the same bits in the whole device (%s)',
    (keyPolicy) => {
      for (const lkeyTableBits of [1, 8, 16, 22, 23]) {
        const device = new Device({ strict: true, keyPolicy, lkeyTableBits: Math.min(lkeyTableBits, 22) });
        const pd = device.allocPd();
        const regions = Array.from({ length: 2 }, () => pd.regUserMr(Buffer.alloc(8)));
        const masks = new Set(regions.map(({ lkey: local, rkey: remote }) => (local ^ remote) >>> 0));
        expect(masks.size).toBe(1);
        const [mask = 0] = masks;
        expect(mask).not.toBe(0);
        expect(mask & 0xff).toBe(0);
        for (const { rkey: remote } of regions) expect(remote >>> 8).not.toBe(0);
        device.close({ cascade: true });
      }
    },
  );

  test('a slot never gets the key whose rkey would be 0', () => {
    for (const keyPolicy of ['random', 'sequential'] as const) {
      const pd = open({ strict: true, keyPolicy, lkeyTableBits: 1 }).allocPd();
      for (let i = 0; i < 3000; i++) {
        const mr = pd.regUserMr(Buffer.alloc(8));
        if (mr.rkey >>> 8 === 0 || mr.lkey >>> 8 === 0) throw new Error(`${mr.lkey} ${mr.rkey}`);
        mr.dereg();
      }
    }
  });

  test('on a usual device they are equal', () => {
    const mr = open().allocPd().regUserMr(Buffer.alloc(8));
    expect(mr.rkey as number).toBe(mr.lkey);
  });

  test('a table of 2^23 slots is too large', () => {
    const warned: string[] = [];
    const { emitWarning } = process;
    process.emitWarning = (warning: string | Error) => void warned.push(String(warning));
    try {
      const device = new Device({ strict: true, lkeyTableBits: 23 });
      expect(device.lkeyTableBits).toBe(22);
      device.close();
    } finally {
      process.emitWarning = emitWarning;
    }
    expect(warned).toEqual(['lkeyTableBits 23 is too large; the key table has 22 bits']);
  });

  test('a peer that sends the lkey is refused and told why; so is a local access by rkey', () => {
    const { pd, qp, mr } = keyed();
    const remote = (key: number) => qp.check({ vaddr: mr.iova, length: 8, rkey: rkey(key) }, RemoteRead);
    const local = (key: number) => pd.check({ addr: mr.start, length: 8, lkey: lkey(key) }, LocalWrite);
    expect([remote(mr.rkey).ok, local(mr.lkey).ok]).toEqual([true, true]);
    const [a, b] = [remote(mr.lkey), local(mr.rkey)];
    if (a.ok || b.ok) throw new Error('accepted');
    expect([a.reason, b.reason]).toEqual(['StaleKey', 'StaleKey']);
    expect(a.explain()).toMatch(
      new RegExp(`This is the lkey of .*, whose rkey is 0x${mr.rkey.toString(16)}: a peer needs the rkey`),
    );
    expect(b.explain()).toMatch(
      new RegExp(`This is the rkey of .*, whose lkey is 0x${mr.lkey.toString(16)}: a local access needs`),
    );
    const usual = open().allocPd();
    const same = usual.regUserMr(Buffer.alloc(64), { access: 15 });
    const asked = { vaddr: same.iova, length: 8, rkey: rkey(same.lkey) };
    expect(usual.createQp().check(asked, RemoteRead).ok).toBe(true);
  });

  test('explanations name rkeys to queue pairs, and lkeys to domains', () => {
    const { device, qp, pd, mr } = keyed();
    const far = qp.check({ vaddr: mr.iova + 100n, length: 8, rkey: mr.rkey }, RemoteRead);
    expect(far.ok ? '' : far.explain()).toMatch(/OutOfBounds: .* has 64 bytes at the remote addresses/);
    const swapped = rkey(Buffer.from(new Uint32Array([mr.rkey]).buffer).readUInt32BE(0));
    const wrong = qp.check({ vaddr: mr.iova, length: 8, rkey: swapped }, RemoteRead);
    expect(wrong.ok ? '' : wrong.explain()).toMatch(
      new RegExp(`reverse order: 0x${mr.rkey.toString(16)} is the key`),
    );
    mr.dereg();
    const gone = qp.check({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, RemoteRead);
    expect(gone.ok ? '' : gone.reason).toBe('Revoked');
    expect(gone.ok ? '' : gone.explain()).toMatch(/no longer exists/);
    const next = pd.check({ addr: 0n, length: 8, lkey: lkey(0x7700) }, 0);
    expect(next.ok).toBe(false);
    expect(device.keySlots.used).toBe(0);
  });

  test('key 0 is no key of a peer', () => {
    const { qp } = keyed();
    const answer = qp.check({ vaddr: 0n, length: 8, rkey: rkey(0) }, RemoteRead);
    expect(answer.ok ? '' : answer.reason).toBe('KeyZeroDenied');
    const device = open({ strict: true, remoteKeyZero: true });
    const pd = device.allocPd({ trusted: true });
    device.dma.map(Buffer.alloc(4096), { address: 0x10_0000n });
    const dma = pd.getDmaMr({ access: LocalWrite });
    expect([dma.lkey, dma.rkey]).toEqual([0, 0]);
    const asked = { vaddr: 0x10_0000n, length: 8, rkey: dma.rkey };
    expect(pd.createQp().check(asked, RemoteRead).ok).toBe(true);
    dma.dereg();
  });

  test('every way to check: elements, batches with places and without, copies, checkers', () => {
    const { device, mr, pd, qp } = keyed();
    const held = qp.acquire({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, RemoteRead);
    expect([held.ok, mr.refs]).toEqual([true, 3]);
    if (held.ok) held.sge.put();
    expect(qp.acquire({ vaddr: mr.iova, length: 8, rkey: rkey(mr.lkey) }, RemoteRead).ok).toBe(false);
    for (const places of [false, true]) {
      for (const [batch, address, good, bad, access] of [
        [qp.rkeyBatch(2, { places }), mr.iova, mr.rkey, mr.lkey, RemoteRead],
        [pd.lkeyBatch(2, { places }), mr.start, mr.lkey, mr.rkey, LocalWrite],
      ] as const) {
        batch.set(0, address, 8, good);
        batch.set(1, address, 8, bad);
        expect([batch.check(2, access), batch.reason(1)]).toEqual([1, 'StaleKey']);
        expect(batch.acquire(2, access)).toBe(1);
        expect(mr.refs).toBe(3);
        batch.put();
      }
    }
    const copy = qp.rkeyBatch(2);
    for (const all of [false, true]) {
      copy.set(0, mr.iova, 8, mr.rkey);
      copy.set(1, mr.iova + 8n, 8, mr.rkey);
      expect(copy.gather(new Uint8Array(16), 2, RemoteRead, { all })).toBe(16);
      copy.set(1, mr.iova + 8n, 8, rkey(mr.lkey));
      expect(copy.gather(new Uint8Array(16), 2, RemoteRead, { all })).toBe(all ? 0 : 8);
      expect(copy.firstReason).toBe('StaleKey');
    }
    mr.countAccesses();
    qp.check({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, RemoteRead);
    qp.check({ vaddr: mr.iova, length: 800, rkey: mr.rkey }, RemoteRead);
    expect(mr.counters).toMatchObject({ accepted: 1, refused: 1 });
    expect(device.counters().reasons).toMatchObject({ OutOfBounds: 1 });
  });

  test('everywhere that an rkey goes out: advertisements, reports, descriptions, JSON', () => {
    const { device, pd, mr } = keyed();
    const hex = (key: number) => `0x${key.toString(16)}`;
    const advertised = mr.advertise();
    expect(advertised.rkey).toBe(mr.rkey);
    expect(parseAdvertisement(packAdvertisement(advertised)).rkey).toBe(mr.rkey);
    expect(parseAdvertisement(formatAdvertisement(advertised)).rkey).toBe(mr.rkey);
    const keys = { lkey: mr.lkey, rkey: mr.rkey };
    expect(device.resources().regions[0]).toMatchObject(keys);
    expect(JSON.parse(JSON.stringify(device.resources())).regions[0]).toMatchObject({
      lkey: hex(mr.lkey),
      rkey: hex(mr.rkey),
    });
    expect(mr.toJSON()).toMatchObject({ lkey: hex(mr.lkey), rkey: hex(mr.rkey) });
    expect(device.keyTable().used).toMatchObject([{ lkey: mr.lkey }]);
    const fmr = pd.allocFmr({ maxPages: 1, access: 15 });
    expect((fmr.lkey ^ fmr.rkey) >>> 0).toBe((mr.lkey ^ mr.rkey) >>> 0);
    mr.dereg();
    expect(mr.toJSON()).toMatchObject({ lkey: hex(keys.lkey), rkey: hex(keys.rkey) });
  });

  test('fast registration and invalidation name the rkey', () => {
    const { device, pd, qp } = (() => {
      const opened = open({ strict: true });
      const domain = opened.allocPd({ trusted: true });
      return { device: opened, pd: domain, qp: domain.createQp() };
    })();
    const { address } = device.dma.map(Buffer.alloc(8192), { address: 0x10_0000n });
    const mr = pd.allocMr({ maxNumSg: 1 });
    mr.mapSg([{ addr: address, length: 64 }]);
    const before = [mr.lkey, mr.rkey];
    expect(outcomeOf(() => qp.fastRegMr(mr, { key: mr.lkey, access: 15 }))).toBe('EINVAL KeySlot');
    expect(() => qp.fastRegMr(mr, { key: mr.lkey, access: 15 })).toThrow(
      expect.objectContaining({
        detail: expect.objectContaining({ value: mr.lkey, limit: mr.rkey }),
      }),
    );
    qp.fastRegMr(mr, { key: fastRegKey(mr.rkey, 0x5a), access: 15 });
    expect([mr.lkey & 0xff, mr.rkey & 0xff]).toEqual([0x5a, 0x5a]);
    expect([mr.lkey >>> 8, mr.rkey >>> 8]).toEqual(before.map((key) => key >>> 8));
    const asked = { vaddr: mr.iova, length: 8, rkey: mr.rkey };
    expect(qp.check(asked, RemoteRead).ok).toBe(true);
    expect(outcomeOf(() => qp.invalidateRkey(rkey(mr.lkey)))).toBe('EINVAL UnknownKey');
    qp.invalidateRkey(mr.rkey);
    const answer = qp.check(asked, RemoteRead);
    expect(answer.ok ? '' : answer.reason).toBe('Invalidated');
  });

  test('work requests: remote keys, REG_MR, LOCAL_INV, SEND_WITH_INV', () => {
    const { device, pd, a, aCq, b, bCq } = ends({ device: { strict: true } });
    const at = memory(pd, 64, 15);
    const write = (key: number, wrId: number) =>
      a.postSend({
        opcode: 'RDMA_WRITE',
        sges: [at.sge(0, 8)],
        wrId,
        signaled: true,
        remoteAddr: at.mr.iova + 8n,
        rkey: rkey(key),
      });
    const fast = pd.allocMr({ maxNumSg: 1 });
    write(at.mr.rkey, 1);
    const key = fastRegKey(fast.rkey, 9);
    a.postSend({ opcode: 'REG_MR', mr: fast, key, access: 15, wrId: 2, signaled: true });
    device.run();
    expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE SUCCESS', '2 REG_MR SUCCESS']);
    expect(fast.rkey).toBe(key);
    b.postRecv({ wrId: 3, sges: [] });
    const inv = { opcode: 'SEND_WITH_INV', sges: [], wrId: 4, signaled: true } as const;
    a.postSend({ ...inv, invalidateRkey: fast.rkey });
    device.run();
    const [received] = bCq.poll(1) as [Completion];
    expect(received.invalidatedRkey).toBe(fast.rkey);
    expect(fast.state).toBe('Invalid');
    const local = { opcode: 'LOCAL_INV', wrId: 5, signaled: true } as const;
    expect(outcomeOf(() => a.postSend({ ...local, invalidateRkey: rkey(at.mr.lkey) }))).toMatch(/^EINVAL /);
    a.postSend({ ...local, invalidateRkey: at.mr.rkey });
    expect(at.mr.state).toBe('Invalid');
    device.run();
    aCq.poll(10);
    const other = memory(pd, 64, 15);
    a.postSend({
      opcode: 'RDMA_WRITE',
      sges: [other.sge(0, 8)],
      wrId: 6,
      signaled: true,
      remoteAddr: other.mr.iova,
      rkey: rkey(other.mr.lkey),
    });
    device.run();
    expect(linesOf(aCq)).toEqual(['6 RDMA_WRITE REM_ACCESS_ERR StaleKey']);
  });

  test('threads that attach see the same keys', async () => {
    const { device, pd, mr } = keyed();
    const peer = new Peer({ token: device.share() });
    const seen = await peer.run(
      (w, id, key) => {
        const domain = w.device.importPd(id);
        const own = domain.regUserMr(new Uint8Array(new SharedArrayBuffer(8)), { access: 15 });
        const row = w.device.resources().regions.find((region: { lkey: number }) => region.lkey === key);
        return [row?.rkey, (own.lkey ^ own.rkey) >>> 0];
      },
      pd.id,
      mr.lkey,
    );
    expect(seen).toEqual([mr.rkey, (mr.lkey ^ mr.rkey) >>> 0]);
  });

  describeIf(process.platform === 'linux', 'endpoints need Linux')('on the wire', () => {
    test('the rkey works, the lkey is refused with the reason here and a NAK there', async () => {
      const { a, b } = wireEnds({ device: { strict: true } });
      const [from, to] = [memory(a.pd, 'hello'), memory(b.pd, 5)];
      const told = new Promise<string>((resolve) =>
        b.endpoint.once('refused', (refusal) => resolve(refusal.explain())),
      );
      await a.qp.write(from.sge(), to.mr.advertise());
      expect(to.bytes.toString()).toBe('hello');
      await expect(
        a.qp.write(from.sge(), { remoteAddr: to.mr.iova, rkey: rkey(to.mr.lkey) }),
      ).rejects.toMatchObject({ status: 'REM_ACCESS_ERR', reason: 'Nak' });
      expect(await told).toMatch(/This is the lkey of/);
    });
  });
});

describe('a receive that is too short', () => {
  test.each([
    [true, 'LOC_LEN_ERR'],
    [false, 'LOC_QP_OP_ERR'],
  ])('completes with the status of a NIC (strict: %s)', (strict, status) => {
    const { device, pd, a, aCq, b, bCq } = ends({ device: { strict } });
    b.postRecv({ wrId: 7, sges: [memory(pd, 4).sge()] });
    a.postSend({ opcode: 'SEND', sges: [memory(pd, 'hello').sge()], wrId: 1, signaled: true });
    device.run();
    expect(linesOf(bCq)).toEqual([`7 RECV ${status} ReceiveTooShort`]);
    expect(linesOf(aCq)).toEqual(['1 SEND REM_INV_REQ_ERR ReceiveTooShort']);
  });

  describeIf(process.platform === 'linux', 'endpoints need Linux')('on the wire', () => {
    test('the same', async () => {
      const { a, b } = wireEnds({ device: { strict: true } });
      const received = b.qp.recv(memory(b.pd, 4).sge()).catch((error: unknown) => error);
      await expect(a.qp.send(memory(a.pd, 'hello').sge())).rejects.toMatchObject({
        status: 'REM_INV_REQ_ERR',
      });
      expect(await received).toMatchObject({ status: 'LOC_LEN_ERR', reason: 'ReceiveTooShort' });
    });
  });
});

describe('inline data', () => {
  const post = (options: DeviceOptions, opcode: string, length: number): string => {
    const { pd, a } = ends({ device: options });
    const at = memory(pd, 512);
    const wr = { opcode, sges: [at.sge(0, length)], inline: true, wrId: 1, ...at.at(256) };
    const outcome = outcomeOf(() => a.postSend(wr as never));
    expect(a.query().sends).toBe(outcome === 'ok' ? 1 : 0);
    expect(at.mr.refs).toBe(outcome === 'ok' ? 3 : 2);
    return outcome;
  };

  test('of more bytes than the limit is refused; a usual device has no limit', () => {
    for (const opcode of ['SEND', 'RDMA_WRITE']) {
      expect(post({ strict: true }, opcode, 220)).toBe('ok');
      expect(post({ strict: true }, opcode, 221)).toBe('EINVAL WrInline');
      expect(post({ strict: { maxInlineData: 16 } }, opcode, 16)).toBe('ok');
      expect(post({ strict: { maxInlineData: 16 } }, opcode, 17)).toBe('EINVAL WrInline');
      expect(post({}, opcode, 221)).toBe('ok');
    }
  });

  test('of a READ or an atomic is refused, and LOCAL_INV has no data', () => {
    expect(post({ strict: true }, 'RDMA_READ', 8)).toBe('EINVAL WrInline');
    expect(post({}, 'RDMA_READ', 8)).toBe('ok');
  });

  test('the error names the bytes and the limit', () => {
    const { pd, a } = ends({ device: { strict: { maxInlineData: 4 } } });
    const at = memory(pd, 8);
    expect(() => a.postSend({ opcode: 'RDMA_WRITE', sges: [at.sge()], inline: true, ...at.at() })).toThrow(
      /8 bytes of inline data, but the queue pair takes at most 4/,
    );
  });
});

describe('options', () => {
  test('profiles set limits, and options.limits wins', () => {
    expect(open({ strict: { profile: 'mlx5' } }).query()).toMatchObject({ maxSendSge: 30, maxQpWr: 32_768 });
    expect(open({ strict: { profile: 'rxe' } }).query()).toMatchObject({ maxCqe: 32_767, maxSrqSge: 27 });
    expect(open({ strict: { profile: 'mlx5' }, limits: { maxSendSge: 2 } }).query()).toMatchObject({
      maxSendSge: 2,
      maxRecvSge: 30,
    });
    expect(open({ strict: true }).query()).toEqual(open().query());
    const device = open({ strict: { profile: 'mlx5' } });
    const cq = device.createCq(4);
    const qp = (maxSendSge: number) => () =>
      device.allocPd().createQp({ type: 'RC', sendCq: cq, maxSendSge });
    expect([outcomeOf(qp(30)), outcomeOf(qp(31))]).toEqual(['ok', 'EINVAL Capacity']);
  });

  test('false is not strict', () => {
    const mr = open({ strict: false }).allocPd().regUserMr(Buffer.alloc(8));
    expect(mr.rkey as number).toBe(mr.lkey);
  });

  const opened = (strict: unknown) => () => open({ strict: strict as boolean });
  test('bad ones are refused', () => {
    for (const value of [null, 1, 'yes', Symbol('x'), 1n])
      expect(opened(value)).toThrow(wrongType('options.strict'));
    expect(opened([])).toThrow(wrongType('options.strict'));
    expect(opened({ profile: 'cx5' })).toThrow(argumentError('ERR_INVALID_ARG_VALUE', 'profile'));
    expect(opened({ profile: 1 })).toThrow(wrongType('options.strict.profile'));
    expect(opened({ profil: 'rxe' })).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE', 'options.strict.profil'),
    );
    for (const value of [-1, 1.5, NaN, 2 ** 32]) {
      expect(opened({ maxInlineData: value })).toThrow(outOfRange('options.strict.maxInlineData'));
    }
    expect(opened({ maxInlineData: '1' })).toThrow(wrongType('options.strict.maxInlineData'));
  });

  test('with faults', () => {
    const { device, qp, mr } = keyed({ faults: { seed: 1, refuse: { at: 2 } } });
    const ask = () => qp.check({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, RemoteRead).ok;
    expect([ask(), ask(), ask()]).toEqual([true, false, true]);
    expect(device.faults()?.refuse.made).toBe(1);
    device.close({ cascade: true });
    expect(() => device.faults()).toThrow(rdma('EBADF'));
  });
});
