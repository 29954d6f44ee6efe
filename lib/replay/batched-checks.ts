/** Playing access checks many at once, through the batches of the native module, to the answers of single ones. */
import { COALESCE, HeaderWord, newBatchBlock, type BatchBlock } from '../verbs/batch-block';
import { BATCH_COALESCED, ENOMEM } from '../internal/layout';
import {
  native,
  type NativeBatch,
  type NativeProtectionDomain,
  type NativeQueuePair,
} from '../internal/native';
import { errnoName, field, location, SKIPPED } from './answers';
import { firstRun, lastOf, requestOf, type Check, type Run } from './check-runs';
import type { Answer, Operation, SgeAnswer } from './operations';
import type { Session } from './session';
import { TraceError } from './trace-error';

/** The most checks that are kept back; and of one batch. */
const MOST_CHECKS = 256;

const ACCEPTED = 0;
const COALESCED = BATCH_COALESCED;

/** The element that the next check may continue, with what it holds now. */
interface ChainEnd {
  readonly id: string;
  /** Its place in the run; -1: the seed. */
  readonly index: number;
  sgeLength: number;
}

/**
 * Checks of one session, kept back until they are played together.
 *
 * Whether a check may share a call with those before it depends on their verdicts, since it names the element to continue. So
 * a run is played on the guess that it may ({@link firstRun}); what the verdicts then show to have been judged beside the wrong
 * element is put back as if it had never been, and judged again.
 */
export class BatchedChecks {
  readonly #session: Session;
  readonly #block: BatchBlock = newBatchBlock(MOST_CHECKS, true);
  readonly #batches = new Map<NativeProtectionDomain | NativeQueuePair, NativeBatch>();
  #kept: Check[] = [];
  readonly #keptIds = new Set<string>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** False: the operation is no check, or {@link play} must be called before it. */
  keep(op: Operation): boolean {
    if (op.op !== 'lkey_ok' && op.op !== 'rkey_ok') return false;
    // An id that is used twice is for the player to refuse, at its line.
    if (this.#kept.length === MOST_CHECKS || this.#keptIds.has(op.id) || !this.#session.isFresh(op.id)) {
      return false;
    }
    this.#kept.push(op);
    this.#keptIds.add(op.id);
    return true;
  }

  /**
   * The answers to what was kept, in order.
   *
   * @throws TraceError if memory cannot be had, at the check that it was for.
   */
  *play(): Generator<Answer, void> {
    const checks = this.#kept;
    this.#kept = [];
    this.#keptIds.clear();
    let most = MOST_CHECKS;
    for (let at = 0; at < checks.length;) {
      const run = firstRun(this.#session, checks.slice(at, at + most));
      if (run === undefined) {
        yield SKIPPED;
        at++;
        continue;
      }
      const { answers, sound } = this.#playRun(run);
      yield* answers;
      at += answers.length;
      most = sound > answers.length ? sound - answers.length : MOST_CHECKS;
    }
  }

  /**
   * Answers from the run's first check on; and how many of its checks are known to have been judged rightly. The last
   * accepted one of those may have been continued by one that was not, so it and what follows is left to be played again.
   */
  #playRun(run: Run): { answers: Answer[]; sound: number } {
    const batch = this.#acquire(run);
    const { verdicts } = this.#block;
    const answers: Answer[] = [];
    let end: ChainEnd | undefined = run.seed && { ...run.seed, index: -1 };
    for (const [i, check] of run.checks.entries()) {
      if (run.coalesce && lastOf(check) !== (end?.id ?? null)) {
        const whole = end === undefined || end.index < 0 ? i : end.index;
        this.#bind(batch, run, whole);
        return { answers: answers.slice(0, whole), sound: i };
      }
      const verdict = verdicts[i];
      if (verdict === ACCEPTED) {
        end = { id: check.id, index: i, sgeLength: requestOf(check).length };
        answers.push({ ret: 1, sge: this.#sgeAnswer(i, end.sgeLength) });
      } else if (verdict === COALESCED) {
        if (end === undefined) throw new Error('a check was coalesced with nothing');
        end.sgeLength += requestOf(check).length;
        answers.push({ ret: 0, sge: this.#sgeAnswer(i, end.sgeLength) });
      } else {
        answers.push(check.op === 'lkey_ok' ? { err: 'EINVAL' } : { ret: 0 });
      }
    }
    this.#bind(batch, run, run.checks.length);
    return { answers, sound: answers.length };
  }

  /** Judges the run's checks and holds what they accept. */
  #acquire({ checks, checker, acc, coalesce, seed }: Run): NativeBatch {
    const { header, longs, words } = this.#block;
    for (const [i, check] of checks.entries()) {
      const { address, length, key } = requestOf(check);
      longs[i * 2] = address;
      words[i * 4 + 2] = length;
      words[i * 4 + 3] = key;
    }
    header[HeaderWord.Count] = checks.length;
    header[HeaderWord.Access] = acc;
    header[HeaderWord.Flags] = coalesce ? COALESCE : 0;
    const batch = this.#batchOf(checker);
    if (seed === undefined) batch.acquire();
    else batch.acquire(seed.native);
    this.#expectSuccess((header[HeaderWord.Status] ?? 0) | 0);
    return batch;
  }

  /** One for each domain and queue pair; all use the same block, one after the other. */
  #batchOf(checker: NativeProtectionDomain | NativeQueuePair): NativeBatch {
    const known = this.#batches.get(checker);
    if (known !== undefined) return known;
    const batch = native.createBatch(checker, this.#block.bytes, MOST_CHECKS, true);
    if (typeof batch === 'number') {
      this.#expectSuccess(batch);
      throw new Error('there is no batch');
    }
    this.#batches.set(checker, batch);
    return batch;
  }

  #expectSuccess(status: number): void {
    if (status === -ENOMEM) throw new TraceError('a batch: memory cannot be had');
    if (status !== 0) throw new Error(`a batch answered ${errnoName(status)}`);
  }

  /** Hands the first `count` elements over to the session and puts the others. */
  #bind(batch: NativeBatch, { checks }: Run, count: number): void {
    for (const [i, { id }] of checks.slice(0, count).entries()) {
      const sge = batch.take(i);
      if (sge !== undefined) this.#session.bindSge(id, sge);
    }
    this.#block.header[HeaderWord.Count] = checks.length;
    batch.release();
  }

  /** From the columns and not from the element, which the checks after it may have grown. */
  #sgeAnswer(index: number, sgeLength: number): SgeAnswer {
    const { regions, positions, lengths, ms, ns } = this.#block;
    const region = this.#session.regionOf(regions[index] ?? 0);
    return {
      mr: region.name,
      at: location(field(positions, index), region.user),
      length: lengths[index] ?? 0,
      sge_length: sgeLength,
      m: ms[index] ?? 0,
      n: ns[index] ?? 0,
    };
  }
}
