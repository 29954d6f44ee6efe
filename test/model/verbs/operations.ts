// The types of the lines of a verbs trace as parsed JSON: operations and answers (docs/trace-format.md, "Verbs").

import type {
  AllocPdOp,
  AllocMrOp,
  Answer,
  DeregMrOp,
  ExitOp,
  GetDmaMrOp,
  Hex,
  InitOp,
  MapMrSgOp,
  RefsOp,
  RegUserMrOp,
} from '../trace-types';

/** The recorded verbs traces use integers as ids. */
export type Id = number;

export type State = 'RESET' | 'INIT' | 'RTR' | 'RTS' | 'SQD' | 'SQE' | 'ERR';
export type QpType = 'RC' | 'UC' | 'UD' | 'RAW_PACKET' | 'XRC_INI';
export type MigrationState = 'MIGRATED' | 'REARM' | 'ARMED';
export type SendFlag = 'SIGNALED' | 'SOLICITED' | 'FENCE' | 'INLINE';

export const unsupportedOpcodes = [
  'LSO',
  'BIND_MW',
  'RDMA_READ_WITH_INV',
  'MASKED_ATOMIC_CMP_AND_SWP',
  'MASKED_ATOMIC_FETCH_AND_ADD',
  'REG_MR_INTEGRITY',
] as const;

export type SupportedOpcode =
  | 'SEND'
  | 'SEND_WITH_IMM'
  | 'SEND_WITH_INV'
  | 'RDMA_WRITE'
  | 'RDMA_WRITE_WITH_IMM'
  | 'RDMA_READ'
  | 'ATOMIC_CMP_AND_SWP'
  | 'ATOMIC_FETCH_AND_ADD'
  | 'REG_MR'
  | 'LOCAL_INV';
export type Opcode = SupportedOpcode | (typeof unsupportedOpcodes)[number];

export type Status =
  | 'SUCCESS'
  | 'LOC_QP_OP_ERR'
  | 'LOC_PROT_ERR'
  | 'WR_FLUSH_ERR'
  | 'REM_INV_REQ_ERR'
  | 'REM_ACCESS_ERR'
  | 'REM_OP_ERR'
  | 'RETRY_EXC_ERR'
  | 'RNR_RETRY_EXC_ERR';

export type CompletionOpcode =
  | 'SEND'
  | 'RDMA_WRITE'
  | 'RDMA_READ'
  | 'COMP_SWAP'
  | 'FETCH_ADD'
  | 'LOCAL_INV'
  | 'REG_MR'
  | 'RECV'
  | 'RECV_RDMA_WITH_IMM';

export interface Limits {
  max_qp: number;
  max_qp_wr: number;
  max_send_sge: number;
  max_recv_sge: number;
  max_cq: number;
  max_cqe: number;
  max_srq: number;
  max_srq_wr: number;
  max_srq_sge: number;
  max_pd: number;
  max_rdma_atomic: number;
  npkeys: number;
  /** Absent means 0. */
  max_ah?: number;
}

export interface SgeInput {
  addr: Hex;
  length: number;
  lkey: Hex;
}

export interface ReceiveWr {
  wr_id: number;
  sges: SgeInput[];
}

/** A send work request. Which of the optional members are present depends on the opcode and on the type of the queue pair. */
export interface SendWr {
  wr_id: number;
  opcode: Opcode;
  flags: SendFlag[];
  sges: SgeInput[];
  imm?: number;
  invalidate_rkey?: Hex;
  remote_addr?: Hex;
  rkey?: Hex;
  compare_add?: Hex;
  swap?: Hex;
  mr?: Id;
  key?: Hex;
  access?: number;
  ah?: Id;
  remote_qpn?: number;
  remote_qkey?: number;
}

export interface AddressVector {
  dlid: number;
  sl: number;
  static_rate: number;
  port: number;
}

export interface AlternatePath extends AddressVector {
  pkey_index: number;
}

/** A member that is present is a bit of the mask. */
export interface Attributes {
  state?: State;
  cur_state?: State;
  access?: number;
  pkey_index?: number;
  port?: number;
  qkey?: number;
  av?: AddressVector;
  path_mtu?: number;
  timeout?: number;
  retry_cnt?: number;
  rnr_retry?: number;
  rq_psn?: number;
  max_rd_atomic?: number;
  alt_path?: AlternatePath;
  min_rnr_timer?: number;
  sq_psn?: number;
  max_dest_rd_atomic?: number;
  path_mig_state?: MigrationState;
  dest_qpn?: number;
  en_sqd_async_notify?: number | boolean;
  cap?: unknown;
}

/** An operation of the region layer, with integers as ids. */
type WithIds<T> = { [K in keyof T]: K extends 'id' | 'pd' | 'mr' ? Id : T[K] };

