/**
 * Names of the verbs' states, types, opcodes, statuses, attributes and limits, as programs read and write them. The native module
 * uses the numbers of the enums in `layout.ts`; each table below maps one enum to its names, and each pair of functions translates
 * in both directions.
 */
import { limitNumbers } from './device-limits';
import {
  Capacity,
  MigrationState,
  QpAttribute,
  QpState,
  QpType,
  WcOpcode,
  WcStatus,
  WrOpcode,
} from './layout';

/**
 * Type of a queue pair (`enum ib_qp_type`). `CHECK` is this package's own: the queue pair only checks remote accesses and has no
 * queues. `RAW_PACKET` and `XRC_INI` are not supported.
 */
export type QpTypeName = 'CHECK' | 'RC' | 'UC' | 'UD' | 'RAW_PACKET' | 'XRC_INI';

/** State of a queue pair (`enum ib_qp_state`). No transition leads to `SQE`. */
export type QpStateName = 'RESET' | 'INIT' | 'RTR' | 'RTS' | 'SQD' | 'SQE' | 'ERR';

/** Path migration state of a queue pair (`enum ib_mig_state`). `ARMED` cannot be set. */
export type MigrationStateName = 'MIGRATED' | 'REARM' | 'ARMED';

/** Opcode of a send work request (`enum ib_wr_opcode`). Which ones are supported depends on the type of the queue pair. */
export type WrOpcodeName =
  | 'RDMA_WRITE'
  | 'RDMA_WRITE_WITH_IMM'
  | 'SEND'
  | 'SEND_WITH_IMM'
  | 'RDMA_READ'
  | 'ATOMIC_CMP_AND_SWP'
  | 'ATOMIC_FETCH_AND_ADD'
  | 'LOCAL_INV'
  | 'BIND_MW'
  | 'SEND_WITH_INV'
  | 'LSO'
  | 'RDMA_READ_WITH_INV'
  | 'MASKED_ATOMIC_CMP_AND_SWP'
  | 'MASKED_ATOMIC_FETCH_AND_ADD'
  | 'REG_MR'
  | 'REG_MR_INTEGRITY';

/** Opcode of a completion (`enum ib_wc_opcode`). */
export type WcOpcodeName =
  | 'SEND'
  | 'RDMA_WRITE'
  | 'RDMA_READ'
  | 'COMP_SWAP'
  | 'FETCH_ADD'
  | 'BIND_MW'
  | 'LOCAL_INV'
  | 'REG_MR'
  | 'RECV'
  | 'RECV_RDMA_WITH_IMM';

/** The statuses of completions (`enum ib_wc_status`). */
export const wcStatusNames = [
  'SUCCESS',
  'LOC_LEN_ERR',
  'LOC_QP_OP_ERR',
  'LOC_PROT_ERR',
  'WR_FLUSH_ERR',
  'MW_BIND_ERR',
  'BAD_RESP_ERR',
  'REM_INV_REQ_ERR',
  'REM_ACCESS_ERR',
  'REM_OP_ERR',
  'RETRY_EXC_ERR',
  'RNR_RETRY_EXC_ERR',
] as const;

/** Status of a completion: one of {@link wcStatusNames}. */
export type WcStatusName = (typeof wcStatusNames)[number];

/** Name of an attribute of a queue pair, as {@link QueuePair} takes it. */
export type QpAttributeName =
  | 'state'
  | 'curState'
  | 'enSqdAsyncNotify'
  | 'access'
  | 'pkeyIndex'
  | 'port'
  | 'qkey'
  | 'av'
  | 'pathMtu'
  | 'timeout'
  | 'retryCnt'
  | 'rnrRetry'
  | 'rqPsn'
  | 'maxRdAtomic'
  | 'altPath'
  | 'minRnrTimer'
  | 'sqPsn'
  | 'maxDestRdAtomic'
  | 'pathMigState'
  | 'cap'
  | 'destQpn';

/** Name of a limit of a device (`struct ib_device_attr`). */
export type LimitName = keyof typeof limitNumbers;

const qpTypes: Readonly<Record<QpType, QpTypeName>> = {
  [QpType.Check]: 'CHECK',
  [QpType.Rc]: 'RC',
  [QpType.Uc]: 'UC',
  [QpType.Ud]: 'UD',
  [QpType.RawPacket]: 'RAW_PACKET',
  [QpType.XrcIni]: 'XRC_INI',
};

const qpStates: Readonly<Record<QpState, QpStateName>> = {
  [QpState.Reset]: 'RESET',
  [QpState.Init]: 'INIT',
  [QpState.Rtr]: 'RTR',
  [QpState.Rts]: 'RTS',
  [QpState.Sqd]: 'SQD',
  [QpState.Sqe]: 'SQE',
  [QpState.Err]: 'ERR',
};

