import { boolean, illegalConstructor, u32 } from '../internal/arguments';
import { UNANSWERED, words } from '../internal/command';
import { construction } from '../internal/construction';
import { dispose } from '../internal/disposal';
import { Errno, rdmaError, throwOnError } from '../internal/errors';
import { Fifo } from '../internal/fifo';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { mapOf, ownList, PlainNumbers } from '../internal/intrinsics';
import { CommandWord, CqAttrWord, NotifyFlag, VerbsEvent, WcWord } from '../internal/layout';
import { type NativeCompletionQueue } from '../internal/native';
import { optionsOf } from '../internal/options';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { Completion } from './completion';
import { CompletionRing, moveOutOfRing } from './completion-ring';
import {
  beginWait,
  collectEvents,
  dropEntry,
  endWait,
  holdEntry,
  refWait,
  soon,
  unrefWait,
  watchEvents,
} from './event-dispatch';
import { type RingReader } from './ring-reader';
import { listenersChanged, VerbsEmitter } from './verbs-emitter';
import { type Entry, type VerbsHome } from './verbs-registry';

/** Options of {@link Device.createCq}. */
export interface CreateCqOptions {
  /** The completion vector, 0..2^32-1: accepted but ignored, as in the kernel. Default 0. */
  compVector?: number;
  /**
   * Keep the completions in shared memory, so that {@link CompletionQueue.poll} reads them without a native call, and without
   * objects by {@link CompletionQueue.ring}. Such a queue cannot be resized. Default false.
   */
  ring?: boolean;
}

/** A completion queue that was created with `ring: true`. */
export type RingCompletionQueue = CompletionQueue & { readonly ring: CompletionRing };

/** Options of {@link CompletionQueue.arm}. */
export interface ArmOptions {
  /** Only for completions of solicited messages and for failed ones. Default false: for the next completion. */
  solicited?: boolean;
}

/** The events of a {@link CompletionQueue}. */
export interface CompletionQueueEvents {
  /** The queue was armed, and a completion came that it was armed for. */
  completion: [];
  /** A completion was lost because the queue was full. The queue is broken for good: every later completion is lost too. */
  cqError: [];
}

/** Returned by {@link CompletionQueue.toJSON}. */
export interface ShownCompletionQueue extends Shown {
  class: 'CompletionQueue';
  id: number;
  /** As {@link CompletionQueue.cqe}; this and the next two are absent if the queue is destroyed. */
  cqe?: number;
  held?: number;
  broken?: boolean;
  state: 'Open' | 'Closed';
}

/** Receives one completion, or undefined: it will never come. Must not run code of the program; may post work requests. */
export type Settle = (wc: Completion | undefined) => void;

/**
 * Lets the completion of one work request go to `settle` instead of {@link CompletionQueue.poll}. Keeps the process alive until then
 * ({@link CompletionQueue.unref}). May be called before or after the work request is posted.
 *
 * `settle` is called with undefined when the completion will never come: the queue is destroyed, closed or broken, or
 * {@link dropExpectations} was called. If the queue is destroyed already, it is called at once.
 */
export let expectCompletion: (cq: CompletionQueue, qpId: number, wrId: bigint, settle: Settle) => void;

/**
 * Settles the expectations of a queue pair whose completions will not come: it was destroyed, or a reset has dropped its work
 * requests. Completions that the queue holds already are settled first, as usual.
 *
 * @param wrId - only this work request; undefined: all of the queue pair
 */
export let dropExpectations: (cq: CompletionQueue, qpId: number, wrId?: bigint) => void;

/**
 * Lets an expectation no longer keep the process alive, because its promise is already settled. The completion still goes to
 * `settle`, not to {@link CompletionQueue.poll}.
 */
export let muteExpectation: (cq: CompletionQueue, qpId: number, wrId: bigint) => void;

/** Returns the native object of a completion queue; undefined for any other value. */
export let nativeCqOf: (value: unknown) => NativeCompletionQueue | undefined;

let describeCompletionQueue: (object: CompletionQueue) => ShownCompletionQueue;

/** Completions that one native call takes at most. */
const CHUNK = 64;
const halfOf = (room: number): number => (room > 2 ? room >>> 1 : 1);
/** Most calls of the drain inside one another. */
const MOST_NESTED = 16;
/** Receives the completions of a native call. */
const wcs = new PlainNumbers(CHUNK * WcWord.Count);
/** Receives the attributes of a queue. */
const attributes = new PlainNumbers(CqAttrWord.Words);

