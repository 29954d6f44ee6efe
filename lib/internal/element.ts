/**
 * Accepted elements, which live in cells of native memory. What is in a cell is named by the cell's number and the
 * generation of the element.
 *
 * A cell belongs to a {@link Holder}. The native module watches holders: when one is collected, the element in its cell is
 * put. That costs more than a check, so holders are used again: an element that was put gives its holder to the next one.
 */
import { u32 } from './arguments';
import { readAnswer, storeLong, UNANSWERED, words } from './command';
import { BATCH_COALESCED, CommandWord, ElementNameWord } from './layout';
import { native } from './native';

const { acquireOne, bindCell, describeSge, putOne } = native;

/** One cell, and what names the element in it. */
export class Holder {
  readonly cell: number = bindCell(this);
  generation = 0;
}

// Those that wait for the next element. By index, and without a prototype: a program can change the methods of arrays, and what
// their prototype does with an index.
const idle = Object.setPrototypeOf([], null) as (Holder | undefined)[];
let idleCount = 0;

/** As many are kept (7 MiB of cells): more than a program holds at once, unless it has held very many. */
const MOST_IDLE = 2 ** 16;

/** A holder whose cell is empty. */
export function takeHolder(): Holder {
  if (idleCount === 0) return new Holder();
  const holder = idle[--idleCount];
  idle[idleCount] = undefined; // else the holder of an element that nobody puts would never be collected
  return holder ?? new Holder();
}

/** The holder's cell is empty (again). One too many goes to the garbage collector. */
export function giveHolder(holder: Holder): void {
  if (idleCount < MOST_IDLE) idle[idleCount++] = holder;
}

/**
 * Stores an access to be judged.
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
  // Tested here and not by arguments.ts, which is called only for what fails: this is a good part of what a check costs.
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
 * Acquires what {@link storeAccess} has stored.
 *
 * @param holder - an empty one, which has the element if the answer is 0
 * @param last - whose element the new one may continue, if it is not put
 * @returns 0: accepted; `BATCH_COALESCED`; a reason; a negative errno
 */
export function acquireElement(holder: Holder, last: Holder | undefined): number {
  words[CommandWord.Cell] = holder.cell;
  words[CommandWord.LastCell] = last === undefined ? 0 : last.cell;
  words[CommandWord.LastGeneration] = last === undefined ? 0 : last.generation;
  acquireOne();
  const answer = readAnswer();
  if (answer === 0) holder.generation = words[CommandWord.CellGeneration] ?? 0;
  return answer;
}

/** Whether an answer of {@link acquireElement} says that the last element has grown. */
export function isCoalesced(answer: number): boolean {
  return answer === BATCH_COALESCED;
}

/** Names an element for the next call. */
export function storeElement(holder: Holder): void {
  words[CommandWord.Cell] = holder.cell;
  words[CommandWord.CellGeneration] = holder.generation;
  words[CommandWord.Answer] = UNANSWERED;
}

/** Tells the fields of an element ({@link SgeField}, by `fieldNumber` and `fieldLong`): 0, or -EBADF once a walk has put it. */
export function describeElement(holder: Holder): number {
  storeElement(holder);
  describeSge();
  return readAnswer();
}

/** Puts an element; its cell is empty from then on. 0, or -EBADF if a walk has put it. */
export function putElement(holder: Holder): number {
  storeElement(holder);
  putOne();
  return readAnswer();
}

/** A list of elements as {@link NativeModule.createSgeState} wants it. */
export function elementNames(holders: readonly Holder[]): Uint32Array {
  const count = holders.length;
  const names = new Uint32Array(count * ElementNameWord.Words);
  for (let i = 0; i < count; i++) {
    const holder = holders[i];
    names[i * ElementNameWord.Words + ElementNameWord.Cell] = holder?.cell ?? 0;
    names[i * ElementNameWord.Words + ElementNameWord.Generation] = holder?.generation ?? 0;
  }
  return names;
}
