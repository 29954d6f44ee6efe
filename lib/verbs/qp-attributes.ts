/** The attributes of a queue pair, as {@link QueuePair.modify} takes and {@link QueuePair.query} returns them. */
import { type Access, readAccessBits } from './access';
import { boolean, integer, oneOf, propertiesOf, u32, u8, type Unchecked } from '../internal/arguments';
import { PlainNumbers } from '../internal/intrinsics';
import { AvWord, QpAttribute, QpAttrWord, SignalType } from '../internal/layout';
import { type Method } from '../internal/methods';
import { requiredOptionsOf } from '../internal/options';
import {
  migrationStateName,
  type MigrationStateName,
  migrationStateNumber,
  qpStateName,
  type QpStateName,
  qpStateNumber,
  qpTypeName,
} from '../internal/verbs-names';
import { type QpType } from './qp-types';

/** The largest packet of a queue pair in bytes (`enum ib_mtu`). */
export type PathMtu = 256 | 512 | 1024 | 2048 | 4096;

/** The address of a peer (`struct rdma_ah_attr`). The loopback has one port, whose LID is 1. */
export interface PathAddress {
  /** LID of the destination, 0..0xbfff. */
  dlid: number;
  /** Service level, reported in completions. 0..255. Default 0. */
  sl?: number;
  /** Static rate: 0, or 2..22. Has no effect. Default 0. */
  staticRate?: number;
  /** Port: 1, the default. */
  port?: number;
}

/** The alternate path of a queue pair. The loopback never uses it. */
export interface AlternatePath extends PathAddress {
  /** Index in the P_Key table. Default 0. */
  pkeyIndex?: number;
}

/**
 * Attributes for {@link QueuePair.modify} (`struct ib_qp_attr`). Each change of state requires some attributes and forbids others;
 * {@link ErrorDetail} names them.
 */
export interface QpAttributes {
  /** The new state. Default: the present one. */
  state?: QpStateName;
  /** The state that the queue pair must be in. */
  curState?: QpStateName;
  /** What the peer may do, bits of {@link Access}: RemoteRead, RemoteWrite, RemoteAtomic. */
  access?: Access;
  /** Index in the P_Key table. */
  pkeyIndex?: number;
  /** Port of the device: 1. */
  port?: number;
  /** Q_Key of a UD queue pair, 0..2^32-1. */
  qkey?: number;
  /** The path to the peer. */
  av?: PathAddress;
  /** Largest packet. */
  pathMtu?: PathMtu;
  /** Retransmission timeout, 4.096 us * 2^timeout. The loopback never retransmits. 0..255. */
  timeout?: number;
  /** How often a packet is sent again if it is not acknowledged, 0..7. The loopback never does that. */
  retryCnt?: number;
  /** How often a message is tried again if the peer has no receive, 0..6; 7: without end. */
  rnrRetry?: number;
  /** Number of the first packet to receive, 0..2^24-1. */
  rqPsn?: number;
  /** Most reads and atomics outstanding at the peer, 0..255. 0 forbids to post them. */
  maxRdAtomic?: number;
  /** The alternate path. */
  altPath?: AlternatePath;
  /** Code of the time that a sender waits before it tries again, 0..31: 0 is the longest (655.36 ms), 1 the shortest (10 us). */
  minRnrTimer?: number;
  /** Number of the first packet to send, 0..2^24-1. */
  sqPsn?: number;
  /** Most reads and atomics of the peer, up to the device's `maxRdmaAtomic`. */
  maxDestRdAtomic?: number;
  /** State of the path migration. */
  pathMigState?: MigrationStateName;
  /** {@link QueuePair.qpn} of the peer, 0..2^24-1. */
  destQpn?: number;
  /** Accepted where the kernel accepts it. Has no effect. */
  enSqdAsyncNotify?: boolean;
}

/** Attributes and sizes of a queue pair, from {@link QueuePair.query}. */
export interface QpQuery {
  /** Number of the queue pair. */
  readonly qpn: number;
  /** Type of the queue pair. */
  readonly type: QpType;
  /** State of the queue pair. */
  readonly state: QpStateName;
  /** What the peer may do, bits of {@link Access}. */
  readonly access: Access;
  readonly pkeyIndex: number;
  /** 0 until the queue pair leaves RESET. */
  readonly port: number;
  readonly qkey: number;
  readonly av: Readonly<Required<PathAddress>>;
  /** Undefined until it is set. */
  readonly pathMtu: PathMtu | undefined;
  readonly timeout: number;
  readonly retryCnt: number;
  readonly rnrRetry: number;
  readonly rqPsn: number;
  readonly maxRdAtomic: number;
  readonly altPath: Readonly<Required<AlternatePath>>;
  readonly minRnrTimer: number;
  /** Number of the next packet to send. */
  readonly sqPsn: number;
  readonly maxDestRdAtomic: number;
  readonly pathMigState: MigrationStateName;
  readonly destQpn: number;
  /** Whether every send work request gets a completion. */
  readonly sqSigAll: boolean;
  readonly maxSendWr: number;
  /** 0 if the queue pair uses a shared receive queue. */
  readonly maxRecvWr: number;
  readonly maxSendSge: number;
  /** 0 if the queue pair uses a shared receive queue. */
  readonly maxRecvSge: number;
  /** Work requests in the send queue. */
  readonly sends: number;
  /** Receives in the receive queue. */
  readonly receives: number;
  /** Whether a send was in progress when the queue pair went to SQD. */
  readonly sqDraining: boolean;
}

