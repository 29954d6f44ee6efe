// The types of the lines of a trace as parsed JSON: operations and answers.

/** `0x` and lower-case hex without leading zeros: addresses, keys and 64-bit lengths. */
export type Hex = `0x${string}`;

export type Errno = 'EINVAL' | 'ENOMEM' | 'EPERM' | 'EBUSY' | 'EACCES';

export interface SgElement {
  addr: Hex;
  length: number;
}

export interface InitOp {
  op: 'init';
  lkey_table_bits: number;
  dma_pages: number;
  dma_base: Hex;
}
export interface AllocPdOp {
  op: 'alloc_pd';
  id: string;
  user: boolean;
}
export interface CreateQpOp {
  op: 'create_qp';
  id: string;
  pd: string;
}
export interface RegUserMrOp {
  op: 'reg_user_mr';
  id: string;
  pd: string;
  start: Hex;
  length: Hex;
  virt_addr: Hex;
  access: number;
}
export interface GetDmaMrOp {
  op: 'get_dma_mr';
  id: string;
  pd: string;
  access: number;
}
export interface AllocMrOp {
  op: 'alloc_mr';
  id: string;
  pd: string;
  type: 'mem_reg' | 'sg_gaps' | 'dm' | 'user' | 'dma' | 'integrity';
  max_num_sg: number;
}
export interface MapMrSgOp {
  op: 'map_mr_sg';
  mr: string;
  sg: SgElement[];
  sg_offset: number | null;
  page_size: number;
}
export interface FastRegMrOp {
  op: 'fast_reg_mr';
  qp: string;
  mr: string;
  key: Hex;
  access: number;
  iova?: Hex;
}
export interface InvalidateRkeyOp {
  op: 'invalidate_rkey';
  qp: string;
  rkey: Hex;
}
export interface AllocFmrOp {
  op: 'alloc_fmr';
  id: string;
  pd: string;
  access: number;
  max_pages: number;
  max_maps: number;
  page_shift: number;
}
export interface MapPhysFmrOp {
  op: 'map_phys_fmr';
  fmr: string;
  pages: Hex[];
  iova: Hex;
}
export interface UnmapFmrOp {
  op: 'unmap_fmr';
  fmrs: string[];
}
export interface DeallocFmrOp {
  op: 'dealloc_fmr';
  fmr: string;
}
export interface DeregMrOp {
  op: 'dereg_mr';
  mr: string;
}
export interface LkeyOkOp {
  op: 'lkey_ok';
  id: string;
  pd: string;
  sge: { addr: Hex; length: number; lkey: Hex };
  acc: number;
  last: string | null;
}
export interface RkeyOkOp {
  op: 'rkey_ok';
  id: string;
  qp: string;
  len: number;
  vaddr: Hex;
  rkey: Hex;
  acc: number;
}
export interface PutSgeOp {
  op: 'put_sge';
  sge: string;
}
export interface WalkOp {
  op: 'walk';
  sges: string[];
  steps: number[];
  release: boolean;
}
export interface RefsOp {
  op: 'refs';
  mr: string;
}
export interface TableOp {
  op: 'table';
}
export interface ExitOp {
  op: 'exit';
}

export type Operation =
  | InitOp
  | AllocPdOp
  | CreateQpOp
  | RegUserMrOp
  | GetDmaMrOp
  | AllocMrOp
  | MapMrSgOp
  | FastRegMrOp
  | InvalidateRkeyOp
  | AllocFmrOp
  | MapPhysFmrOp
  | UnmapFmrOp
  | DeallocFmrOp
  | DeregMrOp
  | LkeyOkOp
  | RkeyOkOp
  | PutSgeOp
  | WalkOp
  | RefsOp
  | TableOp
  | ExitOp;

/** The location of a byte: an offset from the first byte of a user region, elsewhere a DMA address. */
export type Location = { byte: number } | { dma: Hex };

export interface SgeAnswer {
  mr: string;
  at: Location;
  length: number;
  sge_length: number;
  m: number;
  n: number;
}

export interface Fragment {
  mr: string;
  at: Location;
  len: number;
}

export interface TableEntry {
  index: number;
  lkey: Hex;
  mr: string;
}

export type Answer =
  | { ret: number }
  | { ret: 0; bits: number }
  | { ret: 0; lkey: Hex; rkey: Hex }
  | { ret: number; iova: Hex; length: Hex }
  | { err: Errno; iova: Hex; length: Hex }
  | { ret: 0 | 1; sge: SgeAnswer }
  | { ret: 0; fragments: Fragment[][] }
  | { ret: 0; dma_mr_leaked: boolean }
  | { refs: number }
  | { max: number; next: number; gen: number; used: TableEntry[] }
  | { err: Errno }
  | { skipped: true };

/** What a recorded file may contain instead of an exact answer. */
export type Expected = Answer | { any: true } | { not_reached: true };
