/** Words that the texts of causes are made of. */
import { joinRights } from './right-names';
import { type CountName } from './error-detail';
import { MrTypeNumber } from './layout';
import { type Method } from './methods';
import { type DataPathReason } from './reasons';

/** What is known of a failure when its text is made. Numbers of the native module as they come. */
export interface Facts {
  readonly method: Method;
  readonly value: bigint;
  readonly limit: bigint;
  readonly index: number;
  readonly counts: Partial<Record<CountName, number>>;
  readonly reason: DataPathReason | undefined;
  /** The argument that is to blame, where the caller knows it better than the cause. */
  readonly argument: string | undefined;
}

const countNames: readonly (readonly [name: CountName, one: string, many: string])[] = [
  ['contexts', 'context', 'contexts'],
  ['domains', 'protection domain', 'protection domains'],
  ['queuePairs', 'queue pair', 'queue pairs'],
  ['regions', 'region', 'regions'],
  ['mappings', 'DMA mapping', 'DMA mappings'],
  ['elements', 'element', 'elements'],
];

// No loop here asks an iterator, which a program may have replaced by one that never ends.

/** `'1 region'`, `'2 regions'`. */
export function count(number: number | bigint, name: CountName): string {
  let i = 0;
  while (countNames[i] && countNames[i]?.[0] !== name) i++;
  return `${number} ${countNames[i]?.[BigInt(number) === 1n ? 1 : 2] ?? name}`;
}

/** `'2 regions and 1 queue pair are'`. */
export function countsAre(
  { counts }: Facts,
  are: readonly [one: string, many: string] = ['is', 'are'],
): string {
  let text = '';
  let total = 0;
  // From the last one to the first: then it is known what stands before what.
  for (let i = countNames.length - 1, parts = 0; i >= 0; i--) {
    const name = countNames[i]?.[0] ?? 'elements';
    const number = counts[name] ?? 0;
    if (number === 0) continue;
    total += number;
    text = `${count(number, name)}${parts === 0 ? '' : parts === 1 ? ' and ' : ', '}${text}`;
    parts++;
  }
  return `${text || 'something'} ${are[total === 1 ? 0 : 1]}`;
}

export const pages = (number: bigint): string => `${number} ${number === 1n ? 'page' : 'pages'}`;

/** `'RemoteRead and RemoteWrite'`; bits without a name as a number. */
export function rights(mask: bigint, and: string): string {
  return joinRights(Number(mask), ` ${and} `, 'reading');
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

/** The list that a method is given. */
export function listOf(method: Method): string {
  if (method === 'ProtectionDomain.deregMany') return 'regions';
  if (method === 'new SgeState') return 'sges';
  if (method === 'FastMemoryRegion.mapPhys') return 'pageList';
  return 'list';
}
/** The element of it. */
export const listed = (method: Method): string => `${listOf(method)}[#]`;
/** The same for a cause that comes from single objects, too. */
export const listedIfMany = (method: Method): string | undefined =>
  manyMethods.has(method) ? listed(method) : method === 'QueuePair.fastRegMr' ? 'region' : undefined;
const manyMethods: ReadonlySet<Method> = new Set<Method>([
  'ProtectionDomain.deregMany',
  'FastMemoryRegion.unmap',
  'new SgeState',
]);
/** ` (list[1])`, where a cause comes from single objects, too. */
export function whichListed({ method, index }: Facts): string {
  return manyMethods.has(method) ? ` (${listOf(method)}[${index}])` : '';
}

/** The argument whose bytes were too many. */
export function lengthArgument(method: Method): string {
  if (method === 'SgeState.copyIn' || method === 'Sge.copyFrom') return 'source';
  if (method === 'SgeState.copyOut' || method === 'Sge.copyTo') return 'target';
  return method === 'SgeState.walk' ? 'steps' : 'length';
}

export const byOwn = (what: string) => (): string => what;

/** Why bytes cannot be used, by the reason of the refusal. */
export const unusable: Readonly<Record<DataPathReason, string>> = {
  AccessDenied: 'the element was not proven for this use',
  MemoryDetached: 'the registered buffer was transferred or replaced',
  MemoryShrunk: 'the registered buffer does not hold all registered bytes any more',
  Remapped: 'the region was mapped or unmapped since the element was accepted',
  RegionRevoked: 'the region was ended by force, or with its domain or device',
  OtherEnvironment: 'only the thread that has registered the bytes can use them',
};
