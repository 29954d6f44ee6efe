/** Executes the operations that create, map, register and release regions. */
import { fieldLong, longs } from '../internal/command';
import {
  CommandFlag,
  CommandWord,
  ENOMEM,
  MrTypeNumber,
  PAGE_SIZE,
  ReleaseMode,
  RegionField,
  SgOutcomeField,
} from '../internal/layout';
import { native, type NativeProtectionDomain } from '../internal/native';
import {
  mapPageList,
  mapSgList,
  readNewRegion,
  regionNames,
  type RegionName,
  registerMemory,
  releaseRegion,
  storeRegion,
} from '../internal/region-name';
import {
  allocateMemory,
  type Answer,
  answerFailure,
  answerStatus,
  fieldOf,
  memoryError,
  nameErrno,
  SKIPPED,
  toHex,
} from './answers';
import type { NamedRegion, Session } from './session';
import { type Id, type MrType, type OperationMembers, type SgElement, TraceError } from './trace-format';

const mrTypes: Readonly<Record<MrType, MrTypeNumber>> = {
  mem_reg: MrTypeNumber.MemReg,
  sg_gaps: MrTypeNumber.SgGaps,
  dm: MrTypeNumber.Dm,
  user: MrTypeNumber.User,
  dma: MrTypeNumber.Dma,
  integrity: MrTypeNumber.Integrity,
};

export function regUserMr(session: Session, op: OperationMembers['reg_user_mr']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  const [start, length, iova] = [BigInt(op.start), BigInt(op.length), BigInt(op.virt_addr)];
  // Ask the core before allocating: for lengths near 2^64 the answer is EINVAL and not a lack of memory.
  const verdict = pd.regUserMrTest(start, length, iova);
  if (verdict < 0 && isBeyondCore(start, length, iova)) throw memoryError(length, 'reg_user_mr');
  if (verdict < 0) return answerFailure(verdict);
  const memory = allocateMemory(length, 'reg_user_mr');
  longs[CommandWord.Start / 2] = start;
  longs[CommandWord.Iova / 2] = iova;
  const flags = CommandFlag.StartGiven | CommandFlag.IovaGiven;
  const status = registerMemory(pd.number(), op.access, flags, memory);
  // regUserMrTest found a free key table slot, so ENOMEM means a lack of memory.
  if (status === -ENOMEM) throw new TraceError('reg_user_mr: out of memory');
  return bindRegion(session, op.id, pd, status, 'user', memory);
}

/**
 * Returns whether the core rejects a region only because it has 2^32 pages or more. The trace format allows such a region, so the
 * player reports a lack of memory instead.
 */
function isBeyondCore(start: bigint, length: bigint, iova: bigint): boolean {
  const end = 1n << 64n;
  const page = BigInt(PAGE_SIZE);
  return length > page * 0xffff_fffen && start + length <= end - page && iova + length <= end;
}

export function getDmaMr(session: Session, op: OperationMembers['get_dma_mr']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  const status = pd.getDmaMr(op.access);
  // A DMA region needs no key table slot, so ENOMEM means a lack of memory.
  if (status === -ENOMEM) throw new TraceError('get_dma_mr: out of memory');
  return bindRegion(session, op.id, pd, status, 'other');
}

export function allocMr(session: Session, op: OperationMembers['alloc_mr']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  return bindRegion(session, op.id, pd, pd.allocMr(mrTypes[op.type], op.max_num_sg), 'other');
}

export function allocFmr(session: Session, op: OperationMembers['alloc_fmr']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  const status = pd.allocFmr(op.access, op.max_pages, op.max_maps, op.page_shift);
  return bindRegion(session, op.id, pd, status, 'fmr');
}

/** Binds the region that the last call created to its id and answers its keys, or answers the failure. */
function bindRegion(
  session: Session,
  id: Id,
  pd: NativeProtectionDomain,
  status: number,
  kind: 'user' | 'fmr' | 'other',
  memory?: Uint8Array,
): Answer {
  if (status < 0) return answerFailure(status);
  return session.answerKeys(session.bindRegion(id, readNewRegion(pd, pd.number(), undefined), kind, memory));
}

