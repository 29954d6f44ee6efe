/**
 * Acquires, describes and puts elements. Each accepted element is stored in a cell of native memory and identified by the cell's
 * number and the element's generation.
 *
 * A cell belongs to a {@link Holder}. When a holder is garbage-collected, the native module puts the element in its cell.
 * Registering a holder for that costs more than a check, so holders are reused: `put` keeps the holder for the next element.
 */
import { u32 } from './arguments';
import { readAnswer, storeLong, UNANSWERED, words } from './command';
import { explainedError } from './errors';
import { ownList, PlainNumbers } from './intrinsics';
import { BATCH_COALESCED, CommandWord, EINVAL, ElementNameWord } from './layout';
import { native } from './native';

const { acquireOne, bindCell, describeSge, putOne } = native;

/** A cell, and the generation of the element in it. */
export class Holder {
  readonly cell: number = bindCell(this);
  generation = 0;

  /** @throws RdmaError `ENOMEM`: no memory for another cell */
  constructor() {
    if (this.cell === 0) throw explainedError('new Sge', 'ENOMEM', 'NoMemory');
  }
}

// Holders of empty cells, used as a stack.
const idle = ownList<Holder | undefined>();
let idleCount = 0;

/** Keep at most this many idle holders (7 MiB of cells). */
const MOST_IDLE = 2 ** 16;

/** Returns a holder whose cell is empty. */
export function takeHolder(): Holder {
  if (idleCount === 0) return new Holder();
  const holder = idle[--idleCount];
  idle[idleCount] = undefined; // the idle list must not keep a holder in use alive
  return holder ?? new Holder();
}

/** Takes back a holder whose cell is empty. If enough holders are idle, leaves this one to the garbage collector. */
export function giveHolder(holder: Holder): void {
  if (idleCount < MOST_IDLE) idle[idleCount++] = holder;
}

/**
 * Takes back a holder that a call did not fill.
 *
 * @param answer - answer of the call. -EINVAL means that the cell is not empty because a forged holder uses the same cell; this
 *   holder must then not be reused
 */
export function giveUnused(holder: Holder, answer: number): void {
  if (answer !== -EINVAL) giveHolder(holder);
}

/**
 * Stores the arguments of a check in the command block.
 *
 * @param checker - number of the domain or queue pair
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function storeAccess(
  checker: number,
  address: unknown,
  addressName: string,
  length: unknown,
  lengthName: string,
  key: unknown,
  keyName: string,
  access: unknown,
): void {
  storeLong(CommandWord.Address, address, addressName);
  // Inlined because these tests are a large part of the cost of a check; arguments.ts is called only to throw.
  if (typeof length !== 'number' || length >>> 0 !== length) u32(length, lengthName);
  if (typeof key !== 'number' || key >>> 0 !== key) u32(key, keyName);
  if (typeof access !== 'number' || access >>> 0 !== access) u32(access, 'access');
  words[CommandWord.Length] = length as number;
  words[CommandWord.Key] = key as number;
  words[CommandWord.Access] = access as number;
  words[CommandWord.Checker] = checker;
  words[CommandWord.Answer] = UNANSWERED;
}

/**
 * Runs the check that {@link storeAccess} stored, and takes a reference.
 *
 * @param holder - has an empty cell; receives the element if the answer is 0
 * @param last - holder of the element that the new access may be coalesced into; ignored if that element was put
 * @returns 0 if accepted, `BATCH_COALESCED`, a reason, or a negative errno
 */
export function acquireElement(holder: Holder, last: Holder | undefined): number {
  words[CommandWord.Cell] = holder.cell;
  words[CommandWord.LastCell] = last === undefined ? 0 : last.cell;
  words[CommandWord.LastGeneration] = last === undefined ? 0 : last.generation;
  acquireOne();
  // No function call here or below: a stack overflow after the native call would lose the element that it accepted.
  const answer = (words[CommandWord.Answer] ?? UNANSWERED) | 0;
  if (answer === 0) holder.generation = words[CommandWord.CellGeneration] ?? 0;
  return answer;
}

/** Returns whether the access was coalesced into the last element, by the answer of {@link acquireElement}. */
export function isCoalesced(answer: number): boolean {
  return answer === BATCH_COALESCED;
}

/** Stores the cell and generation of the element in the command block, for the next call. */
export function storeElement(holder: Holder): void {
  words[CommandWord.Cell] = holder.cell;
  words[CommandWord.CellGeneration] = holder.generation;
  words[CommandWord.Answer] = UNANSWERED;
}

/**
 * Reads an element's {@link SgeField}s, for `fieldNumber` and `fieldLong`. Returns 0, or -EBADF if a walk has put the element.
 */
export function describeElement(holder: Holder): number {
  storeElement(holder);
  describeSge();
  return readAnswer();
}

/** Puts an element and empties its cell. Returns 0, or -EBADF if a walk had already put the element. */
export function putElement(holder: Holder): number {
  storeElement(holder);
  putOne();
  return (words[CommandWord.Answer] ?? UNANSWERED) | 0;
}

/** Encodes a list of elements for {@link NativeModule.createSgeState}. */
export function elementNames(holders: readonly Holder[]): Uint32Array {
  const count = holders.length;
  const names = new PlainNumbers(count * ElementNameWord.Words);
  for (let i = 0; i < count; i++) {
    const holder = holders[i];
    names[i * ElementNameWord.Words + ElementNameWord.Cell] = holder?.cell ?? 0;
    names[i * ElementNameWord.Words + ElementNameWord.Generation] = holder?.generation ?? 0;
  }
  return names;
}
