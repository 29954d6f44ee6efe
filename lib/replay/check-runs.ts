/** Which checks of a trace may be judged in one call. */
import { SgeField } from '../internal/layout';
import { type NativeProtectionDomain, type NativeQueuePair, type NativeSge } from '../internal/native';
import { field } from './answers';
import type { OperationOf } from './operations';
import type { Session } from './session';

/** An operation that a batch can play. */
export type Check = OperationOf<'lkey_ok'> | OperationOf<'rkey_ok'>;

/** An element from before the run. */
export interface Seed {
  readonly id: string;
  readonly native: NativeSge;
  /** Both as they are before the run. */
  readonly request: bigint;
  readonly sgeLength: number;
}

/** Checks for one call. */
export interface Run {
  readonly checks: readonly Check[];
  readonly checker: NativeProtectionDomain | NativeQueuePair;
  readonly acc: number;
  /** Each check may continue the element accepted last, or else the seed. */
  readonly coalesce: boolean;
  readonly seed?: Seed;
}

/** What the check may continue; null: nothing. */
export function lastOf(check: Check): string | null {
  return check.op === 'lkey_ok' ? check.last : null;
}

/** What the check asks for. */
export function requestOf(check: Check): { address: bigint; length: number; key: number } {
  return check.op === 'lkey_ok'
    ? { address: BigInt(check.sge.addr), length: check.sge.length, key: Number(check.sge.lkey) }
    : { address: BigInt(check.vaddr), length: check.len, key: Number(check.rkey) };
}

/**
 * The run that the first of `checks` begins; `undefined` if that one names what is not there.
 *
 * It ends where domain, queue pair or access change. Without a `last` in it, it coalesces nothing. Else each check names what
 * may be the element accepted last. Whether it is takes verdicts to know, so that is a guess, and a wrong one must leave no
 * trace: see {@link chained}.
 */
export function firstRun(session: Session, checks: readonly Check[]): Run | undefined {
  const [first] = checks;
  if (first === undefined) return undefined;
  const checker = checkerOf(session, first);
  if (checker === undefined) return undefined;
  const { acc } = first;
  const alike = leading(checks, (check) => isAlike(check, first));

  const last = lastOf(first);
  if (last !== null) {
    const seed = seedOf(session, last);
    return seed && { checks: chained(alike, seed), checker, acc, coalesce: true, seed };
  }
  if (alike[1] !== undefined && lastOf(alike[1]) === first.id) {
    return { checks: chained(alike), checker, acc, coalesce: true };
  }
  const alone = leading(alike, (check, i) => {
    const next = alike[i + 1];
    // One that begins a chain is left to it.
    return lastOf(check) === null && (next === undefined || lastOf(next) !== check.id);
  });
  return { checks: alone, checker, acc, coalesce: false };
}

/**
 * The checks that may be a chain, each naming the seed or an element of the run.
 *
 * Elements of the run can be put back if one of them was grown by a check that named another. The seed cannot. So those that
 * name it come first, and of the others none may begin where the seed could end by then: only what does can grow it.
 */
function chained(checks: readonly Check[], seed?: Seed): readonly Check[] {
  const inRun = new Set<string>();
  const ends = new Set<bigint>(seed && [end(seed.request, seed.sgeLength)]);
  let seedIsNamed = true;
  return leading(checks, (check, i) => {
    const last = lastOf(check);
    const { address, length } = requestOf(check);
    if (i > 0 || seed !== undefined) {
      if (last === null) return false;
      if (last === seed?.id) {
        if (!seedIsNamed) return false;
        ends.add(end(address, length));
      } else {
        if (!inRun.has(last) || ends.has(address)) return false;
        seedIsNamed = false;
      }
    }
    inRun.add(check.id);
    return true;
  });
}

function checkerOf(session: Session, check: Check): NativeProtectionDomain | NativeQueuePair | undefined {
  return check.op === 'lkey_ok' ? session.pd(check.pd) : session.qp(check.qp);
}

function seedOf(session: Session, id: string): Seed | undefined {
  const sge = session.sge(id);
  if (sge === undefined) return undefined;
  const fields = session.describeSge(sge);
  if (fields === undefined) throw new Error('an element that is bound is dead');
  const request = field(fields, SgeField.Request);
  return { id, native: sge, request, sgeLength: Number(field(fields, SgeField.SgeLength)) };
}

function isAlike(check: Check, first: Check): boolean {
  if (check.acc !== first.acc) return false;
  return check.op === 'lkey_ok'
    ? first.op === 'lkey_ok' && check.pd === first.pd
    : first.op === 'rkey_ok' && check.qp === first.qp;
}

/** Where so many bytes end; addresses have 64 bits. */
function end(address: bigint, length: number): bigint {
  return BigInt.asUintN(64, address + BigInt(length));
}

/** The elements up to the first one that does not fit. */
function leading<T>(list: readonly T[], fits: (element: T, index: number) => boolean): readonly T[] {
  const count = list.findIndex((element, i) => !fits(element, i));
  return count < 0 ? list : list.slice(0, count);
}
