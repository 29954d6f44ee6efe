/** The answers to the verbs operations of a trace. */
import {
  type MigrationStateName,
  type QpStateName,
  type WcOpcodeName,
  type WcStatusName,
} from '../../internal/verbs-names';
import type { Errno } from '../answers';
import type { Hex, Id } from '../trace-rules';
import type { AddressVector, AlternatePath } from './operations';

/** A completion. */
export interface WcAnswer {
  wr_id: number;
  status: WcStatusName;
  opcode: WcOpcodeName;
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

/** An event that a handler was told. */
export type EventAnswer =
  | { ev: 'cq_err'; cq: Id }
  | { ev: 'last_wqe'; qp: Id }
  | { ev: 'srq_limit'; srq: Id }
  | { ev: 'comp'; cq: Id };

/** The attributes of a queue pair. */
export interface QpAnswer {
  state: QpStateName;
  path_mtu: number;
  path_mig_state: MigrationStateName;
  qkey: number;
  rq_psn: number;
  sq_psn: number;
  dest_qpn: number;
  access: number;
  max_send_wr: number;
  max_recv_wr: number;
  max_send_sge: number;
  max_recv_sge: number;
  max_inline_data: number;
  pkey_index: number;
  sq_draining: number;
  max_rd_atomic: number;
  max_dest_rd_atomic: number;
  min_rnr_timer: number;
  port: number;
  timeout: number;
  retry_cnt: number;
  rnr_retry: number;
  sq_sig_type: 'ALL' | 'REQ';
  av: AddressVector;
  alt_path: AlternatePath;
}

/** The answer to a verbs operation, without its events. */
export type VerbsAnswer =
  | { ret: 0; qpn: number }
  /** The work request with index `bad` was not accepted; null: the state of the queue pair forbids all. */
  | { err: Errno; bad: number | null }
  | { key: Hex; invalid: boolean }
  | { hex: string }
  | { fnv: Hex }
  | { wcs: WcAnswer[] }
  | { max_wr: number; max_sge: number; srq_limit: number }
  | { fired: { qp: Id; usec: number }[] }
  | QpAnswer;
