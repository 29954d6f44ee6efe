/** Helpers that build the message texts in `cause-texts.ts`. */
import { joinRights } from './right-names';
import { type CountName } from './error-detail';
import { MrTypeNumber, ResourceKind } from './layout';
import { type Method } from './methods';
import { type DataPathReason } from './reasons';

/** What is known about a failure when its message is built. Numbers are as the native module reports them. */
export interface Facts {
  readonly method: Method;
  readonly value: bigint;
  readonly limit: bigint;
  readonly index: number;
  readonly counts: Partial<Record<CountName, number>>;
  readonly reason: DataPathReason | undefined;
  /** Name of the argument at fault. If the caller gives it, it overrides {@link CauseText.argument}. */
  readonly argument: string | undefined;
}

/** What can be counted, in the order of messages. `kind`: the native module's number; undefined for elements. */
const countNames: readonly (readonly [
  name: CountName,
  one: string,
  many: string,
  kind: ResourceKind | undefined,
])[] = [
  ['contexts', 'context', 'contexts', ResourceKind.Context],
  ['domains', 'protection domain', 'protection domains', ResourceKind.Pd],
  ['queuePairs', 'queue pair', 'queue pairs', ResourceKind.Qp],
  ['completionQueues', 'completion queue', 'completion queues', ResourceKind.Cq],
  ['sharedReceiveQueues', 'shared receive queue', 'shared receive queues', ResourceKind.Srq],
  ['addressHandles', 'address handle', 'address handles', ResourceKind.Ah],
  ['regions', 'region', 'regions', ResourceKind.Mr],
  ['windows', 'memory window', 'memory windows', ResourceKind.Mw],
  ['mappings', 'DMA mapping', 'DMA mappings', ResourceKind.Dma],
  ['elements', 'element', 'elements', undefined],
];

// Loops use indexes: a program may have replaced the array iterator with one that never ends.

/** Returns the name in {@link ErrorDetail.counts} of a kind of objects ({@link ResourceKind}); undefined if it has none. */
export function countNameOf(kind: number): CountName | undefined {
  let i = 0;
  while (countNames[i] && countNames[i]?.[3] !== kind) i++;
  return countNames[i]?.[0];
}

/** `'1 region'`, `'2 regions'`. */
export function count(number: number | bigint, name: CountName): string {
  let i = 0;
  while (countNames[i] && countNames[i]?.[0] !== name) i++;
  return `${number} ${countNames[i]?.[BigInt(number) === 1n ? 1 : 2] ?? name}`;
}

/** Joins the counts that are not 0 and a verb: `'1 queue pair and 2 regions are'`. */
export function countsAre(
  { counts }: Facts,
  are: readonly [one: string, many: string] = ['is', 'are'],
): string {
  let text = '';
  let total = 0;
  // Builds the text from the end, so that the last separator becomes 'and'.
  for (let i = countNames.length - 1, parts = 0; i >= 0; i--) {
    const name = countNames[i]?.[0] ?? 'elements';
    const number = counts[name] ?? 0;
    if (number === 0) continue;
    total += number;
    text = `${count(number, name)}${parts === 0 ? '' : parts === 1 ? ' and ' : ', '}${text}`;
    parts++;
  }
  return `${text || 'something'} ${are[total <= 1 ? 0 : 1]}`;
}

export const pages = (number: bigint): string => `${number} ${number === 1n ? 'page' : 'pages'}`;

/** `'RemoteRead and RemoteWrite'`; unnamed bits as a hex number, `'local reading'` for 0. */
export function rights(mask: bigint, and: string): string {
  return joinRights(Number(mask), ` ${and} `, 'local reading');
}

const typeNames: Record<number, string> = {
  [MrTypeNumber.MemReg]: 'MEM_REG',
  [MrTypeNumber.SgGaps]: 'SG_GAPS',
  [MrTypeNumber.Dm]: 'DM',
  [MrTypeNumber.User]: 'USER',
  [MrTypeNumber.Dma]: 'DMA',
  [MrTypeNumber.Integrity]: 'INTEGRITY',
};
export function mrTypeName(type: bigint): string {
  return typeNames[Number(type)] ?? String(type);
}

/** Returns the name of a method's list argument. */
export function listOf(method: Method): string {
  if (method === 'ProtectionDomain.deregMany') return 'regions';
  if (method === 'new SgeState') return 'sges';
  if (method === 'FastMemoryRegion.mapPhys') return 'pageList';
  return 'list';
}
/** Returns the argument pattern of one element of that list; `#` stands for the index. */
export const listed = ({ method }: Facts): string => `${listOf(method)}[#]`;
/** As {@link listed}, for causes that methods without a list can have too. */
export function listedIfMany(facts: Facts): string | undefined {
  if (manyMethods.has(facts.method)) return listed(facts);
  return facts.method === 'QueuePair.fastRegMr' ? 'region' : inWr(facts, 'mr');
}
const manyMethods: ReadonlySet<Method> = new Set<Method>([
  'ProtectionDomain.deregMany',
  'FastMemoryRegion.unmap',
  'new SgeState',
]);
/** Returns ` (list[1])` for methods that take a list, and nothing for methods of a single object. */
export function whichListed({ method, index, argument }: Facts): string {
  if (postMethods.has(method)) return argument === undefined ? '' : ` (${argument})`;
  return manyMethods.has(method) ? ` (${listOf(method)}[${index}])` : '';
}

