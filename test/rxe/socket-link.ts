// The link through sockets: a tap device in the network namespace of the tests, the kernel's ARP, neighbour discovery and IP, and a
// program with plain UDP sockets on port 4791. An endpoint with sockets of its own takes the program's place.
import { execFileSync } from 'node:child_process';
import { HelperProcess } from './helper-process';
import type { Datagram, Link } from './link';
import { IPV4_PREFIX, IPV6_PREFIX, LINK_MTU, type LinkPlace } from './network';
import { addressBytes, addressText, isIpv6 } from './packets';
import type { Wire } from './wire';

const TAP = 'rdmavt0';
const ADDRESS_BYTES = 16;
const HEAD_BYTES = ADDRESS_BYTES + 2;
const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');

/** A tap device whose frames a wire carries. */
export class Tap {
  readonly #helper: HelperProcess;

  private constructor(helper: HelperProcess) {
    this.#helper = helper;
  }

  /** Makes the device, with the host's addresses of a place. Only in a network namespace of its own. */
  static async open(program: string, wire: Wire, { host }: LinkPlace): Promise<Tap> {
    const helper = await HelperProcess.start(program, [TAP]);
    try {
      ip('link', 'set', TAP, 'address', host.mac, 'mtu', `${LINK_MTU}`);
      ip('link', 'set', TAP, 'up');
      ip('address', 'add', `${host.ipv4}/${IPV4_PREFIX}`, 'dev', TAP);
      // A tentative address could not be bound.
      ip('address', 'add', `${host.ipv6}/${IPV6_PREFIX}`, 'dev', TAP, 'nodad');
    } catch (error) {
      await helper.close();
      throw error;
    }
    helper.onRecord = (frame) => wire.send(frame);
    wire.onFrame = (frame) => helper.send(frame);
    return new Tap(helper);
  }

  async close(): Promise<void> {
    await this.#helper.close();
  }
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

export class SocketLink implements Link {
  readonly title = 'through a UDP socket';
  readonly place: LinkPlace;
  readonly wire: Wire;
  onDatagram: (datagram: Datagram) => void = () => {};
  readonly #helper: HelperProcess;

  private constructor(helper: HelperProcess, wire: Wire, place: LinkPlace) {
    this.place = place;
    this.wire = wire;
    this.#helper = helper;
    helper.onRecord = (record) => {
      const address = record.subarray(0, ADDRESS_BYTES);
      const isMapped = address.subarray(0, MAPPED.length).equals(MAPPED);
      this.onDatagram({
        address: addressText(isMapped ? address.subarray(MAPPED.length) : address),
        port: record.readUInt16BE(ADDRESS_BYTES),
        payload: record.subarray(HEAD_BYTES),
      });
    };
  }

  /** Binds the sockets; a {@link Tap} with the addresses of the place must be open. */
  static async open(program: string, wire: Wire, place: LinkPlace): Promise<SocketLink> {
    const { ipv4, ipv6 } = place.host;
    return new SocketLink(await HelperProcess.start(program, [ipv4, ipv6]), wire, place);
  }

  send({ address, port, payload }: Datagram): void {
    const head = Buffer.alloc(HEAD_BYTES);
    const bytes = isIpv6(address) ? addressBytes(address) : Buffer.concat([MAPPED, addressBytes(address)]);
    bytes.copy(head);
    head.writeUInt16BE(port, ADDRESS_BYTES);
    this.#helper.send(head, payload);
  }

  async close(): Promise<void> {
    await this.#helper.close();
  }
}
