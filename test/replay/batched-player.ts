// Plays traces with their access checks in batches, next to a player that performs each check alone.
import {
  native,
  type NativeBatch,
  type NativeProtectionDomain,
  type NativeQueuePair,
} from '../../lib/internal/native';
import { readAnswer, words as command } from '../../lib/internal/command';
import { type Holder, takeHolder } from '../../lib/internal/element';
import {
  BATCH_COALESCED,
  CommandWord,
  HeaderFlag,
  HeaderWord,
  SEGSZ,
  SgeField,
} from '../../lib/internal/layout';
import { type Answer, fieldOf, locationOf, type SgeAnswer } from '../../lib/replay/answers';
import { TracePlayer } from '../../lib/replay/player';
import type { Session } from '../../lib/replay/session';
import type { Id, Operation, OperationOf } from '../../lib/replay/trace-format';
import { newBatchBlock } from '../../lib/verbs/batch-block';

/** The maximum number of checks in a batch. */
export const MOST_CHECKS = 256;

const ACCEPTED = 0;

type Check = OperationOf<'lkey_ok'> | OperationOf<'rkey_ok'>;
type Checker = NativeProtectionDomain | NativeQueuePair;

/** A check, and the answer of the player that performed it alone. */
interface KnownCheck {
  readonly check: Check;
  readonly alone: Answer;
}

/** The checks of one batch. With `coalesce`, each check may continue the element accepted last, or else the seed. */
interface Run {
  readonly checks: readonly KnownCheck[];
  readonly coalesce: boolean;
  readonly seed: Id | null;
}

/** The two answers to an operation; the batched answer is the one under test. */
export interface Answers {
  readonly batched: Answer;
  readonly alone: Answer;
}

/**
 * Plays each operation on two players. The single player answers first: a check names the element that it may continue, so the
 * verdicts determine where a batch must end. The batches compute their verdicts independently; only their boundaries come from
 * the single player.
 */
export class BatchedPlayer {
  readonly #single = new TracePlayer();
  readonly #batched = new TracePlayer();
  readonly #block = newBatchBlock(MOST_CHECKS, true, false);
  readonly #batches = new Map<Checker, NativeBatch>();
  #waiting: KnownCheck[] = [];
  /** The number of checks of each batch that was played. */
  readonly runs: number[] = [];