const migrationStates: Readonly<Record<MigrationState, MigrationStateName>> = {
  [MigrationState.Migrated]: 'MIGRATED',
  [MigrationState.Rearm]: 'REARM',
  [MigrationState.Armed]: 'ARMED',
};

const wrOpcodes: Readonly<Record<WrOpcode, WrOpcodeName>> = {
  [WrOpcode.RdmaWrite]: 'RDMA_WRITE',
  [WrOpcode.RdmaWriteWithImm]: 'RDMA_WRITE_WITH_IMM',
  [WrOpcode.Send]: 'SEND',
  [WrOpcode.SendWithImm]: 'SEND_WITH_IMM',
  [WrOpcode.RdmaRead]: 'RDMA_READ',
  [WrOpcode.AtomicCmpAndSwp]: 'ATOMIC_CMP_AND_SWP',
  [WrOpcode.AtomicFetchAndAdd]: 'ATOMIC_FETCH_AND_ADD',
  [WrOpcode.LocalInv]: 'LOCAL_INV',
  [WrOpcode.BindMw]: 'BIND_MW',
  [WrOpcode.SendWithInv]: 'SEND_WITH_INV',
  [WrOpcode.Lso]: 'LSO',
  [WrOpcode.RdmaReadWithInv]: 'RDMA_READ_WITH_INV',
  [WrOpcode.MaskedAtomicCmpAndSwp]: 'MASKED_ATOMIC_CMP_AND_SWP',
  [WrOpcode.MaskedAtomicFetchAndAdd]: 'MASKED_ATOMIC_FETCH_AND_ADD',
  [WrOpcode.RegMr]: 'REG_MR',
  [WrOpcode.RegMrIntegrity]: 'REG_MR_INTEGRITY',
};

const wcOpcodes: Readonly<Record<WcOpcode, WcOpcodeName>> = {
  [WcOpcode.Send]: 'SEND',
  [WcOpcode.RdmaWrite]: 'RDMA_WRITE',
  [WcOpcode.RdmaRead]: 'RDMA_READ',
  [WcOpcode.CompSwap]: 'COMP_SWAP',
  [WcOpcode.FetchAdd]: 'FETCH_ADD',
  [WcOpcode.BindMw]: 'BIND_MW',
  [WcOpcode.LocalInv]: 'LOCAL_INV',
  [WcOpcode.RegMr]: 'REG_MR',
  [WcOpcode.Recv]: 'RECV',
  [WcOpcode.RecvRdmaWithImm]: 'RECV_RDMA_WITH_IMM',
};

const wcStatuses: Readonly<Record<Exclude<WcStatus, WcStatus.Count>, WcStatusName>> = {
  [WcStatus.Success]: 'SUCCESS',
  [WcStatus.LocLenErr]: 'LOC_LEN_ERR',
  [WcStatus.LocQpOpErr]: 'LOC_QP_OP_ERR',
  [WcStatus.LocProtErr]: 'LOC_PROT_ERR',
  [WcStatus.WrFlushErr]: 'WR_FLUSH_ERR',
  [WcStatus.MwBindErr]: 'MW_BIND_ERR',
  [WcStatus.BadRespErr]: 'BAD_RESP_ERR',
  [WcStatus.RemInvReqErr]: 'REM_INV_REQ_ERR',
  [WcStatus.RemAccessErr]: 'REM_ACCESS_ERR',
  [WcStatus.RemOpErr]: 'REM_OP_ERR',
  [WcStatus.RetryExcErr]: 'RETRY_EXC_ERR',
  [WcStatus.RnrRetryExcErr]: 'RNR_RETRY_EXC_ERR',
};

const qpAttributes: Readonly<Record<QpAttribute, QpAttributeName>> = {
  [QpAttribute.State]: 'state',
  [QpAttribute.CurState]: 'curState',
  [QpAttribute.EnSqdAsyncNotify]: 'enSqdAsyncNotify',
  [QpAttribute.AccessFlags]: 'access',
  [QpAttribute.PkeyIndex]: 'pkeyIndex',
  [QpAttribute.Port]: 'port',
  [QpAttribute.Qkey]: 'qkey',
  [QpAttribute.Av]: 'av',
  [QpAttribute.PathMtu]: 'pathMtu',
  [QpAttribute.Timeout]: 'timeout',
  [QpAttribute.RetryCnt]: 'retryCnt',
  [QpAttribute.RnrRetry]: 'rnrRetry',
  [QpAttribute.RqPsn]: 'rqPsn',
  [QpAttribute.MaxRdAtomic]: 'maxRdAtomic',
  [QpAttribute.AltPath]: 'altPath',
  [QpAttribute.MinRnrTimer]: 'minRnrTimer',
  [QpAttribute.SqPsn]: 'sqPsn',
  [QpAttribute.MaxDestRdAtomic]: 'maxDestRdAtomic',
  [QpAttribute.PathMigState]: 'pathMigState',
  [QpAttribute.Cap]: 'cap',
  [QpAttribute.DestQpn]: 'destQpn',
};

