// Devices that are closed after each test, and what a test puts on them.
import {
  Device,
  type DeviceOptions,
  type DmaMapping,
  fastRegKey,
  type Lkey,
  MemoryRegion,
  type ProtectionDomain,
  type QueuePair,
  type Rkey,
} from '../../lib';

export const PAGE = 4096;
export const PAGE_N = 4096n;
/** 2^64. */
export const TOP = 1n << 64n;
/** Where the tests put DMA memory. */
export const DMA = 0x10_0000n;

/** A key of the same slot and generation, with another low byte: checks under it are refused as `StaleKey` while the region is there. */
export const otherVariant = <K extends Lkey | Rkey>(key: K): K => fastRegKey(key, (key & 0xff) ^ 1);

/** Every access bit. */
export const ALL = 31;

export interface Scene {
  device: Device;
  pd: ProtectionDomain;
  qp: QueuePair;
}

const opened: Device[] = [];

afterEach(() => {
  for (const device of opened.splice(0)) closeQuietly(device);
});

/**
 * Closes a device with everything in it. Its DMA regions end first: a device that is closed while one is published warns, and a
 * warning fails a test. For a device that is closed already it does nothing.
 */
export function closeQuietly(device: Device): void {
  try {
    endDmaRegions(device);
  } catch (error) {
    if ((error as { code?: string }).code !== 'EBADF') throw error;
  }
  device[Symbol.dispose]();
}

/** Ends the DMA regions of a device that have an object in this thread, whoever holds references. */
export function endDmaRegions(device: Device): void {
  for (const { kind, region } of device.resources().regions) {
    if (kind === 'DMA' && region instanceof MemoryRegion) region.dereg({ force: true });
  }
}

/** A device that is closed with everything in it after the test. */
export function open(options?: DeviceOptions): Device {
  const device = new Device(options);
  opened.push(device);
  return device;
}

/** A device with one protection domain and a queue pair in it. */
export function scene(options: DeviceOptions & { trusted?: boolean } = {}): Scene {
  const { trusted = false, ...deviceOptions } = options;
  const device = open(deviceOptions);
  const pd = device.allocPd({ trusted });
  return { device, pd, qp: pd.createQp() };
}

/** `count` pages of DMA memory at {@link DMA}, or where asked. Byte b of page p holds p. */
export function dmaPages(
  device: Device,
  count: number,
  address: bigint = DMA,
): DmaMapping & { bytes: Buffer } {
  const bytes = Buffer.alloc(count * PAGE);
  for (let page = 0; page < count; page++) bytes.fill(page, page * PAGE, (page + 1) * PAGE);
  return Object.assign(device.dma.map(bytes, { address }), { bytes });
}
