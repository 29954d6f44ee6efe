/** Native calls on memory windows and leases, which are identified like regions ({@link RegionName}). */
import { fieldNumber, longs, readAnswer, readNumber, UNANSWERED, words } from './command';
import { HIGH, HIGH_HALF, LOW } from './halves';
import { CommandWord, WindowField } from './layout';
import { type NativeProtectionDomain, native, type Status } from './native';
import { type RegionName, storeRegion } from './region-name';

const { allocMw, deallocMw, leaseMr, queryMw } = native;

/** Identifies a window or a lease. */
export interface WindowName {
  /** The native domain object, which keeps `checker` valid and the device open. */
  readonly domain: NativeProtectionDomain;
  /** Number of the domain. */
  readonly checker: number;
  readonly index: number;
  readonly generation: number;
}

/** Reads, from the command block, the name of the window that the last call created. */
export function readNewWindow(domain: NativeProtectionDomain, checker: number): WindowName {
  return {
    domain,
    checker,
    index: words[CommandWord.Region] ?? 0,
    generation: readNumber(CommandWord.RegionGeneration),
  };
}

function storeWindow({ checker, index, generation }: WindowName): void {
  words[CommandWord.Checker] = checker;
  words[CommandWord.Region] = index;
  words[CommandWord.RegionGeneration + LOW] = generation;
  words[CommandWord.RegionGeneration + HIGH] = generation * HIGH_HALF;
  words[CommandWord.Answer] = UNANSWERED;
}

/** Creates a window in the domain with this number. Returns 0, with the window in the command block, or a negative errno. */
export function createWindow(checker: number): Status {
  words[CommandWord.Checker] = checker;
  words[CommandWord.Answer] = UNANSWERED;
  allocMw();
  return words[CommandWord.Answer] | 0;
}

/** Reads a window's {@link WindowField}s, for `fieldNumber` and `fieldLong`. Returns 0, or -EBADF if the window has ended. */
export function queryWindow(name: WindowName): Status {
  storeWindow(name);
  queryMw();
  return readAnswer();
}

/** Ends a window or a lease. Returns 0, or -EBADF if it has ended before. */
export function endWindow(name: WindowName): Status {
  storeWindow(name);
  deallocMw();
  return (words[CommandWord.Answer] ?? UNANSWERED) | 0;
}

/** What a lease grants. */
export interface LeaseTerms {
  /** Remote address of the first byte. */
  readonly vaddr: bigint;
  readonly length: number;
  readonly access: number;
  readonly ms: number;
  /** Number of the only queue pair whose peer may use it; 0: any. */
  readonly qp: number;
}

/** Makes a lease over a part of a region. Returns 0, with the lease in the command block, or a negative errno. */
export function leaseRegion(name: RegionName, { vaddr, length, access, ms, qp }: LeaseTerms): Status {
  storeRegion(name);
  longs[CommandWord.Address / 2] = vaddr;
  longs[CommandWord.Operand / 2] = BigInt(length);
  longs[CommandWord.Compare / 2] = BigInt(ms);
  words[CommandWord.Access] = access;
  words[CommandWord.NewChecker] = qp;
  leaseMr();
  return (words[CommandWord.Answer] ?? UNANSWERED) | 0;
}

/** Reads the key of the window that the last call created. */
export function newWindowKey(): number {
  return fieldNumber(WindowField.Key);
}
