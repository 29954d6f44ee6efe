// Features of the running Node and system that some tests need. A test that cannot run states the reason in its title, as the
// reporter requires (scripts/jest-counts.mjs).

/** Whether the tests run with `--expose-gc`, as `npm test` does. */
export const canCollect = typeof (globalThis as { gc?: unknown }).gc === 'function';

/** Whether the system reports the memory of a process; under emulation (qemu) it reports 0. */
export const tellsMemory = process.memoryUsage.rss() > 0;

/** Whether `ArrayBuffer.prototype.transfer` exists: Node 21 and later. */
export const canTransfer = 'transfer' in ArrayBuffer.prototype;

type Body = Parameters<typeof test>[1];

const titled = (title: string, because: string): string => `${title} (skipped: ${because})`;

/** Returns `test` if the condition holds, and otherwise a function that skips the test and adds the reason to its title. */
export function testIf(condition: boolean, because: string): (title: string, body: Body) => void {
  return (title, body) => {
    if (condition) test(title, body);
    else test.skip(titled(title, because), body);
  };
}

/** Like {@link testIf}, for `describe`. */
export function describeIf(condition: boolean, because: string): (title: string, body: () => void) => void {
  return (title, body) => {
    if (condition) describe(title, body);
    else describe.skip(titled(title, because), body);
  };
}

/** For tests that wait for the garbage collector. */
export const testWithCollector = testIf(canCollect, 'needs --expose-gc; npm run test:jest sets it');
export const describeWithCollector = describeIf(canCollect, 'needs --expose-gc; npm run test:jest sets it');
/** For tests that transfer buffers. */
export const testWithTransfer = testIf(canTransfer, 'this Node has no ArrayBuffer.prototype.transfer');
export const describeWithTransfer = describeIf(
  canTransfer,
  'this Node has no ArrayBuffer.prototype.transfer',
);
/** For tests that measure the memory of a process. */
export const testWithRss = testIf(tellsMemory, 'this system does not report the memory of a process');
