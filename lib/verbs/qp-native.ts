/** Finds the native object of a queue pair, for classes that the class of queue pairs depends on. */
import { type NativeQueuePair } from '../internal/native';

let lookUp: ((value: unknown) => NativeQueuePair | undefined) | undefined;

/** Called once, by the class of queue pairs. */
export function setQpLookUp(by: (value: unknown) => NativeQueuePair | undefined): void {
  lookUp = by;
}

/** Returns the native object of a queue pair; undefined for any other value. */
export function nativeQueuePairOf(value: unknown): NativeQueuePair | undefined {
  return lookUp?.(value);
}