/** Methods that post a list of work requests. */
const postMethods: ReadonlySet<Method> = new Set<Method>([
  'QueuePair.postSend',
  'QueuePair.postRecv',
  'SharedReceiveQueue.postRecv',
  'SendQueue.post',
  'RecvQueue.post',
  'RecvQueue.post (SharedReceiveQueue)',
]);
/** Methods that write a single work request to a packed queue. */
const fillMethods: ReadonlySet<Method> = new Set<Method>([
  'SendQueue.fill',
  'RecvQueue.fill',
  'RecvQueue.fill (SharedReceiveQueue)',
]);
/** Methods that post one work request and return a promise, by the name of their argument for SGEs. */
const promiseMethods: Readonly<Partial<Record<Method, 'sges' | 'sge'>>> = {
  'QueuePair.write': 'sges',
  'QueuePair.read': 'sges',
  'QueuePair.send': 'sges',
  'QueuePair.recv': 'sges',
  'QueuePair.fetchAdd': 'sge',
  'QueuePair.compareSwap': 'sge',
};
/**
 * Returns the argument pattern of a property of the work request at fault.
 *
 * @param property - the property; by default the whole work request
 * @returns undefined for a method that does not post, and for an argument that the method does not have
 */
export function inWr({ method }: Facts, property?: string): string | undefined {
  if (postMethods.has(method)) return property === undefined ? 'wrs[#]' : `wrs[#].${property}`;
  if (fillMethods.has(method)) return property === undefined ? 'wr' : `wr.${property}`;
  if (!property?.startsWith('sges')) return undefined;
  return promiseMethods[method] === 'sges' ? property : promiseMethods[method];
}
/** Returns `wrs[1]`, or `the work request` for methods that post a single one. */
export const wr = ({ method, index }: Facts): string =>
  postMethods.has(method) ? `wrs[${index}]` : 'the work request';
/** Tells which work requests of a list were posted before the one that failed. Follows the text of any cause. */
export function postedBefore({ method, index }: Facts): string {
  if (!postMethods.has(method) || index === 0) return '';
  return index === 1 ? '; wrs[0] was posted' : `; wrs[0] to wrs[${index - 1}] were posted`;
}
/** Returns the option that set the number of work requests in the queue that the method posts to. */
export function queueOption(method: Method): string {
  if (isShared(method)) return 'maxWr';
  const option = takesReceives(method) ? 'maxRecvWr' : 'maxSendWr';
  return method in promiseMethods ? `${option} or maxPending` : option;
}
/** Returns the option that set the number of SGEs in a work request of that queue. */
export function sgeOption(method: Method): string {
  if (isShared(method)) return 'maxSge';
  return takesReceives(method) ? 'maxRecvSge' : 'maxSendSge';
}
/** Returns whether the method posts to a shared receive queue. */
const isShared = (method: Method): boolean =>
  method === 'SharedReceiveQueue.postRecv' || method.endsWith(' (SharedReceiveQueue)');
/** Returns whether the method posts to the receive queue of a queue pair. */
export const takesReceives = (method: Method): boolean =>
  method === 'QueuePair.postRecv' ||
  method === 'QueuePair.recv' ||
  method === 'RecvQueue.fill' ||
  method === 'RecvQueue.post';

/** Returns the name of the argument that asked for too many bytes. */
export function lengthArgument({ method }: Facts): string {
  if (method === 'SgeState.copyIn' || method === 'Sge.copyFrom') return 'source';
  if (method === 'SgeState.copyOut' || method === 'Sge.copyTo') return 'target';
  return method === 'SgeState.walk' ? 'steps' : 'length';
}

export const byOwn = (what: string) => (): string => what;

/** Why the bytes of an element cannot be accessed, by the reason of the refusal. Completes a sentence after "because". */
export const unusable: Readonly<Record<DataPathReason, string>> = {
  AccessDenied: 'the check that accepted the element did not cover this use',
  MemoryDetached: 'the registered buffer was transferred or replaced',
  MemoryShrunk: 'the registered buffer was shrunk and no longer holds all registered bytes',
  Remapped: 'the region was mapped again or unmapped after the element was accepted',
  RegionRevoked: 'the region was released by force, or its domain or device was closed',
  OtherEnvironment: 'only the thread that registered the bytes can access them',
  WindowEnded: 'the memory window or lease that the element was accepted through was unbound or ended',
  LeaseExpired: 'the lease that the element was accepted through has expired',
};