/** The option that sets a size of a queue, and the limit of the device for it. */
const capacities: Readonly<Record<Capacity, readonly [option: string, limit: LimitName]>> = {
  [Capacity.SendWr]: ['maxSendWr', 'maxQpWr'],
  [Capacity.RecvWr]: ['maxRecvWr', 'maxQpWr'],
  [Capacity.SendSge]: ['maxSendSge', 'maxSendSge'],
  [Capacity.RecvSge]: ['maxRecvSge', 'maxRecvSge'],
  [Capacity.SrqWr]: ['maxWr', 'maxSrqWr'],
  [Capacity.SrqSge]: ['maxSge', 'maxSrqSge'],
};

/** Numbers by name. Without a prototype, so that no name but those of the table is found. */
type Numbers<Name extends string> = Readonly<Partial<Record<Name, number>>>;

function numbersOf<Name extends string>(names: Readonly<Record<number, Name>>): Numbers<Name> {
  const numbers = Object.create(null) as Partial<Record<Name, number>>;
  const keys = Object.keys(names);
  for (let i = 0; i < keys.length; i++) {
    const name = names[Number(keys[i])];
    if (name !== undefined) numbers[name] = Number(keys[i]);
  }
  return Object.freeze(numbers);
}

const qpTypeNumbers = numbersOf(qpTypes);
const qpStateNumbers = numbersOf(qpStates);
const migrationStateNumbers = numbersOf(migrationStates);
const wrOpcodeNumbers = numbersOf(wrOpcodes);
const wcOpcodeNumbers = numbersOf(wcOpcodes);
const wcStatusNumbers = numbersOf(wcStatuses);
const qpAttributeNumbers = numbersOf(qpAttributes);

const nameIn = <Name>(names: Readonly<Record<number, Name>>, number: number): Name | undefined =>
  names[number];
const numberIn = <Name extends string>(numbers: Numbers<Name>, name: unknown): number | undefined =>
  typeof name === 'string' ? numbers[name as Name] : undefined;

// Every `...Name` function returns undefined for a number without a name, and every `...Number` function returns undefined for
// anything but one of the names.

export const qpTypeName = (number: number): QpTypeName | undefined => nameIn(qpTypes, number);
export const qpTypeNumber = (name: unknown): number | undefined => numberIn(qpTypeNumbers, name);

export const qpStateName = (number: number): QpStateName | undefined => nameIn(qpStates, number);
export const qpStateNumber = (name: unknown): number | undefined => numberIn(qpStateNumbers, name);

export const migrationStateName = (number: number): MigrationStateName | undefined =>
  nameIn(migrationStates, number);
export const migrationStateNumber = (name: unknown): number | undefined =>
  numberIn(migrationStateNumbers, name);

export const wrOpcodeName = (number: number): WrOpcodeName | undefined => nameIn(wrOpcodes, number);
export const wrOpcodeNumber = (name: unknown): number | undefined => numberIn(wrOpcodeNumbers, name);

export const wcOpcodeName = (number: number): WcOpcodeName | undefined => nameIn(wcOpcodes, number);
export const wcOpcodeNumber = (name: unknown): number | undefined => numberIn(wcOpcodeNumbers, name);

export const wcStatusName = (number: number): WcStatusName | undefined => nameIn(wcStatuses, number);
export const wcStatusNumber = (name: unknown): number | undefined => numberIn(wcStatusNumbers, name);

/** Returns the name of a limit by its index in the native module's array. */
export function limitName(number: number): LimitName | undefined {
  const names = Object.keys(limitNumbers) as LimitName[];
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    if (name !== undefined && (limitNumbers[name] as number) === number) return name;
  }
  return undefined;
}

/** Returns the name of the attribute with this bit. */
export const qpAttributeName = (bit: number): QpAttributeName | undefined => nameIn(qpAttributes, bit);
/** Returns the bit of the attribute with this name. */
export const qpAttributeBit = (name: unknown): number | undefined => numberIn(qpAttributeNumbers, name);

/** Returns the names of the attributes in a mask of {@link QpAttribute} bits, lowest bit first. */
export function qpAttributeNames(mask: number): QpAttributeName[] {
  const names: QpAttributeName[] = [];
  for (let bit = 1; bit <= (QpAttribute.DestQpn as number); bit *= 2) {
    const name = (mask & bit) === 0 ? undefined : qpAttributeName(bit);
    if (name !== undefined) names[names.length] = name;
  }
  return names;
}

/** Returns the name of the option that sets a size of a queue (`'maxSendWr'`), by {@link Capacity}. */
export const capacityOption = (capacity: number): string => nameIn(capacities, capacity)?.[0] ?? 'size';
/** Returns the name of the device's limit for a size of a queue (`'maxQpWr'`), by {@link Capacity}. */
export const capacityLimit = (capacity: number): LimitName => nameIn(capacities, capacity)?.[1] ?? 'maxQpWr';
