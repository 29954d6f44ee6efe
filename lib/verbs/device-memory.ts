import { constants } from 'node:buffer';
import { illegalConstructor } from '../internal/arguments';
import { dispose } from '../internal/disposal';
import { Errno, explainedError, rdmaError, resultOf, throwOnError } from '../internal/errors';
import { adoptBuffer } from '../internal/memory-argument';
import { type NativeDeviceMemory } from '../internal/native';
import { construction } from '../internal/construction';
import { instance, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';

/** Options of {@link Device.allocDm}. */
export interface AllocDmOptions {
  /**
   * Align it so that the system can back it with large pages (2 MiB), and ask for them. Only a wish: where the system has none
   * to give, the pages are small. Default false.
   */
  hugePages?: boolean;
}

/** What {@link DeviceMemory.toJSON} answers. */
export interface ShownDeviceMemory extends Shown {
  class: 'DeviceMemory';
  id: number;
  byteLength: number;
  /** `'Closed'`: freed, or left by this thread. */
  state: 'Open' | 'Closed';
}

let describeDeviceMemory: (object: DeviceMemory) => ShownDeviceMemory;

/**
 * Memory that the device itself owns: zeroed, page-aligned pages that no environment can take away. A region over it can be used
 * from every thread that uses the device, and transferring or detaching {@link DeviceMemory.buffer} does not touch it.
 *
 * It lives until {@link DeviceMemory.free} or until its device closes. Made by {@link Device.allocDm}; other threads get at it by
 * its number ({@link Device.importDm}).
 */
export class DeviceMemory {
  readonly #native: NativeDeviceMemory;
  readonly #number: number;
  readonly #byteLength: number;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, native: NativeDeviceMemory) {
    if (token !== construction) throw illegalConstructor();
    this.#native = native;
    this.#number = throwOnError('Device.allocDm', native.serial());
    this.#byteLength = throwOnError('Device.allocDm', native.length());
  }

  /** Unique on the device, never given twice: what {@link Device.importDm} takes. */
  get id(): number {
    return this.#number;
  }

  /** Bytes. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /**
   * The bytes, as this thread sees them: the same ArrayBuffer each time, or a new one if it was collected or detached. Register it,
   * or any view over it, with {@link ProtectionDomain.regUserMr} or {@link DmaSpace.map}.
   *
   * It is no SharedArrayBuffer, though other threads may see the same bytes: use atomics or messages to order accesses
   * (`Atomics` works on views over it, but for `wait`).
   *
   * @throws RdmaError `EBADF`: it was freed, or its device is closed; `EOPNOTSUPP`: this runtime allows no buffers over memory that
   *   is not its own (Electron), or none so long; `ENOMEM`
   */
  get buffer(): ArrayBuffer {
    if (this.#byteLength > constants.MAX_LENGTH) {
      throw explainedError('DeviceMemory.buffer', 'EOPNOTSUPP', 'BufferTooLong', {
        value: BigInt(this.#byteLength),
        limit: BigInt(constants.MAX_LENGTH),
      });
    }
    const buffer = resultOf('DeviceMemory.buffer', this.#native.buffer());
    const handle = this.#native.handle();
    if (handle) adoptBuffer(buffer, handle);
    // Node has marked it as untransferable already. Not by `markAsUntransferable`: where that is done by a key to detaching (Node 26),
    // the engine, which has no key, ends the process when it takes the buffer down with its thread.
    return buffer;
  }

  /** What it is, in one line. Never throws. */
  toString(): string {
    return textOf('DeviceMemory', this, describeDeviceMemory);
  }

  /** The same as an object for JSON. Never throws. */
  toJSON(): ShownDeviceMemory {
    return jsonOf('DeviceMemory', this, describeDeviceMemory);
  }

  /**
   * Frees it, for every thread: nothing can be registered over it any more. Buffers that there are stay as they are, and the pages go
   * when the last of them is collected. A second call after success is a no-op.
   *
   * @throws RdmaError `EBUSY`: a region or a DMA mapping has bytes of it, or had until just now while another thread was using them
   */
  free(): void {
    const status = this.#native.free();
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('DeviceMemory.free', status);
  }

  /** {@link DeviceMemory.free}, if nothing uses it. Never throws. */
  [dispose](): void {
    this.#native.free();
  }

  static {
    describeDeviceMemory = (memory) => ({
      class: 'DeviceMemory',
      id: memory.#number,
      byteLength: memory.#byteLength,
      state: memory.#native.live() < 0 ? 'Closed' : 'Open',
    });
    showAs(DeviceMemory, 'DeviceMemory', (object) => textOf('DeviceMemory', object, describeDeviceMemory));
  }
}
