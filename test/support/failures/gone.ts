// Failures of calls on closed objects, for every class and every way to close an object.
import { Access, Device, FastMemoryRegion, SgeState } from '../../../lib';
import { accepted } from '../answers';
import { open, PAGE } from '../scene';
import { failure, type Failure } from './failure';

/** Creates one object of each class through a Device object that can detach. */
function make() {
  const first = open();
  const device = Device.attach(first.share());
  const pd = device.allocPd({ trusted: true });
  const qp = pd.createQp();
  const memory = Buffer.alloc(PAGE);
  const user = pd.regUserMr(memory, { access: Access.LocalWrite });
  const mr = pd.allocMr({ maxNumSg: 1 });
  const fmr = pd.allocFmr({ maxPages: 1 });
  const dm = device.allocDm(PAGE);
  const sge = accepted(pd.acquire({ addr: user.start, length: 8, lkey: user.lkey }, Access.LocalWrite));
  return { first, device, dma: device.dma, pd, qp, memory, user, mr, fmr, dm, buffer: dm.buffer, sge };
}
type World = ReturnType<typeof make>;

type Calls = Record<string, readonly [operation: string, call: (w: World) => unknown]>;

const ofDevice: Calls = {
  'Device.share': ['share', ({ device }) => device.share()],
  'Device.allocPd': ['alloc_pd', ({ device }) => device.allocPd()],
  'Device.importPd': ['import_pd', ({ device }) => device.importPd(1)],
  'Device.allocDm': ['alloc_dm', ({ device }) => device.allocDm(8)],
  'Device.importDm': ['import_dm', ({ device }) => device.importDm(1)],
  'Device.keyTable': ['key_table', ({ device }) => device.keyTable()],
  'Device.resources': ['resources', ({ device }) => device.resources()],
  'Device.counters': ['counters', ({ device }) => device.counters()],
  'DmaSpace.map': ['dma_map', ({ dma }) => dma.map(Buffer.alloc(8))],
  'DeviceMemory.buffer': ['alloc_dm', ({ dm }) => dm.buffer],
};
const ofDomain: Calls = {
  'ProtectionDomain.regUserMr': ['reg_user_mr', ({ pd, memory }) => pd.regUserMr(memory)],
  'ProtectionDomain.getDmaMr': ['get_dma_mr', ({ pd }) => pd.getDmaMr()],
  'ProtectionDomain.allocMr': ['alloc_mr', ({ pd }) => pd.allocMr({ maxNumSg: 1 })],
  'ProtectionDomain.allocFmr': ['alloc_fmr', ({ pd }) => pd.allocFmr({ maxPages: 1 })],
  'ProtectionDomain.createQp': ['create_qp', ({ pd }) => pd.createQp()],
  'ProtectionDomain.deregMany': ['dereg_mr', ({ pd }) => pd.deregMany([])],
};
const ofQueuePair: Calls = {
  'QueuePair.invalidateRkey': ['invalidate_rkey', ({ qp }) => qp.invalidateRkey(1 as never)],
  'QueuePair.fastRegMr': ['fast_reg_mr', ({ qp, mr }) => qp.fastRegMr(mr, { key: 1 as never, access: 0 })],
};

const getters = (kind: 'mr' | 'fmr'): Calls => {
  const name = kind === 'mr' ? 'MemoryRegion' : 'FastMemoryRegion';
  const calls: Calls = { [`${name}.countAccesses`]: ['count_mr', (w) => w[kind].countAccesses()] };
  for (const property of ['lkey', 'rkey', 'start', 'iova', 'length', 'access', 'refs', 'counters'] as const) {
    calls[`${name}.${property}`] = ['query_mr', (w) => w[kind][property]];
  }
  return calls;
};
const ofRegion: Calls = {
  ...getters('mr'),
  'MemoryRegion.rereg': ['rereg_mr', ({ mr }) => mr.rereg({ access: 0 })],
  'MemoryRegion.mapSg': ['map_mr_sg', ({ mr }) => mr.mapSg([{ addr: 0n, length: 1 }])],
};
const ofFmr: Calls = {
  ...getters('fmr'),
  'FastMemoryRegion.mapPhys': ['map_phys_fmr', ({ fmr }) => fmr.mapPhys([0n], 0n)],
};

