import { CounterField, WcStatus } from '../internal/layout';
import { native, type NativeDevice } from '../internal/native';
import { type RefusalReason } from '../internal/reasons';
import { type WcStatusName, wcStatusName } from '../internal/verbs-names';

/** Number of completions by status; contains only statuses that have occurred. */
export interface CompletionCounters extends Partial<Record<WcStatusName, number>> {
  /** Number of completions that were lost because their queue was full. They are not in the other counts. */
  lost: number;
}

/** Returned by {@link Device.counters}. */
export interface Counters {
  /** Number of accepted checks, including coalesced elements. Each element of a batch counts as one check. */
  accepted: number;
  /** Number of refused checks. */
  refused: number;
  /** Number of refusals by reason, for checks and for data transfers. Contains only reasons that have occurred. */
  reasons: Partial<Record<RefusalReason, number>>;
  /** Bytes copied in either direction. */
  bytesCopied: number;
  /**
   * Number of completions by status. Counted for the whole device only: undefined with {@link CountersOptions.own}, and for an
   * object that is restricted to a domain.
   */
  completions: CompletionCounters | undefined;
}

/** Options of {@link Device.counters}. */
export interface CountersOptions {
  /** Count only what this thread did through this object of the device. Default false: count what all threads did. */
  own?: boolean;
}

/** Returned by {@link Region.counters}. */
export interface RegionCounters {
  /** Number of accepted checks of the region. */
  accepted: number;
  /** Number of refused checks of the region's key. */
  refused: number;
  /** Bytes copied into or out of the region. */
  bytesCopied: number;
}

/** Reused by every call: the native module fills it, and the caller reads it at once. */
const fields = new BigUint64Array(CounterField.Refused + native.reasonNames.length);

export function countersOf(device: NativeDevice, own: boolean): Counters {
  device.counters(own, fields);
  const reasons: Partial<Record<RefusalReason, number>> = {};
  let refused = 0;
  native.reasonNames.forEach((name, number) => {
    const count = Number(fields[CounterField.Refused + number]);
    if (!count) return;
    reasons[name as RefusalReason] = count;
    refused += count;
  });
  return {
    accepted: Number(fields[CounterField.Accepted]),
    refused,
    reasons,
    bytesCopied: Number(fields[CounterField.Bytes]),
    completions: own || device.onlyPd() !== 0 ? undefined : completionsOf(device),
  };
}

/** As `fields`: a count for each status, then the number of lost completions. */
const completions = new BigUint64Array(WcStatus.Count + 1);

function completionsOf(device: NativeDevice): CompletionCounters {
  device.completionCounts(completions);
  const counts: CompletionCounters = { lost: Number(completions[WcStatus.Count]) };
  for (let status = 0; status < (WcStatus.Count as number); status++) {
    const count = Number(completions[status]);
    const name = wcStatusName(status);
    if (count !== 0 && name !== undefined) counts[name] = count;
  }
  return counts;
}
