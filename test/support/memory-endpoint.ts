// Endpoints without a socket: the test gives them packets and takes what they send.
import { Endpoint, type EndpointOptions } from '../../lib';
import { EndpointFlag } from '../../lib/internal/layout';
import { native, type NativeEndpoint } from '../../lib/internal/native';

/** The payload of a UDP datagram, from the BTH to the ICRC, and the other end. */
export interface WirePacket {
  readonly bytes: Uint8Array;
  readonly address: string;
  readonly port: number;
}

/** An endpoint whose datagrams have the IP identification 0. */
export class MemoryEndpoint {
  readonly endpoint: Endpoint;
  readonly #native: NativeEndpoint;

  /** @param flag - 0: with a socket after all */
  constructor(options: EndpointOptions, flag: EndpointFlag | 0 = EndpointFlag.Memory) {
    const create = native.createEndpoint;
    let made: ReturnType<typeof create> | undefined;
    // The class has no option for it: a program has no use for an endpoint without a socket.
    native.createEndpoint = (device, address, port, refusals, flags) =>
      (made = create(device, address, port, refusals, flags | flag));
    try {
      this.endpoint = new Endpoint(options);
    } finally {
      native.createEndpoint = create;
    }
    if (typeof made !== 'object') throw new Error('the class has made its endpoint in another way');
    this.#native = made;
  }

  /**
   * Gives the endpoint a packet, on which it works before this returns.
   *
   * @param packet - the address and port are those of its source
   * @param ipId - the identification of its IPv4 header; -1: not known, as with sockets
   * @returns 0 or a negative errno
   */
  feed({ bytes, address, port }: WirePacket, ipId = -1): number {
    return this.#native.feed(bytes, address, port, ipId);
  }

  /** Returns what the endpoint has sent since the last call. */
  take(): WirePacket[] {
    const flat = this.#native.take();
    return Array.from({ length: flat.length / 3 }, (_, i) => ({
      bytes: flat[3 * i] as Uint8Array,
      address: flat[3 * i + 1] as string,
      port: flat[3 * i + 2] as number,
    }));
  }
}
