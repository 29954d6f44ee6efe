// Failures caused by objects that are in use: EBUSY, and ENOMEM with an explanation.
import { Device, FastMemoryRegion, type Sge } from '../../../lib';
import { accepted } from '../answers';
import { DMA, dmaPages, open, PAGE, PAGE_N, type Scene, scene } from '../scene';
import { failure, type Failure } from './failure';

const register = ({ pd }: Scene, bytes = 8) => pd.regUserMr(Buffer.alloc(bytes));

/** Acquires `count` SGEs of a region. */
function hold(
  { pd }: Pick<Scene, 'pd'>,
  { start, lkey }: { start: bigint; lkey: never },
  count: number,
): Sge[] {
  return Array.from({ length: count }, () => accepted(pd.acquire({ addr: start, length: 8, lkey }, 0)));
}

/** Creates an FMR that maps a page, with held SGEs. */
function heldFmr(count: number) {
  const s = scene();
  dmaPages(s.device, 1);
  const fmr = s.pd.allocFmr({ maxPages: 1 });
  fmr.mapPhys([DMA], DMA);
  hold(s, fmr as never, count);
  return { ...s, fmr };
}

/** Creates an FMR with held SGEs that is half-dead. */
function halfDeadFmr(count: number) {
  const all = heldFmr(count);
  try {
    all.fmr.dealloc();
  } catch {
    // EBUSY, as expected
  }
  return all;
}

/** Creates a region with `allocMr` that was released while one SGE was held. */
function halfDeadMr() {
  const s = scene();
  dmaPages(s.device, 1);
  const mr = s.pd.allocMr({ maxNumSg: 1 });
  mr.mapSg([{ addr: DMA, length: PAGE }]);
  hold(s, mr as never, 1);
  try {
    mr.dereg();
  } catch {
    // EBUSY, as expected
  }
  return { ...s, mr };
}

/** Creates a device whose key table has no free slot. */
function full() {
  const s = scene({ lkeyTableBits: 1 });
  register(s);
  register(s);
  return s;
}
const tableFull = (method: string, operation: string, call: (s: Scene) => unknown): Failure =>
  failure(method, operation, 'ENOMEM', 'TableFull', { value: 2, limit: 2 }, () => {
    const s = full();
    return () => call(s);
  });

