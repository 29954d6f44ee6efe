// Failures caused by invalid arguments: EINVAL, and the few other errnos about an argument.
import { constants } from 'node:buffer';
import { Access, Device, FastMemoryRegion, SgeState } from '../../../lib';
import { accepted } from '../answers';
import { ALL, DMA, dmaPages, open, PAGE, PAGE_N, type Scene, scene, TOP } from '../scene';
import { failure, type Failure } from './failure';

/** Describes a failure of a call on the objects of a scene. */
const of = (
  method: string,
  operation: string,
  cause: Failure['detail']['cause'],
  detail: Omit<Failure['detail'], 'cause'>,
  call: (s: Scene) => unknown,
): Failure =>
  failure(method, operation, 'EINVAL', cause, detail, () => {
    const s = scene();
    return () => call(s);
  });

/** Describes a registration whose iova is 8 bytes behind the beginning of its page, and whose start is 16, on a strict device. */
const strict = (method: string, operation: string, argument: string, call: (s: Scene) => unknown): Failure =>
  failure(method, operation, 'EINVAL', 'PageOffsets', { argument, value: 8, limit: 16 }, () => {
    const s = scene({ strict: true });
    return () => call(s);
  });

/** Returns a view whose buffer was detached. */
function detachedView(): Uint8Array {
  const view = new Uint8Array(8);
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}
/** Returns a view that is out of the bounds of its buffer. */
function outOfBounds(): DataView {
  const buffer = new (ArrayBuffer as any)(16, { maxByteLength: 16 });
  const view = new DataView(buffer, 8, 8);
  buffer.resize(4);
  return view;
}

/** Calls that are not permitted to a Device object attached with the token of one domain. */
const restricted: Failure[] = (
  [
    ['Device.allocPd', 'alloc_pd', (device) => device.allocPd()],
    ['Device.allocDm', 'alloc_dm', (device) => device.allocDm(8)],
    ['Device.importDm', 'import_dm', (device) => device.importDm(1)],
    ['Device.importPd', 'import_pd', (device, id) => device.importPd(id + 1)],
    ['Device.keyTable', 'key_table', (device) => device.keyTable()],
    ['Device.share', 'share', (device) => device.share()],
    ['Device.close', 'mr_exit', (device) => device.close()],
    ['DmaSpace.map', 'dma_map', (device) => device.dma.map(Buffer.alloc(8))],
    ['ProtectionDomain.dealloc', 'dealloc_pd', (device, id) => device.importPd(id).dealloc()],
  ] as [string, string, (device: Device, id: number) => unknown][]
).map(([method, operation, call]) =>
  failure(method, operation, 'EPERM', 'Restricted', {}, () => {
    const { device, pd } = scene();
    const attached = Device.attach(device.share({ pd }));
    return () => call(attached, pd.id);
  }),
);
const restrictedDma: Failure[] = [
  failure('MemoryRegion.mapSg', 'map_mr_sg', 'EPERM', 'RestrictedDma', {}, () => {
    const { device, pd } = scene();
    const mr = Device.attach(device.share({ pd })).importPd(pd.id).allocMr({ maxNumSg: 1 });
    return () => mr.mapSg([{ addr: DMA, length: 8 }]);
  }),
  failure('FastMemoryRegion.mapPhys', 'map_phys_fmr', 'EPERM', 'RestrictedDma', {}, () => {
    const { device, pd } = scene();
    const fmr = Device.attach(device.share({ pd })).importPd(pd.id).allocFmr({ maxPages: 1 });
    return () => fmr.mapPhys([DMA], DMA);
  }),
];

/** Creates a region with `allocMr` and pages to map. */
function mappable({ device, pd }: Scene, maxNumSg = 4) {
  dmaPages(device, 2);
  return pd.allocMr({ maxNumSg });
}
const sg = (
  cause: Failure['detail']['cause'],
  detail: Omit<Failure['detail'], 'cause'>,
  list: { addr: bigint; length: number }[],
  options: object = {},
): Failure => of('MemoryRegion.mapSg', 'map_mr_sg', cause, detail, (s) => mappable(s).mapSg(list, options));

