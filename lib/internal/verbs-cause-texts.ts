/** The message texts of the causes that only the verbs have: queues, queue pairs and work requests. See `cause-texts.ts`. */
import { type CauseText } from './cause-texts';
import {
  byOwn,
  count,
  countNameOf,
  countsAre,
  type Facts,
  inWr,
  queueOption,
  sgeOption,
  takesReceives,
  wr,
} from './cause-words';
import { cmReason } from './cm-words';
import { type ErrorCause } from './error-detail';
import { Limit, MigrationState, QpAttribute, ResourceKind, SrqMask, WR_UNFILLED } from './layout';
import { type Method } from './methods';
import { reasonOf } from './reasons';
import {
  capacityLimit,
  capacityOption,
  limitName,
  migrationStateName,
  qpAttributeName,
  qpAttributeNames,
  qpStateName,
  qpTypeName,
  wrOpcodeName,
} from './verbs-names';
import { bytes, hex } from './words';
import { getSystemErrorName } from 'node:util';

/** Returns the name of the object that has the attributes: the parameter of the method. */
function parameterOf(method: Method): string {
  if (method === 'SharedReceiveQueue.modify') return 'changes';
  return method === 'QueuePair.modify' ? 'attributes' : 'options';
}
/** Names the argument with the address of a host. */
const addressArgument = ({ method }: Facts): string =>
  method === 'Endpoint.connect' ? 'address' : 'options.address';
const inParameter = ({ method }: Facts, property: string): string => `${parameterOf(method)}.${property}`;

