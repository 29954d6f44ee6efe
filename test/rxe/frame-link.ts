// The link by frames: the tests are the guest's neighbour themselves. No privilege, no kernel on this side.
import type { Datagram, PacketLink } from './link';
import type { LinkPlace } from './network';
import {
  arpAnswer,
  EtherType,
  ETHERNET_BYTES,
  ethernetFrame,
  ipPacket,
  isIpv6,
  neighbourAnswer,
  ROCE_PORT,
  udpOf,
} from './packets';
import type { Wire } from './wire';

export class FrameLink implements PacketLink {
  readonly title = 'by frames';
  readonly place: LinkPlace;
  readonly wire: Wire;
  onDatagram: (datagram: Datagram) => void = () => {};
  onPacket: (ip: Buffer) => void = () => {};

  constructor(wire: Wire, place: LinkPlace) {
    this.wire = wire;
    this.place = place;
    wire.onFrame = (frame) => this.#take(frame);
  }

  send({ address, port, payload }: Datagram): void {
    const { host } = this.place;
    const source = isIpv6(address) ? host.ipv6 : host.ipv4;
    this.sendPacket(
      ipPacket({ source, destination: address, sourcePort: ROCE_PORT, destinationPort: port, payload }),
    );
  }

  sendPacket(ip: Buffer): void {
    this.wire.send(ethernetFrame(this.place.host, this.place.guest, ip));
  }

  async close(): Promise<void> {
    this.wire.onFrame = () => {};
  }

  #take(frame: Buffer): void {
    if (frame.length < ETHERNET_BYTES) return;
    const { host } = this.place;
    const answer = arpAnswer(frame, host) ?? neighbourAnswer(frame, host);
    if (answer) {
      this.wire.send(answer);
      return;
    }
    const type = frame.readUInt16BE(12);
    if (type !== EtherType.Ipv4 && type !== EtherType.Ipv6) return;
    const ip = frame.subarray(ETHERNET_BYTES);
    const udp = udpOf(ip);
    if (!udp || (udp.destination !== host.ipv4 && udp.destination !== host.ipv6)) return;
    this.onPacket(ip);
    if (udp.destinationPort === ROCE_PORT) {
      this.onDatagram({ address: udp.source, port: udp.sourcePort, payload: udp.payload });
    }
  }
}
