// Devices that are closed after each test, and the objects that tests create on them.
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
/** 2^64, the end of the address space. */
export const TOP = 1n << 64n;
/** The address at which tests map DMA memory. */
export const DMA = 0x10_0000n;

/**
 * Returns a key with the same slot and generation but another low byte. Checks with it are refused as `StaleKey` while the region
 * exists.
 */
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
 * Closes a device with everything in it. Deregisters the DMA regions first: closing a device with a published DMA region warns,
 * and a warning fails the test. Does nothing for a closed device.
 */
export function closeQuietly(device: Device): void {
  try {
    endDmaRegions(device);
  } catch (error) {
    if ((error as { code?: string }).code !== 'EBADF') throw error;
  }
  device[Symbol.dispose]();
}

/** Ends the DMA regions of a device that have an object in this thread, even if references are held. */
export function endDmaRegions(device: Device): void {
  for (const { kind, region } of device.resources().regions) {
    if (kind === 'DMA' && region instanceof MemoryRegion) region.dereg({ force: true });
  }
}

/** Opens a device that is closed with everything in it after the test. */
export function open(options?: DeviceOptions): Device {
  const device = new Device(options);
  opened.push(device);
  return device;
}

/** Opens a device with one protection domain and a queue pair in it. */
export function scene(options: DeviceOptions & { trusted?: boolean } = {}): Scene {
  const { trusted = false, ...deviceOptions } = options;
  const device = open(deviceOptions);
  const pd = device.allocPd({ trusted });
  return { device, pd, qp: pd.createQp() };
}

/** Maps `count` pages of DMA memory at {@link DMA} or at the given address. Each byte of page p holds p. */
export function dmaPages(
  device: Device,
  count: number,
  address: bigint = DMA,
): DmaMapping & { bytes: Buffer } {
  const bytes = Buffer.alloc(count * PAGE);
  for (let page = 0; page < count; page++) bytes.fill(page, page * PAGE, (page + 1) * PAGE);
  return Object.assign(device.dma.map(bytes, { address }), { bytes });
}
