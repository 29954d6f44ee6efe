// What tests and endpoints see of a link to the guest, whatever carries it.
import type { LinkPlace } from './network';
import type { Wire } from './wire';

/** A UDP datagram to or from port 4791 of the guest. */
export interface Datagram {
  /** The guest's address, IPv4 or IPv6. */
  readonly address: string;
  /** The guest's port: from the guest, any; to it, 4791. */
  readonly port: number;
  /** From the base transport header to the ICRC. */
  readonly payload: Buffer;
}

/** The end of a link that is the guest's neighbour. Datagrams have the host's addresses of the place, and port 4791. */
export interface Link {
  readonly title: string;
  readonly place: LinkPlace;
  readonly wire: Wire;
  send(datagram: Datagram): void;
  /** Called with each datagram from the guest to port 4791. */
  onDatagram: (datagram: Datagram) => void;
  close(): Promise<void>;
}

/** A link that carries IP packets, for an endpoint that has no sockets but takes packets and gives packets. */
export interface PacketLink extends Link {
  sendPacket(ip: Buffer): void;
  /** Called with each IP packet from the guest to one of the host's addresses. */
  onPacket: (ip: Buffer) => void;
}
