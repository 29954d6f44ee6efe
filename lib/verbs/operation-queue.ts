/**
 * The operations of a queue pair that have promises ({@link QueuePair.write} and others): those whose work requests are posted, and
 * those that wait for room in the queue.
 */
import { abortReason, isAborted, listenForAbort, stopListening } from '../internal/abort-signal';
import { CompletionError } from './completion-error';
import { type Completion, FIRST_OWN_WR_ID } from './completion';
import {
  type CompletionQueue,
  dropExpectations,
  expectCompletion,
  muteExpectation,
} from './completion-queue';
import { Fifo } from '../internal/fifo';
import { explainedError, RdmaError, rdmaError } from '../internal/errors';
import { mapOf, ownList } from '../internal/intrinsics';
import { type Method } from '../internal/methods';
import { type Status } from '../internal/native';
import { clearTimeout, setTimeout } from 'node:timers';
import {
  encodeRequest,
  giveBlock,
  type RequestKind,
  takeBlock,
  type WorkRequestBlock,
} from './work-requests';

/** Delay in milliseconds of the attempts to post waiting work requests while no operation of the queue is posted. */
const RETRY_MS = 5;

const LAST_WR_ID = 2n ** 64n - 1n;
let nextWrId = FIRST_OWN_WR_ID;

/** Returns a wr_id that no other operation of this thread has. */
function newWrId(): bigint {
  const id = nextWrId;
  nextWrId = id === LAST_WR_ID ? FIRST_OWN_WR_ID : id + 1n;
  return id;
}

/** An operation: a work request, and the promise for its completion. */
class Operation {
  /** The encoded work request while the operation waits for room; undefined once it is posted. */
  waiting: WorkRequestBlock | undefined;
  /** Whether its completion has come, or will never come. */
  isOver = false;
  #listener: (() => void) | undefined;
  #settled = false;

