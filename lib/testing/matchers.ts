/** The matchers, as plain functions that every test runner with Jest's `expect.extend` calls. */
import {
  checkReasons,
  CompletionError,
  completionReasons,
  dataPathReasons,
  Device,
  RdmaError,
  wcStatusNames,
} from '../index';
import { leftOver, type LeftOverOptions, listOf } from './left-over';
import { type MatcherResult, type RefusalName } from './matcher-types';

/** What a check, a completion or an error says. */
interface Outcome {
  ok: boolean;
  /** The names of why it was refused: the reason, and the status of a completion. */
  names: string[];
  /** Whether it is the completion of a work request, not an access. */
  isRequest: boolean;
  explanation: string;
}

/** Properties that a value may have. */
interface Shape {
  ok?: unknown;
  reason?: unknown;
  status?: unknown;
  explain?: unknown;
}

const reasonsOfAccess: readonly string[] = [...checkReasons, ...dataPathReasons];
const reasonsOfRequest: readonly string[] = [
  ...reasonsOfAccess,
  ...completionReasons,
  ...wcStatusNames.filter((name) => name !== 'SUCCESS'),
];

function outcomeOf(received: unknown): Outcome {
  if (received instanceof CompletionError) return outcomeOf(received.completion);
  if (received instanceof RdmaError && received.reason !== undefined) {
    return {
      ok: false,
      names: [received.reason],
      isRequest: false,
      explanation: received.message,
    };
  }
  if (received instanceof Promise)
    throw new TypeError('the value is a promise: await it, or use .resolves or .rejects');
  const { ok, reason, status, explain } = Object(received) as Shape;
  if (typeof ok !== 'boolean') {
    throw new TypeError(
      'the value must be the result of a check, a completion, or the error of a refused access or failed work request',
    );
  }
  return {
    ok,
    names: [reason, ...(ok ? [] : [status])].filter((name) => typeof name === 'string'),
    isRequest: status !== undefined,
    explanation: typeof explain === 'function' ? String(Reflect.apply(explain, received, [])) : '',
  };
}

const whatOf = ({ isRequest }: Outcome): string => (isRequest ? 'the work request' : 'the access');
const namesOf = ({ names }: Outcome): string => names.join(', ');
const because = (outcome: Outcome): string =>
  outcome.explanation === '' ? '' : `\n\n${outcome.explanation}`;

/**
 * The matchers for `expect.extend`; see {@link RdmavtMatchers}.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 * import { matchers } from 'rdmavt/testing';
 *
 * // In a test: expect.extend(matchers); then expect(check).toBeRefused('OutOfBounds');
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(new Uint8Array(64));
 * const check = pd.check({ addr: mr.start, length: 65, lkey: mr.lkey }, 0);
 * console.log(matchers.toBeRefused(check, 'OutOfBounds').pass); // true
 * console.log(matchers.toBeAccepted(check).pass); // false
 * ```
 */
export const matchers = {
  toBeAccepted(received: unknown): MatcherResult {
    const outcome = outcomeOf(received);
    return {
      pass: outcome.ok,
      message: () =>
        outcome.ok
          ? `expected ${whatOf(outcome)} not to be accepted, but it was`
          : `expected ${whatOf(outcome)} to be accepted, but it was refused: ${namesOf(outcome)}${because(outcome)}`,
    };
  },

  toBeRefused(received: unknown, why?: RefusalName): MatcherResult {
    // With a name that nothing has, .not would always pass.
    if (why !== undefined && typeof why !== 'string') throw new TypeError('the reason must be a string');
    const outcome = outcomeOf(received);
    const known = outcome.isRequest ? reasonsOfRequest : reasonsOfAccess;
    if (why !== undefined && !known.includes(why)) {
      throw new TypeError(`'${why}' is not a reason of a refusal; the reasons are ${known.join(', ')}`);
    }
    const pass = !outcome.ok && (why === undefined || outcome.names.includes(why));
    const wanted = why === undefined ? '' : `: ${why}`;
    return {
      pass,
      message: () => {
        if (pass) return `expected ${whatOf(outcome)} not to be refused${wanted}${because(outcome)}`;
        return outcome.ok
          ? `expected ${whatOf(outcome)} to be refused${wanted}, but it was accepted`
          : `expected ${whatOf(outcome)} to be refused${wanted}, but the reason was ${namesOf(outcome)}${because(outcome)}`;
      },
    };
  },

  toHaveNoLeaks(received: unknown, options: LeftOverOptions = {}): MatcherResult {
    if (!(received instanceof Device)) throw new TypeError('the value must be a Device');
    const left = leftOver(received, options);
    return {
      pass: left.length === 0,
      message: () =>
        left.length === 0
          ? 'expected something to be left on the device, but nothing is'
          : `expected nothing to be left on the device, but there is:\n${listOf(left)}`,
    };
  },
};
