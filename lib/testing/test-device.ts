/** A device for a test. */
import { Device, type DeviceOptions, MemoryRegion } from '../index';
import { dispose } from '../internal/disposal';
import { type LeftOver, LeftOverError, leftOver, type LeftOverOptions } from './left-over';

/** Options of {@link openTestDevice}: those of a device, of which `captureStacks` is true by default. */
export type TestDeviceOptions = DeviceOptions;

/** A device that is closed at the end of a test; see {@link openTestDevice}. */
export interface TestDevice {
  readonly device: Device;
  /** Returns what is left on the device now. */
  leftOver(options?: LeftOverOptions): LeftOver[];
  /**
   * Closes the device with everything on it. A second call is a no-op.
   *
   * @throws LeftOverError: something else than the exceptions was left. The device is closed all the same
   */
  close(options?: LeftOverOptions): void;
  /** As {@link TestDevice.close}, for `using`. */
  [Symbol.dispose](): void;
}

/** Closes a device with everything on it, without the warning about published DMA regions. */
function closeAll(device: Device): void {
  for (const { kind, region } of device.resources().regions) {
    if (kind === 'DMA' && region instanceof MemoryRegion) region.dereg({ force: true });
  }
  device.close({ cascade: true });
}

const isClosed = (device: Device): boolean => {
  try {
    device.query();
    return false;
  } catch {
    return true;
  }
};

/**
 * Opens a device for a test. When it is closed, an error lists what the test has left on it, and where that was created.
 *
 * @example
 * ```ts
 * import { openTestDevice } from 'rdmavt/testing';
 *
 * const test = openTestDevice(); // in Jest: afterEach(() => test.close())
 * const pd = test.device.allocPd();
 * const mr = pd.regUserMr(new Uint8Array(64));
 * mr.dereg();
 * pd.dealloc();
 * console.log(test.leftOver()); // []
 * test.close();
 * ```
 */
export function openTestDevice(options: TestDeviceOptions = {}): TestDevice {
  const device = new Device({ captureStacks: true, ...options });
  const close = (exceptions: LeftOverOptions = {}): void => {
    if (isClosed(device)) return;
    let left: LeftOver[];
    try {
      left = leftOver(device, exceptions);
    } finally {
      closeAll(device); // also if an exception is wrong
    }
    if (left.length > 0) throw new LeftOverError(left);
  };
  return {
    device,
    leftOver: (exceptions) => leftOver(device, exceptions),
    close,
    [dispose]: () => {
      close();
    },
  };
}
