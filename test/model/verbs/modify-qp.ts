// Models modify_qp (docs/semantics.md, V6, and V14 for UD).

import { isStaticRate } from './address-handle';
import { enterErrorWithEvent } from './error-state';
import type { AddressVector, Attributes, Limits, ModifyQpOp, QpType, State, VerbsAnswer } from './operations';
import { type QueuePair, reset } from './queue-pair';
import { refuse, type VerbsSession } from './session';

type Attribute = Exclude<keyof Attributes, 'state'>;

/** A move that is allowed from one state to another, or within one. */
export interface Move {
  required: readonly Attribute[];
  optional: readonly Attribute[];
}

const NO_ATTRIBUTES: Move = { required: [], optional: [] };
const CONNECTED: Attribute[] = ['cur_state', 'alt_path', 'access', 'path_mig_state'];

const movesOf: Record<'RC' | 'UC' | 'UD', Partial<Record<`${State} ${State}`, Move>>> = {
  RC: {
    'RESET INIT': { required: ['pkey_index', 'port', 'access'], optional: [] },
    'INIT INIT': { required: [], optional: ['pkey_index', 'port', 'access'] },
    'INIT RTR': {
      required: ['av', 'path_mtu', 'dest_qpn', 'rq_psn', 'max_dest_rd_atomic', 'min_rnr_timer'],
      optional: ['alt_path', 'access', 'pkey_index'],
    },
    'RTR RTS': {
      required: ['timeout', 'retry_cnt', 'rnr_retry', 'sq_psn', 'max_rd_atomic'],
      optional: [...CONNECTED, 'min_rnr_timer'],
    },
    'RTS RTS': { required: [], optional: [...CONNECTED, 'min_rnr_timer'] },
    'SQD RTS': { required: [], optional: [...CONNECTED, 'min_rnr_timer'] },
    'RTS SQD': { required: [], optional: ['en_sqd_async_notify'] },
    'SQD SQD': {
      required: [],
      optional: [
        ...(['av', 'alt_path', 'access', 'pkey_index', 'path_mig_state', 'port', 'timeout'] as const),
        ...(['retry_cnt', 'rnr_retry', 'max_rd_atomic', 'max_dest_rd_atomic', 'min_rnr_timer'] as const),
      ],
    },
  },
  UC: {
    'RESET INIT': { required: ['pkey_index', 'port', 'access'], optional: [] },
    'INIT INIT': { required: [], optional: ['pkey_index', 'port', 'access'] },
    'INIT RTR': {
      required: ['av', 'path_mtu', 'dest_qpn', 'rq_psn'],
      optional: ['alt_path', 'access', 'pkey_index'],
    },
    'RTR RTS': { required: ['sq_psn'], optional: CONNECTED },
    'RTS RTS': { required: [], optional: CONNECTED },
    'SQD RTS': { required: [], optional: CONNECTED },
    'RTS SQD': { required: [], optional: ['en_sqd_async_notify'] },
    'SQD SQD': {
      required: [],
      optional: ['av', 'alt_path', 'access', 'pkey_index', 'path_mig_state'],
    },
  },
  UD: {
    'RESET INIT': { required: ['pkey_index', 'port', 'qkey'], optional: [] },
    'INIT INIT': { required: [], optional: ['pkey_index', 'port', 'qkey'] },
    'INIT RTR': { required: [], optional: ['pkey_index', 'qkey'] },
    'RTR RTS': { required: ['sq_psn'], optional: ['cur_state', 'qkey'] },
    'RTS RTS': { required: [], optional: ['cur_state', 'qkey'] },
    'SQD RTS': { required: [], optional: ['cur_state', 'qkey'] },
    'RTS SQD': { required: [], optional: ['en_sqd_async_notify'] },
    'SQD SQD': { required: [], optional: ['pkey_index', 'qkey'] },
  },
};

/** Returns the attributes of a move, or undefined if the move is not allowed. */
export function moveOf(type: QpType, from: State, to: State): Move | undefined {
  if (to === 'RESET') return NO_ATTRIBUTES;
  if (to === 'ERR') return from === 'RESET' ? undefined : NO_ATTRIBUTES;
  return type === 'RC' || type === 'UC' || type === 'UD' ? movesOf[type][`${from} ${to}`] : undefined;
}