const phys = (
  cause: Failure['detail']['cause'],
  detail: Omit<Failure['detail'], 'cause'>,
  pages: bigint[],
  iova: bigint = DMA,
  pageShift = 12,
): Failure =>
  of('FastMemoryRegion.mapPhys', 'map_phys_fmr', cause, detail, ({ device, pd }) => {
    dmaPages(device, 2);
    pd.allocFmr({ maxPages: 4, pageShift }).mapPhys(pages, iova);
  });

/** Acquires an SGE over 16 bytes of memory with a local check. */
function element({ pd }: Scene, length = 8, offset = 0) {
  const mr = pd.regUserMr(Buffer.alloc(24).subarray(0, 16), { access: ALL });
  return accepted(pd.acquire({ addr: mr.start + BigInt(offset), length, lkey: mr.lkey }, 0));
}
/** Acquires an SGE with a remote check. */
function remoteElement({ pd, qp }: Scene, length: number, offset: number, memory = new Uint8Array(32)) {
  const mr = pd.regUserMr(memory, { access: ALL, start: 0x1000 });
  return accepted(qp.acquire({ vaddr: 0x1000 + offset, length, rkey: mr.rkey }, Access.RemoteAtomic));
}

const rights = (
  method: string,
  operation: string,
  call: (s: Scene, access: number) => unknown,
): Failure[] => [
  of(method, operation, 'UnknownRights', { argument: 'options.access', value: 0x24, limit: 31 }, (s) =>
    call(s, 0x24),
  ),
  ...(operation === 'get_dma_mr'
    ? []
    : [
        of(
          ...([method, operation, 'RightsNeedLocalWrite'] as const),
          { argument: 'options.access', value: Access.RemoteWrite },
          (s) => call(s, Access.RemoteWrite | Access.RemoteRead),
        ),
      ]),
];

const takesMemory: [
  method: string,
  operation: string,
  argument: string,
  call: (s: Scene, m: any) => unknown,
][] = [
  ['ProtectionDomain.regUserMr', 'reg_user_mr', 'memory', ({ pd }, m) => pd.regUserMr(m)],
  ['DmaSpace.map', 'dma_map', 'memory', ({ device }, m) => device.dma.map(m)],
  ['Sge.copyTo', 'copy_sge_out', 'target', (s, m) => element(s).copyTo(m)],
  ['Sge.copyFrom', 'copy_sge', 'source', (s, m) => element(s).copyFrom(m)],
  ['SgeState.copyIn', 'copy_sge', 'source', (s, m) => new SgeState([element(s)]).copyIn(m)],
  ['SgeState.copyOut', 'copy_sge_out', 'target', (s, m) => new SgeState([element(s)]).copyOut(m)],
  ['CheckBatch.gather', 'gather', 'target', ({ pd }, m) => pd.lkeyBatch(1).gather(m, 0, 0)],
  ['CheckBatch.scatter', 'scatter', 'source', ({ pd }, m) => pd.lkeyBatch(1).scatter(m, 0, 1)],
  ['CheckBatch.checkPacked', 'check_batch', 'sges', ({ pd }, m) => pd.lkeyBatch(1).checkPacked(m, 0)],
];
const lost: Failure[] = takesMemory.flatMap(([method, operation, argument, call]) => [
  of(method, operation, 'MemoryDetached', { argument }, (s) => call(s, detachedView())),
  of(method, operation, 'ViewOutOfBounds', { argument }, (s) => call(s, outOfBounds())),
]);

const tooLong = constants.MAX_LENGTH + 8;
/** Failures on runtimes where a buffer can be longer than a view (Node 20). */
export const viewFailures: Failure[] = takesMemory.map(([method, operation, argument, call]) =>
  of(
    ...([method, operation, 'ViewTooLong'] as const),
    { argument, value: tooLong, limit: constants.MAX_LENGTH },
    (s) => call(s, new ArrayBuffer(tooLong)),
  ),
);

