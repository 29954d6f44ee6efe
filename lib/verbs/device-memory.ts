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
   * Align the memory to 2 MiB and ask the system to back it with large pages. This is a hint: the system may use small pages.
   * Default false.
   */
  hugePages?: boolean;
}

/** Returned by {@link DeviceMemory.toJSON}. */
export interface ShownDeviceMemory extends Shown {
  class: 'DeviceMemory';
  id: number;
  byteLength: number;
  /** `'Closed'`: the memory was freed, or this thread has left the device. */
  state: 'Open' | 'Closed';
}

let describeDeviceMemory: (object: DeviceMemory) => ShownDeviceMemory;

/**
 * Memory that the device owns: zeroed, page-aligned pages that no thread can detach. Every thread that uses the device can access
 * a region over this memory. Transferring or detaching {@link DeviceMemory.buffer} does not affect the memory.
 *
 * The memory lives until {@link DeviceMemory.free} or until its device closes. Created by {@link Device.allocDm}; other threads
 * open it by id with {@link Device.importDm}.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 *
 * const device = new Device();
 * const memory = device.allocDm(4096);
 * const mr = device.allocPd().regUserMr(memory.buffer);
 * console.log(memory.byteLength, mr.length); // 4096 4096
 * mr.dereg();
 * memory.free();
 * console.log(memory.toJSON().state); // Closed
 * ```
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

  /** Unique on the device and never reused. {@link Device.importDm} takes this id. */
  get id(): number {
    return this.#number;
  }

  /** Size of the memory in bytes. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /**
   * The memory as an ArrayBuffer of this thread. Returns the same ArrayBuffer each time, or a new one after that was
   * garbage-collected or detached. Register it, or a view over it, with {@link ProtectionDomain.regUserMr} or
   * {@link DmaSpace.map}.
   *
   * Other threads may access the same bytes, although the buffer is not a SharedArrayBuffer. Order accesses with atomics or
   * messages; `Atomics` works on views over the buffer, except `Atomics.wait`.
   *
   * @throws RdmaError `EBADF`: the memory was freed, or its device is closed; `EOPNOTSUPP`: this runtime does not allow buffers
   *   over external memory (Electron), or none of this length; `ENOMEM`
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
    // Node has already marked the buffer as untransferable. Do not call `markAsUntransferable`: Node 26 implements it with a
    // detach key, and V8, which does not have that key, aborts the process when it detaches the buffer at thread exit.
    return buffer;
  }

  /** Returns a one-line description of the memory. Never throws. */
  toString(): string {
    return textOf('DeviceMemory', this, describeDeviceMemory);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownDeviceMemory {
    return jsonOf('DeviceMemory', this, describeDeviceMemory);
  }

  /**
   * Frees the memory for every thread: no region or DMA mapping can be created over it any more. Existing buffers stay usable,
   * and the pages are returned to the system when the last buffer is garbage-collected. A second call after success is a no-op.
   *
   * @throws RdmaError `EBUSY`: a region or a DMA mapping uses the memory. This includes a region that was just deregistered while
   *   another thread was still accessing its bytes
   */
  free(): void {
    const status = this.#native.free();
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('DeviceMemory.free', status);
  }

  /** Calls {@link DeviceMemory.free}, which has no effect while the memory is in use. Never throws. */
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
