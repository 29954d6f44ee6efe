import { invalidType } from '../internal/arguments';
import { type Completion, isCompletion } from './completion';
import { type WcStatusName } from '../internal/verbs-names';

/**
 * Rejects the promise of {@link QueuePair.write}, `read`, `send`, `recv`, `fetchAdd` or `compareSwap` when the work request
 * completes with a status other than `SUCCESS`.
 *
 * The message has the explanation of the completion ({@link Completion.explain}).
 *
 * @example
 * ```ts
 * import { Access, CompletionError, Device } from 'rdmavt';
 *
 * const device = new Device();
 * const pd = device.allocPd();
 * const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(16) });
 * qp.connect(qp, { access: Access.RemoteRead | Access.RemoteWrite });
 * const mr = pd.regUserMr(Buffer.from('hello'), { access: Access.RemoteRead });
 * try {
 *   await qp.write({ addr: mr.start, length: 5, lkey: mr.lkey }, { vaddr: mr.iova, rkey: mr.rkey });
 * } catch (error) {
 *   if (!(error instanceof CompletionError)) throw error;
 *   console.log(error.status, error.reason); // REM_ACCESS_ERR AccessDenied
 * }
 * ```
 */
export class CompletionError extends Error {
  /** Status of the completion. */
  readonly status: WcStatusName;
  /** Why the work request failed, as {@link Completion.reason}. */
  readonly reason: string | undefined;
  /** The completion. */
  readonly completion: Completion;

  /**
   * @param method - the method whose promise is rejected
   * @param completion - the completion of its work request
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  constructor(method: string, completion: Completion) {
    super(messageOf(method, completion));
    this.status = completion.status;
    this.reason = completion.reason;
    this.completion = completion;
  }

  static {
    // On the prototype, like the `name` of the built-in errors.
    Object.defineProperty(this.prototype, 'name', {
      value: 'CompletionError',
      configurable: true,
      writable: true,
    });
  }
}

function messageOf(method: unknown, completion: unknown): string {
  if (typeof method !== 'string') throw invalidType('method', 'of type string', method);
  if (!isCompletion(completion)) throw invalidType('completion', 'an instance of Completion', completion);
  return `${completion.status}: ${method}: ${completion.explain()}`;
}