/** Returns the name of an errno of the system; its number if the system has none. */
function systemErrorName(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

const stateName = (state: number | bigint): string => qpStateName(Number(state)) ?? String(state);
const typeName = (type: bigint): string => qpTypeName(Number(type)) ?? String(type);
const migrationName = (state: bigint): string => migrationStateName(Number(state)) ?? String(state);
const opcodeName = (opcode: bigint): string => wrOpcodeName(Number(opcode)) ?? String(opcode);

/** Names the completion queue at fault: the one for sends (index 0) or the one for receives (index 1). */
const cqArgument = (index: number): string => (index === 1 ? 'options.recvCq' : 'options.sendCq');

/** The limit of a device on the number of objects of each kind. */
const objectLimits: Readonly<Record<number, Limit | undefined>> = {
  [ResourceKind.Pd]: Limit.MaxPd,
  [ResourceKind.Qp]: Limit.MaxQp,
  [ResourceKind.Cq]: Limit.MaxCq,
  [ResourceKind.Srq]: Limit.MaxSrq,
  [ResourceKind.Ah]: Limit.MaxAh,
};

function tooManyObjects({ value, limit }: Facts): string {
  const name = countNameOf(Number(value)) ?? 'elements';
  const option = limitName(objectLimits[Number(value)] ?? Limit.Count) ?? 'its limit';
  return (
    `the device already has ${count(limit, name)}, as many as ${option} allows; ` +
    'close some of them, or open the device with a higher limit'
  );
}

/** Returns `the transition from INIT to RTR`. */
const transition = ({ limit, index }: Facts): string =>
  Number(limit) === index
    ? `a change in state ${stateName(limit)}`
    : `the transition from ${stateName(index)} to ${stateName(limit)}`;

/** Returns the names of attributes for a sentence: `pathMtu, rqPsn and destQpn`. */
function namesOf(mask: bigint): string {
  const names = qpAttributeNames(Number(mask));
  let text = names[names.length - 1] ?? hex(mask);
  for (let i = names.length - 2; i >= 0; i--) {
    text = `${names[i] ?? ''}${i === names.length - 2 ? ' and ' : ', '}${text}`;
  }
  return text;
}

/** Names a single attribute, or the object of all attributes if several are at fault. */
function attributesArgument({ method, value }: Facts): string {
  const names = qpAttributeNames(Number(value));
  return names.length === 1 ? `${parameterOf(method)}.${names[0] ?? ''}` : parameterOf(method);
}

/** Names a property of the path at fault: of an address handle, or of one of a queue pair's two paths. */
function pathArgument(facts: Facts, property: string): string {
  const path = facts.index === 0 ? undefined : qpAttributeName(facts.index);
  return inParameter(facts, path === undefined ? property : `${path}.${property}`);
}

/** Returns whether the fault is in `pathMtu`, which programs give in bytes and the native module takes as a code. */
const isPathMtu = ({ index }: Facts): boolean => index === (QpAttribute.PathMtu as number);

function attributeText(facts: Facts): string {
  const { argument, value, limit, index } = facts;
  const highest = BigInt.asIntN(64, limit);
  if (highest < 0n) return `${argument} is ${value}, but the device has no P_Keys (npkeys is 0)`;
  if (isPathMtu(facts)) return `${argument} must be 256, 512, 1024, 2048 or 4096`;
  const least = index === (QpAttribute.Port as number) ? 1n : 0n;
  const allowed = least === highest ? `${least}` : `from ${least} to ${highest}`;
  return `${argument} must be ${allowed}, but is ${value}`;
}

function migrationText({ argument, value, limit }: Facts): string {
  const name = migrationName(value);
  const refused = `${argument} '${name}' is not allowed in a change to ${stateName(limit)}: `;
  if (value === BigInt(MigrationState.Rearm)) return `${refused}only in one to RTS`;
  return value === BigInt(MigrationState.Migrated)
    ? `${refused}only in one to RTS or SQD, and not while the path migration state is REARM`
    : `${argument} '${name}' is not supported: the device cannot migrate paths`;
}

function stateText({ method, value }: Facts): string {
  const allowed = takesReceives(method)
    ? 'receives can be posted in every state but RESET'
    : 'sends can be posted in RTS, SQD and ERR';
  return `the queue pair is in state ${stateName(value)}; ${allowed}`;
}

type VerbsCause = Extract<
  ErrorCause,
  | 'CqGone'
  | 'SrqGone'
  | 'AhGone'
  | 'TooManyObjects'
  | 'QueueFull'
  | 'CqInUse'
  | 'SrqInUse'
  | 'CqFlags'
  | 'SrqType'
  | 'QpType'
  | 'NoEngine'
  | 'Limit'
  | 'Cqe'
  | 'CqeBelowHeld'
  | 'CqRing'
  | 'Capacity'
  | 'NoCapacity'
  | 'SrqLimit'
  | 'SrqBelowHeld'
  | 'QueueElsewhere'
  | `Qp${'HasNoQueues' | 'HasSrq' | 'State' | 'Move' | 'Needs' | 'Forbids' | 'Attribute'}`
  | 'CurState'
  | `Path${string}`
  | 'QpNumberForeseen'
  | 'AddressFamily'
  | 'TooManyRefusals'
  | 'NoSockets'
  | 'EndpointClosed'
  | 'HostAddress'
  | 'KeysForeseen'
  | 'Socket'
  | 'QpOnOtherDevice'
  | `Connection${string}`
  | 'ServiceInUse'
  | 'QpConnected'
  | 'TooManyConnections'
  | 'PrivateData'
  | `Wr${string}`
>;

export const verbsCauseTexts: Record<VerbsCause, CauseText> = {
  // EBADF
  CqGone: {
    argument: ({ method, index }) => (method === 'ProtectionDomain.createQp' ? cqArgument(index) : undefined),
    text: byOwn('the completion queue has been destroyed'),
  },
  SrqGone: {
    argument: ({ method }) => (method === 'ProtectionDomain.createQp' ? 'options.srq' : undefined),
    text: byOwn('the shared receive queue has been destroyed'),
  },
  AhGone: {
    argument: (f) => inWr(f, 'ah'),
    text: ({ argument }) =>
      argument === undefined
        ? 'the address handle has been destroyed'
        : `${argument} is not an address handle that exists; a UD queue pair needs one for every send`,
  },

  // ENOMEM
  TooManyObjects: { value: 'objectKind', limit: 'number', text: tooManyObjects },
  QueueFull: {
    argument: (f) => inWr(f),
    value: 'number',
    limit: 'number',
    text: (f) =>
      `the queue has no room for ${wr(f)}: it holds ${f.value} of at most ${f.limit} work requests (${queueOption(f.method)})`,
  },

  // EBUSY
  CqInUse: {
    counts: 'queuePairs',
    text: (f) => `${countsAre(f, ['still uses', 'still use'])} the completion queue; destroy those first`,
  },
  SrqInUse: {
    counts: 'queuePairs',
    text: (f) => `${countsAre(f, ['still uses', 'still use'])} the shared receive queue; destroy those first`,
  },

  // EOPNOTSUPP
  CqFlags: {
    argument: 'options.flags',
    value: 'number',
    text: ({ value }) => `options.flags ${hex(value)} is not supported; pass 0`,
  },
  SrqType: {
    argument: 'options.type',
    text: byOwn('options.type is not supported: only basic shared receive queues are'),
  },
  QpType: {
    argument: ({ method }) => (method === 'ProtectionDomain.createQp' ? 'options.type' : undefined),
    value: 'qpType',
    text: ({ method, value }) =>
      method === 'ProtectionDomain.createQp'
        ? `options.type '${typeName(value)}' is not supported; use 'RC', 'UC' or 'UD'`
        : `endpoints connect queue pairs of type RC only, and this one has type ${typeName(value)}`,
  },
  NoEngine: { text: byOwn('the device was opened without an engine, which carries out work requests') },

  // EINVAL: devices and queues
  Limit: {
    argument: ({ index }) => `options.limits.${limitName(index) ?? ''}`,
    value: 'number',
    limit: 'number',
    text: ({ argument, value, limit }) => `${argument} must be at most ${limit}, but is ${value}`,
  },
  Cqe: {
    argument: 'cqe',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `cqe must be from 1 to ${limit} (maxCqe of the device), but is ${value}`,
  },
  CqeBelowHeld: {
    argument: 'cqe',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `cqe ${value} is too small: the queue holds ${limit} completions; poll some of them first`,
  },
  CqRing: { text: byOwn('a completion queue that was created with ring: true cannot be resized') },
  Capacity: {
    argument: (f) => inParameter(f, capacityOption(f.index)),
    value: 'number',
    limit: 'number',
    text: ({ argument, value, limit, index, method }) =>
      `${argument} must be ${method === 'ProtectionDomain.createSrq' ? 'from 1 to' : 'at most'} ${limit} ` +
      `(${capacityLimit(index)} of the device), but is ${value}`,
  },
  NoCapacity: {
    argument: 'options',
    text: byOwn(
      'maxSendWr, maxSendSge, maxRecvWr and maxRecvSge are all 0; a queue pair without a shared receive queue needs one of them',
    ),
  },
  SrqLimit: {
    argument: (f) => inParameter(f, (f.index & SrqMask.Limit) === 0 ? 'maxWr' : 'limit'),
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `the limit ${value} would be above maxWr, ${limit}`,
  },
  SrqBelowHeld: {
    argument: (f) => inParameter(f, 'maxWr'),
    value: 'number',
    limit: 'number',
    text: ({ argument, value, limit }) =>
      `${argument} ${value} is too small: the queue holds ${limit} receives`,
  },
  QueueElsewhere: {
    argument: ({ value, index }) => (value === BigInt(ResourceKind.Srq) ? 'options.srq' : cqArgument(index)),
    text: ({ argument }) =>
      `${argument} was created by another Device object than the protection domain; use queues of the same one`,
  },

  // EINVAL: queue pairs
  QpHasNoQueues: {
    text: byOwn('the queue pair has no queues: it was created for checks only, by createQp without a type'),
  },
  QpNumberForeseen: {
    text: byOwn(
      "the queue pair was created before the device's first Endpoint, so its number could be foretold; create it afterwards",
    ),
  },
  AddressFamily: {
    argument: addressArgument,
    text: () => "the peer's address and the endpoint's are not both IPv4 or both IPv6",
  },
  TooManyRefusals: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the address had ${value} requests refused within a minute, and gets no new connection after ${limit}`,
  },
  NoSockets: {
    text: byOwn(
      'endpoints need sockets of Linux; all other parts of this package work on this operating system',
    ),
  },
  EndpointClosed: { text: byOwn('the endpoint is closed') },
  HostAddress: {
    argument: addressArgument,
    text: (facts) =>
      `${addressArgument(facts)} must be the IPv4 or IPv6 address of one host: not a name, not the address of all interfaces, not a multicast address`,
  },
  KeysForeseen: {
    argument: () => 'options.device',
    text: () =>
      "the device's keys are sequential, so a peer could foretell them; open the device with keyPolicy 'random', " +
      'or pass { allowForeseeableKeys: true } on a network where every peer may use every region',
  },
  Socket: {
    value: 'number',
    text: ({ value }) => `the system refused the socket: ${systemErrorName(Number(value))}`,
  },
  QpOnOtherDevice: {
    argument: ({ method }) =>
      method === 'Endpoint.describe'
        ? 'qp'
        : method === 'QueuePair.connect'
          ? 'options.endpoint'
          : 'options.qp',
    text: () => 'the endpoint was opened on another device than the queue pair',
  },

  // The connection manager
  ConnectionGone: {
    text: byOwn('the request or the connection is over: the peer, the time or the endpoint has ended it'),
  },
  ConnectionState: { text: byOwn('the request was accepted or rejected before') },
  ServiceInUse: {
    argument: () => 'service',
    text: () => 'the endpoint has another listener for this service',
  },
  QpConnected: {
    argument: () => 'options.qp',
    text: () =>
      'the queue pair has a connection, or had one a few seconds ago, for which late packets may still come',
  },
  TooManyConnections: {
    limit: 'number',
    text: ({ limit }) => `the endpoint has ${limit} already, the most that are possible`,
  },
  PrivateData: {
    argument: ({ method }) => (method === 'ConnectionRequest.reject' ? 'privateData' : 'options.privateData'),
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the message has room for ${bytes(limit)} of private data, but there are ${value}`,
  },
  ConnectionRejected: {
    value: 'number',
    text: ({ value }) => `the peer has rejected the connection: ${cmReason(Number(value))} (reason ${value})`,
  },
  ConnectionTimeout: { text: byOwn('the peer did not answer') },
  QpHasSrq: {
    text: byOwn('the queue pair takes its receives from a shared receive queue; post them there'),
  },
  QpState: { value: 'qpState', text: stateText },
  QpMove: {
    argument: (f) => inParameter(f, 'state'),
    value: 'qpState',
    limit: 'qpState',
    text: ({ value, limit }) =>
      value === limit
        ? `no attribute can be changed in state ${stateName(value)}`
        : `there is no transition from ${stateName(limit)} to ${stateName(value)}`,
  },
  QpNeeds: {
    argument: attributesArgument,
    value: 'qpAttributes',
    text: (f) => `${transition(f)} needs ${namesOf(f.value)}`,
  },
  QpForbids: {
    argument: attributesArgument,
    value: 'qpAttributes',
    text: (f) => `${transition(f)} does not take ${namesOf(f.value)}`,
  },
  QpAttribute: {
    argument: (f) =>
      f.index === (QpAttribute.AltPath as number)
        ? inParameter(f, 'altPath.pkeyIndex')
        : inParameter(f, qpAttributeName(f.index) ?? ''),
    value: 'number',
    limit: 'signed',
    hidesNumbers: isPathMtu,
    text: attributeText,
  },
  CurState: {
    argument: (f) => inParameter(f, 'curState'),
    value: 'qpState',
    limit: 'qpState',
    text: ({ argument, value, limit }) =>
      `${argument} is ${stateName(value)}, but the queue pair is in state ${stateName(limit)}`,
  },
  PathDlid: {
    argument: (f) => pathArgument(f, 'dlid'),
    value: 'number',
    limit: 'number',
    text: ({ argument, value, limit }) =>
      `${argument} must be at most ${hex(limit)}, since multicast is not supported, but is ${hex(value)}`,
  },
  PathPort: {
    argument: (f) => pathArgument(f, 'port'),
    value: 'number',
    limit: 'number',
    text: ({ argument, value, limit }) => `${argument} must be ${limit}, the only port, but is ${value}`,
  },
  PathRate: {
    argument: (f) => pathArgument(f, 'staticRate'),
    value: 'number',
    limit: 'number',
    text: ({ argument, value, limit }) => `${argument} must be 0 or from 2 to ${limit}, but is ${value}`,
  },
  PathMig: {
    argument: (f) => inParameter(f, 'pathMigState'),
    value: 'migrationState',
    text: migrationText,
  },

  // EINVAL: work requests
  WrSges: {
    argument: (f) => inWr(f, 'sges'),
    value: 'number',
    limit: 'number',
    text: (f) =>
      `${f.argument} has ${f.value} SGEs, but at most ${f.limit} are allowed (${sgeOption(f.method)})`,
  },
  WrOpcode: {
    argument: (f) => inWr(f, 'opcode'),
    value: 'wrOpcode',
    limit: 'qpType',
    text: (f) =>
      f.value === BigInt(WR_UNFILLED)
        ? `${wr(f)} is a slot that was never filled`
        : `the opcode '${opcodeName(f.value)}' is not supported on a queue pair of type ${typeName(f.limit)}`,
  },
  WrAtomicSge: {
    argument: (f) => inWr(f, 'sges[0]'),
    value: 'number',
    limit: 'number',
    text: (f) =>
      `an atomic operation stores its result in ${f.argument}, which must have at least ${bytes(f.limit)}, but has ${f.value}`,
  },
  WrAtomicAddress: {
    argument: (f) => inWr(f, 'sges[0]'),
    value: 'address',
    limit: 'number',
    text: (f) =>
      `an atomic operation stores its result in ${f.argument}, whose address ${hex(f.value)} is not a multiple of ${f.limit}`,
  },
  WrNoRdAtomic: {
    argument: (f) => inWr(f, 'opcode'),
    text: byOwn(
      'RDMA reads and atomic operations need maxRdAtomic, which is 0; set it in the transition to RTS',
    ),
  },
  WrAhInOtherPd: {
    argument: (f) => inWr(f, 'ah'),
    text: byOwn('the address handle and the queue pair are in different protection domains'),
  },
  WrAhUnreachable: {
    argument: (f) => inWr(f, 'ah'),
    text: ({ value }) =>
      value === 0n
        ? "the queue pair sends through an endpoint, but the address handle has no address; pass createAh the peer's"
        : "the address handle has an address that the queue pair cannot reach: of another family than its endpoint's, or it has none",
  },
  WrSgeRefused: {
    argument: (f) => inWr(f, `sges[${f.value}]`),
    text: ({ argument, limit }) =>
      `${argument ?? 'an SGE'} was refused: ${reasonOf(Number(limit)) ?? 'AccessDenied'}`,
  },
  WrLength: {
    argument: (f) => inWr(f, 'sges'),
    value: 'number',
    limit: 'number',
    text: (f) => `${f.argument} has ${bytes(f.value)} in total, but a message has at most ${f.limit}`,
  },
  WrInline: {
    argument: (f) => inWr(f, 'inline'),
    value: 'number',
    limit: 'number',
    text: (f) =>
      f.limit === 0n
        ? `the device is strict, and ${f.argument} is for a SEND or a WRITE only`
        : `the device is strict: ${bytes(f.value)} of inline data, but the queue pair takes at most ${f.limit}`,
  },
};
