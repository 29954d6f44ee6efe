// What the facade's tests share: opening devices that are closed after each test, and saying what is expected in one line.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import {
  Device,
  type DeviceOptions,
  type DmaMapping,
  type ErrnoName,
  type LocalCheck,
  type CheckedPlace,
  type ProtectionDomain,
  type QueuePair,
  type RemoteCheck,
  type Sge,
} from '../../lib';

export const PAGE = 4096;
export const PAGE_N = 4096n;
/** 2^64. */
export const TOP = 1n << 64n;
/** Where the tests put DMA memory. */
export const DMA = 0x10_0000n;

/** Every access bit. */
export const ALL = 31;

export interface Scene {
  device: Device;
  pd: ProtectionDomain;
  qp: QueuePair;
}

const opened: Device[] = [];

afterEach(() => {
  for (const device of opened.splice(0)) device[Symbol.dispose]();
});

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

/** The element of a check that must have accepted. */
export function accepted(check: LocalCheck | RemoteCheck): Sge {
  if (!check.ok) throw new Error(`refused: ${check.reason}`);
  if (check.coalesced) throw new Error('coalesced');
  return check.sge;
}

/** The reason of a check that must have refused. */
export function refusal(check: LocalCheck | RemoteCheck | CheckedPlace): string {
  if (check.ok) {
    if ('sge' in check) check.sge.put();
    throw new Error('accepted');
  }
  return check.reason;
}

const errnos: Record<ErrnoName, number> = {
  EPERM: -1,
  EBADF: -9,
  ENOMEM: -12,
  EACCES: -13,
  EBUSY: -16,
  EXDEV: -18,
  ENODEV: -19,
  EINVAL: -22,
  EOPNOTSUPP: -95,
};

/** For `toThrow`: an RdmaError with this code (and operation, and reason). */
export function rdma(code: ErrnoName, operation?: string, reason?: string): Error {
  return expect.objectContaining({
    name: 'RdmaError',
    code,
    errno: errnos[code],
    operation: operation ?? expect.any(String),
    ...(reason === undefined ? {} : { reason }),
  });
}

/** For `toThrow`: Node's TypeError or RangeError with this code. */
export function argumentError(code: string, message?: string): Error {
  return expect.objectContaining({
    name: code === 'ERR_OUT_OF_RANGE' ? 'RangeError' : 'TypeError',
    code,
    message: message === undefined ? expect.any(String) : expect.stringContaining(message),
  });
}

export const wrongType = (message?: string): Error => argumentError('ERR_INVALID_ARG_TYPE', message);
export const outOfRange = (message?: string): Error => argumentError('ERR_OUT_OF_RANGE', message);

/**
 * Collects garbage until `done` says that what was waited for has happened. It asks a WeakRef, not a FinalizationRegistry: up to
 * Node 24, one of those that dies with its call still due ends the calls of all others in the process (V8 notes that a call is
 * due, finds nobody to call and never takes the note back), and with Jest one dies at the end of each file.
 */
export async function collect(done: () => boolean): Promise<boolean> {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (let round = 0; round < 30; round++) {
    (globalThis as { gc?: () => void }).gc?.();
    await turn();
    if (done()) return true;
    // What a WeakRef has given out stays alive until the turn ends.
    await turn();
  }
  return done();
}

/** Whether the tests run with `--expose-gc`, as `npm test` runs them. */
export const canCollect = typeof (globalThis as { gc?: unknown }).gc === 'function';

/** Whether the system says how much memory a process has; an emulated one (qemu) hears 0. */
export const tellsMemory = process.memoryUsage.rss() > 0;

const root = join(__dirname, '..', '..');

/**
 * Runs a program with the built package in a process of its own. A program that does not end in time is killed: its signal is
 * SIGKILL then.
 *
 * @param timeout - ms
 */
export function runProgram(
  program: string,
  nodeOptions: readonly string[] = [],
  timeout = 300_000,
): { status: number | null; signal: string | null; stdout: string; stderr: string } {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', ...nodeOptions, '--input-type=commonjs', '--eval', program],
    { cwd: root, encoding: 'utf8', timeout, killSignal: 'SIGKILL' },
  );
  return { status, signal, stdout, stderr };
}
