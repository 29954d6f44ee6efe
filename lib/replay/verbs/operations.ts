/** The types of the verbs operations of a trace, and the rules that their members must follow. */
import { QpType } from '../../internal/layout';
import {
  type MigrationStateName,
  migrationStateNumber,
  type QpStateName,
  qpStateNumber,
  type QpTypeName,
  qpTypeNumber,
  type WrOpcodeName,
  wrOpcodeNumber,
} from '../../internal/verbs-names';
import {
  hex32,
  hex64,
  id,
  listOf,
  nullOr,
  objectOf,
  oneOf,
  optional,
  type Hex,
  type Id,
  type Rule,
  type Rules,
  u32,
} from '../trace-rules';

/** The limits of a device. `max_ah` absent: 0. */
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
  max_ah?: number;
}

/** An element of a work request. */
export interface WrElement {
  addr: Hex;
  length: number;
  lkey: Hex;
}

/** A receive work request. */
export interface ReceiveWr {
  wr_id: number;
  sges: WrElement[];
}

export const SEND_FLAGS = ['SIGNALED', 'SOLICITED', 'FENCE', 'INLINE'] as const;
export type SendFlagName = (typeof SEND_FLAGS)[number];

/** A send work request. Its opcode and the type of its queue pair decide which of the optional members it has. */
export interface SendWr {
  wr_id: number;
  opcode: WrOpcodeName;
  flags: SendFlagName[];
  sges: WrElement[];
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

/** The attributes of `modify_qp`. A member that is present is a bit of the mask. */
export interface Attributes {
  state?: QpStateName;
  cur_state?: QpStateName;
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
  path_mig_state?: MigrationStateName;
  dest_qpn?: number;
  en_sqd_async_notify?: number;
  cap?: number;
}

/** The bytes that `fill` and `mem` are about: `offset` bytes from the first byte of a region, or from a DMA address. */
export interface Place {
  mr?: Id;
  offset?: number;
  dma?: Hex;
  length: number;
}

export const SRQ_TYPES = ['BASIC', 'XRC'] as const;
export const SIGNAL_TYPES = ['ALL', 'REQ'] as const;

/** The members of each verbs operation, except `op`. */
export interface VerbsMembers {
  dealloc_pd: { pd: Id };
  create_ah: { id: Id; pd: Id; av: AddressVector };
  destroy_ah: { ah: Id };
  mr_state: { mr: Id };
  fill: Place & { seed: number };
  mem: Place;
  create_cq: { id: Id; cqe: number; comp_vector?: number; flags?: number };
  resize_cq: { cq: Id; cqe: number };
  destroy_cq: { cq: Id };
  poll_cq: { cq: Id; n: number };
  req_notify_cq: { cq: Id; flags: number };
  create_srq: {
    id: Id;
    pd: Id;
    max_wr: number;
    max_sge: number;
    srq_limit: number;
    type?: (typeof SRQ_TYPES)[number];
  };
  modify_srq: { srq: Id; max_wr?: number; srq_limit?: number };
  query_srq: { srq: Id };
  destroy_srq: { srq: Id };
  post_srq_recv: { srq: Id; wrs: ReceiveWr[] };
  create_qp: {
    id: Id;
    pd: Id;
    type: Exclude<QpTypeName, 'CHECK'>;
    send_cq: Id;
    recv_cq: Id;
    srq: Id | null;
    max_send_wr: number;
    max_recv_wr: number;
    max_send_sge: number;
    max_recv_sge: number;
    max_inline_data: number;
    sq_sig_type: (typeof SIGNAL_TYPES)[number];
  };
  modify_qp: { qp: Id; attr: Attributes };
  query_qp: { qp: Id };
  destroy_qp: { qp: Id };
  post_recv: { qp: Id; wrs: ReceiveWr[] };
  post_send: { qp: Id; wrs: SendWr[] };
  run: { kick?: Id[] };
  timers: object;
}

export const limitsRule: Rule = objectOf({
  max_qp: u32,
  max_qp_wr: u32,
  max_send_sge: u32,
  max_recv_sge: u32,
  max_cq: u32,
  max_cqe: u32,
  max_srq: u32,
  max_srq_wr: u32,
  max_srq_sge: u32,
  max_pd: u32,
  max_rdma_atomic: u32,
  npkeys: u32,
  max_ah: optional(u32),
} satisfies Rules<Limits>);

const opcode: Rule = {
  wanted: 'the name of an opcode',
  fits: (value) => wrOpcodeNumber(value) !== undefined,
};
const state: Rule = {
  wanted: 'the name of a state',
  fits: (value) => qpStateNumber(value) !== undefined,
};
const migrationState: Rule = {
  wanted: 'the name of a path migration state',
  fits: (value) => migrationStateNumber(value) !== undefined,
};
const queuePairType: Rule = {
  wanted: 'the type of a queue pair with queues',
  fits: (value) => (qpTypeNumber(value) ?? QpType.Check) !== QpType.Check,
};

const sges = listOf(objectOf({ addr: hex64, length: u32, lkey: hex32 }));
const receiveWrs = listOf(objectOf({ wr_id: u32, sges }));
const addressVector = { dlid: u32, sl: u32, static_rate: u32, port: u32 };

type OpcodeMember = Exclude<keyof SendWr, 'wr_id' | 'opcode' | 'flags' | 'sges'>;

const remote: readonly OpcodeMember[] = ['remote_addr', 'rkey'];
/** The members that each supported opcode adds to a send work request; other opcodes add none. */
const membersOfOpcode: Readonly<Partial<Record<WrOpcodeName, readonly OpcodeMember[]>>> = {
  SEND_WITH_IMM: ['imm'],
  SEND_WITH_INV: ['invalidate_rkey'],
  RDMA_WRITE: remote,
  RDMA_READ: remote,
  RDMA_WRITE_WITH_IMM: [...remote, 'imm'],
  ATOMIC_CMP_AND_SWP: [...remote, 'compare_add', 'swap'],
  ATOMIC_FETCH_AND_ADD: [...remote, 'compare_add'],
  REG_MR: ['mr', 'key', 'access'],
  LOCAL_INV: ['invalidate_rkey'],
};
const datagramMembers: readonly OpcodeMember[] = ['ah', 'remote_qpn', 'remote_qkey'];

const ownMembers = { wr_id: u32, opcode, flags: listOf(oneOf(SEND_FLAGS)), sges };
const anySendWr = objectOf({
  ...ownMembers,
  imm: optional(u32),
  invalidate_rkey: optional(hex32),
  remote_addr: optional(hex64),
  rkey: optional(hex32),
  compare_add: optional(hex64),
  swap: optional(hex64),
  mr: optional(id),
  key: optional(hex32),
  access: optional(u32),
  ah: optional(id),
  remote_qpn: optional(u32),
  remote_qkey: optional(u32),
} satisfies Rules<SendWr>);

const sendWr: Rule = {
  ...anySendWr,
  wanted:
    'an object of "wr_id", "opcode", "flags", "sges" and the members of the opcode, or those of a datagram',
  fits: (value) => anySendWr.fits(value) && hasMembersOfOpcode(value as SendWr),
};

/** Returns whether the work request has exactly the members of its opcode, or exactly those of a datagram. */
function hasMembersOfOpcode(wr: SendWr): boolean {
  const own = membersOfOpcode[wr.opcode] ?? [];
  const wanted = Object.hasOwn(wr, 'ah')
    ? [...datagramMembers, ...own.filter((name) => name === 'imm')]
    : own;
  return (
    wanted.every((name) => Object.hasOwn(wr, name)) &&
    Object.keys(wr).length === Object.keys(ownMembers).length + wanted.length
  );
}

const attributes = objectOf({
  state: optional(state),
  cur_state: optional(state),
  access: optional(u32),
  pkey_index: optional(u32),
  port: optional(u32),
  qkey: optional(u32),
  av: optional(objectOf(addressVector)),
  path_mtu: optional(u32),
  timeout: optional(u32),
  retry_cnt: optional(u32),
  rnr_retry: optional(u32),
  rq_psn: optional(u32),
  max_rd_atomic: optional(u32),
  alt_path: optional(objectOf({ ...addressVector, pkey_index: u32 })),
  min_rnr_timer: optional(u32),
  sq_psn: optional(u32),
  max_dest_rd_atomic: optional(u32),
  path_mig_state: optional(migrationState),
  dest_qpn: optional(u32),
  en_sqd_async_notify: optional(u32),
  cap: optional(u32),
} satisfies Rules<Attributes>);

const place = { mr: optional(id), offset: optional(u32), dma: optional(hex64), length: u32 };

export const verbsRules: { readonly [Name in keyof VerbsMembers]: Rules<VerbsMembers[Name]> } = {
  dealloc_pd: { pd: id },
  create_ah: { id, pd: id, av: objectOf(addressVector) },
  destroy_ah: { ah: id },
  mr_state: { mr: id },
  fill: { ...place, seed: u32 },
  mem: place,
  create_cq: { id, cqe: u32, comp_vector: optional(u32), flags: optional(u32) },
  resize_cq: { cq: id, cqe: u32 },
  destroy_cq: { cq: id },
  poll_cq: { cq: id, n: u32 },
  req_notify_cq: { cq: id, flags: u32 },
  create_srq: {
    id,
    pd: id,
    max_wr: u32,
    max_sge: u32,
    srq_limit: u32,
    type: optional(oneOf(SRQ_TYPES)),
  },
  modify_srq: { srq: id, max_wr: optional(u32), srq_limit: optional(u32) },
  query_srq: { srq: id },
  destroy_srq: { srq: id },
  post_srq_recv: { srq: id, wrs: receiveWrs },
  create_qp: {
    id,
    pd: id,
    type: queuePairType,
    send_cq: id,
    recv_cq: id,
    srq: nullOr(id),
    max_send_wr: u32,
    max_recv_wr: u32,
    max_send_sge: u32,
    max_recv_sge: u32,
    max_inline_data: u32,
    sq_sig_type: oneOf(SIGNAL_TYPES),
  },
  modify_qp: { qp: id, attr: attributes },
  query_qp: { qp: id },
  destroy_qp: { qp: id },
  post_recv: { qp: id, wrs: receiveWrs },
  post_send: { qp: id, wrs: listOf(sendWr) },
  run: { kick: optional(listOf(id)) },
  timers: {},
};

/** Checks which members occur together. Returns what is wrong, or undefined. */
export function checkVerbsMembers(operation: object & { op: string }): string | undefined {
  const has = (name: string): boolean => Object.hasOwn(operation, name);
  switch (operation.op) {
    case 'fill':
    case 'mem':
      return has('mr') === has('offset') && has('mr') !== has('dma')
        ? undefined
        : 'either "mr" and "offset" or "dma" must be present';
    case 'modify_srq':
      return has('max_wr') || has('srq_limit') ? undefined : '"max_wr" or "srq_limit" must be present';
    default:
      return undefined;
  }
}
