/** The types of the matchers, for Jest and Vitest. */
import { type CompletionReason, type RefusalReason, type WcStatusName } from '../index';
import { type LeftOverOptions } from './left-over';

/** Why something was refused: the reason of a refusal, or the reason or status of a failed completion. */
export type RefusalName = RefusalReason | CompletionReason | Exclude<WcStatusName, 'SUCCESS'>;

/** What a matcher returns to the test runner. */
export interface MatcherResult {
  pass: boolean;
  message: () => string;
}

/**
 * The matchers as methods of `expect(value)`. With `@types/jest` they are declared as soon as `rdmavt/testing` is imported. For
 * Vitest and `@jest/globals`, extend their interface of matchers by this one, as the guide shows.
 */
export interface RdmavtMatchers<R> {
  /**
   * The value is the result of a check (`pd.check`, `qp.acquire`, ...) that accepted, or a completion with the status `SUCCESS`. If
   * it is not, the message says why, as `explain()` does.
   */
  toBeAccepted(): R;
  /**
   * The value is the result of a check that refused, a completion that failed, or an error that says so: a `CompletionError`, or an
   * `RdmaError` with a reason. With an argument, for this reason or, for a completion, with this status.
   */
  toBeRefused(why?: RefusalName): R;
  /** Nothing is left on the device: see {@link leftOver}. */
  toHaveNoLeaks(options?: LeftOverOptions): R;
}

declare global {
  // Merges with the declarations of `@types/jest` if the program has them, and means nothing otherwise.
  // eslint-disable-next-line @typescript-eslint/no-namespace -- the name that @types/jest uses
  namespace jest {
    // eslint-disable-next-line @typescript-eslint/no-empty-object-type, @typescript-eslint/no-unused-vars -- as in @types/jest
    interface Matchers<R, T = {}> extends RdmavtMatchers<R> {}
  }
}
