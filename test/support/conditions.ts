// What a test may need of the Node that it runs on. A test that cannot run says why in its title; the reporter wants that
// (scripts/jest-counts.mjs).

/** Whether the tests run with `--expose-gc`, as `npm test` runs them. */
export const canCollect = typeof (globalThis as { gc?: unknown }).gc === 'function';

/** Whether the system says how much memory a process has; an emulated one (qemu) hears 0. */
export const tellsMemory = process.memoryUsage.rss() > 0;

/** `ArrayBuffer.prototype.transfer`: Node 21 and later. */
export const canTransfer = 'transfer' in ArrayBuffer.prototype;

type Body = Parameters<typeof test>[1];

const titled = (title: string, because: string): string => `${title} (skipped: ${because})`;

/** `test` if the condition holds; else the test is skipped, and its title says why. */
export function testIf(condition: boolean, because: string): (title: string, body: Body) => void {
  return (title, body) => {
    if (condition) test(title, body);
    else test.skip(titled(title, because), body);
  };
}

/** The same for `describe`. */
export function describeIf(condition: boolean, because: string): (title: string, body: () => void) => void {
  return (title, body) => {
    if (condition) describe(title, body);
    else describe.skip(titled(title, because), body);
  };
}

/** For tests that wait for the collector. */
export const testWithCollector = testIf(canCollect, 'needs --expose-gc; npm run test:jest sets it');
export const describeWithCollector = describeIf(canCollect, 'needs --expose-gc; npm run test:jest sets it');
/** For tests that transfer buffers. */
export const testWithTransfer = testIf(canTransfer, 'this Node has no ArrayBuffer.prototype.transfer');
export const describeWithTransfer = describeIf(
  canTransfer,
  'this Node has no ArrayBuffer.prototype.transfer',
);
/** For tests that measure the memory of a process. */
export const testWithRss = testIf(tellsMemory, 'this system does not tell how much memory a process has');
