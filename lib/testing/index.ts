/**
 * Helpers for tests of programs that use this package, for Jest, Vitest and test runners like them. Depends on none of them.
 *
 * @packageDocumentation
 */
export { connectedPair, type ConnectedPair, type ConnectedPairOptions } from './connected-pair';
export { LeftOverError, leftOver, type LeftOver, type LeftOverOptions } from './left-over';
export { matchers } from './matchers';
export { type MatcherResult, type RdmavtMatchers, type RefusalName } from './matcher-types';
export { takeCompletions, type TakeCompletionsOptions } from './take-completions';
export { openTestDevice, type TestDevice, type TestDeviceOptions } from './test-device';
