// Type tests of the public API: what must compile, and what must not. `npm run typecheck` checks the file; it never runs.
/* eslint-disable @typescript-eslint/no-unnecessary-type-parameters, @typescript-eslint/no-meaningless-void-operator,
   @typescript-eslint/no-unused-vars, @typescript-eslint/no-unsafe-class-instance-assignment,
   @typescript-eslint/no-misused-spread -- wrong things on purpose, and nothing is used */
import {
  Access,
  type CheckReason,
  type DataPathReason,
  type Counters,
  Device,
  type DeviceMemory,
  type DeviceToken,
  FastMemoryRegion,
  fastRegKey,
  type Lkey,
  lkey,
  type LocalCheck,
  type MemoryRegion,
  type ProtectionDomain,
  type QueuePair,
  RdmaError,
  type RefusalReason,
  type RegionCounters,
  type RemoteCheck,
  type Resources,
  type Rkey,
  rkey,
  type Sge,
  SgeState,
} from 'rdmavt';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Compiles only if both types are identical. */
const same = <A, B>(_same: Same<A, B>): void => {};

declare const device: Device;
declare const pd: ProtectionDomain;
declare const qp: QueuePair;
declare const mr: MemoryRegion;
declare const fmr: FastMemoryRegion;
declare const sge: Sge;
declare const local: LocalCheck;
declare const remote: RemoteCheck;

/** The example in the documentation must compile. */
export function example(buffer: Buffer, target: Buffer): void {
  const read = qp.acquire({ vaddr: mr.iova + 4096n, length: 512, rkey: mr.rkey }, Access.RemoteRead);
  pd.regUserMr(buffer, { access: Access.LocalWrite | Access.RemoteRead });
  if (read.ok) {
    read.sge.copyTo(target);
    read.sge.put();
  } else {
    console.log(read.reason);
  }
}

/** Local and remote keys are not interchangeable, and a plain number is not a key. */
export function keys(): void {
  same<typeof mr.lkey, Lkey>(true);
  same<typeof mr.rkey, Rkey>(true);
  pd.acquire({ addr: 0n, length: 0, lkey: mr.lkey }, 0);
  // @ts-expect-error: a remote key in a local check
  pd.acquire({ addr: 0n, length: 0, lkey: mr.rkey }, 0);
  // @ts-expect-error: a local key in a remote check
  qp.acquire({ vaddr: 0n, length: 0, rkey: mr.lkey }, 0);
  // @ts-expect-error: a plain number as a key
  qp.acquire({ vaddr: 0n, length: 0, rkey: 0x100 }, 0);
  // @ts-expect-error: a plain number as a key
  qp.invalidateRkey(0x100);
  // @ts-expect-error: a local key where a remote key is needed
  qp.invalidateRkey(mr.lkey);
  qp.invalidateRkey(rkey(0x100));
  same<ReturnType<typeof fastRegKey<Lkey>>, Lkey>(true);
  const variant: Rkey = fastRegKey(mr.rkey, 1);
  qp.fastRegMr(mr, { key: variant, access: 0 });
  // @ts-expect-error: fastRegKey returns the kind of key that it gets
  const wrong: Rkey = fastRegKey(mr.lkey, 1);
  // @ts-expect-error: a plain number as a key of fastRegKey
  fastRegKey(0x100, 1);
  // A key may be used where a number is expected.
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(mr.rkey);
  const received: Lkey = lkey(bytes.readUInt32BE());
  void [wrong, received];
}

/** `ok` and `coalesced` discriminate results. */
export function results(): void {
  // @ts-expect-error: the check may have been refused
  void remote.sge;
  // @ts-expect-error: the check may have been accepted
  void remote.reason;
  if (remote.ok) {
    same<typeof remote.coalesced, false>(true);
    same<typeof remote.sge, Sge>(true);
  } else {
    same<typeof remote.reason, CheckReason>(true);
    same<typeof remote.code, 'EINVAL'>(true);
    switch (remote.reason) {
      case 'OutOfBounds':
        break;
      // @ts-expect-error: a reason of the data path, not of checks
      case 'MemoryDetached':
        break;
    }
  }
  if (local.ok) same<typeof local.coalesced, boolean>(true);
  // @ts-expect-error: results are read-only
  local.ok = true;
  const place = pd.check({ addr: 0n, length: 0, lkey: mr.lkey }, 0);
  if (place.ok) same<typeof place.at, bigint>(true);
  // @ts-expect-error: check returns no SGE
  if (place.ok) place.sge.put();
}