export function modifyQp(session: VerbsSession, op: ModifyQpOp): VerbsAnswer {
  const qp = session.qp(op.qp);
  const { attr } = op;
  // The present state must not be misstated (docs/deviations.md, V1).
  if (attr.cur_state !== undefined && attr.cur_state !== qp.state) return refuse('EINVAL');
  const next = attr.state ?? qp.state;
  const move = moveOf(qp.type, qp.state, next);
  if (move === undefined || !hasAllowedAttributes(attr, move)) return refuse('EINVAL');
  if (!hasValidValues(attr, qp, next, session.limits)) return refuse('EINVAL');

  if (next === 'RESET') {
    reset(session, qp);
  } else if (next === 'ERR') {
    enterErrorWithEvent(session, qp, 'WR_FLUSH_ERR');
  } else {
    if (qp.state === 'RESET') session.destinations.add(qp);
    if (next === 'SQD') qp.sqDraining = qp.sends[0]?.started === true ? 1 : 0;
    qp.state = next;
    store(attr, qp);
  }
  return { ret: 0 };
}

function hasAllowedAttributes(attr: Attributes, { required, optional }: Move): boolean {
  const given = (Object.keys(attr) as (keyof Attributes)[]).filter((name) => name !== 'state');
  return (
    required.every((name) => name in attr) &&
    given.every((name) => required.includes(name) || optional.includes(name))
  );
}

function hasValidValues(attr: Attributes, qp: QueuePair, next: State, limits: Limits): boolean {
  const atMost = (value: number | undefined, max: number) => value === undefined || value <= max;
  if (attr.cur_state !== undefined && !['RTR', 'RTS', 'SQD', 'SQE'].includes(attr.cur_state)) return false;
  if (!atMost(attr.pkey_index, limits.npkeys - 1)) return false;
  if (attr.port !== undefined && attr.port !== 1) return false;
  if (!atMost(attr.min_rnr_timer, 31)) return false;
  if (!atMost(attr.dest_qpn, 0xffffff)) return false;
  if (!atMost(attr.retry_cnt, 7) || !atMost(attr.rnr_retry, 7)) return false;
  if (attr.path_mtu !== undefined && (attr.path_mtu < 1 || attr.path_mtu > 5)) return false;
  if (!atMost(attr.max_dest_rd_atomic, limits.max_rdma_atomic)) return false;
  if (attr.av !== undefined && !isValidPath(attr.av)) return false;
  if (attr.alt_path !== undefined) {
    if (!isValidPath(attr.alt_path) || attr.alt_path.pkey_index >= limits.npkeys) return false;
  }
  if (attr.path_mig_state === 'ARMED') return false;
  if (attr.path_mig_state === 'REARM') return next === 'RTS';
  if (attr.path_mig_state === 'MIGRATED') {
    return (next === 'RTS' || next === 'SQD') && qp.pathMigState !== 'REARM';
  }
  return true;
}

function isValidPath({ dlid, port, static_rate }: AddressVector): boolean {
  return dlid < 0xc000 && port === 1 && isStaticRate(static_rate);
}

/** Stores the attributes that are given. */
function store(attr: Attributes, qp: QueuePair): void {
  qp.access = low8(attr.access) ?? qp.access;
  qp.pkeyIndex = attr.pkey_index ?? qp.pkeyIndex;
  qp.port = attr.port ?? qp.port;
  qp.qkey = attr.qkey ?? qp.qkey;
  qp.av = attr.av ?? qp.av;
  qp.altPath = attr.alt_path ?? qp.altPath;
  qp.pathMtu = attr.path_mtu ?? qp.pathMtu;
  qp.timeout = low8(attr.timeout) ?? qp.timeout;
  qp.retryCnt = attr.retry_cnt ?? qp.retryCnt;
  qp.rqPsn = low24(attr.rq_psn) ?? qp.rqPsn;
  qp.sqPsn = low24(attr.sq_psn) ?? qp.sqPsn;
  qp.maxRdAtomic = low8(attr.max_rd_atomic) ?? qp.maxRdAtomic;
  qp.maxDestRdAtomic = attr.max_dest_rd_atomic ?? qp.maxDestRdAtomic;
  qp.minRnrTimer = attr.min_rnr_timer ?? qp.minRnrTimer;
  qp.pathMigState = attr.path_mig_state ?? qp.pathMigState;
  qp.destQpn = attr.dest_qpn ?? qp.destQpn;
  if (attr.rnr_retry !== undefined) qp.rnrRetry = qp.rnrCounter = attr.rnr_retry;
}

function low8(value: number | undefined): number | undefined {
  return value === undefined ? undefined : value % 2 ** 8;
}

function low24(value: number | undefined): number | undefined {
  return value === undefined ? undefined : value % 2 ** 24;
}
