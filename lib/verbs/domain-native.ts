/** Finds the native object of a protection domain, for classes that the class of domains depends on. */
import { type NativeProtectionDomain } from '../internal/native';

let lookUp: ((value: unknown) => NativeProtectionDomain | undefined) | undefined;

/** Called once, by the class of domains. */
export function setDomainLookUp(by: (value: unknown) => NativeProtectionDomain | undefined): void {
  lookUp = by;
}

/** Returns the native object of a domain; undefined for any other value. */
export function nativeDomainOf(value: unknown): NativeProtectionDomain | undefined {
  return lookUp?.(value);
}