const enum Armed {
  Not,
  Solicited,
  Next,
}

/** A `next()` of an iteration. */
interface Waiting {
  readonly iteration: object;
  readonly settle: Settle;
}

/**
 * A completion queue (`struct rvt_cq`): the queue pairs that use it report here the results of their work requests.
 *
 * Created by {@link Device.createCq}. It holds exactly {@link CompletionQueue.cqe} completions. A completion that finds it full is
 * lost and breaks the queue for good: make it large enough for all work requests that can be outstanding.
 *
 * A program reads completions with {@link CompletionQueue.poll}, or with `for await`. To learn when to poll, it arms the queue
 * ({@link CompletionQueue.arm}) and listens to `'completion'`. Handlers run from the event loop, never inside a call. The process
 * stays alive while an iteration waits, or while the queue is armed and has a listener of `'completion'`; see
 * {@link CompletionQueue.unref}.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 *
 * const device = new Device();
 * const cq = device.createCq(128);
 * cq.on('cqError', () => console.log('a completion was lost'));
 * console.log(cq.cqe, cq.length, cq.isBroken); // 128 0 false
 * console.log(cq.poll()); // []
 * cq.destroy();
 * ```
 */
export class CompletionQueue extends VerbsEmitter<CompletionQueueEvents> {
  readonly #native: NativeCompletionQueue;
  readonly #pollOne: () => void;
  readonly #home: VerbsHome;
  readonly #id: number;
  readonly #entry: Entry;
  #cqe: number;
  /** Reads the completions from shared memory; undefined if the queue has no ring. */
  readonly #reader: RingReader | undefined;
  readonly #ring: CompletionRing | undefined;
  /** Completions that were taken from the native queue while promises or iterations waited. `poll` returns them first. */
  readonly #kept = new Fifo<Completion>();
  /** The functions that receive expected completions: by queue pair, then by wr_id. */
  readonly #expected = new Map<number, Map<bigint, Settle>>();
  #expectedCount = 0;
  /** The expectation that is being added. It is not in `#expected` yet, because most completions have arrived already. */
  #newest: Settle | undefined;
  #newestQp = 0;
  #newestWrId = 0n;
  /** How many expectations were muted. */
  #mutedCount = 0;
  /** When so many completions are expected, those that came are taken: a call that posts must not fill the queue for others. */
  #drainAt: number;
  /** Completions that a native call has taken and that were not delivered yet, in order. */
  readonly #taken = new Fifo<Completion>();
  #drainDepth = 0;
  /** Iterations that wait for a completion, in order. */
  readonly #waiting = new Fifo<Waiting>();
  /** What the program has armed the queue for, as far as events have been noted. */
  #armed = Armed.Not;
  /** Whether this object has armed the native queue for promises and iterations, as far as events have been noted. */
  #ownArmed = false;
  /** How many `'completion'` events are due to the program. */
  #due = 0;
  /** How many events were noted while promises or iterations waited: the next drain decides whether to emit `'completion'`. */
  #undecided = 0;
  #isTurnPlanned = false;
  #listeners = 0;
  #isReferenced = true;
  #isEnded = false;
  // What #update has last told the dispatcher of events.
  #isHeld = false;
  #isAwaited = false;
  #keepsAlive = false;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(
    token: typeof construction,
    native: NativeCompletionQueue,
    home: VerbsHome,
    cqe: number,
    reader?: RingReader,
  ) {
    if (token !== construction) throw illegalConstructor();
    super();
    this.#native = native;
    this.#pollOne = native.poller();
    this.#home = home;
    this.#cqe = cqe;
    this.#reader = reader;
    this.#ring = reader && this.#newRing(reader);
    this.#drainAt = halfOf(cqe);
    this.#id = throwOnError('Device.createCq', native.serial());
    this.#entry = {
      object: this,
      isLive: () => native.serial() >= 0,
      noteEvent: (event) => {
        this.#note(event);
      },
      deliverEvent: (event) => {
        this.#deliver(event);
      },
      sweep: () => {
        this.#sweep();
      },
    };
    home.registry.register('cq', this.#id, this.#entry);
    watchEvents(home);
    markUncloneable(this);
  }

  /** Unique on the device and never reused; see {@link Device.resources}. */
  get id(): number {
    return this.#id;
  }

  /**
   * How many completions the queue can hold.
   *
   * @throws RdmaError `EBADF`: the queue is destroyed
   */
  get cqe(): number {
    throwOnError('CompletionQueue.cqe', this.#native.query(attributes));
    return attributes[CqAttrWord.Cqe] ?? 0;
  }

  /**
   * How many completions the queue holds.
   *
   * @throws RdmaError `EBADF`: the queue is destroyed
   */
  get length(): number {
    const reader = this.#reader;
    // Makes no native call if the queue has a ring, because a program may read the length in a loop.
    if (reader === undefined || reader.isEnded)
      throwOnError('CompletionQueue.length', this.#native.query(attributes));
    return (reader?.length ?? attributes[CqAttrWord.Held] ?? 0) + this.#kept.length;
  }

  /** The cursor over the completions of a queue that was created with `ring: true`; undefined for any other queue. */
  get ring(): CompletionRing | undefined {
    return this.#ring;
  }

  /**
   * Whether a completion found the queue full. Every later completion is lost; what the queue holds can still be polled.
   *
   * @throws RdmaError `EBADF`: the queue is destroyed
   */
  get isBroken(): boolean {
    throwOnError('CompletionQueue.isBroken', this.#native.query(attributes));
    return attributes[CqAttrWord.Broken] === 1;
  }

  /**
   * Takes completions, oldest first.
   *
   * Kernel: `rvt_poll_cq`.
   *
   * @param max - how many at most, 0..2^32-1
   * @returns the completions; fewer than `max` if the queue held no more
   * @throws RdmaError `EBADF`: the queue is destroyed; `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  poll(max = 16): Completion[] {
    const most = u32(max, 'max');
    let found: Completion[];
    if (this.#expectedCount > 0 || this.#kept.length > 0) this.#pollShared(most, (found = []));
    else if (this.#reader !== undefined) this.#pollRing(this.#reader, most, (found = []));
    else found = this.#pollQueue(most);
    if (this.#isWanted && !this.#ownArmed) this.#planTurn(); // what was kept may have stopped the drain
    return found;
  }

  /**
   * Arms the queue: the next completion, or the next solicited or failed one, is reported once by the event `'completion'`.
   * Completions that the queue holds already are not reported, so poll again after arming if the answer is true. Arming for the
   * next completion includes solicited ones, and stays until it is used up.
   *
   * While promises or iterations wait on the same queue, an arming for solicited completions may be reported for a receive that
   * was not solicited.
   *
   * Kernel: `rvt_req_notify_cq`.
   *
   * @returns whether the queue holds completions already (IB_CQ_REPORT_MISSED_EVENTS)
   * @throws RdmaError `EBADF`: the queue is destroyed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  arm(options: ArmOptions = {}): boolean {
    const self = this.#native;
    const { solicited: given = false } = optionsOf<ArmOptions>(options, ['solicited']);
    const solicited = boolean(given, 'options.solicited');
    // An arming that was used up is not known here before its event is noted.
    if (this.#armed !== Armed.Not || this.#ownArmed) collectEvents(this.#home);
    const flags = (solicited ? NotifyFlag.Solicited : NotifyFlag.Next) | NotifyFlag.ReportMissed;
    const missed = throwOnError('CompletionQueue.arm', this.#armNative(self, flags));
    if (this.#armed !== Armed.Next) this.#armed = solicited ? Armed.Solicited : Armed.Next;
    this.#update();
    return missed === 1 || this.#kept.length > 0;
  }

  /**
   * Ends an arming for solicited completions. As in the kernel, an arming for the next completion stays.
   *
   * Kernel: `rvt_req_notify_cq` without flags.
   *
   * @throws RdmaError `EBADF`: the queue is destroyed
   */
  disarm(): void {
    const self = this.#native;
    if (this.#armed !== Armed.Not || this.#ownArmed) collectEvents(this.#home);
    throwOnError('CompletionQueue.disarm', this.#armNative(self, 0));
    if (this.#armed === Armed.Solicited) this.#armed = Armed.Not;
    this.#update();
  }

  /**
   * Changes how many completions the queue can hold. Its completions and its arming stay; a broken queue stays broken. A queue with
   * a ring cannot be resized.
   *
   * Kernel: `rvt_resize_cq`.
   *
   * @param cqe - 1 to the device's `maxCqe`, not below the number of completions held
   * @throws RdmaError `EINVAL`; `ENOMEM`; `EBADF`: the queue is destroyed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  resize(cqe: number): void {
    const size = u32(cqe, 'cqe');
    throwOnError('CompletionQueue.resize', this.#native.resize(size));
    this.#cqe = size;
    this.#drainAt = 0;
  }

  /**
   * Lets a waiting iteration, a pending promise, and a listener of an armed queue keep the process alive. This is the default.
   *
   * @returns this queue
   */
  ref(): this {
    this.#isReferenced = true;
    this.#update();
    return this;
  }

  /**
   * Lets nothing that waits on this queue keep the process alive.
   *
   * @returns this queue
   */
  unref(): this {
    this.#isReferenced = false;
    this.#update();
    return this;
  }

  /**
   * Iterates over the completions as they come. Waits when the queue is empty. The iteration ends when the queue is destroyed or
   * its device is closed; leaving the loop ends it and loses no completion. Each completion goes to one iteration only.
   *
   * @returns the iteration
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Completion> {
    this.#native.serial(); // throws for objects of other classes
    let isOver = false;
    const over = (): IteratorResult<Completion> => ({ done: true, value: undefined });
    const iteration: AsyncIterableIterator<Completion> = {
      next: () =>
        new Promise((resolve) => {
          if (isOver) {
            resolve(over());
            return;
          }
          this.#wait(iteration, (wc) => {
            if (wc === undefined) isOver = true;
            resolve(wc === undefined ? over() : { done: false, value: wc });
          });
        }),
      return: () => {
        isOver = true;
        this.#stopWaiting(iteration);
        return Promise.resolve(over());
      },
      [Symbol.asyncIterator]: () => iteration,
    };
    return iteration;
  }

  /** Returns a one-line description of the queue. Never throws. */
  override toString(): string {
    return textOf('CompletionQueue', this, describeCompletionQueue);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownCompletionQueue {
    return jsonOf('CompletionQueue', this, describeCompletionQueue);
  }

  /**
   * Destroys the queue with the completions that it holds. A second call after success is a no-op.
   *
   * Kernel: `rvt_destroy_cq`.
   *
   * @throws RdmaError `EBUSY`: queue pairs use the queue
   */
  destroy(): void {
    const status = this.#native.destroy();
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('CompletionQueue.destroy', status);
    this.#endQuietly();
  }

  /** Destroys the queue, unless queue pairs use it. Never throws. */
  [dispose](): void {
    const status = this.#native.destroy();
    if (status === 0 || status === -Errno.EBADF) this.#endQuietly();
  }

  #endQuietly(): void {
    try {
      this.#end();
    } catch {
      // The stack limit was reached, but the queue is destroyed. A later sweep ends what waits for it.
    }
  }

  /** @internal */
  protected override [listenersChanged](): void {
    this.#listeners = this.listenerCount('completion');
    this.#update();
  }

  /** Polls a queue without a ring, when no completion is expected and none was kept. */
  #pollQueue(most: number): Completion[] {
    const registry = this.#home.registry;
    let found: Completion[] = [];
    if (most > 0) {
      // Most polls find one completion or none. This call has no arguments, and says whether the queue holds more.
      words[CommandWord.Answer] = UNANSWERED;
      this.#pollOne();
      const count = throwOnError('CompletionQueue.poll', words[CommandWord.Answer] | 0);
      if (count === 0) return found;
      const left = words[CommandWord.Operand];
      found = [new Completion(construction, registry, words, CommandWord.Fields)];
      if (left === 0 || most === 1) return found;
    }
    // Makes at least one call, because it fails if the queue is destroyed.
    for (;;) {
      const wanted = most - found.length < CHUNK ? most - found.length : CHUNK;
      const count = throwOnError('CompletionQueue.poll', this.#native.poll(wcs, wanted));
      for (let i = 0; i < count; i++) {
        found[found.length] = new Completion(construction, registry, wcs, i * WcWord.Count);
      }
      if (count < wanted || found.length === most) return found;
    }
  }

  /** As {@link CompletionQueue.#pollQueue}, for a queue with a ring. */
  #pollRing(reader: RingReader, most: number, found: Completion[]): void {
    const registry = this.#home.registry;
    throwOnError('CompletionQueue.poll', this.#prepareRing(reader));
    for (let count = 0; count < most; count++) {
      const at = reader.advance();
      if (at < 0) break;
      found[found.length] = new Completion(construction, registry, reader.words, at);
    }
    reader.release();
  }

  /** Polls a queue while promises expect completions, or completions were kept. */
  #pollShared(most: number, found: Completion[]): void {
    // Makes at least one call, because it fails if the queue is destroyed.
    for (;;) {
      // Kept completions are older than those of the native queue. Settling a completion may keep more.
      for (let wc; found.length < most && (wc = this.#kept.shift()) !== undefined;) found[found.length] = wc;
      const wanted = most - found.length < CHUNK ? most - found.length : CHUNK;
      const batch = ownList<Completion>();
      const count = throwOnError('CompletionQueue.poll', this.#take(wanted, batch));
      for (let i = 0; i < count; i++) {
        const wc = batch[i];
        if (wc !== undefined && !this.#settle(wc)) found[found.length] = wc;
      }
      if (count < wanted || found.length === most) break;
    }
    this.#update();
  }

  /**
   * Takes completions from the native queue or the ring. Takes all of them before any is settled: settling one may post work
   * requests, and these may overwrite the places of the completions.
   *
   * @param wanted - how many at most, not above {@link CHUNK}
   * @param batch - receives the completions
   * @returns how many, or `-EBADF`
   */
  #take(wanted: number, batch: Completion[]): number {
    const registry = this.#home.registry;
    const reader = this.#reader;
    if (reader === undefined) {
      const count = this.#native.poll(wcs, wanted);
      for (let i = 0; i < count; i++) {
        batch[i] = new Completion(construction, registry, wcs, i * WcWord.Count);
      }
      return count;
    }
    const status = this.#prepareRing(reader);
    let count = 0;
    for (let at; status === 0 && count < wanted && (at = reader.advance()) >= 0; count++) {
      batch[count] = new Completion(construction, registry, reader.words, at);
    }
    reader.release();
    return status === 0 ? count : status;
  }

  /** Must be called before completions are taken from the ring. Returns `-EBADF` if the queue is destroyed, else 0. */
  #prepareRing(reader: RingReader): number {
    if (this.#ring !== undefined) moveOutOfRing(this.#ring);
    return reader.isEnded ? this.#native.poll(wcs, 0) : 0;
  }

  /** Arms the native queue. The completion at which a cursor stands must not count as one that the queue holds. */
  #armNative(self: NativeCompletionQueue, flags: number): number {
    if (this.#ring !== undefined) moveOutOfRing(this.#ring);
    return self.arm(flags);
  }

  #newRing(reader: RingReader): CompletionRing {
    return new CompletionRing(construction, reader, {
      isShared: () => this.#expectedCount > 0 || this.#kept.length > 0,
      shiftKept: () => this.#kept.shift(),
      keptLength: () => this.#kept.length,
      completionAt: (at) => new Completion(construction, this.#home.registry, reader.words, at),
      settle: (wc) => this.#settle(wc),
      noteTaken: () => {
        if (this.#isWanted && !this.#ownArmed) this.#planTurn();
        this.#update();
      },
      refuseIfEnded: (method) => throwOnError(method, this.#native.poll(wcs, 0)),
      isOpen: () => this.#native.query(attributes) === 0,
    });
  }

  /** Whether promises or iterations wait for completions. */
  get #isWanted(): boolean {
    return this.#expectedCount > 0 || this.#waiting.length > 0;
  }

  /** Gives a completion to the function that expects it. Returns false if none does. */
  #settle(wc: Completion): boolean {
    if (this.#expectedCount === 0) return false;
    const newest = this.#newest;
    if (newest !== undefined && wc.qpId === this.#newestQp && wc.wrId === this.#newestWrId) {
      this.#newest = undefined;
      this.#expectedCount--;
      newest(wc);
      return true;
    }
    const ofQp = mapOf.get(this.#expected, wc.qpId);
    if (ofQp === undefined) return false;
    const wrId = BigInt(wc.wrId);
    const settle = mapOf.get(ofQp, wrId);
    if (settle === undefined) return false;
    this.#forget(wc.qpId, ofQp, wrId);
    settle(wc);
    return true;
  }

  #forget(qpId: number, ofQp: Map<bigint, Settle>, wrId: bigint): void {
    mapOf.delete(ofQp, wrId);
    this.#expectedCount--;
    if (ofQp.size === 0) mapOf.delete(this.#expected, qpId);
  }

  get #isNewestLeft(): boolean {
    return this.#newest !== undefined;
  }

  #expect(qpId: number, wrId: bigint, settle: Settle): void {
    if (this.#isEnded) {
      settle(undefined);
      return;
    }
    this.#expectedCount++;
    // The work request may have completed in the call that posted it. Its event must be noted while the completion is expected.
    if (this.#armed !== Armed.Not || this.#ownArmed) collectEvents(this.#home);
    if (this.#expectedCount === 1 && this.#isQuiet && this.#settleAtOnce(qpId, wrId, settle)) return;
    if (this.#drainDepth === 0) {
      this.#newest = settle;
      this.#newestQp = qpId;
      this.#newestWrId = wrId;
      this.#makeRoom();
      if (!this.#isNewestLeft) {
        this.#update();
        return;
      }
      this.#newest = undefined;
    }
    let ofQp = mapOf.get(this.#expected, qpId);
    if (ofQp === undefined) mapOf.set(this.#expected, qpId, (ofQp = new Map<bigint, Settle>()));
    mapOf.set(ofQp, wrId, settle);
    this.#armOwn();
    if (this.#drainDepth > 0 && this.#expectedCount >= this.#drainAt) this.#makeRoom();
    this.#update();
  }

  /**
   * Takes the completions that came, so that a program may post many operations in one synchronous job: with the default engine,
   * each completes inside the call that posts it.
   */
  /** Whether nothing but the newest expectation has to be considered when a completion is taken. */
  get #isQuiet(): boolean {
    return (
      this.#reader === undefined &&
      this.#drainDepth === 0 &&
      this.#armed === Armed.Not &&
      !this.#ownArmed &&
      this.#due === 0 &&
      this.#undecided === 0 &&
      this.#kept.length === 0 &&
      this.#waiting.length === 0
    );
  }

  /**
   * Settles the only expectation if its completion is the only one that the queue holds: with the default engine, most work requests
   * have completed in the call that posted them. Returns false if the caller must do the rest; a completion that was taken is then
   * in #taken.
   */
  #settleAtOnce(qpId: number, wrId: bigint, settle: Settle): boolean {
    words[CommandWord.Answer] = UNANSWERED;
    this.#pollOne();
    if ((words[CommandWord.Answer] | 0) !== 1) return false;
    const isAlone = words[CommandWord.Operand] === 0;
    const wc = new Completion(construction, this.#home.registry, words, CommandWord.Fields);
    if (!isAlone || wc.qpId !== qpId || wc.wrId !== wrId) {
      this.#taken.append(wc);
      return false;
    }
    this.#expectedCount = 0;
    this.#drainDepth++;
    try {
      settle(wc); // may post operations that wait
    } finally {
      this.#drainDepth--;
    }
    if (this.#isWanted) this.#makeRoom();
    this.#update();
    return true;
  }

  #makeRoom(): void {
    // A settled operation posts those that wait, which may lead here again: at most once for each queue of operations.
    if (this.#drainDepth >= MOST_NESTED) return;
    this.#drain(this.#cqe);
    if (this.#due > 0) this.#planTurn(); // not inside the call of the program
    this.#drainAt = this.#expectedCount + halfOf(this.#cqe - this.#expectedCount);
  }

  #mute(qpId: number, wrId: bigint): void {
    const ofQp = mapOf.get(this.#expected, qpId);
    const settle = ofQp && mapOf.get(ofQp, wrId);
    if (ofQp === undefined || settle === undefined) return;
    this.#mutedCount++;
    mapOf.set(ofQp, wrId, (wc) => {
      this.#mutedCount--;
      settle(wc);
    });
    this.#update();
  }

  /** Arms the queue for promises. If completions are there already, plans a turn that takes them. */
  #armOwn(): void {
    if (this.#ownArmed || this.#isTurnPlanned) return;
    const answer = this.#armNative(this.#native, NotifyFlag.Next | NotifyFlag.ReportMissed);
    if (answer === 0) this.#ownArmed = true;
    else this.#planTurn();
  }

  #drop(qpId: number, wrId?: bigint): void {
    if (!mapOf.get(this.#expected, qpId)) return;
    this.#drain(Infinity);
    const ofQp = mapOf.get(this.#expected, qpId);
    if (ofQp !== undefined) {
      const lost = ownList<Settle>();
      mapOf.forEach(ofQp, (settle, id) => {
        if (wrId !== undefined && id !== wrId) return;
        lost[lost.length] = settle;
        this.#forget(qpId, ofQp, id);
      });
      for (let i = 0; i < lost.length; i++) lost[i]?.(undefined);
    }
    this.#update();
    if (this.#due > 0) this.#planTurn();
  }

  #wait(iteration: object, settle: Settle): void {
    if (this.#isEnded) {
      settle(undefined);
      return;
    }
    this.#waiting.append({ iteration, settle });
    this.#feed();
    if (this.#waiting.length > 0) this.#drain(this.#cqe);
    this.#update();
    if (this.#due > 0) this.#planTurn(); // not inside the call of the program
  }

  #stopWaiting(iteration: object): void {
    const stopped = this.#waiting.remove((one) => one.iteration === iteration);
    for (let one; (one = stopped.shift()) !== undefined;) one.settle(undefined);
    this.#update();
  }

  /** Gives completions that were kept to the iterations that wait, in order. */
  #feed(): void {
    while (this.#waiting.length > 0) {
      const wc = this.#kept.shift();
      if (wc === undefined) return;
      this.#waiting.shift()?.settle(wc);
    }
  }

  /**
   * Takes completions for promises and iterations, keeps the others, and arms the queue if any of them still waits. Counts the
   * `'completion'` event that may be due; the caller must have it emitted.
   *
   * @param most - stop when this many completions are kept, until the program polls: they then take no more memory than the queue
   */
  #drain(most: number): void {
    this.#drainDepth++;
    try {
      this.#drainNested(most);
    } finally {
      this.#drainDepth--;
    }
  }

  #drainNested(most: number): void {
    let isMet = false;
    this.#undecided = 0;
    for (;;) {
      while (this.#kept.length < most) {
        const room = most - this.#kept.length;
        const wanted = room < CHUNK ? room : CHUNK;
        const batch = ownList<Completion>();
        const count = this.#take(wanted, batch);
        if (count === -Errno.EBADF) {
          this.#end();
          return;
        }
        // If settling one of them drains again, the nested drain continues with the rest, in order.
        for (let i = 0; i < count; i++) {
          const wc = batch[i];
          if (wc !== undefined) this.#taken.append(wc);
        }
        for (let wc; (wc = this.#taken.shift()) !== undefined;) {
          if (this.#settle(wc)) continue;
          this.#kept.append(wc);
          isMet ||= this.#isArmedFor(wc);
        }
        this.#feed();
        if (count < wanted) break;
      }
      if (!this.#isWanted || this.#kept.length >= most) break;
      const answer = this.#armNative(this.#native, NotifyFlag.Next | NotifyFlag.ReportMissed);
      this.#ownArmed = answer >= 0;
      if (answer !== 1) break;
    }
    // The event that led here has used up the arming of the native queue, but not that of the program.
    // A nested drain may have counted it.
    if ((isMet && this.#armed !== Armed.Not) || (!this.#isWanted && !this.#ownArmed && this.#rearm())) {
      this.#armed = Armed.Not;
      this.#due++;
    }
  }

  /** Arms the native queue for what the program has armed it for. Returns whether completions came meanwhile. */
  #rearm(): boolean {
    if (this.#armed === Armed.Not) return false;
    const flag = this.#armed === Armed.Next ? NotifyFlag.Next : NotifyFlag.Solicited;
    return this.#armNative(this.#native, flag | NotifyFlag.ReportMissed) === 1;
  }

  /** Returns whether the program has armed the queue for this completion; true if it cannot be told. */
  #isArmedFor(wc: Completion): boolean {
    if (this.#armed !== Armed.Solicited) return this.#armed === Armed.Next;
    return !wc.ok || wc.opcode === 'RECV' || wc.opcode === 'RECV_RDMA_WITH_IMM';
  }

  /** Plans a turn of the event loop that takes completions and emits what is due. */
  #planTurn(): void {
    if (this.#isTurnPlanned) return;
    this.#isTurnPlanned = true;
    soon(() => {
      this.#isTurnPlanned = false;
      if (this.#isWanted) this.#drain(this.#cqe);
      this.#update();
      this.#emitDue();
    });
  }

  #emitDue(): void {
    while (this.#due > 0) {
      this.#due--;
      this.#update();
      this.emit('completion');
    }
  }

  #note(event: VerbsEvent): void {
    if (event !== VerbsEvent.Completion) return;
    const own = this.#ownArmed;
    this.#ownArmed = false;
    if (this.#isWanted) {
      this.#undecided++;
    } else {
      // An event of an arming for promises or iterations, none of which waits any more, is not emitted.
      if (this.#armed !== Armed.Not || !own) this.#due++;
      this.#armed = Armed.Not;
    }
  }

  #deliver(event: VerbsEvent): void {
    if (this.#isEnded) return;
    if (event === VerbsEvent.CqErr) {
      this.#fail();
      this.#emitDue();
      this.emit('cqError');
      return;
    }
    if (this.#undecided > 0) {
      if (this.#isWanted) {
        this.#drain(this.#cqe);
      } else if (this.#armed !== Armed.Not) {
        // The program has polled all completions, also those that promises waited for. It may get one event too many.
        this.#undecided = 0;
        this.#armed = Armed.Not;
        this.#due++;
      }
    }
    this.#update();
    this.#emitDue();
  }

  /** Settles all expectations after a completion was lost: the queue is broken, and no later completion arrives. */
  #fail(): void {
    if (this.#expectedCount === 0) return;
    this.#drain(Infinity);
    this.#settleAll();
    this.#update();
  }

  #settleAll(): void {
    const lost = ownList<Settle>();
    if (this.#newest !== undefined) lost[0] = this.#newest;
    this.#newest = undefined;
    mapOf.forEach(this.#expected, (ofQp, qpId) => {
      mapOf.forEach(ofQp, (settle) => {
        lost[lost.length] = settle;
      });
      mapOf.delete(this.#expected, qpId);
    });
    this.#expectedCount = 0;
    for (let i = 0; i < lost.length; i++) lost[i]?.(undefined);
  }

  #sweep(): void {
    if (this.#native.serial() < 0) {
      this.#end();
      return;
    }
    // The event of the lost completion may have been dropped, because too many events were waiting.
    if (this.#native.query(attributes) === 0 && attributes[CqAttrWord.Broken] === 1) this.#fail();
    const gone = ownList<number>();
    mapOf.forEach(this.#expected, (_, qpId) => {
      if (this.#home.registry.find('qp', qpId)?.isLive() === false) gone[gone.length] = qpId;
    });
    for (let i = 0; i < gone.length; i++) this.#drop(gone[i] ?? 0);
  }

  /** Settles everything that waits, after the queue was destroyed or its device closed. */
  #end(): void {
    this.#isEnded = true;
    this.#kept.clear();
    this.#armed = Armed.Not;
    this.#due = 0;
    this.#settleAll();
    for (let one; (one = this.#waiting.shift()) !== undefined;) one.settle(undefined);
    this.#update();
  }

  /** Tells the dispatcher whether this object must stay reachable, whether something waits for it, and keeps the process alive. */
  #update(): void {
    const isOpen = !this.#isEnded;
    const isListened = this.#listeners > 0 && (this.#armed !== Armed.Not || this.#due > 0);
    const isAwaited = isOpen && (this.#isWanted || isListened);
    const isHeld = isAwaited || (isOpen && (this.#listeners > 0 || this.listenerCount('cqError') > 0));
    const isOnlyMuted = !isListened && this.#waiting.length === 0 && this.#expectedCount === this.#mutedCount;
    const keepsAlive = isAwaited && !isOnlyMuted && this.#isReferenced;
    if (isHeld !== this.#isHeld) {
      this.#isHeld = isHeld;
      if (isHeld) holdEntry(this.#entry);
      else dropEntry(this.#entry);
    }
    if (isAwaited && !this.#isAwaited) beginWait();
    if (keepsAlive !== this.#keepsAlive) {
      this.#keepsAlive = keepsAlive;
      if (keepsAlive) refWait();
      else unrefWait();
    }
    if (!isAwaited && this.#isAwaited) endWait();
    this.#isAwaited = isAwaited;
  }

  static {
    expectCompletion = (cq, qpId, wrId, settle) => {
      cq.#expect(qpId, wrId, settle);
    };
    dropExpectations = (cq, qpId, wrId) => {
      cq.#drop(qpId, wrId);
    };
    muteExpectation = (cq, qpId, wrId) => {
      cq.#mute(qpId, wrId);
    };
    nativeCqOf = (value) =>
      typeof value === 'object' && value !== null && #native in value ? value.#native : undefined;
    describeCompletionQueue = (cq) => {
      const isOpen = cq.#native.query(attributes) === 0;
      return {
        class: 'CompletionQueue',
        id: cq.#id,
        ...(isOpen && {
          cqe: attributes[CqAttrWord.Cqe] ?? 0,
          held: (cq.#reader?.length ?? attributes[CqAttrWord.Held] ?? 0) + cq.#kept.length,
          broken: attributes[CqAttrWord.Broken] === 1,
        }),
        state: isOpen ? 'Open' : 'Closed',
      };
    };
    showAs(CompletionQueue, 'CompletionQueue', (object) =>
      textOf('CompletionQueue', object, describeCompletionQueue),
    );
  }
}
