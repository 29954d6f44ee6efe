// Memory that JavaScript takes away after it was registered.
import { Access, type DmaMapping, type MemoryRegion, type Sge, SgeState } from '../../lib';
import { accepted, rdma } from '../support/answers';
import { ALL, DMA, open, PAGE, scene } from '../support/scene';

/** A resizable buffer. */
const resizable = (length: number, maxByteLength: number): any =>
  new (ArrayBuffer as any)(length, { maxByteLength });

/** Takes the bytes away from a buffer. */
const detach = (buffer: ArrayBuffer): unknown => structuredClone(buffer, { transfer: [buffer] });

const bytesOf = (memory: ArrayBufferLike): number[] => [...new Uint8Array(memory)];

const element = (
  mr: MemoryRegion,
  length = mr.length,
): { addr: bigint; length: number; lkey: typeof mr.lkey } => ({
  addr: mr.start,
  length,
  lkey: mr.lkey,
});

/** Everything that uses the bytes of an element that may be read, written and used for atomics. */
function uses(sge: Sge): [string, () => unknown][] {
  return [
    ['copyTo', () => sge.copyTo(Buffer.alloc(8))],
    ['copyFrom', () => sge.copyFrom(Buffer.alloc(8))],
    ['copyFrom, ordered', () => sge.copyFrom(Buffer.alloc(8), { ordered: true })],
    ['fetchAdd', () => sge.fetchAdd(1n)],
    ['compareSwap', () => sge.compareSwap(0n, 1n)],
    ['SgeState.copyIn', () => new SgeState([sge]).copyIn(Buffer.alloc(8))],
    ['SgeState.copyOut', () => new SgeState([sge]).copyOut(Buffer.alloc(8))],
  ];
}

/** Elements for all of the above over the first 8 bytes of a memory: user memory, a page list, key 0. */
function everyWay(memory: ArrayBuffer | NodeJS.ArrayBufferView): { sges: Sge[]; end: () => void } {
  const all = scene({ trusted: true, remoteKeyZero: true });
  const mapping = all.device.dma.map(memory, { address: DMA });
  const user = all.pd.regUserMr(memory, { access: ALL });
  const fmr = all.pd.allocFmr({ maxPages: 1, pageShift: 3, access: ALL });
  fmr.mapPhys([DMA], 0);
  const region = all.pd.getDmaMr();
  const ask = (vaddr: bigint, rkey: typeof user.rkey): Sge =>
    accepted(all.qp.acquire({ vaddr, length: 8, rkey }, ALL));
  const sges = [ask(user.iova, user.rkey), ask(0n, fmr.rkey), ask(DMA, region.rkey)];
  return {
    sges,
    end: () => {
      for (const sge of sges) sge.put();
      user.dereg();
      fmr.dealloc();
      region.dereg();
      mapping.unmap();
    },
  };
}

describe('memory that goes away', () => {
  const { port1, port2 } = new MessageChannel();
  afterAll(() => {
    port1.close();
    port2.close();
  });

  test.each<[string, (buffer: any) => void]>([
    ['by structuredClone', detach],
    ['by postMessage', (buffer) => port1.postMessage(buffer, [buffer])],
    ...('transfer' in ArrayBuffer.prototype
      ? [
          ['by ArrayBuffer.prototype.transfer', (buffer: any) => buffer.transfer()] as [
            string,
            (buffer: any) => void,
          ],
        ]
      : []),
  ])('%s: MemoryDetached, in every use', (_, takeAway) => {
    const buffer = new ArrayBuffer(8);
    const { sges, end } = everyWay(buffer);
    takeAway(buffer);
    for (const sge of sges) {
      for (const [, use] of uses(sge)) expect(use).toThrow(rdma('EACCES', undefined, 'MemoryDetached'));
    }
    end();
  });

  test('by WebAssembly.Memory.grow: MemoryDetached; the new buffer can be registered', () => {
    const memory = new (globalThis as any).WebAssembly.Memory({ initial: 1, maximum: 3 });
    const { sges, end } = everyWay(new Uint8Array(memory.buffer, 64, 8));
    for (const sge of sges) expect(sge.copyFrom(Buffer.alloc(8, 5))).toBe(8);
    memory.grow(1);
    for (const sge of sges) {
      for (const [, use] of uses(sge)) expect(use).toThrow(rdma('EACCES', undefined, 'MemoryDetached'));
    }
    end();
    const { sges: again, end: endAgain } = everyWay(new Uint8Array(memory.buffer, 64, 8));
    for (const sge of again) {
      const target = Buffer.alloc(8);
      sge.copyTo(target);
      expect(target).toEqual(Buffer.alloc(8, 5));
    }
    endAgain();
  });

  test('by shrinking: MemoryShrunk, also for bytes that are still there, until it is as long again', () => {
    const buffer = resizable(16, 32);
    const { sges, end } = everyWay(new Uint8Array(buffer, 8, 8));
    for (const length of [15, 8, 4, 0]) {
      buffer.resize(length);
      for (const sge of sges) {
        for (const [, use] of uses(sge)) expect(use).toThrow(rdma('EACCES', undefined, 'MemoryShrunk'));
      }
    }
    buffer.resize(32);
    for (const sge of sges) for (const [, use] of uses(sge)) use();
    end();
  });

  test('the checks judge names: they accept all the same', () => {
    const { pd } = scene();
    const buffer = new ArrayBuffer(8);
    const mr = pd.regUserMr(buffer);
    detach(buffer);
    expect(mr).toMatchObject({ length: 8, state: 'Valid' });
    expect(pd.acquire(element(mr), 0).ok).toBe(true);
    expect(pd.check(element(mr), 0).ok).toBe(true);
  });

  test('shared memory cannot be taken away, and may grow', () => {
    const shared = new (SharedArrayBuffer as any)(8, { maxByteLength: 16 });
    const { pd } = scene();
    const mr = pd.regUserMr(shared, { access: Access.LocalWrite });
    const sge = accepted(pd.acquire(element(mr), Access.LocalWrite));
    shared.grow(16);
    expect(mr.length).toBe(8);
    sge.copyFrom(Buffer.alloc(8, 1));
    expect(bytesOf(shared)).toEqual([...Array(8).fill(1), ...Array(8).fill(0)]);
  });

  test('one memory of a list that went away is enough: nothing is moved', () => {
    const { pd } = scene();
    const [kept, lost] = [Buffer.alloc(8), new ArrayBuffer(8)];
    const list = [kept, lost].map((memory) => {
      const mr = pd.regUserMr(memory, { access: Access.LocalWrite });
      return accepted(pd.acquire(element(mr), Access.LocalWrite));
    });
    detach(lost);
    const state = new SgeState(list);
    expect(() => state.copyIn(Buffer.alloc(16, 1))).toThrow(rdma('EACCES', 'copy_sge', 'MemoryDetached'));
    expect(kept).toEqual(Buffer.alloc(8));
    expect(state.copyIn(Buffer.alloc(8, 1))).toBe(8);
  });

  test('what is registered stays registered when the Buffer is dropped', () => {
    const device = open();
    const mapping: DmaMapping = device.dma.map(Buffer.alloc(PAGE, 3), { address: DMA });
    const fmr = device.allocPd().allocFmr({ maxPages: 1 });
    (globalThis as { gc?: () => void }).gc?.();
    fmr.mapPhys([mapping.address], 0);
    fmr.dealloc();
    mapping.unmap();
  });
});