export function mapMrSg(session: Session, op: OperationMembers['map_mr_sg']): Answer {
  const region = session.region(op.mr);
  if (region === undefined) return SKIPPED;
  const list = new BigUint64Array(2 * op.sg.length);
  op.sg.forEach(({ addr, length }, i) => {
    list[2 * i] = BigInt(addr);
    list[2 * i + 1] = BigInt(length);
  });
  const used = mapSgList(region.native, BigInt(op.sg_offset ?? 0), op.page_size, list);
  if (used >= 0) region.mapped = withoutOffset(op.sg, op.sg_offset ?? 0);
  else if (used === -ENOMEM) region.mapped = undefined; // the old mapping has been dropped
  // The format requires iova and length after a failure too.
  const [iova, length] = [toHex(fieldLong(SgOutcomeField.Iova)), toHex(fieldLong(SgOutcomeField.Length))];
  return used < 0 ? { err: nameErrno(used), iova, length } : { ret: used, iova, length };
}

/** Leaves out the first `offset` bytes of the first element. */
function withoutOffset(list: readonly SgElement[], offset: number): readonly SgElement[] {
  const [first, ...others] = list;
  if (first === undefined || offset === 0) return list;
  return [{ addr: toHex(BigInt(first.addr) + BigInt(offset)), length: first.length - offset }, ...others];
}

export function fastRegMr(session: Session, op: OperationMembers['fast_reg_mr']): Answer {
  const qp = session.qp(op.qp);
  const region = session.region(op.mr);
  if (qp === undefined || region === undefined) return SKIPPED;
  const iova = op.iova === undefined ? undefined : BigInt(op.iova);
  storeRegion(region.native);
  const status = qp.fastRegMr(Number(op.key), op.access, iova);
  return status < 0 ? answerFailure(status) : session.answerKeys(region);
}

export function invalidateRkey(session: Session, op: OperationMembers['invalidate_rkey']): Answer {
  const qp = session.qp(op.qp);
  return qp === undefined ? SKIPPED : answerStatus(qp.invalidateRkey(Number(op.rkey)));
}

export function mapPhysFmr(session: Session, op: OperationMembers['map_phys_fmr']): Answer {
  const region = findFmr(session, op.fmr);
  if (region === undefined) return SKIPPED;
  longs[CommandWord.Iova / 2] = BigInt(op.iova);
  return answerStatus(mapPageList(region.native, BigUint64Array.from(op.pages, BigInt)));
}

export function unmapFmr(session: Session, op: OperationMembers['unmap_fmr']): Answer {
  const fmrs: RegionName[] = [];
  for (const id of op.fmrs) {
    const region = findFmr(session, id);
    if (region === undefined) return SKIPPED;
    fmrs.push(region.native);
  }
  return answerStatus(native.unmapFmr(regionNames(fmrs)));
}

export function deallocFmr(session: Session, op: OperationMembers['dealloc_fmr']): Answer {
  return release(session, findFmr(session, op.fmr));
}

export function deregMr(session: Session, op: OperationMembers['dereg_mr']): Answer {
  const region = session.region(op.mr);
  return release(session, region?.fmr === false ? region : undefined);
}

/** Releases a region. After EBUSY the region is half-dead and keeps its id. */
function release(session: Session, region: NamedRegion | undefined): Answer {
  if (region === undefined) return SKIPPED;
  const status = releaseRegion(region.native, ReleaseMode.Release);
  if (status === 0) session.unbind(region.name);
  return answerStatus(status);
}

export function refs(session: Session, op: OperationMembers['refs']): Answer {
  const region = session.region(op.mr);
  if (region === undefined) return SKIPPED;
  return { refs: Number(fieldOf(session.queryRegion(region.native), RegionField.Refs)) };
}

export function mrState(session: Session, op: OperationMembers['mr_state']): Answer {
  const region = session.region(op.mr);
  if (region === undefined) return SKIPPED;
  const fields = session.queryRegion(region.native);
  return {
    key: toHex(fieldOf(fields, RegionField.Lkey)),
    invalid: fieldOf(fields, RegionField.Valid) === 0n,
  };
}

function findFmr(session: Session, id: Id): NamedRegion | undefined {
  const region = session.region(id);
  return region?.fmr === true ? region : undefined;
}