const attributeNames = [
  'state',
  'curState',
  'access',
  'pkeyIndex',
  'port',
  'qkey',
  'av',
  'pathMtu',
  'timeout',
  'retryCnt',
  'rnrRetry',
  'rqPsn',
  'maxRdAtomic',
  'altPath',
  'minRnrTimer',
  'sqPsn',
  'maxDestRdAtomic',
  'pathMigState',
  'destQpn',
  'enSqdAsyncNotify',
] as const satisfies readonly (keyof QpAttributes)[];

const stateNames = [
  'RESET',
  'INIT',
  'RTR',
  'RTS',
  'SQD',
  'SQE',
  'ERR',
] as const satisfies readonly QpStateName[];
const migrationNames = ['MIGRATED', 'REARM', 'ARMED'] as const satisfies readonly MigrationStateName[];

const SMALLEST_MTU = 256;
const LARGEST_MTU = 4096;

const state = (value: unknown, name: string): number => qpStateNumber(oneOf(value, name, stateNames)) ?? 0;

/** Returns the number of an MTU in `enum ib_mtu`: 1 (256 bytes) to 5 (4,096 bytes). */
export function mtuNumber(value: unknown, name: string): number {
  const bytes = integer(value, name, SMALLEST_MTU, LARGEST_MTU);
  for (let number = 1, size = SMALLEST_MTU; size <= bytes; number++, size *= 2)
    if (size === bytes) return number;
  return 0; // refused by the native module, as any other number that is not one of an MTU
}

/** The attributes that are one word: where it is, the bit of the attribute, and what reads it. */
const plain: readonly (readonly [
  name: keyof QpAttributes,
  bit: QpAttribute,
  word: QpAttrWord,
  read: (value: unknown, name: string) => number,
])[] = [
  ['state', QpAttribute.State, QpAttrWord.State, state],
  ['curState', QpAttribute.CurState, QpAttrWord.CurState, state],
  ['pkeyIndex', QpAttribute.PkeyIndex, QpAttrWord.PkeyIndex, u32],
  ['port', QpAttribute.Port, QpAttrWord.Port, u8],
  ['qkey', QpAttribute.Qkey, QpAttrWord.Qkey, u32],
  ['pathMtu', QpAttribute.PathMtu, QpAttrWord.PathMtu, mtuNumber],
  ['timeout', QpAttribute.Timeout, QpAttrWord.Timeout, u8],
  ['retryCnt', QpAttribute.RetryCnt, QpAttrWord.RetryCnt, u8],
  ['rnrRetry', QpAttribute.RnrRetry, QpAttrWord.RnrRetry, u8],
  ['rqPsn', QpAttribute.RqPsn, QpAttrWord.RqPsn, u32],
  ['maxRdAtomic', QpAttribute.MaxRdAtomic, QpAttrWord.MaxRdAtomic, u8],
  ['minRnrTimer', QpAttribute.MinRnrTimer, QpAttrWord.MinRnrTimer, u8],
  ['sqPsn', QpAttribute.SqPsn, QpAttrWord.SqPsn, u32],
  ['maxDestRdAtomic', QpAttribute.MaxDestRdAtomic, QpAttrWord.MaxDestRdAtomic, u8],
  [
    'pathMigState',
    QpAttribute.PathMigState,
    QpAttrWord.PathMigState,
    (value, name) => migrationStateNumber(oneOf(value, name, migrationNames)) ?? 0,
  ],
  ['destQpn', QpAttribute.DestQpn, QpAttrWord.DestQpn, u32],
];

/** Reads the properties of a path into the words from `at` on. */
function encodePath(path: Unchecked<PathAddress>, name: string, words: Uint32Array, at: number): void {
  const { dlid, sl = 0, staticRate = 0, port = 1 } = path;
  words[at + AvWord.Dlid] = u32(dlid, `${name}.dlid`);
  words[at + AvWord.Sl] = u8(sl, `${name}.sl`);
  words[at + AvWord.StaticRate] = u8(staticRate, `${name}.staticRate`);
  words[at + AvWord.Port] = u8(port, `${name}.port`);
}