/** Reasons are closed sets of strings. */
export function reasons(error: RdmaError): void {
  same<RefusalReason, CheckReason | DataPathReason>(true);
  same<Extract<CheckReason, DataPathReason>, 'AccessDenied' | 'LeaseExpired'>(true);
  same<typeof error.reason, DataPathReason | undefined>(true);
  same<
    typeof error.code,
    | 'EPERM'
    | 'EBADF'
    | 'ENOMEM'
    | 'EACCES'
    | 'EBUSY'
    | 'EXDEV'
    | 'ENODEV'
    | 'EINVAL'
    | 'EMFILE'
    | 'EOPNOTSUPP'
    | 'EADDRINUSE'
    | 'EADDRNOTAVAIL'
    | 'ETIMEDOUT'
    | 'ECONNREFUSED'
  >(true);
  // @ts-expect-error: no such reason
  const none: RefusalReason = 'Forbidden';
  void none;
}

/** Regions and other classes are not interchangeable, and objects cannot be constructed as literals. */
export function objects(): void {
  // @ts-expect-error: fastRegMr takes no fast memory region
  qp.fastRegMr(fmr, { key: fmr.rkey, access: 0 });
  // @ts-expect-error: unmap takes no memory region
  FastMemoryRegion.unmap([mr]);
  FastMemoryRegion.unmap([fmr, fmr]);
  // @ts-expect-error: an object of the same shape is not a region
  const forged: MemoryRegion = { ...mr };
  // @ts-expect-error: a region is not an SGE
  void new SgeState([mr]);
  // @ts-expect-error: properties are read-only
  mr.access = 31;
  void forged;
}

/** Addresses are bigints or numbers; lengths are numbers. */
export function numbers(): void {
  same<typeof mr.start, bigint>(true);
  same<typeof mr.length, number>(true);
  pd.regUserMr(new ArrayBuffer(8), { start: 4096, iova: 1n << 63n });
  pd.acquire({ addr: 4096, length: 8, lkey: mr.lkey }, Access.LocalWrite, { last: sge });
  // @ts-expect-error: lengths of elements are numbers, not bigints
  pd.acquire({ addr: 4096, length: 8n, lkey: mr.lkey }, 0);
  // @ts-expect-error: not an address
  pd.regUserMr(new ArrayBuffer(8), { start: '0x1000' });
  let access = Access.LocalWrite;
  access |= Access.RemoteWrite;
  // @ts-expect-error: the bits are read-only constants
  Access.LocalWrite = 2;
  mr.mapSg([{ addr: 0n, length: 4096 }], { offset: 1n });
  mr.mapSg(new BigUint64Array(2));
  fmr.mapPhys([1n, 2n] as const, 0n);
  // @ts-expect-error: a page list has 64-bit words, not bytes
  fmr.mapPhys(new Uint8Array(8), 0n);
  void access;
}

/** Memory is any view or buffer. */
export function memories(): void {
  for (const memory of [
    Buffer.alloc(1),
    new Float32Array(1),
    new DataView(new ArrayBuffer(1)),
    new ArrayBuffer(1),
    new SharedArrayBuffer(1),
  ]) {
    pd.regUserMr(memory);
    device.dma.map(memory);
    sge.copyTo(memory);
  }
  // @ts-expect-error: not memory
  pd.regUserMr([1, 2, 3]);
  // @ts-expect-error: not memory
  pd.regUserMr('bytes');
}

/** Required options must be given, and unknown options are rejected. */
export function options(): void {
  void new Device();
  // @ts-expect-error: no such policy
  void new Device({ keyPolicy: 'secret' });
  // @ts-expect-error: no such option
  void new Device({ bits: 4 });
  // @ts-expect-error: maxNumSg is required
  pd.allocMr();
  // @ts-expect-error: maxPages is required
  pd.allocFmr({});
  // @ts-expect-error: no such type
  pd.allocMr({ maxNumSg: 1, type: 'mem' });
  // @ts-expect-error: access is required
  qp.fastRegMr(mr, { key: mr.rkey });
}

/** A token is a branded string, and a string from elsewhere may be asserted to be one. */
export function sharing(posted: string): void {
  const token = device.share();
  same<typeof token, DeviceToken>(true);
  const text: string = token;
  same<ReturnType<typeof Device.attach>, Device>(true);
  Device.attach(token);
  Device.attach(posted, { captureStacks: true, reportLeaks: true });
  // @ts-expect-error: a plain string is not a token
  const forged: DeviceToken = posted;
  // @ts-expect-error: attach takes no options for opening a device
  Device.attach(token, { lkeyTableBits: 4 });
  // @ts-expect-error: not a token
  Device.attach(1);
  same<ReturnType<typeof device.importPd>, ProtectionDomain>(true);
  device.importPd(pd.id);
  // @ts-expect-error: importPd takes an ID
  device.importPd(pd);
  device.detach({ cascade: true });
  // @ts-expect-error: no such option
  device.detach({ force: true });
  same<typeof device.context, number>(true);
  void [text, forged];
}