export const invalidFailures: Failure[] = [
  ...lost,
  of('ProtectionDomain.regUserMr', 'reg_user_mr', 'EmptyMemory', { argument: 'memory' }, ({ pd }) =>
    pd.regUserMr(Buffer.alloc(0)),
  ),
  of('DmaSpace.map', 'dma_map', 'EmptyMemory', { argument: 'memory' }, ({ device }) =>
    device.dma.map(new ArrayBuffer(0)),
  ),
  failure(
    ...(['new Device', 'driver_mr_init', 'EINVAL', 'TableBits'] as const),
    { argument: 'options.lkeyTableBits', value: 0 },
    () => () => new Device({ lkeyTableBits: 0 }),
  ),
  of('Device.importPd', 'import_pd', 'UnknownPd', { argument: 'id', value: 77 }, (s) =>
    s.device.importPd(77),
  ),
  of('Device.importDm', 'import_dm', 'UnknownMemory', { argument: 'id', value: 78 }, (s) =>
    s.device.importDm(78),
  ),
  failure('Device.attach', 'alloc_ucontext', 'ENODEV', 'UnknownToken', { argument: 'token' }, () => {
    const token = open().share();
    return () => Device.attach(`${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`);
  }),
  failure('Device.attach', 'alloc_ucontext', 'EXDEV', 'ForeignToken', { argument: 'token' }, () => {
    const token = open().share();
    return () => Device.attach(token.replace(/:./, token.includes(':0') ? ':1' : ':0'));
  }),
  failure('ProtectionDomain.getDmaMr', 'get_dma_mr', 'EPERM', 'UserPd', {}, () => {
    const { pd } = scene();
    return () => pd.getDmaMr();
  }),
  ...rights('ProtectionDomain.regUserMr', 'reg_user_mr', ({ pd }, access) =>
    pd.regUserMr(Buffer.alloc(8), { access }),
  ),
  ...rights('ProtectionDomain.getDmaMr', 'get_dma_mr', ({ pd }, access) => pd.getDmaMr({ access })),
  ...rights('ProtectionDomain.allocFmr', 'alloc_fmr', ({ pd }, access) =>
    pd.allocFmr({ maxPages: 1, access }),
  ),
  ...rights('QueuePair.fastRegMr', 'fast_reg_mr', (s, access) => {
    const mr = mappable(s);
    s.qp.fastRegMr(mr, { key: mr.rkey, access });
  }),
  of(
    ...(['ProtectionDomain.regUserMr', 'reg_user_mr', 'StartTooHigh'] as const),
    { argument: 'options.start', value: TOP - 100n, limit: TOP - PAGE_N - 8n },
    ({ pd }) => pd.regUserMr(Buffer.alloc(8), { start: TOP - 100n, iova: 0n }),
  ),
  of(
    ...(['ProtectionDomain.regUserMr', 'reg_user_mr', 'IovaTooHigh'] as const),
    { argument: 'options.iova', value: TOP - 3n, limit: TOP - 8n },
    ({ pd }) => pd.regUserMr(Buffer.alloc(8), { iova: TOP - 3n }),
  ),
  strict('ProtectionDomain.regUserMr', 'reg_user_mr', 'options.iova', ({ pd }) =>
    pd.regUserMr(Buffer.alloc(8), { start: 0x1010n, iova: 0x2008n }),
  ),
  strict('MemoryRegion.rereg', 'rereg_mr', 'options.translation.iova', ({ pd }) =>
    pd
      .regUserMr(Buffer.alloc(8))
      .rereg({ translation: { memory: Buffer.alloc(8), start: 0x1010n, iova: 0x2008n } }),
  ),
  strict('QueuePair.fastRegMr', 'fast_reg_mr', 'options.iova', ({ device, pd, qp }) => {
    device.dma.map(Buffer.alloc(PAGE), { address: DMA });
    const mr = pd.allocMr({ maxNumSg: 1 });
    mr.mapSg([{ addr: DMA + 16n, length: 8 }]);
    qp.fastRegMr(mr, { key: mr.rkey, access: 0, iova: 0x2008n });
  }),
  of(
    ...(['DmaSpace.map', 'dma_map', 'DmaAddressUnaligned'] as const),
    { argument: 'options.address', value: 8n, limit: PAGE },
    ({ device }) => device.dma.map(Buffer.alloc(8), { address: 8n }),
  ),
  of(
    ...(['DmaSpace.map', 'dma_map', 'DmaAddressTooHigh'] as const),
    { argument: 'options.address', value: TOP - PAGE_N, limit: TOP - 2n * PAGE_N },
    ({ device }) => device.dma.map(Buffer.alloc(PAGE + 1), { address: TOP - PAGE_N }),
  ),
  of(
    ...(['DmaSpace.map', 'dma_map', 'DmaRangeTaken'] as const),
    { argument: 'options.address', value: DMA - PAGE_N, limit: DMA },
    ({ device }) => {
      dmaPages(device, 1);
      device.dma.map(Buffer.alloc(3 * PAGE), { address: DMA - PAGE_N });
    },
  ),
  of(
    ...(['ProtectionDomain.allocMr', 'alloc_mr', 'MrType'] as const),
    { argument: 'options.type', value: 'SG_GAPS', limit: 'MEM_REG' },
    ({ pd }) => pd.allocMr({ maxNumSg: 1, type: 'SG_GAPS' }),
  ),
  of(
    ...(['ProtectionDomain.allocMr', 'alloc_mr', 'MaxNumSg'] as const),
    { argument: 'options.maxNumSg', value: 2 ** 31, limit: 2 ** 31 - 1 },
    ({ pd }) => pd.allocMr({ maxNumSg: 2 ** 31 }),
  ),
  of(
    ...(['ProtectionDomain.allocFmr', 'alloc_fmr', 'MaxPages'] as const),
    { argument: 'options.maxPages', value: -1, limit: 2 ** 31 - 1 },
    ({ pd }) => pd.allocFmr({ maxPages: -1 }),
  ),
  of(
    ...(['ProtectionDomain.allocFmr', 'alloc_fmr', 'PageShift'] as const),
    { argument: 'options.pageShift', value: 31, limit: 30 },
    ({ pd }) => pd.allocFmr({ maxPages: 1, pageShift: 31 }),
  ),
  of('MemoryRegion.rereg', 'rereg_mr', 'RegionKind', { value: 'MEM_REG' }, ({ pd }) =>
    pd.allocMr({ maxNumSg: 1 }).rereg({ access: 0 }),
  ),
  of('MemoryRegion.rereg', 'rereg_mr', 'ReregNothing', { argument: 'options' }, ({ pd }) =>
    pd.regUserMr(Buffer.alloc(8)).rereg({}),
  ),
  of('MemoryRegion.rereg', 'rereg_mr', 'PdOnOtherDevice', { argument: 'options.pd' }, ({ pd }) =>
    pd.regUserMr(Buffer.alloc(8)).rereg({ pd: open().allocPd() }),
  ),
  of('MemoryRegion.rereg', 'rereg_mr', 'EmptyMemory', { argument: 'options.translation.memory' }, ({ pd }) =>
    pd.regUserMr(Buffer.alloc(8)).rereg({ translation: { memory: Buffer.alloc(0) } }),
  ),
  of(
    ...(['MemoryRegion.rereg', 'rereg_mr', 'StartTooHigh'] as const),
    { argument: 'options.translation.start', value: TOP - 8n, limit: TOP - 4104n },
    ({ pd }) =>
      pd
        .regUserMr(Buffer.alloc(8))
        .rereg({ translation: { memory: Buffer.alloc(8), start: TOP - 8n, iova: 0 } }),
  ),
  of(
    ...(['MemoryRegion.rereg', 'rereg_mr', 'IovaTooHigh'] as const),
    { argument: 'options.translation.iova', value: TOP - 7n, limit: TOP - 8n },
    ({ pd }) =>
      pd.regUserMr(Buffer.alloc(8)).rereg({ translation: { memory: Buffer.alloc(8), iova: TOP - 7n } }),
  ),
  failure('MemoryRegion.rereg', 'rereg_mr', 'EINVAL', 'ReregInvalid', { value: 0x100 }, () => {
    const { pd, qp } = scene({ keyPolicy: 'sequential' });
    const mr = pd.regUserMr(Buffer.alloc(8));
    qp.invalidateRkey(mr.rkey);
    return () => mr.rereg({ access: 0 });
  }),
  of('MemoryRegion.mapSg', 'map_mr_sg', 'RegionKind', { value: 'USER' }, ({ pd }) =>
    pd.regUserMr(Buffer.alloc(8)).mapSg([{ addr: DMA, length: 8 }]),
  ),
  of(
    ...(['QueuePair.fastRegMr', 'fast_reg_mr', 'RegionKind'] as const),
    { argument: 'region', value: 'USER' },
    ({ pd, qp }) => {
      const mr = pd.regUserMr(Buffer.alloc(8));
      qp.fastRegMr(mr, { key: mr.rkey, access: 0 });
    },
  ),
  sg('PageSize', { argument: 'options.pageSize', value: 8192, limit: PAGE }, [], { pageSize: 8192 }),
  sg('EmptyList', { argument: 'list' }, []),
  sg(
    'OffsetOutside',
    { argument: 'options.offset', value: PAGE, limit: PAGE },
    [{ addr: DMA, length: PAGE }],
    { offset: PAGE },
  ),
  sg('SgElementEmpty', { argument: 'list[1]', index: 1, value: DMA }, [
    { addr: DMA, length: 8 },
    { addr: DMA, length: 0 },
  ]),
  sg('SgElementUnmapped', { argument: 'list[0]', index: 0, value: 8n }, [{ addr: 8n, length: 8 }]),
  sg('SgElementAcrossEnd', { argument: 'list[0]', index: 0, value: DMA + 8n, limit: 2 * PAGE - 8 }, [
    { addr: DMA + 8n, length: 2 * PAGE },
  ]),
  of(
    ...(['MemoryRegion.mapSg', 'map_mr_sg', 'SgEndTooHigh'] as const),
    { argument: 'list', value: TOP - PAGE_N, limit: TOP - 2n * PAGE_N },
    (s) => {
      const mr = mappable(s);
      s.device.dma.map(Buffer.alloc(PAGE), { address: TOP - PAGE_N });
      mr.mapSg([
        { addr: TOP - PAGE_N, length: PAGE },
        { addr: DMA, length: PAGE },
      ]);
    },
  ),
  of('MemoryRegion.mapSg', 'map_mr_sg', 'MemoryDetached', { argument: 'list' }, (s) =>
    mappable(s).mapSg(lostWords()),
  ),
  phys('PageCount', { argument: 'pageList', value: 5, limit: 4 }, [DMA, DMA, DMA, DMA, DMA]),
  phys(
    'MappedLength',
    { argument: 'pageList', value: 2 ** 32, limit: 2 ** 32 - 1 },
    [0n, 0n, 0n, 0n],
    DMA,
    30,
  ),
  phys('IovaTooHigh', { argument: 'iova', value: TOP - 1n, limit: TOP - PAGE_N }, [DMA], TOP - 1n),
  phys('PageUnmapped', { argument: 'pageList[2]', index: 2, value: 0x5000n }, [DMA, DMA + PAGE_N, 0x5000n]),
  phys('PageAcrossEnd', { argument: 'pageList[1]', index: 1, value: DMA + PAGE_N + 8n, limit: PAGE - 8 }, [
    DMA,
    DMA + PAGE_N + 8n,
  ]),
  of('FastMemoryRegion.mapPhys', 'map_phys_fmr', 'MemoryDetached', { argument: 'pageList' }, ({ pd }) =>
    pd.allocFmr({ maxPages: 1 }).mapPhys(lostWords(), 0n),
  ),
  of('SgeState.walk', 'walk', 'MemoryDetached', { argument: 'steps' }, (s) => {
    const steps = new Uint32Array(2);
    structuredClone(steps.buffer, { transfer: [steps.buffer] });
    new SgeState([element(s)]).walk(steps);
  }),
  of(
    'ProtectionDomain.deregMany',
    'dereg_mr',
    'ListedInOtherPd',
    { argument: 'regions[1]', index: 1 },
    (s) => {
      const other = s.device.allocPd();
      s.pd.deregMany([s.pd.allocMr({ maxNumSg: 1 }), other.allocMr({ maxNumSg: 1 })]);
    },
  ),
  of(
    ...(['ProtectionDomain.deregMany', 'dereg_mr', 'ListedOnOtherDevice'] as const),
    { argument: 'regions[0]', index: 0 },
    ({ pd }) => pd.deregMany([scene().pd.allocMr({ maxNumSg: 1 })]),
  ),
  of(
    ...(['FastMemoryRegion.unmap', 'unmap_fmr', 'ListedOnOtherDevice'] as const),
    { argument: 'list[1]', index: 1 },
    ({ pd }) => FastMemoryRegion.unmap([pd.allocFmr({ maxPages: 1 }), scene().pd.allocFmr({ maxPages: 1 })]),
  ),
  failure('QueuePair.fastRegMr', 'fast_reg_mr', 'EACCES', 'RegionInOtherPd', { argument: 'region' }, () => {
    const { device, qp } = scene();
    const mr = device.allocPd().allocMr({ maxNumSg: 1 });
    return () => qp.fastRegMr(mr, { key: mr.rkey, access: 0 });
  }),
  of('QueuePair.fastRegMr', 'fast_reg_mr', 'RegionOnOtherDevice', { argument: 'region' }, ({ qp }) => {
    const mr = scene().pd.allocMr({ maxNumSg: 1 });
    qp.fastRegMr(mr, { key: mr.rkey, access: 0 });
  }),
  failure(
    ...(['QueuePair.fastRegMr', 'fast_reg_mr', 'EINVAL', 'KeySlot'] as const),
    { argument: 'options.key', value: 0x100, limit: 0x10200 },
    () => {
      const { pd, qp } = scene({ keyPolicy: 'sequential' });
      pd.regUserMr(Buffer.alloc(8)).dereg();
      const mr = pd.allocMr({ maxNumSg: 1 });
      return () => qp.fastRegMr(mr, { key: 0x100 as never, access: 0 });
    },
  ),
  of(
    ...(['QueuePair.fastRegMr', 'fast_reg_mr', 'IovaTooHigh'] as const),
    { argument: 'options.iova', value: TOP - 1n, limit: TOP - PAGE_N },
    (s) => {
      const mr = mappable(s);
      mr.mapSg([{ addr: DMA, length: PAGE }]);
      s.qp.fastRegMr(mr, { key: mr.rkey, access: 0, iova: TOP - 1n });
    },
  ),
  of('QueuePair.invalidateRkey', 'invalidate_rkey', 'KeyZero', { argument: 'rkey' }, ({ qp }) =>
    qp.invalidateRkey(0 as never),
  ),
  of(
    'QueuePair.invalidateRkey',
    'invalidate_rkey',
    'UnknownKey',
    { argument: 'rkey', value: 0xabc },
    ({ qp }) => qp.invalidateRkey(0xabc as never),
  ),
  failure(
    ...(['QueuePair.invalidateRkey', 'invalidate_rkey', 'EINVAL', 'KeyInOtherPd'] as const),
    { argument: 'rkey', value: 0x100 },
    () => {
      const { device, qp } = scene({ keyPolicy: 'sequential' });
      const mr = device.allocPd().allocMr({ maxNumSg: 1 });
      return () => qp.invalidateRkey(mr.rkey);
    },
  ),
  of(
    'ProtectionDomain.acquire',
    'lkey_ok',
    'ElementOnOtherDevice',
    { argument: 'options.last' },
    ({ pd }) => {
      const last = element(scene());
      pd.acquire({ addr: 0n, length: 1, lkey: 1 as never }, 0, { last });
    },
  ),
  of(
    'CheckBatch.acquire',
    'acquire_batch',
    'ElementOnOtherDevice',
    { argument: 'options.last' },
    ({ pd }) => {
      const last = element(scene());
      pd.lkeyBatch(1).acquire(1, 0, { coalesce: true, last });
    },
  ),
  of('new SgeState', 'sge_state', 'ElementOnOtherDevice', { argument: 'sges[1]', index: 1 }, (s) => {
    new SgeState([element(s), element(scene())]);
  }),
  of(
    'new SgeState',
    'sge_state',
    'ElementCount',
    { argument: 'sges', value: 0, limit: 255 },
    () => new SgeState([]),
  ),
  of('SgeState.update', 'update_sge', 'MoreThanLeft', { argument: 'length', value: 9, limit: 8 }, (s) =>
    new SgeState([element(s)]).update(9),
  ),
  of('SgeState.update', 'update_sge', 'MoreThanElement', { argument: 'length', value: 9, limit: 8 }, (s) =>
    new SgeState([element(s), element(s)]).update(9),
  ),
  of('SgeState.skip', 'skip_sge', 'MoreThanLeft', { argument: 'length', value: 17, limit: 16 }, (s) =>
    new SgeState([element(s), element(s)]).skip(17),
  ),
  of('SgeState.walk', 'walk', 'MoreThanLeft', { argument: 'steps', value: 12, limit: 8 }, (s) =>
    new SgeState([element(s)]).walk([4, 8]),
  ),
  ...(
    [
      ['SgeState.copyIn', 'copy_sge', (w: SgeState) => w.copyIn(Buffer.alloc(2), { put: true })],
      ['SgeState.copyOut', 'copy_sge_out', (w: SgeState) => w.copyOut(Buffer.alloc(2), { put: true })],
      ['SgeState.walk', 'walk', (w: SgeState) => w.walk([2], { put: true })],
    ] as const
  ).map(([method, operation, call]) =>
    of(method, operation, 'ElementTwice', { argument: 'options.put', index: 2 }, (s) => {
      const twice = element(s);
      return call(new SgeState([element(s), twice, twice]));
    }),
  ),
  of('Device.share', 'share', 'PdOnOtherDevice', { argument: 'options.pd' }, ({ device }) =>
    device.share({ pd: scene().pd }),
  ),
  of('MemoryRegion.advertise', 'advertise_mr', 'DmaRegion', {}, () =>
    scene({ trusted: true }).pd.getDmaMr().advertise(),
  ),
  failure('MemoryRegion.advertise', 'advertise_mr', 'EINVAL', 'DeadKey', { value: 0x100 }, () => {
    const { pd, qp } = scene({ keyPolicy: 'sequential' });
    const mr = pd.regUserMr(Buffer.alloc(8), { access: ALL });
    qp.invalidateRkey(mr.rkey);
    return () => mr.advertise();
  }),
  of('FastMemoryRegion.advertise', 'advertise_mr', 'NothingMapped', {}, ({ pd }) =>
    pd.allocFmr({ maxPages: 1, access: ALL }).advertise(),
  ),
  failure('MemoryRegion.advertise', 'advertise_mr', 'EACCES', 'NoRemoteRight', { value: 1 }, () => {
    const mr = scene().pd.regUserMr(Buffer.alloc(8), { access: Access.LocalWrite });
    return () => mr.advertise();
  }),
  ...restricted,
  ...restrictedDma,
  of('CheckBatch.copyTo', 'copy_batch', 'SameBatch', { argument: 'other' }, ({ pd }) => {
    const batch = pd.lkeyBatch(1);
    batch.copyTo(batch, 0, 0, 0, 1);
  }),
  ...(
    [
      ['Sge.fetchAdd', 'fetch_add', (sge: ReturnType<typeof element>) => sge.fetchAdd(1n)],
      ['Sge.compareSwap', 'compare_swap', (sge: ReturnType<typeof element>) => sge.compareSwap(1n, 2n)],
    ] as const
  ).flatMap(([method, operation, call]) => [
    of(method, operation, 'WordLength', { value: 4, limit: 8 }, (s) => call(remoteElement(s, 4, 0))),
    of(method, operation, 'WordAddress', { value: 0x1004n, limit: 8 }, (s) => call(remoteElement(s, 8, 4))),
    of(method, operation, 'WordMemory', {}, (s) =>
      call(remoteElement(s, 8, 0, new Uint8Array(new ArrayBuffer(32), 1, 8))),
    ),
  ]),
];

/** Returns a list of words whose buffer was detached. */
function lostWords(): BigUint64Array {
  const words = new BigUint64Array(2);
  structuredClone(words.buffer, { transfer: [words.buffer] });
  return words;
}