  constructor(
    readonly method: Method,
    readonly wrId: bigint,
    readonly signal: AbortSignal | undefined,
    private readonly onDone: (completion: Completion) => void,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Whether the promise is resolved or rejected. The work request may still be in progress. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Rejects the promise when the signal aborts. */
  listen(onAbort: () => void): void {
    const { signal } = this;
    if (signal === undefined) return;
    this.#listener = () => {
      this.reject(abortReason(signal));
      onAbort();
    };
    listenForAbort(signal, this.#listener);
  }

  complete(completion: Completion): void {
    if (!completion.ok) this.reject(new CompletionError(this.method, completion));
    else if (this.#settle()) {
      try {
        this.onDone(completion);
      } catch (error) {
        this.onError(error);
      }
    }
  }

  reject(error: unknown): void {
    if (this.#settle()) this.onError(error);
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    if (this.#listener !== undefined && this.signal !== undefined) stopListening(this.signal, this.#listener);
    return true;
  }
}

/** Returns whether a post failed because the queue has no room now. A queue without any room never has. */
function isFull(error: Error): boolean {
  return error instanceof RdmaError && error.detail?.cause === 'QueueFull' && Number(error.detail.limit) > 0;
}

/** A work request of an operation. Its other properties may come from the program. */
export interface OwnRequest {
  wrId: bigint;
  readonly [property: string]: unknown;
}

/** What an operation queue needs to know about its queue pair. */
export interface OperationOwner {
  /** Where the completions go. */
  readonly cq: CompletionQueue;
  /** Id of the queue pair. */
  readonly id: number;
  /** Posts the work request of a block, which stays as it is: it may be posted again. */
  readonly post: (block: WorkRequestBlock) => Status;
  /** Keeps the queue pair from being garbage-collected while operations are posted, or no longer. */
  readonly hold: (held: boolean) => void;
  /** Creates the error for an operation whose completion never comes. */
  readonly lost: (method: Method) => Error;
}

/** The operations of a send queue or of a receive queue. */
export class OperationQueue {
  readonly #owner: OperationOwner;
  readonly #most: number;
  /** Posted operations by wr_id. */
  readonly #posted = new Map<bigint, Operation>();
  /** Operations that wait, in order. Those without a block have been aborted. */
  readonly #waiting = new Fifo<Operation>();
  /** How many of these were not aborted. */
  #waitingCount = 0;
  #timer: NodeJS.Timeout | undefined;
  #isPumping = false;

  /** @param most - most operations that may wait for room */
  constructor(owner: OperationOwner, most: number) {
    this.#owner = owner;
    this.#most = most;
  }

  /**
   * Posts a work request, now or as soon as the queue has room, and returns a promise for its completion.
   *
   * @param method - the method that the program called
   * @param wr - the work request, whose wr_id this call sets
   * @param kind - what it is
   * @param signal - rejects the promise, and takes back a work request that is not posted yet
   * @param result - returns the value of the promise
   * @throws as {@link encodeRequest}
   */
  run<T>(
    method: Method,
    wr: OwnRequest,
    kind: RequestKind,
    signal: AbortSignal | undefined,
    result: (completion: Completion) => T,
  ): Promise<T> {
    const wrId = newWrId();
    const block = takeBlock();
    try {
      wr.wrId = wrId;
      encodeRequest(block, wr, kind, method);
      return new Promise<T>((resolve, reject) => {
        const operation = new Operation(
          method,
          wrId,
          signal,
          (completion) => {
            resolve(result(completion));
          },
          reject,
        );
        if (signal !== undefined && isAborted(signal)) operation.reject(abortReason(signal));
        else this.#submit(operation, block);
      });
    } finally {
      giveBlock(block);
    }
  }

  /** Posts waiting work requests while the queue has room. */
  pump(): void {
    if (this.#isPumping || this.#waitingCount === 0) return;
    this.#isPumping = true;
    try {
      for (let operation; (operation = this.#waiting.peek()) !== undefined; this.#waiting.shift()) {
        const block = operation.waiting;
        if (block === undefined) continue;
        const status = this.#owner.post(block);
        if (status === 0) {
          this.#forget(operation);
          this.#expect(operation);
        } else {
          const error = rdmaError(operation.method, status);
          if (isFull(error)) break;
          this.#forget(operation);
          operation.reject(error);
        }
      }
    } finally {
      this.#isPumping = false;
    }
    this.#schedule();
  }

  /**
   * Ends the posted operations after the native queue has dropped their work requests: those whose completions are in the
   * completion queue as usual, the others with an error.
   */
  dropped(): void {
    const ids = ownList<bigint>();
    mapOf.forEach(this.#posted, (_, wrId) => {
      ids[ids.length] = wrId;
    });
    for (let i = 0; i < ids.length; i++) {
      const wrId = ids[i];
      if (wrId !== undefined) dropExpectations(this.#owner.cq, this.#owner.id, wrId);
    }
    this.pump();
  }

  #submit(operation: Operation, block: WorkRequestBlock): void {
    const waiting = this.#waitingCount;
    if (waiting === 0) {
      const status = this.#owner.post(block);
      if (status === 0) {
        this.#expect(operation);
        if (operation.signal !== undefined && !operation.settled)
          operation.listen(() => {
            muteExpectation(this.#owner.cq, this.#owner.id, operation.wrId);
          });
        return;
      }
      const error = rdmaError(operation.method, status);
      if (!isFull(error) || this.#most === 0) {
        operation.reject(error);
        return;
      }
    } else if (waiting >= this.#most) {
      operation.reject(
        explainedError(operation.method, 'ENOMEM', 'QueueFull', {
          value: BigInt(waiting),
          limit: BigInt(this.#most),
        }),
      );
      return;
    }
    operation.waiting = block.copy();
    this.#waiting.append(operation);
    this.#waitingCount++;
    operation.listen(() => {
      if (operation.waiting === undefined) muteExpectation(this.#owner.cq, this.#owner.id, operation.wrId);
      else this.#forget(operation);
    });
    this.#schedule();
  }

  /** Takes an operation out of the waiting ones. Its place in the list stays until `pump` passes it. */
  #forget(operation: Operation): void {
    operation.waiting = undefined;
    this.#waitingCount--;
    if (this.#waitingCount === 0) this.#unschedule();
  }

  #expect(operation: Operation): void {
    const { cq, id } = this.#owner;
    let isListed = false;
    expectCompletion(cq, id, operation.wrId, (completion) => {
      operation.isOver = true;
      if (isListed) this.#unlist(operation);
      if (completion === undefined) operation.reject(this.#owner.lost(operation.method));
      else operation.complete(completion);
      if (this.#waitingCount > 0) this.pump();
    });
    // Most operations have completed by now: with the default engine in the call that posted them.
    if (operation.isOver) return;
    isListed = true;
    mapOf.set(this.#posted, operation.wrId, operation);
    if (this.#posted.size === 1) this.#owner.hold(true);
  }

  #unlist(operation: Operation): void {
    mapOf.delete(this.#posted, operation.wrId);
    if (this.#posted.size === 0) this.#owner.hold(false);
  }

  /**
   * Starts the timer that tries to post again. A completion of an operation does so too; but without one the room may have been
   * taken by the program's own work requests, whose completions this object does not see.
   */
  #schedule(): void {
    if (this.#waitingCount === 0 || this.#posted.size > 0) {
      this.#unschedule();
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.pump();
    }, RETRY_MS);
  }

  #unschedule(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