/** Device memory is used through its buffer. */
export function deviceMemory(memory: DeviceMemory): void {
  same<ReturnType<typeof device.allocDm>, DeviceMemory>(true);
  same<ReturnType<typeof device.importDm>, DeviceMemory>(true);
  same<typeof memory.buffer, ArrayBuffer>(true);
  pd.regUserMr(new Uint8Array(device.allocDm(4096, { hugePages: true }).buffer, 8, 8));
  device.importDm(memory.id).free();
  // @ts-expect-error: the memory's buffer can be registered, not the memory object
  pd.regUserMr(memory);
  // @ts-expect-error: a size is required
  device.allocDm();
  // @ts-expect-error: a size is a number
  device.allocDm(4096n);
  // @ts-expect-error: byteLength is read-only
  memory.byteLength = 1;
}

/** Types of resources and counters. */
export function looking(resources: Resources, counters: Counters): void {
  same<ReturnType<typeof device.resources>, Resources>(true);
  const [row] = resources.regions;
  if (row) {
    same<typeof row.kind, 'USER' | 'DMA' | 'MEM_REG' | 'FMR'>(true);
    same<typeof row.state, 'Valid' | 'Invalid' | 'HalfDead'>(true);
    same<typeof row.iova, bigint>(true);
    same<typeof row.stack, string | undefined>(true);
    same<typeof row.region, MemoryRegion | FastMemoryRegion | undefined>(true);
    pd.check({ addr: row.start, length: row.length, lkey: row.lkey }, row.access);
  }
  // @ts-expect-error: device memory belongs to no context
  void resources.memories[0]?.own;
  same<ReturnType<typeof device.counters>, Counters>(true);
  device.counters({ own: true });
  same<typeof counters.reasons.OutOfBounds, number | undefined>(true);
  // @ts-expect-error: no such reason
  void counters.reasons.Forbidden;
  same<typeof mr.counters, RegionCounters | undefined>(true);
  fmr.countAccesses();
  // @ts-expect-error: counters may be undefined
  void mr.counters.accepted;
  const numbers: number[] = [pd.id, qp.id, mr.id, fmr.id];
  void numbers;
}

/** Everything that can be closed is disposable. */
export async function disposal(): Promise<void> {
  using own = new Device();
  using domain = own.allocPd();
  using pair = domain.createQp();
  using region = domain.regUserMr(Buffer.alloc(1));
  using fast = domain.allocFmr({ maxPages: 1 });
  using mapping = own.dma.map(Buffer.alloc(1));
  using memory = own.allocDm(1);
  using held = sge;
  using state = new SgeState([held]);
  await using later = domain.regUserMr(Buffer.alloc(1));
  const disposables: Disposable[] = [own, domain, pair, region, fast, mapping, memory, held, state, later];
  const slow: AsyncDisposable[] = [region, fast];
  const gone: Promise<void> = mr.deregAsync({ timeoutMs: 1 });
  await gone;
  void [disposables, slow];
}

/** Access masks are numbers, but keys are not access masks. */
export function rights(pd: ProtectionDomain, mr: MemoryRegion): void {
  const mask: Access = Access.LocalWrite | Access.RemoteRead;
  const number: number = mask;
  pd.check({ addr: 0, length: 0, lkey: mr.lkey }, number);
  // @ts-expect-error: a local key is not an access mask
  pd.check({ addr: 0, length: 0, lkey: mr.lkey }, mr.lkey);
  // @ts-expect-error: a remote key is not an access mask
  pd.regUserMr(Buffer.alloc(8), { access: mr.rkey });
}

/** The causes of a failure are a closed set, and each determines the other properties of the detail. */
export function details({ detail }: RdmaError): void {
  if (!detail) return;
  same<typeof detail.value, number | bigint | string | undefined>(true);
  same<typeof detail.argument, string | undefined>(true);
  if (detail.cause === 'PdInUse')
    same<number | undefined, NonNullable<typeof detail.counts>['regions']>(true);
  // @ts-expect-error: no such cause
  if (detail.cause === 'Busy') return;
  // @ts-expect-error: a detail is read-only
  detail.cause = 'PdInUse';
}

/** Errors can be distinguished by class and code. */
export function errors(error: unknown): string {
  return error instanceof RdmaError && error.code === 'EACCES' ? (error.reason ?? error.operation) : '';
}
