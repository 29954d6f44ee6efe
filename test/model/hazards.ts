// Finds the classes of docs/deviations.md that an operation belongs to, given the state before the operation. A test uses them to
// verify that the generator produces all classes.

import { ADDRESS_END, MAX_I32, MAX_U32, PAGE, wraps } from './numbers';
import { isStale } from './region';
import type { Session } from './session';
import type { LkeyOkOp, MapMrSgOp, MapPhysFmrOp, Operation, RkeyOkOp, WalkOp } from './trace-types';

export const hazards = [
  'bounds_wrap_lkey',
  'bounds_wrap_rkey',
  'dma_retry_while_held',
  'dma_unchecked',
  'empty_sg_element',
  'fast_reg_iova_wrap',
  'fmr_iova_wrap',
  'fmr_length_overflow',
  'map_half_dead_fmr',
  'map_half_dead_mr',
  'map_length_underflow',
  'map_without_segments',
  'map_wrong_kind',
  'max_num_sg',
  'max_pages',
  'merge_not_adjacent',
  'merge_after_failed_dereg',
  'page_outside_dma',
  'page_shift',
  'page_size',
  'sg_base_wrap',
  'sg_offset_equals_length',
  'sg_outside_dma',
  'unmap_duplicate',
  'unmap_half_dead',
  'user_iova_wrap',
  'walk_duplicate_release',
  'walk_empty_sge',
  'walk_past_end',
  'walk_stale_map',
  'zero_length_at_end',
] as const;

export type Hazard = (typeof hazards)[number];

export function hazardsOf(op: Operation, session: Session): Hazard[] {
  const found: Partial<Record<Hazard, boolean>> = find(op, session);
  return hazards.filter((hazard) => found[hazard]);
}

function find(op: Operation, session: Session): Partial<Record<Hazard, boolean>> {
  switch (op.op) {
    case 'reg_user_mr':
      return {
        user_iova_wrap:
          !wraps(BigInt(op.start), BigInt(op.length)) && wraps(BigInt(op.virt_addr), BigInt(op.length)),
      };
    case 'alloc_mr':
      return { max_num_sg: op.max_num_sg > MAX_I32 };
    case 'alloc_fmr':
      return { max_pages: op.max_pages < 0, page_shift: op.page_shift > 30 };
    case 'map_mr_sg':
      return ofMapMrSg(op, session);
    case 'fast_reg_mr': {
      const region = session.regions.get(op.mr);
      return { fast_reg_iova_wrap: wraps(BigInt(op.iova ?? 0), region?.length ?? 0n) };
    }
    case 'map_phys_fmr':
      return ofMapPhysFmr(op, session);
    case 'unmap_fmr':
      return {
        unmap_duplicate: new Set(op.fmrs).size < op.fmrs.length,
        unmap_half_dead: op.fmrs.some((id) => session.regions.get(id)?.halfDead),
      };
    case 'dereg_mr': {
      const region = session.regions.get(op.mr);
      return { dma_retry_while_held: region?.kind === 'dma' && region.halfDead && region.held > 0 };
    }
    case 'lkey_ok':
      return ofLkeyOk(op, session);
    case 'rkey_ok':
      return ofRkeyOk(op, session);
    case 'walk':
      return ofWalk(op, session);
    default:
      return {};
  }
}

function ofMapMrSg(op: MapMrSgOp, session: Session): Partial<Record<Hazard, boolean>> {
  const region = session.regions.get(op.mr);
  const first = op.sg[0];
  if (region === undefined || first === undefined) return {};
  if (region.kind !== 'mem_reg') return { map_wrong_kind: true };
  const offset = op.sg_offset ?? 0;
  const start = BigInt(first.addr) + BigInt(offset);
  const end = BigInt(first.addr) + BigInt(first.length);
  const total = op.sg.reduce((sum, { length }) => sum + BigInt(length), -BigInt(offset));
  return {
    map_half_dead_mr: region.halfDead,
    map_without_segments: region.capacity === 0,
    map_length_underflow: region.capacity === 1 && start % PAGE !== 0n && end > start + PAGE,
    page_size: op.page_size !== 4096,
    empty_sg_element: op.sg.some(({ length }) => length === 0),
    sg_offset_equals_length: offset === first.length,
    sg_outside_dma: !op.sg.every(({ addr, length }) => session.insideDma(BigInt(addr), BigInt(length))),
    sg_base_wrap: session.insideDma(start, 1n) && wraps(start, total),
  };
}

function ofMapPhysFmr(op: MapPhysFmrOp, session: Session): Partial<Record<Hazard, boolean>> {
  const region = session.regions.get(op.fmr);
  if (region === undefined) return {};
  const length = BigInt(op.pages.length) * region.segmentSize;
  return {
    map_half_dead_fmr: region.halfDead,
    fmr_length_overflow: op.pages.length <= region.capacity && length > MAX_U32,
    fmr_iova_wrap: wraps(BigInt(op.iova), length),
    page_outside_dma: !op.pages.every((page) => session.insideDma(BigInt(page), region.segmentSize)),
  };
}

function ofLkeyOk({ sge, last: lastId }: LkeyOkOp, session: Session): Partial<Record<Hazard, boolean>> {
  const address = BigInt(sge.addr);
  const region = session.table.find(Number(sge.lkey));
  const last = session.sges.get(lastId ?? '');
  const looksMergeable = last !== undefined && last.position + last.length === address;
  return {
    bounds_wrap_lkey: region !== undefined && passesTheTop(address, sge.length),
    dma_unchecked: keyZeroOutside(Number(sge.lkey), address, sge.length, session),
    zero_length_at_end: region !== undefined && sge.length === 0 && address === region.base + region.length,
    merge_not_adjacent: looksMergeable && last.address + last.sgeLength !== address,
    merge_after_failed_dereg: looksMergeable && last.region.halfDead,
  };
}

function ofRkeyOk(op: RkeyOkOp, session: Session): Partial<Record<Hazard, boolean>> {
  const address = BigInt(op.vaddr);
  const region = session.table.find(Number(op.rkey));
  return {
    bounds_wrap_rkey: region !== undefined && passesTheTop(address, op.len),
    dma_unchecked: keyZeroOutside(Number(op.rkey), address, op.len, session),
    zero_length_at_end: region !== undefined && op.len === 0 && address === region.iova + region.length,
  };
}

function ofWalk(op: WalkOp, session: Session): Partial<Record<Hazard, boolean>> {
  const sges = op.sges.flatMap((id) => session.sges.get(id) ?? []);
  const held = sges.reduce((sum, { sgeLength }) => sum + Number(sgeLength), 0);
  return {
    walk_duplicate_release: op.release && new Set(op.sges).size < op.sges.length,
    walk_empty_sge: sges.some(({ sgeLength }) => sgeLength === 0n),
    walk_past_end: op.steps.reduce((sum, step) => sum + step, 0) > held,
    walk_stale_map: sges.some(isStale),
  };
}

function passesTheTop(address: bigint, length: number): boolean {
  return address + BigInt(length) > ADDRESS_END;
}

function keyZeroOutside(key: number, address: bigint, length: number, session: Session): boolean {
  return key === 0 && session.published !== undefined && !session.insideDma(address, BigInt(length));
}
