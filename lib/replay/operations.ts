/** The lines of a trace as parsed JSON: one operation in, one answer out. The trace format names the members. */

/** `0x` and lower-case digits without leading zeros: addresses, keys and 64-bit lengths. */
export type Hex = `0x${string}`;

/** The errors that an answer can tell. */
export type Errno = 'EINVAL' | 'ENOMEM' | 'EPERM' | 'EBUSY' | 'EACCES';

/** An element of a scatter-gather list. */
export interface SgElement {
  addr: Hex;
  length: number;
}

/** The members of each operation, `op` aside. */
export interface OperationMembers {
  init: { lkey_table_bits: number; dma_pages: number; dma_base: Hex };
  alloc_pd: { id: string; user: boolean };
  create_qp: { id: string; pd: string };
  reg_user_mr: { id: string; pd: string; start: Hex; length: Hex; virt_addr: Hex; access: number };
  get_dma_mr: { id: string; pd: string; access: number };
  alloc_mr: { id: string; pd: string; type: MrType; max_num_sg: number };
  map_mr_sg: { mr: string; sg: SgElement[]; sg_offset: number | null; page_size: number };
  fast_reg_mr: { qp: string; mr: string; key: Hex; access: number; iova?: Hex };
  invalidate_rkey: { qp: string; rkey: Hex };
  alloc_fmr: {
    id: string;
    pd: string;
    access: number;
    max_pages: number;
    max_maps: number;
    page_shift: number;
  };
  map_phys_fmr: { fmr: string; pages: Hex[]; iova: Hex };
  unmap_fmr: { fmrs: string[] };
  dealloc_fmr: { fmr: string };
  dereg_mr: { mr: string };
  lkey_ok: {
    id: string;
    pd: string;
    sge: { addr: Hex; length: number; lkey: Hex };
    acc: number;
    last: string | null;
  };
  rkey_ok: { id: string; qp: string; len: number; vaddr: Hex; rkey: Hex; acc: number };
  put_sge: { sge: string };
  walk: { sges: string[]; steps: number[]; release: boolean };
  refs: { mr: string };
  table: object;
  exit: object;
}

/** What `alloc_mr` can ask for, in the order of the core's `enum rvt_mr_type`. */
export const MR_TYPES = ['mem_reg', 'sg_gaps', 'dm', 'user', 'dma', 'integrity'] as const;
export type MrType = (typeof MR_TYPES)[number];

export type OperationName = keyof OperationMembers;

/** One operation by name, `op` included. */
export type OperationOf<Name extends OperationName> = { op: Name } & OperationMembers[Name];

/** One line of an operations file. */
export type Operation = { [Name in OperationName]: OperationOf<Name> }[OperationName];

/** Where a byte lies: in a user region relative to its first byte, elsewhere a DMA address. */
export type Location = { byte: number } | { dma: Hex };

/** An accepted element, as answers describe it. */
export interface SgeAnswer {
  mr: string;
  at: Location;
  length: number;
  sge_length: number;
  m: number;
  n: number;
}

/** A piece of a walk's step. */
export interface Fragment {
  mr: string;
  at: Location;
  len: number;
}

/** An occupied slot of the key table. */
export interface TableEntry {
  index: number;
  lkey: Hex;
  mr: string;
}

/** One line of an answers file. */
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