export type VerbsInitOp = InitOp & { limits: Limits };
export interface DeallocPdOp {
  op: 'dealloc_pd';
  pd: Id;
}
export interface CreateAhOp {
  op: 'create_ah';
  id: Id;
  pd: Id;
  av: AddressVector;
}
export interface DestroyAhOp {
  op: 'destroy_ah';
  ah: Id;
}
export interface MrStateOp {
  op: 'mr_state';
  mr: Id;
}
/** Names bytes: `offset` bytes from the first byte of the region `mr`, or a DMA address. */
export type Place = { mr: Id; offset: number } | { dma: Hex };
export type FillOp = { op: 'fill'; length: number; seed: number } & Place;
export type MemOp = { op: 'mem'; length: number } & Place;
export interface CreateCqOp {
  op: 'create_cq';
  id: Id;
  cqe: number;
  comp_vector?: number;
  flags?: number;
}
export interface ResizeCqOp {
  op: 'resize_cq';
  cq: Id;
  cqe: number;
}
export interface DestroyCqOp {
  op: 'destroy_cq';
  cq: Id;
}
export interface PollCqOp {
  op: 'poll_cq';
  cq: Id;
  n: number;
}
export interface ReqNotifyCqOp {
  op: 'req_notify_cq';
  cq: Id;
  flags: number;
}
export interface CreateSrqOp {
  op: 'create_srq';
  id: Id;
  pd: Id;
  max_wr: number;
  max_sge: number;
  srq_limit: number;
  type?: 'BASIC' | 'XRC';
}
export interface ModifySrqOp {
  op: 'modify_srq';
  srq: Id;
  max_wr?: number;
  srq_limit?: number;
}
export interface QuerySrqOp {
  op: 'query_srq';
  srq: Id;
}
export interface DestroySrqOp {
  op: 'destroy_srq';
  srq: Id;
}
export interface PostSrqRecvOp {
  op: 'post_srq_recv';
  srq: Id;
  wrs: ReceiveWr[];
}
export interface CreateVerbsQpOp {
  op: 'create_qp';
  id: Id;
  pd: Id;
  type: QpType;
  send_cq: Id;
  recv_cq: Id;
  srq: Id | null;
  max_send_wr: number;
  max_recv_wr: number;
  max_send_sge: number;
  max_recv_sge: number;
  max_inline_data: number;
  sq_sig_type: 'ALL' | 'REQ';
}
export interface ModifyQpOp {
  op: 'modify_qp';
  qp: Id;
  attr: Attributes;
}
export interface QueryQpOp {
  op: 'query_qp';
  qp: Id;
}
export interface DestroyQpOp {
  op: 'destroy_qp';
  qp: Id;
}
export interface PostRecvOp {
  op: 'post_recv';
  qp: Id;
  wrs: ReceiveWr[];
}
export interface PostSendOp {
  op: 'post_send';
  qp: Id;
  wrs: SendWr[];
}
export interface RunOp {
  op: 'run';
  kick?: Id[];
}
export interface TimersOp {
  op: 'timers';
}

export type VerbsOperation =
  | VerbsInitOp
  | WithIds<AllocPdOp>
  | WithIds<RegUserMrOp>
  | WithIds<GetDmaMrOp>
  | WithIds<AllocMrOp>
  | WithIds<MapMrSgOp>
  | WithIds<DeregMrOp>
  | WithIds<RefsOp>
  | DeallocPdOp
  | CreateAhOp
  | DestroyAhOp
  | MrStateOp
  | FillOp
  | MemOp
  | CreateCqOp
  | ResizeCqOp
  | DestroyCqOp
  | PollCqOp
  | ReqNotifyCqOp
  | CreateSrqOp
  | ModifySrqOp
  | QuerySrqOp
  | DestroySrqOp
  | PostSrqRecvOp
  | CreateVerbsQpOp
  | ModifyQpOp
  | QueryQpOp
  | DestroyQpOp
  | PostRecvOp
  | PostSendOp
  | RunOp
  | TimersOp
  | ExitOp;

export interface WorkCompletion {
  wr_id: number;
  status: Status;
  opcode: CompletionOpcode;
  byte_len: number;
  qp: Id;
  src_qp: number;
  wc_flags: number;
  slid: number;
  sl: number;
  port: number;
  imm?: number;
  inv?: Hex;
}

export type Event =
  | { ev: 'cq_err'; cq: Id }
  | { ev: 'last_wqe'; qp: Id }
  | { ev: 'srq_limit'; srq: Id }
  | { ev: 'comp'; cq: Id };

export type VerbsErrno = 'EINVAL' | 'ENOMEM' | 'EPERM' | 'EBUSY' | 'EACCES' | 'EOPNOTSUPP';

export type QueryQpAnswer = Required<Omit<Attributes, 'cur_state' | 'en_sqd_async_notify' | 'cap'>> & {
  max_send_wr: number;
  max_recv_wr: number;
  max_send_sge: number;
  max_recv_sge: number;
  max_inline_data: number;
  sq_draining: number;
  sq_sig_type: 'ALL' | 'REQ';
};

export type VerbsAnswer = (
  | Answer
  | { err: VerbsErrno }
  | { err: VerbsErrno; bad: number | null }
  | { ret: 0; qpn: number }
  | { key: Hex; invalid: boolean }
  | { hex: string }
  | { fnv: Hex }
  | { wcs: WorkCompletion[] }
  | { max_wr: number; max_sge: number; srq_limit: number }
  | QueryQpAnswer
  | { fired: { qp: Id; usec: number }[] }
) & { events?: Event[] };
