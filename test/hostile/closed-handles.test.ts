// Objects that were closed directly or with their parent: every member throws EBADF or does nothing.
import { Device, DmaSpace, FastMemoryRegion, RegionUse, RegistrationCache, Sge, SgeState } from '../../lib';
import { type All, classes, everything, hasEndpoints, methodsOf } from '../support/members';
import { told, toldAll } from '../support/reach';

describe('closed objects', () => {
  const closings: [string, (all: All) => unknown][] = [
    ['itself', () => undefined],
    ['the queue pair', ({ qp }) => qp.destroy()],
    ['the domain', ({ pd }) => pd.dealloc({ cascade: true })],
    ['the device', ({ device }) => device.close({ cascade: true })],
  ];
  const closers: Record<string, (object: any) => unknown> = {
    Device: (object) => object.close({ cascade: true }),
    DmaMapping: (object) => object.unmap(),
    ProtectionDomain: (object) => object.dealloc({ cascade: true }),
    QueuePair: (object) => object.destroy(),
    CompletionQueue: (object) => object.destroy(),
    SharedReceiveQueue: (object) => object.destroy(),
    AddressHandle: (object) => object.destroy(),
    MemoryWindow: (object) => object.dealloc(),
    Lease: (object) => object.revoke(),
    Endpoint: (object) => object.close(),
    MemoryRegion: (object) => object.dereg({ force: true }),
    FastMemoryRegion: (object) => object.dealloc({ force: true }),
    RegistrationCache: (object) => object.close({ force: true }),
    RegionUse: (object) => object.put(),
    Sge: (object) => object.put(),
    SgeState: (object) => object.put(),
  };
  /** Methods that need a queue pair with queues: test/api/verbs tests them. */
  const needQueues = [
    'postSend',
    'connect',
    'activate',
    'write',
    'read',
    'send',
    'recv',
    'fetchAdd',
    'compareSwap',
  ];
  /** Results of the members of a closed object, where they do not throw EBADF. */
  const answers: Record<string, Record<string, string>> = {
    Device: {
      lkeyTableBits: 'ok',
      dma: 'ok',
      context: 'ok',
      close: 'ok',
      detach: 'ok',
      '@@dispose': 'ok',
      '@@asyncDispose': 'ok',
    },
    DmaSpace: {},
    DmaMapping: { id: 'ok', unmap: 'ok', '@@dispose': 'ok' },
    // Checks do not throw; they refuse with the reason Closed, see below.
    ProtectionDomain: { id: 'ok', dealloc: 'ok', '@@dispose': 'ok', acquire: 'ok', check: 'ok' },
    QueuePair: {
      id: 'ok',
      type: 'ok',
      sendCq: 'ok',
      recvCq: 'ok',
      srq: 'ok',
      'Symbol(rdmavt.listenersChanged)': 'ok',
      qpn: 'ok',
      destroy: 'ok',
      '@@dispose': 'ok',
      acquire: 'ok',
      check: 'ok',
    },
    CompletionQueue: {
      id: 'ok',
      ring: 'ok',
      ref: 'ok',
      unref: 'ok',
      destroy: 'ok',
      '@@dispose': 'ok',
      '@@asyncIterator': 'ok',
      'Symbol(rdmavt.listenersChanged)': 'ok',
    },
    SharedReceiveQueue: {
      id: 'ok',
      destroy: 'ok',
      '@@dispose': 'ok',
      'Symbol(rdmavt.listenersChanged)': 'ok',
    },
    AddressHandle: { id: 'ok', destroy: 'ok', '@@dispose': 'ok' },
    MemoryWindow: { id: 'ok', state: 'ok', dealloc: 'ok', '@@dispose': 'ok' },
    // What a lease tells does not change.
    Lease: {
      id: 'ok',
      vaddr: 'ok',
      length: 'ok',
      rkey: 'ok',
      access: 'ok',
      state: 'ok',
      revoke: 'ok',
      '@@dispose': 'ok',
    },
    Endpoint: {
      id: 'ok',
      address: 'ok',
      port: 'ok',
      counters: 'ok',
      connect: 'ERR_INVALID_ARG_TYPE',
      poll: 'ok',
      ref: 'ok',
      unref: 'ok',
      close: 'ok',
      '@@dispose': 'ok',
      'Symbol(rdmavt.listenersChanged)': 'ok',
    },
    MemoryRegion: { dereg: 'ok', deregAsync: 'ok' },
    FastMemoryRegion: { dealloc: 'ok', deallocAsync: 'ok' },
    Sge: { put: 'ok', '@@dispose': 'ok' },
    RegistrationCache: { counters: 'ok', close: 'ok', '@@dispose': 'ok' },
    RegionUse: { put: 'ok', '@@dispose': 'ok' },
  };
  const region = { id: 'ok', state: 'ok', '@@dispose': 'ok', '@@asyncDispose': 'ok' };

  test.each([
    'DmaMapping',
    'ProtectionDomain',
    'QueuePair',
    'MemoryRegion',
    'FastMemoryRegion',
    'CompletionQueue',
    'SharedReceiveQueue',
    'AddressHandle',
    'MemoryWindow',
    'Lease',
    ...(hasEndpoints ? ['Endpoint'] : []),
  ])('%s: every member throws EBADF or is a no-op, however it was closed', (name) => {
    const [, type, find] = classes.find(([other]) => other === name)!;
    for (const [by, close] of closings) {
      if (by === 'the queue pair' && name !== 'QueuePair') continue;
      if (
        ['DmaMapping', 'CompletionQueue', 'Endpoint'].includes(name) &&
        by !== 'the device' &&
        by !== 'itself'
      )
        continue;
      const all = everything();
      const object = find(all);
      if (by === 'itself') closers[name]!(object);
      else close(all);
      const expected: Record<string, string> = {
        ...(name.includes('MemoryRegion') ? region : {}),
        ...answers[name],
      };
      for (const [member, use] of methodsOf(type)) {
        if (name === 'QueuePair' && needQueues.includes(member)) continue;
        expect([by, member, told(() => use(object))]).toEqual([by, member, expected[member] ?? 'EBADF']);
      }
      if (name === 'MemoryRegion') {
        const other = everything();
        const key = other.sg.rkey;
        expect(told(() => other.qp.fastRegMr(object, { key, access: 0 }))).toBe('EINVAL'); // The other queue pair belongs to another device.
        expect(told(() => all.qp.fastRegMr(object, { key, access: 0 }))).toBe('EBADF');
      }
      if (name === 'FastMemoryRegion') {
        expect(told(() => FastMemoryRegion.unmap([object]))).toBe('EBADF');
      }
    }
  });

  test('a closed cache, and one whose domain or device is closed: no get, everything else works', () => {
    for (const [by, close] of closings) {
      if (by === 'the queue pair') continue;
      const all = everything();
      if (by === 'itself') closers.RegistrationCache!(all.cache);
      else close(all);
      for (const [member, use] of methodsOf(RegistrationCache)) {
        // A use is left, which no longer keeps the cache from closing.
        const expected = answers.RegistrationCache![member] ?? 'EBADF';
        expect([by, member, told(() => use(all.cache))]).toEqual([by, member, expected]);
      }
    }
  });

  test('a use: every member throws EBADF once it is put; with its region closed, it still tells its place', () => {
    const put = everything();
    closers.RegionUse!(put.use);
    for (const [member, use] of methodsOf(RegionUse)) {
      expect([member, told(() => use(put.use))]).toEqual([member, answers.RegionUse![member] ?? 'EBADF']);
    }
    for (const [by, close] of [
      ...closings.slice(2),
      ['the cache', (all: All) => all.cache.close({ force: true })],
    ] as const) {
      const all = everything();
      close(all);
      for (const [member, use] of methodsOf(RegionUse)) {
        if (member === 'put' || member === '@@dispose') continue;
        expect([by, member, told(() => use(all.use))]).toEqual([
          by,
          member,
          member === 'advertise' ? 'EBADF' : 'ok',
        ]);
      }
      expect([by, told(() => all.use.put()), told(() => all.use.put()), told(() => all.use.lkey)]).toEqual([
        by,
        'ok',
        'ok',
        'EBADF',
      ]);
    }
  });

  test('Device and DmaSpace: every member throws EBADF or is a no-op', () => {
    const all = everything();
    const { device, dma } = all;
    device.close({ cascade: true });
    for (const [object, type, expected] of [
      [device, Device, answers.Device!],
      [dma, DmaSpace, answers.DmaSpace!],
    ] as const) {
      for (const [member, use] of methodsOf(type)) {
        expect([member, told(() => use(object))]).toEqual([member, expected[member] ?? 'EBADF']);
      }
    }
  });

  test('an SGE throws EBADF once put, and RegionRevoked on data access once its region is closed', () => {
    const put = everything();
    put.sge.put();
    for (const [member, use] of methodsOf(Sge)) {
      expect([member, told(() => use(put.sge))]).toEqual([member, answers.Sge![member] ?? 'EBADF']);
    }
    for (const [, close] of closings.slice(2)) {
      const all = everything();
      const before = [all.sge.at, all.sge.segmentLength, all.sge.length, all.sge.address];
      close(all);
      expect([all.sge.at, all.sge.segmentLength, all.sge.length, all.sge.address]).toEqual(before);
      expect(all.sge.region).toBe(all.mr);
      expect(
        toldAll([
          ['copyTo', () => all.sge.copyTo(Buffer.alloc(8))],
          ['copyFrom', () => all.sge.copyFrom(Buffer.alloc(8))],
          ['fetchAdd', () => all.sge.fetchAdd(1)],
          ['compareSwap', () => all.sge.compareSwap(1, 1)],
          ['copyOut', () => all.state.copyOut(Buffer.alloc(8))],
          ['walk', () => all.state.walk([8])],
          ['a new walk out', () => new SgeState([all.sge]).copyOut(Buffer.alloc(8))],
          ['a new walk in', () => new SgeState([all.sge]).copyIn(Buffer.alloc(8))],
        ]),
      ).toBe('RegionRevoked');
      all.sge.put();
      expect(told(() => all.sge.at)).toBe('EBADF');
    }
  });

  test('checks through a closed domain or queue pair are refused with the reason Closed and do not throw', () => {
    for (const [by, close] of closings.slice(1)) {
      const all = everything();
      const { pd, qp, mr, batch: local, block } = all;
      const remote = qp.rkeyBatch(4);
      const peer = qp.checker();
      const [target, packed] = [Buffer.alloc(8), Buffer.alloc(64)];
      const domain = by !== 'the queue pair';
      for (let i = 0; i < 4; i++) remote.set(i, mr.iova, 8, mr.rkey);
      close(all);
      const request = { vaddr: mr.iova, length: 8, rkey: mr.rkey };
      const element = { addr: mr.start, length: 8, lkey: mr.lkey };
      const refused = { ok: false, reason: 'Closed', code: 'EINVAL' };
      expect([qp.acquire(request, 4), qp.check(request, 4)]).toEqual([refused, refused]);
      if (domain) expect([pd.acquire(element, 0), pd.check(element, 0)]).toEqual([refused, refused]);
      for (const checker of domain ? [peer, block] : [peer]) {
        expect(checker.refusal(0, 0, mr.rkey, 4)).toBeGreaterThan(0);
        expect(checker.reason).toBe('Closed');
      }
      for (const batch of domain ? [remote, local] : [remote]) {
        const told = (): unknown[] => [batch.firstRefusal, batch.firstReason];
        for (const use of [
          () => batch.check(2, 4),
          () => batch.checkPacked(packed.subarray(0, 32), 4),
          () => batch.acquire(2, 4),
          () => batch.acquire(2, 4, { coalesce: true }),
        ]) {
          batch.verdicts.fill(77);
          expect([use(), ...told()]).toEqual([0, 0, 'Closed']);
          expect([0, 1, 2].map((i) => batch.verdicts[i])).toEqual([batch.verdicts[0], batch.verdicts[0], 77]);
          expect(batch.reason(1)).toBe('Closed');
        }
        for (const use of [
          () => batch.gather(target, 2, 4),
          () => batch.scatter(target, 2, 2),
          () => batch.copyTo(batch === local ? remote : local, 2, 4, 1, batch === local ? 2 : 1),
        ]) {
          expect([use(), ...told()]).toEqual([0, 0, 'Closed']);
        }
        expect([batch.check(0, 4), ...told()]).toEqual([0, -1, 'Closed']);
        expect([batch.acquire(0, 4), ...told()]).toEqual([0, -1, 'Closed']);
        expect([batch.gather(target, 0, 4), ...told()]).toEqual([0, -1, 'Closed']);
        expect([batch.take(0), batch.put()]).toEqual([undefined, 0]);
      }
      // Calls that start from a closed object throw at once.
      expect(
        toldAll([
          ['qp.checker', () => qp.checker()],
          ['qp.rkeyBatch', () => qp.rkeyBatch(1)],
          ...(domain
            ? ([
                ['pd.checker', () => pd.checker()],
                ['pd.lkeyBatch', () => pd.lkeyBatch(1)],
                ['pd.createQp', () => pd.createQp()],
              ] as const)
            : []),
        ]),
      ).toBe('EBADF');
    }
  });
});
