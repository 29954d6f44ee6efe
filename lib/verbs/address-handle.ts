import { illegalConstructor, invalidType, invalidValue } from '../internal/arguments';
import { readUdpPort } from '../internal/wire-numbers';
import { construction } from '../internal/construction';
import { dispose } from '../internal/disposal';
import { Errno, rdmaError, throwOnError } from '../internal/errors';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { PlainBytes } from '../internal/intrinsics';
import { native, type NativeAddressHandle } from '../internal/native';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';

/** Options of {@link ProtectionDomain.createAh}: the address vector (`struct rdma_ah_attr`). */
export interface CreateAhOptions {
  /** Destination LID, 0..65535. On the loopback every LID leads to the same device. Default 1. */
  dlid?: number;
  /** Service level, 0..255, which the receiver's completion shows. Default 0. */
  sl?: number;
  /** Static rate (`enum ib_rate`): 0 or 2..22; accepted but without effect. Default 0. */
  staticRate?: number;
  /** Port: 1, which is the default. */
  port?: number;
  /**
   * IPv4 or IPv6 address of the host to which datagrams go: for queue pairs that were activated with an endpoint, whose address must
   * be of the same family. Default: none, for queue pairs of the same device.
   */
  address?: string;
  /** UDP port of the endpoint at that host, 1..65535. Default 4791, at which every RoCEv2 host receives. Only with `address`. */
  udpPort?: number;
}

const ADDRESS_BYTES = 16;

/** Reads and checks the address of {@link CreateAhOptions}. Returns undefined if there is none. */
export function readDestination(
  address: unknown,
  udpPort: unknown,
): { bytes: Uint8Array; port: number } | undefined {
  if (address === undefined && udpPort !== undefined)
    throw invalidValue('options.udpPort', 'must come with options.address', udpPort);
  if (address === undefined) return undefined;
  if (typeof address !== 'string') throw invalidType('options.address', 'of type string', address);
  const port = readUdpPort(udpPort, 'options.udpPort', 1);
  const bytes = new PlainBytes(ADDRESS_BYTES);
  throwOnError('ProtectionDomain.createAh', native.readHostAddress(address, bytes));
  return { bytes, port };
}

/** Returned by {@link AddressHandle.toJSON}. */
export interface ShownAddressHandle extends Shown {
  class: 'AddressHandle';
  id: number;
  state: 'Open' | 'Closed';
}

/** Returns the native object of an address handle; undefined for any other value. */
export let nativeAhOf: (value: unknown) => NativeAddressHandle | undefined;

let describeAddressHandle: (object: AddressHandle) => ShownAddressHandle;

/**
 * An address handle (`struct rvt_ah`): the path to a destination, which datagrams of UD queue pairs in the same protection domain
 * name. With an address it leads to a host on the network, for queue pairs that were activated with an endpoint; without one to the
 * queue pairs of the same device.
 *
 * Created by {@link ProtectionDomain.createAh}.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const ah = pd.createAh({ sl: 3 });
 * console.log(ah.id, ah.toJSON().state); // 1 Open
 * ah.destroy();
 * ```
 */
export class AddressHandle {
  readonly #native: NativeAddressHandle;
  readonly #id: number;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, native: NativeAddressHandle) {
    if (token !== construction) throw illegalConstructor();
    this.#native = native;
    this.#id = throwOnError('ProtectionDomain.createAh', native.serial());
    markUncloneable(this);
  }

  /** Unique on the device and never reused; see {@link Device.resources}. */
  get id(): number {
    return this.#id;
  }

  /** Returns a one-line description of the handle. Never throws. */
  toString(): string {
    return textOf('AddressHandle', this, describeAddressHandle);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownAddressHandle {
    return jsonOf('AddressHandle', this, describeAddressHandle);
  }

  /**
   * Destroys the handle. Work requests that were posted with it go on. A second call is a no-op.
   *
   * Kernel: `rvt_destroy_ah`.
   */
  destroy(): void {
    const status = this.#native.destroy();
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('AddressHandle.destroy', status);
  }

  /** Destroys the handle. Same as {@link AddressHandle.destroy}. */
  [dispose](): void {
    this.#native.destroy();
  }

  static {
    nativeAhOf = (value) =>
      typeof value === 'object' && value !== null && #native in value ? value.#native : undefined;
    describeAddressHandle = (ah) => ({
      class: 'AddressHandle',
      id: ah.#id,
      state: ah.#native.serial() < 0 ? 'Closed' : 'Open',
    });
    showAs(AddressHandle, 'AddressHandle', (object) =>
      textOf('AddressHandle', object, describeAddressHandle),
    );
  }
}