/**
 * Encodes attributes for the native module.
 *
 * @param method - the method that the program called
 * @param parameter - name of the argument in messages
 * @returns the mask of {@link QpAttribute} bits, and the words
 * @throws TypeError, RangeError; RdmaError `EINVAL`: `access` has unknown bits
 */
export function encodeAttributes(
  method: Method,
  attributes: unknown,
  parameter: string,
): { mask: number; words: Uint32Array } {
  const given = requiredOptionsOf<QpAttributes>(attributes, attributeNames);
  const words = new PlainNumbers(QpAttrWord.SetWords);
  let mask = 0;
  for (let i = 0; i < plain.length; i++) {
    const attribute = plain[i];
    if (attribute === undefined) continue;
    const { 0: name, 1: bit, 2: word, 3: read } = attribute;
    const value = given[name];
    if (value === undefined) continue;
    words[word] = read(value, `${parameter}.${name}`);
    mask |= bit;
  }
  const { access, av, altPath, enSqdAsyncNotify } = given;
  if (access !== undefined) {
    words[QpAttrWord.Access] = readAccessBits(method, access, `${parameter}.access`);
    mask |= QpAttribute.AccessFlags;
  }
  if (av !== undefined) {
    encodePath(propertiesOf<PathAddress>(av, `${parameter}.av`), `${parameter}.av`, words, QpAttrWord.Av);
    mask |= QpAttribute.Av;
  }
  if (altPath !== undefined) {
    const path = propertiesOf<AlternatePath>(altPath, `${parameter}.altPath`);
    encodePath(path, `${parameter}.altPath`, words, QpAttrWord.AltAv);
    const { pkeyIndex = 0 } = path;
    words[QpAttrWord.AltPkeyIndex] = u32(pkeyIndex, `${parameter}.altPath.pkeyIndex`);
    mask |= QpAttribute.AltPath;
  }
  if (enSqdAsyncNotify !== undefined) {
    boolean(enSqdAsyncNotify, `${parameter}.enSqdAsyncNotify`);
    mask |= QpAttribute.EnSqdAsyncNotify;
  }
  return { mask, words };
}

function decodePath(words: Uint32Array, at: number): Required<PathAddress> {
  return {
    dlid: words[at + AvWord.Dlid] ?? 0,
    sl: words[at + AvWord.Sl] ?? 0,
    staticRate: words[at + AvWord.StaticRate] ?? 0,
    port: words[at + AvWord.Port] ?? 0,
  };
}

/** Decodes the words that the native module's `query` filled. */
export function decodeQuery(words: Uint32Array): QpQuery {
  const at = (word: QpAttrWord): number => words[word] ?? 0;
  const pathMtu = at(QpAttrWord.PathMtu);
  return {
    qpn: at(QpAttrWord.Qpn),
    type: qpTypeName(at(QpAttrWord.Type)) as QpType,
    state: qpStateName(at(QpAttrWord.State)) ?? 'RESET',
    access: at(QpAttrWord.Access),
    pkeyIndex: at(QpAttrWord.PkeyIndex),
    port: at(QpAttrWord.Port),
    qkey: at(QpAttrWord.Qkey),
    av: decodePath(words, QpAttrWord.Av),
    pathMtu: pathMtu === 0 ? undefined : ((SMALLEST_MTU * 2 ** (pathMtu - 1)) as PathMtu),
    timeout: at(QpAttrWord.Timeout),
    retryCnt: at(QpAttrWord.RetryCnt),
    rnrRetry: at(QpAttrWord.RnrRetry),
    rqPsn: at(QpAttrWord.RqPsn),
    maxRdAtomic: at(QpAttrWord.MaxRdAtomic),
    altPath: { ...decodePath(words, QpAttrWord.AltAv), pkeyIndex: at(QpAttrWord.AltPkeyIndex) },
    minRnrTimer: at(QpAttrWord.MinRnrTimer),
    sqPsn: at(QpAttrWord.SqPsn),
    maxDestRdAtomic: at(QpAttrWord.MaxDestRdAtomic),
    pathMigState: migrationStateName(at(QpAttrWord.PathMigState)) ?? 'MIGRATED',
    destQpn: at(QpAttrWord.DestQpn),
    sqSigAll: at(QpAttrWord.SigType) === (SignalType.AllWr as number),
    maxSendWr: at(QpAttrWord.MaxSendWr),
    maxRecvWr: at(QpAttrWord.MaxRecvWr),
    maxSendSge: at(QpAttrWord.MaxSendSge),
    maxRecvSge: at(QpAttrWord.MaxRecvSge),
    sends: at(QpAttrWord.Sends),
    receives: at(QpAttrWord.Receives),
    sqDraining: at(QpAttrWord.SqDraining) !== 0,
  };
}
