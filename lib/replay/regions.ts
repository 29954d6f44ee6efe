/** Playing what makes, maps, registers and releases regions. */
import { ENOMEM, MrTypeNumber, PAGE_SIZE, ReleaseMode, RegionField } from '../internal/layout';
import { native, type NativeMemoryRegion } from '../internal/native';
import { errnoName, failure, field, hex, memoryOf, noMemory, outcome, SKIPPED } from './answers';
import { type Answer, type MrType, type OperationMembers } from './operations';
import type { NamedRegion, Session } from './session';
import { TraceError } from './trace-error';

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
  // The core judges before memory is asked for: lengths near 2^64 are EINVAL, not a lack of memory.
  const verdict = pd.regUserMrTest(start, length, iova);
  if (verdict < 0 && isBeyondCore(start, length, iova)) throw noMemory(length, 'reg_user_mr');
  if (verdict < 0) return failure(verdict);
  const mr = pd.regUserMr(memoryOf(length, 'reg_user_mr'), start, iova, op.access);
  // There was a slot a moment ago.
  if (mr === -ENOMEM) throw new TraceError('reg_user_mr: memory cannot be had');
  return made(session, op.id, mr, 'user');
}

/**
 * The core refuses regions of 2^32 pages and more, whatever their addresses. To the format they are valid: what they lack is
 * memory.
 */
function isBeyondCore(start: bigint, length: bigint, iova: bigint): boolean {
  const end = 1n << 64n;
  const page = BigInt(PAGE_SIZE);
  return length > page * 0xffff_fffen && start + length <= end - page && iova + length <= end;
}

export function getDmaMr(session: Session, op: OperationMembers['get_dma_mr']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  const mr = pd.getDmaMr(op.access);
  // It takes no slot.
  if (mr === -ENOMEM) throw new TraceError('get_dma_mr: memory cannot be had');
  return made(session, op.id, mr, 'other');
}

export function allocMr(session: Session, op: OperationMembers['alloc_mr']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  return made(session, op.id, pd.allocMr(mrTypes[op.type], op.max_num_sg), 'other');
}

export function allocFmr(session: Session, op: OperationMembers['alloc_fmr']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  return made(session, op.id, pd.allocFmr(op.access, op.max_pages, op.max_maps, op.page_shift), 'fmr');
}

function made(
  session: Session,
  id: string,
  mr: NativeMemoryRegion | number,
  kind: 'user' | 'fmr' | 'other',
): Answer {
  return typeof mr === 'number' ? failure(mr) : session.keys(session.bindRegion(id, mr, kind));
}

export function mapMrSg(session: Session, op: OperationMembers['map_mr_sg']): Answer {
  const region = session.region(op.mr);
  if (region === undefined) return SKIPPED;
  const list = new BigUint64Array(2 * op.sg.length);
  op.sg.forEach(({ addr, length }, i) => {
    list[2 * i] = BigInt(addr);
    list[2 * i + 1] = BigInt(length);
  });
  const visible = new BigUint64Array(2);
  const used = region.native.mapSg(list, BigInt(op.sg_offset ?? 0), op.page_size, visible);
  // Told after a failure too.
  const [iova, length] = [hex(field(visible, 0)), hex(field(visible, 1))];
  return used < 0 ? { err: errnoName(used), iova, length } : { ret: used, iova, length };
}

export function fastRegMr(session: Session, op: OperationMembers['fast_reg_mr']): Answer {
  const qp = session.qp(op.qp);
  const region = session.region(op.mr);
  if (qp === undefined || region === undefined) return SKIPPED;
  const iova = op.iova === undefined ? undefined : BigInt(op.iova);
  const status = qp.fastRegMr(region.native, Number(op.key), op.access, iova);
  return status < 0 ? failure(status) : session.keys(region);
}

export function invalidateRkey(session: Session, op: OperationMembers['invalidate_rkey']): Answer {
  const qp = session.qp(op.qp);
  return qp === undefined ? SKIPPED : outcome(qp.invalidateRkey(Number(op.rkey)));
}

export function mapPhysFmr(session: Session, op: OperationMembers['map_phys_fmr']): Answer {
  const region = fmr(session, op.fmr);
  if (region === undefined) return SKIPPED;
  return outcome(region.native.mapPhys(BigUint64Array.from(op.pages, BigInt), BigInt(op.iova)));
}

export function unmapFmr(session: Session, op: OperationMembers['unmap_fmr']): Answer {
  const fmrs: NativeMemoryRegion[] = [];
  for (const id of op.fmrs) {
    const region = fmr(session, id);
    if (region === undefined) return SKIPPED;
    fmrs.push(region.native);
  }
  return outcome(native.unmapFmr(fmrs));
}

export function deallocFmr(session: Session, op: OperationMembers['dealloc_fmr']): Answer {
  return release(session, fmr(session, op.fmr));
}

export function deregMr(session: Session, op: OperationMembers['dereg_mr']): Answer {
  const region = session.region(op.mr);
  return release(session, region?.fmr === false ? region : undefined);
}

/** After EBUSY the region is half-dead and keeps its name. */
function release(session: Session, region: NamedRegion | undefined): Answer {
  if (region === undefined) return SKIPPED;
  const status = region.native.release(ReleaseMode.Release);
  if (status === 0) session.unbind(region.name);
  return outcome(status);
}

export function refs(session: Session, op: OperationMembers['refs']): Answer {
  const region = session.region(op.mr);
  if (region === undefined) return SKIPPED;
  return { refs: Number(field(session.queryRegion(region.native), RegionField.Refs)) };
}

function fmr(session: Session, id: string): NamedRegion | undefined {
  const region = session.region(id);
  return region?.fmr === true ? region : undefined;
}