  /**
   * Plays operations, and collects consecutive checks as long as one batch may hold them.
   *
   * @throws TraceError like TracePlayer.play, after the answers to the preceding operations
   */
  *play(operations: Iterable<Operation>): Generator<Answers, void> {
    for (const op of operations) {
      if (this.#collect(op)) continue;
      yield* this.#playWaiting();
      if (this.#collect(op)) continue;
      const alone = this.#single.play(op);
      if (op.op === 'init' || op.op === 'exit') this.#batches.clear();
      yield { batched: this.#batched.play(op), alone };
    }
    yield* this.#playWaiting();
  }

  close(): void {
    this.#single.close();
    this.#batched.close();
  }

  /**
   * Adds an operation to the current batch. Returns false if the operation is not a check of an open session, if it ends the
   * player, or if the batch is full.
   */
  #collect(op: Operation): boolean {
    if (op.op !== 'lkey_ok' && op.op !== 'rkey_ok') return false;
    if (this.#waiting.length === MOST_CHECKS || this.#single.session === undefined) return false;
    try {
      this.#waiting.push({ check: op, alone: this.#single.play(op) });
    } catch {
      return false;
    }
    return true;
  }

  *#playWaiting(): Generator<Answers, void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let at = 0; at < waiting.length;) {
      const run = firstRun(waiting.slice(at));
      const answers = run ? this.#playRun(run) : [this.#batched.play(waiting[at]!.check)];
      for (const batched of answers) yield { batched, alone: waiting[at++]!.alone };
    }
  }

  #playRun({ checks, coalesce, seed }: Run): Answer[] {
    const session = this.#batched.session!;
    const { header, longs, words, verdicts } = this.#block;
    for (const [i, { check }] of checks.entries()) {
      const { address, length, key } = requestOf(check);
      longs[i * 2] = address;
      words[i * 4 + 2] = length;
      words[i * 4 + 3] = key;
    }
    header[HeaderWord.Count] = checks.length;
    header[HeaderWord.Access] = checks[0]!.check.acc;
    header[HeaderWord.Flags] = coalesce ? HeaderFlag.Coalesce : 0;
    const batch = this.#batchOf(checkerOf(session, checks[0]!.check));
    let endLength = 0;
    const element = seed === null ? undefined : session.sge(seed)!;
    if (element !== undefined) {
      endLength = Number(fieldOf(session.describeSge(element)!, SgeField.SgeLength));
      command[CommandWord.LastCell] = element.cell;
      command[CommandWord.LastGeneration] = element.generation;
    }
    batch.acquire(element !== undefined);
    expect(header[HeaderWord.Status]).toBe(0);

    const answers = checks.map(({ check }, i): Answer => {
      const { length } = requestOf(check);
      if (verdicts[i] === ACCEPTED) {
        endLength = length;
        session.bind(check.id, 'sge', take(batch, i));
        return { ret: 1, sge: this.#sgeAt(session, i, endLength) };
      }
      if (verdicts[i] === BATCH_COALESCED) {
        endLength += length;
        return { ret: 0, sge: this.#sgeAt(session, i, endLength) };
      }
      return check.op === 'lkey_ok' ? { err: 'EINVAL' } : { ret: 0 };
    });
    batch.put();
    this.runs.push(checks.length);
    return answers;
  }

  /** Returns the batch of a domain or queue pair. All batches use the same block, one after the other. */
  #batchOf(checker: Checker): NativeBatch {
    let batch = this.#batches.get(checker);
    if (batch === undefined) {
      batch = native.createBatch(checker, this.#block.bytes, MOST_CHECKS, true, false) as NativeBatch;
      this.#batches.set(checker, batch);
    }
    return batch;
  }

  /** Builds the answer from the columns, not from the element, which later checks of the run may have extended. */
  #sgeAt(session: Session, index: number, sgeLength: number): SgeAnswer {
    const { regions, positions, lengths, segments } = this.#block;
    const segment = segments[index]!;
    const region = session.regionOf(regions[index]!);
    return {
      mr: region.name,
      at: locationOf(positions[index]!, region.user),
      length: lengths[index]!,
      sge_length: sgeLength,
      m: Math.floor(segment / SEGSZ),
      n: segment % SEGSZ,
    };
  }
}

/** Takes the element that the batch holds at `index` into a cell of its own. */
function take(batch: NativeBatch, index: number): Holder {
  const holder = takeHolder();
  command[CommandWord.Cell] = holder.cell;
  batch.take(index);
  expect(readAnswer()).toBe(0);
  holder.generation = command[CommandWord.CellGeneration]!;
  return holder;
}

/**
 * Returns the run that starts with the first check, or `undefined` if that check names an object that does not exist. A run ends
 * where the domain, the queue pair or the access changes. In a run that coalesces, each check but the first must name the element
 * accepted last, or the seed until an element is accepted. In other runs, no check may name an element.
 */
function firstRun(checks: readonly KnownCheck[]): Run | undefined {
  const first = checks[0]!.check;
  const alike = leading(checks, ({ check, alone }) => !('skipped' in alone) && isAlike(check, first));
  if (alike.length === 0) return undefined;
  const lasts = alike.map(({ check }) => lastOf(check));

  const seed = lasts[0] ?? null;
  if (seed === null && lasts[1] !== first.id) {
    // A check that the next check names must start a run that coalesces.
    const plain = leading(alike, ({ check }, i) => lasts[i] === null && lasts[i + 1] !== check.id);
    return { checks: plain, coalesce: false, seed };
  }
  let end: Id | null = seed;
  const chain = leading(alike, ({ check, alone }, i) => {
    if (i > 0 && lasts[i] !== end) return false;
    if ('ret' in alone && alone.ret === 1) end = check.id;
    return true;
  });
  return { checks: chain, coalesce: true, seed };
}

function isAlike(check: Check, first: Check): boolean {
  if (check.acc !== first.acc) return false;
  return check.op === 'lkey_ok'
    ? first.op === 'lkey_ok' && check.pd === first.pd
    : first.op === 'rkey_ok' && check.qp === first.qp;
}

/** Returns the element that the check may continue, or null. */
function lastOf(check: Check): Id | null {
  return check.op === 'lkey_ok' ? check.last : null;
}

function requestOf(check: Check): { address: bigint; length: number; key: number } {
  return check.op === 'lkey_ok'
    ? { address: BigInt(check.sge.addr), length: check.sge.length, key: Number(check.sge.lkey) }
    : { address: BigInt(check.vaddr), length: check.len, key: Number(check.rkey) };
}

function checkerOf(session: Session, check: Check): Checker {
  return (check.op === 'lkey_ok' ? session.pd(check.pd) : session.qp(check.qp))!;
}

/** Returns the elements before the first one that does not fit. */
function leading<T>(list: readonly T[], fits: (element: T, index: number) => boolean): readonly T[] {
  const count = list.findIndex((element, i) => !fits(element, i));
  return count < 0 ? list : list.slice(0, count);
}