const ofElement: Calls = {
  'Sge.copyTo': ['copy_sge_out', ({ sge }) => sge.copyTo(Buffer.alloc(8))],
  'Sge.copyFrom': ['copy_sge', ({ sge }) => sge.copyFrom(Buffer.alloc(8))],
  'Sge.fetchAdd': ['fetch_add', ({ sge }) => sge.fetchAdd(1n)],
  'Sge.compareSwap': ['compare_swap', ({ sge }) => sge.compareSwap(1n, 2n)],
};
for (const property of [
  ...(['region', 'at', 'segmentLength', 'length', 'segment', 'access', 'remote', 'address'] as const),
]) {
  ofElement[`Sge.${property}`] = ['query_sge', ({ sge }) => sge[property]];
}

/** Returns the failures of the calls after `end` has closed their objects. Each must have the given cause. */
function gone(cause: Failure['detail']['cause'], calls: Calls, end: (w: World) => void): Failure[] {
  return Object.entries(calls).map(([method, [operation, call]]) =>
    failure(method, operation, 'EBADF', cause, {}, () => {
      const world = make();
      end(world);
      return () => call(world);
    }),
  );
}

const close = ({ first }: World): void => first.close({ cascade: true });
const detach = ({ device }: World): void => device.detach({ cascade: true });
const freed = (method: string, operation: string, call: (w: World) => unknown): Failure =>
  failure(method, operation, 'EBADF', 'MemoryFreed', {}, () => {
    const world = make();
    world.dm.free();
    return () => call(world);
  });

export const goneFailures: Failure[] = [
  ...gone('DeviceClosed', { ...ofDevice, ...ofDomain, ...ofRegion, ...ofFmr }, close),
  ...gone('DeviceClosed', ofQueuePair, close),
  ...gone('Detached', { ...ofDevice, ...ofDomain, ...ofQueuePair }, detach),
  ...gone('PdGone', ofDomain, ({ pd }) => pd.dealloc({ cascade: true })),
  ...gone('QpGone', ofQueuePair, ({ qp }) => qp.destroy()),
  ...gone('RegionGone', ofRegion, ({ mr }) => mr.dereg()),
  ...gone('RegionGone', ofFmr, ({ fmr }) => fmr.dealloc()),
  ...gone('ElementPut', ofElement, ({ sge }) => sge.put()),
  freed('DeviceMemory.buffer', 'alloc_dm', ({ dm }) => dm.buffer),
  freed('ProtectionDomain.regUserMr', 'reg_user_mr', ({ pd, buffer }) => pd.regUserMr(buffer)),
  freed('DmaSpace.map', 'dma_map', ({ dma, buffer }) => dma.map(buffer)),
  failure('QueuePair.fastRegMr', 'fast_reg_mr', 'EBADF', 'RegionGone', { argument: 'region' }, () => {
    const { qp, mr } = make();
    mr.dereg();
    return () => qp.fastRegMr(mr, { key: 1 as never, access: 0 });
  }),
  failure(
    ...(['FastMemoryRegion.unmap', 'unmap_fmr', 'EBADF', 'RegionGone'] as const),
    { argument: 'list[1]', index: 1 },
    () => {
      const { pd, fmr } = make();
      const other = pd.allocFmr({ maxPages: 1 });
      other.dealloc();
      return () => FastMemoryRegion.unmap([fmr, other]);
    },
  ),
  failure(
    ...(['new SgeState', 'sge_state', 'EBADF', 'ElementPut'] as const),
    { argument: 'sges[1]', index: 1 },
    () => {
      const { pd, user, sge } = make();
      const other = accepted(pd.acquire({ addr: user.start, length: 8, lkey: user.lkey }, 0));
      other.put();
      return () => new SgeState([sge, other]);
    },
  ),
];
