/** Helpers that build the message texts in `cause-texts.ts`. */
import { joinRights } from './right-names';
import { type CountName } from './error-detail';
import { MrTypeNumber } from './layout';
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
  /** Name of the argument at fault, if the caller knows it; overrides {@link CauseText.argument}. */
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

// Loops use indexes: a program may have replaced the array iterator with one that never ends.

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
  return `${text || 'something'} ${are[total === 1 ? 0 : 1]}`;
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
export const listed = (method: Method): string => `${listOf(method)}[#]`;
/** As {@link listed}, for causes that methods without a list can have too. */
export const listedIfMany = (method: Method): string | undefined =>
  manyMethods.has(method) ? listed(method) : method === 'QueuePair.fastRegMr' ? 'region' : undefined;
const manyMethods: ReadonlySet<Method> = new Set<Method>([
  'ProtectionDomain.deregMany',
  'FastMemoryRegion.unmap',
  'new SgeState',
]);
/** Returns ` (list[1])` for methods that take a list, and nothing for methods of a single object. */
export function whichListed({ method, index }: Facts): string {
  return manyMethods.has(method) ? ` (${listOf(method)}[${index}])` : '';
}

/** Returns the name of the argument that asked for too many bytes. */
export function lengthArgument(method: Method): string {
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
};
