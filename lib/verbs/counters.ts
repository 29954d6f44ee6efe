import { CounterField } from '../internal/layout';
import { native, type NativeDevice } from '../internal/native';
import { type RefusalReason } from '../internal/reasons';

/** What {@link Device.counters} answers. */
export interface Counters {
  /** Checks that accepted, coalesced elements included; elements of batches count one each. */
  accepted: number;
  /** Checks that refused. */
  refused: number;
  /** Refusals by reason, of checks and of the data path. Only reasons that have occurred. */
  reasons: Partial<Record<RefusalReason, number>>;
  /** Bytes copied in either direction. */
  bytesCopied: number;
}

/** Options of {@link Device.counters}. */
export interface CountersOptions {
  /** Only what this thread's object of the device has asked for. Default false: what all threads have. */
  own?: boolean;
}

/** What {@link Region.counters} answers. */
export interface RegionCounters {
  /** Checks of the region that accepted. */
  accepted: number;
  /** Checks of its key that refused. */
  refused: number;
  /** Bytes copied in or out. */
  bytesCopied: number;
}

/** Filled and read at once. */
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
  };
}
