// Objects that were closed, by themselves or with their parent: every member of each is EBADF, or does nothing.
import { Device, DmaSpace, FastMemoryRegion, Sge, SgeState } from '../../lib';
import { type All, classes, everything, methodsOf } from '../support/members';
import { told, toldAll } from '../support/reach';

describe('closed', () => {
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
    MemoryRegion: (object) => object.dereg({ force: true }),
    FastMemoryRegion: (object) => object.dealloc({ force: true }),
    Sge: (object) => object.put(),
    SgeState: (object) => object.put(),
  };
  /** What the members of a closed object answer, where it is not EBADF. */
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
    ProtectionDomain: { id: 'ok', dealloc: 'ok', '@@dispose': 'ok' },
    QueuePair: { id: 'ok', destroy: 'ok', '@@dispose': 'ok' },
    MemoryRegion: { dereg: 'ok', deregAsync: 'ok' },
    FastMemoryRegion: { dealloc: 'ok', deallocAsync: 'ok' },
    Sge: { put: 'ok', '@@dispose': 'ok' },
  };
  const region = { id: 'ok', state: 'ok', '@@dispose': 'ok', '@@asyncDispose': 'ok' };

  test.each(['DmaMapping', 'ProtectionDomain', 'QueuePair', 'MemoryRegion', 'FastMemoryRegion'])(
    '%s: every member is EBADF or a no-op, whoever closed it',
    (name) => {
      const [, type, find] = classes.find(([other]) => other === name)!;
      for (const [by, close] of closings) {
        if (by === 'the queue pair' && name !== 'QueuePair') continue;
        if (name === 'DmaMapping' && by !== 'the device' && by !== 'itself') continue;
        const all = everything();
        const object = find(all);
        if (by === 'itself') closers[name]!(object);
        else close(all);
        const expected: Record<string, string> = {
          ...(name.includes('MemoryRegion') ? region : {}),
          ...answers[name],
        };
        for (const [member, use] of methodsOf(type)) {
          expect([by, member, told(() => use(object))]).toEqual([by, member, expected[member] ?? 'EBADF']);
        }
        if (name === 'MemoryRegion') {
          const other = everything();
          const key = other.sg.rkey;
          expect(told(() => other.qp.fastRegMr(object, { key, access: 0 }))).toBe('EINVAL'); // of another device
          expect(told(() => all.qp.fastRegMr(object, { key, access: 0 }))).toBe('EBADF');
        }
        if (name === 'FastMemoryRegion') {
          expect(told(() => FastMemoryRegion.unmap([object]))).toBe('EBADF');
        }
      }
    },
  );

  test('Device and DmaSpace', () => {
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

  test('elements: EBADF once put; RegionRevoked to the bytes, and still described, when the region is gone', () => {
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

  test('batches and blocks: EBADF when their parent is gone, whatever stands in them', () => {
    for (const [by, close] of closings.slice(1)) {
      const all = everything();
      const remote = all.qp.rkeyBatch(4);
      remote.set(0, all.mr.iova, 8, all.mr.rkey);
      close(all);
      const batches = by === 'the queue pair' ? [remote] : [remote, all.batch];
      for (const batch of batches) {
        expect(
          toldAll(
            [
              ['check', () => batch.check(1, 4)],
              ['check of none', () => batch.check(0, 4)],
              ['checkPacked', () => batch.checkPacked(Buffer.alloc(16), 4)],
              ['acquire', () => batch.acquire(1, 4)],
              ['gather', () => batch.gather(Buffer.alloc(8), 1, 4)],
              ['scatter', () => batch.scatter(Buffer.alloc(8), 1, 2)],
              ['copyTo', () => batch.copyTo(remote, 0, 4, 0, 2)],
              ['block', () => all.block.refusal(0, 0, all.mr.rkey, 4)],
            ].slice(0, batch === remote ? 6 : 7) as any,
          ),
        ).toBe('EBADF');
        expect([batch.take(0), batch.put()]).toEqual([undefined, 0]);
      }
      expect(told(() => all.block.refusal(0, 0, 256 as any, 4))).toBe('EBADF');
    }
  });
});