export const busyFailures: Failure[] = [
  failure(
    ...(['ProtectionDomain.dealloc', 'dealloc_pd', 'EBUSY', 'PdInUse'] as const),
    { counts: { regions: 3, queuePairs: 1 } },
    () => {
      const s = scene();
      register(s);
      s.pd.allocMr({ maxNumSg: 1 });
      s.pd.allocFmr({ maxPages: 1 });
      return () => s.pd.dealloc();
    },
  ),
  failure(
    ...(['Device.close', 'mr_exit', 'EBUSY', 'DeviceInUse'] as const),
    { counts: { domains: 2, queuePairs: 2, regions: 1, mappings: 1 } },
    () => {
      const s = scene();
      register(s);
      dmaPages(s.device, 1);
      const other = Device.attach(s.device.share());
      other.allocPd().createQp();
      return () => s.device.close();
    },
  ),
  failure(
    ...(['Device.detach', 'dealloc_ucontext', 'EBUSY', 'ContextInUse'] as const),
    { counts: { domains: 1, queuePairs: 1 } },
    () => {
      const { device } = scene();
      const other = Device.attach(device.share());
      other.allocPd().createQp();
      return () => other.detach();
    },
  ),
  failure(
    ...(['MemoryRegion.dereg', 'dereg_mr', 'EBUSY', 'RegionHeld'] as const),
    { counts: { elements: 2 } },
    () => {
      const s = scene();
      const mr = register(s);
      hold(s, mr as never, 2);
      return () => mr.dereg();
    },
  ),
  failure(
    ...(['MemoryRegion.deregAsync', 'dereg_mr', 'EBUSY', 'RegionHeld'] as const),
    { counts: { elements: 1 } },
    () => {
      const s = scene();
      const mr = register(s);
      hold(s, mr as never, 1);
      return () => mr.deregAsync({ timeoutMs: 1 });
    },
  ),
  failure(
    ...(['MemoryRegion.rereg', 'rereg_mr', 'EBUSY', 'ReregHeld'] as const),
    { counts: { elements: 2 } },
    () => {
      const s = scene();
      const mr = register(s);
      hold(s, mr as never, 2);
      return () => mr.rereg({ access: 0 });
    },
  ),
  failure(
    ...(['FastMemoryRegion.dealloc', 'dealloc_fmr', 'EBUSY', 'RegionHeld'] as const),
    { counts: { elements: 3 } },
    () => {
      const { fmr } = heldFmr(3);
      return () => fmr.dealloc();
    },
  ),
  failure(
    ...(['FastMemoryRegion.deallocAsync', 'dealloc_fmr', 'EBUSY', 'RegionHeld'] as const),
    { counts: { elements: 1 } },
    () => {
      const { fmr } = heldFmr(1);
      return () => fmr.deallocAsync({ timeoutMs: 0 });
    },
  ),
  failure(
    ...(['ProtectionDomain.deregMany', 'dereg_mr', 'EBUSY', 'RegionsHeld'] as const),
    { argument: 'regions[1]', index: 1, limit: 2, counts: { elements: 3 } },
    () => {
      const s = scene();
      const regions = [register(s), register(s), register(s), register(s)];
      hold(s, regions[1] as never, 1);
      hold(s, regions[3] as never, 2);
      return () => s.pd.deregMany([...regions, regions[3]!]);
    },
  ),
  failure(
    ...(['FastMemoryRegion.mapPhys', 'map_phys_fmr', 'EBUSY', 'FmrHeld'] as const),
    { counts: { elements: 2 } },
    () => {
      const { fmr } = heldFmr(2);
      return () => fmr.mapPhys([DMA], DMA);
    },
  ),
  failure(
    ...(['FastMemoryRegion.mapPhys', 'map_phys_fmr', 'EBUSY', 'HalfDead'] as const),
    { counts: { elements: 2 } },
    () => {
      const { fmr } = halfDeadFmr(2);
      return () => fmr.mapPhys([DMA], DMA);
    },
  ),
  failure(
    ...(['FastMemoryRegion.unmap', 'unmap_fmr', 'EBUSY', 'HalfDead'] as const),
    { argument: 'list[1]', index: 1, counts: { elements: 1 } },
    () => {
      const { pd, fmr } = halfDeadFmr(1);
      const other = pd.allocFmr({ maxPages: 1 });
      return () => FastMemoryRegion.unmap([other, fmr]);
    },
  ),
  failure(
    ...(['MemoryRegion.mapSg', 'map_mr_sg', 'EINVAL', 'HalfDead'] as const),
    { counts: { elements: 1 } },
    () => {
      const { mr } = halfDeadMr();
      return () => mr.mapSg([{ addr: DMA, length: PAGE }]);
    },
  ),
  failure(
    ...(['QueuePair.fastRegMr', 'fast_reg_mr', 'EINVAL', 'HalfDead'] as const),
    { argument: 'region', counts: { elements: 1 } },
    () => {
      const { qp, mr } = halfDeadMr();
      const key = mr.rkey;
      return () => qp.fastRegMr(mr, { key, access: 0 });
    },
  ),
  failure(
    ...(['DmaMapping.unmap', 'dma_unmap', 'EBUSY', 'MappingInUse'] as const),
    { counts: { regions: 2, elements: 1 } },
    () => {
      const s = scene({ trusted: true });
      const mapping = dmaPages(s.device, 2);
      dmaPages(s.device, 1, DMA + 16n * PAGE_N);
      for (let i = 0; i < 2; i++) {
        // The first list lies in one mapping. The second spans two, in which case each page counts separately.
        const fmr = s.pd.allocFmr({ maxPages: 3 });
        fmr.mapPhys([DMA, DMA + PAGE_N, DMA + (i ? 16n : 1n) * PAGE_N], DMA);
      }
      const all = s.pd.getDmaMr();
      accepted(s.pd.acquire({ addr: DMA, length: 8, lkey: all.lkey }, 0));
      return () => mapping.unmap();
    },
  ),
  failure(
    ...(['DeviceMemory.free', 'dealloc_dm', 'EBUSY', 'MemoryInUse'] as const),
    { counts: { regions: 1, mappings: 2 } },
    () => {
      const s = scene();
      const memory = s.device.allocDm(3 * PAGE);
      const other = s.device.allocDm(PAGE);
      s.pd.regUserMr(memory.buffer);
      s.pd.regUserMr(other.buffer);
      s.device.dma.map(memory.buffer);
      s.device.dma.map(new Uint8Array(memory.buffer, 8));
      return () => memory.free();
    },
  ),
  failure(
    ...(['CheckBatch.acquire', 'acquire_batch', 'EBUSY', 'BatchHeld'] as const),
    { argument: 'count', index: 1 },
    () => {
      const s = scene();
      const mr = register(s);
      const batch = s.pd.lkeyBatch(2);
      batch.set(0, 0n, 8, mr.lkey);
      batch.set(1, mr.start, 8, mr.lkey);
      batch.acquire(2, 0);
      return () => batch.acquire(2, 0);
    },
  ),
  tableFull('ProtectionDomain.regUserMr', 'reg_user_mr', (s) => register(s)),
  tableFull('ProtectionDomain.allocMr', 'alloc_mr', ({ pd }) => pd.allocMr({ maxNumSg: 1 })),
  tableFull('ProtectionDomain.allocFmr', 'alloc_fmr', ({ pd }) => pd.allocFmr({ maxPages: 1 })),
  failure(
    ...(['MemoryRegion.mapSg', 'map_mr_sg', 'ENOMEM', 'NothingFits'] as const),
    { argument: 'list[0]', value: 2, limit: 0 },
    () => {
      const { device, pd } = scene();
      dmaPages(device, 2);
      const mr = pd.allocMr({ maxNumSg: 0 });
      return () => mr.mapSg([{ addr: DMA, length: 2 * PAGE }]);
    },
  ),
  failure(
    ...(['Device.allocDm', 'alloc_dm', 'ENOMEM', 'NoDeviceMemory'] as const),
    { argument: 'bytes', value: 2 ** 50 },
    () => {
      const device = open();
      return () => device.allocDm(2 ** 50);
    },
  ),
];
