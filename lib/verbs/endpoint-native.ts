/** Finds the native object of an endpoint, for classes that the class of endpoints depends on. */
import { type NativeEndpoint } from '../internal/native';

let lookUp: ((value: unknown) => NativeEndpoint | undefined) | undefined;

/** Called once, by the class of endpoints. */
export function setEndpointLookUp(by: (value: unknown) => NativeEndpoint | undefined): void {
  lookUp = by;
}

/** Returns the native object of an endpoint; undefined for any other value. */
export function nativeEndpointOf(value: unknown): NativeEndpoint | undefined {
  return lookUp?.(value);
}
