// Ethernet, ARP, neighbour discovery, IP and UDP, as far as a neighbour of the guest needs them; and the ICRC, by its definition.
// Written apart from native/wire, so that one does not confirm the mistakes of the other.
import { crc32 } from '../support/roce-captures';
import type { Station } from './network';

export const ROCE_PORT = 4791;
export const ETHERNET_BYTES = 14;

export const EtherType = { Ipv4: 0x0800, Arp: 0x0806, Ipv6: 0x86dd } as const;
const UDP = 17;
const ICMPV6 = 58;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const UDP_BYTES = 8;
const ICRC_BYTES = 4;
const BTH_BYTES = 12;
const HOP_LIMIT = 64;

/** A UDP datagram between the guest and the host. */
export interface UdpPacket {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

/** A RoCEv2 packet, as rules of a wire see it. */
export interface RocePacket extends UdpPacket {
  readonly opcode: number;
  readonly destQp: number;
  readonly psn: number;
}

/* --- addresses --- */

export function isIpv6(address: string): boolean {
  return address.includes(':');
}

export function addressBytes(address: string): Buffer {
  if (!isIpv6(address)) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail = ''] = address.split('::');
  const words = (text: string) => text.split(':').filter(Boolean);
  const zeros = 8 - words(head).length - words(tail).length;
  const all = [
    ...words(head),
    ...Array<string>(address.includes('::') ? zeros : 0).fill('0'),
    ...words(tail),
  ];
  return Buffer.from(all.map((word) => word.padStart(4, '0')).join(''), 'hex');
}

/** Returns the text of 4 or 16 bytes; of IPv6 the canonical one. */
export function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1);
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

/* --- checksums --- */

/** The checksum of the Internet (RFC 1071). */
function checksum(...parts: readonly Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Returns the ICRC of a RoCEv2 packet: `ip` is the IP packet with 4 bytes at its end, where the ICRC belongs. */
export function icrcOf(ip: Buffer): number {
  const masked = Buffer.concat([Buffer.alloc(8, 255), ip.subarray(0, ip.length - ICRC_BYTES)]);
  const isV6 = ip[0]! >> 4 === 6;
  const udp = 8 + (isV6 ? IPV6_BYTES : IPV4_BYTES);
  if (isV6) {
    masked[8] = ip[0]! | 0x0f; // traffic class and flow label
    masked.fill(255, 9, 12);
    masked[8 + 7] = 255; // hop limit
  } else {
    masked[8 + 1] = 255; // ToS
    masked[8 + 8] = 255; // TTL
    masked.fill(255, 8 + 10, 8 + 12); // header checksum
  }
  masked.fill(255, udp + 6, udp + 8); // UDP checksum
  masked[udp + UDP_BYTES + 4] = 255; // FECN, BECN and the reserved bits beside them
  return crc32(masked);
}

/* --- IP and UDP --- */

/**
 * Returns an IP packet: identification 0, "don't fragment", no UDP checksum, as a socket sends it that is set up for RoCEv2, and as
 * soft-RoCE sends it but for the identification.
 */
export function ipPacket({ source, destination, sourcePort, destinationPort, payload }: UdpPacket): Buffer {
  const udp = Buffer.alloc(UDP_BYTES);
  udp.writeUInt16BE(sourcePort, 0);
  udp.writeUInt16BE(destinationPort, 2);
  udp.writeUInt16BE(UDP_BYTES + payload.length, 4);
  if (isIpv6(source)) {
    const ip = Buffer.alloc(8);
    ip[0] = 0x60;
    ip.writeUInt16BE(UDP_BYTES + payload.length, 4);
    ip[6] = UDP;
    ip[7] = HOP_LIMIT;
    return Buffer.concat([ip, addressBytes(source), addressBytes(destination), udp, payload]);
  }
  const ip = Buffer.alloc(IPV4_BYTES);
  ip[0] = 0x45;
  ip.writeUInt16BE(IPV4_BYTES + UDP_BYTES + payload.length, 2);
  ip.writeUInt16BE(0x4000, 6);
  ip[8] = HOP_LIMIT;
  ip[9] = UDP;
  addressBytes(source).copy(ip, 12);
  addressBytes(destination).copy(ip, 16);
  ip.writeUInt16BE(checksum(ip), 10);
  return Buffer.concat([ip, udp, payload]);
}

/** Returns the datagram of an IP packet; undefined if it is another packet, or if its lengths are wrong. */
export function udpOf(ip: Buffer): UdpPacket | undefined {
  const isV6 = ip.length >= IPV6_BYTES && ip[0]! >> 4 === 6;
  const header = isV6 ? IPV6_BYTES : IPV4_BYTES;
  if (ip.length < header + UDP_BYTES || (!isV6 && ip[0] !== 0x45) || ip[isV6 ? 6 : 9] !== UDP)
    return undefined;
  const length = isV6 ? IPV6_BYTES + ip.readUInt16BE(4) : ip.readUInt16BE(2);
  const udp = ip.subarray(header, length);
  if (length > ip.length || udp.length < UDP_BYTES || udp.readUInt16BE(4) !== udp.length) return undefined;
  const addresses = isV6 ? ip.subarray(8, 40) : ip.subarray(12, 20);
  const half = addresses.length / 2;
  return {
    source: addressText(addresses.subarray(0, half)),
    destination: addressText(addresses.subarray(half)),
    sourcePort: udp.readUInt16BE(0),
    destinationPort: udp.readUInt16BE(2),
    payload: udp.subarray(UDP_BYTES),
  };
}

/** Returns the RoCEv2 packet of an Ethernet frame; undefined if it has none. */
export function roceOf(frame: Buffer): RocePacket | undefined {
  const type = frame.length >= ETHERNET_BYTES ? frame.readUInt16BE(12) : 0;
  if (type !== EtherType.Ipv4 && type !== EtherType.Ipv6) return undefined;
  const udp = udpOf(frame.subarray(ETHERNET_BYTES));
  if (udp?.destinationPort !== ROCE_PORT || udp.payload.length < BTH_BYTES + ICRC_BYTES) return undefined;
  return {
    ...udp,
    opcode: udp.payload.readUInt8(0),
    destQp: udp.payload.readUIntBE(5, 3),
    psn: udp.payload.readUIntBE(9, 3),
  };
}

/* --- a RoCEv2 packet by hand --- */

/** An acknowledge packet, from the BTH to the ICRC. */
export function acknowledgement(
  way: Omit<UdpPacket, 'payload' | 'destinationPort'>,
  { destQp, psn, syndrome, msn }: { destQp: number; psn: number; syndrome: number; msn: number },
): Buffer {
  const payload = Buffer.alloc(BTH_BYTES + 4 + ICRC_BYTES);
  payload[0] = 0x11; // RC ACKNOWLEDGE
  payload[1] = 0x40; // migrated
  payload.writeUInt16BE(0xffff, 2); // default partition
  payload.writeUIntBE(destQp, 5, 3);
  payload.writeUIntBE(psn, 9, 3);
  payload[BTH_BYTES] = syndrome;
  payload.writeUIntBE(msn, BTH_BYTES + 1, 3);
  const packet = ipPacket({ ...way, destinationPort: ROCE_PORT, payload });
  payload.writeUInt32LE(icrcOf(packet), payload.length - ICRC_BYTES);
  return payload;
}

/* --- what a neighbour answers --- */

export function ethernetFrame(from: Station, to: Station, packet: Buffer): Buffer {
  const type = packet[0]! >> 4 === 6 ? EtherType.Ipv6 : EtherType.Ipv4;
  return frameOf(macBytes(from.mac), macBytes(to.mac), type, packet);
}

function frameOf(from: Buffer, to: Buffer, type: number, body: Buffer): Buffer {
  return Buffer.concat([to, from, Buffer.from([type >> 8, type & 0xff]), body]);
}

/** Returns the answer to an ARP request for the station's address (RFC 826), undefined if the frame is no such request. */
export function arpAnswer(frame: Buffer, station: Station): Buffer | undefined {
  const request = frame.subarray(ETHERNET_BYTES);
  if (frame.readUInt16BE(12) !== EtherType.Arp || request.length < 28) return undefined;
  const address = addressBytes(station.ipv4);
  if (request.readUInt16BE(6) !== 1 || !request.subarray(24, 28).equals(address)) return undefined;
  const asker = request.subarray(8, 18); // its MAC and IP address
  const mac = macBytes(station.mac);
  const kind = Buffer.from([0, 2]);
  const answer = Buffer.concat([request.subarray(0, 6), kind, mac, address, asker]);
  return frameOf(mac, asker.subarray(0, 6), EtherType.Arp, answer);
}

/** Returns the answer to a neighbour solicitation for the station's address (RFC 4861), undefined if the frame is none. */
export function neighbourAnswer(frame: Buffer, station: Station): Buffer | undefined {
  const ip = frame.subarray(ETHERNET_BYTES);
  if (frame.readUInt16BE(12) !== EtherType.Ipv6 || ip.length < IPV6_BYTES + 24) return undefined;
  const address = addressBytes(station.ipv6);
  const isSolicitation = ip[6] === ICMPV6 && ip[IPV6_BYTES] === 135;
  if (!isSolicitation || !ip.subarray(48, 64).equals(address)) return undefined;
  const asker = ip.subarray(8, 24);
  const mac = macBytes(station.mac);
  // Type 136, solicited and override; the target, and its link-layer address as an option.
  const icmp = Buffer.concat([Buffer.from([136, 0, 0, 0, 0x60, 0, 0, 0]), address, Buffer.from([2, 1]), mac]);
  const pseudo = Buffer.concat([address, asker, Buffer.from([0, 0, 0, icmp.length, 0, 0, 0, ICMPV6])]);
  icmp.writeUInt16BE(checksum(pseudo, icmp), 2);
  const header = Buffer.from([0x60, 0, 0, 0, 0, icmp.length, ICMPV6, 255]);
  const packet = Buffer.concat([header, address, asker, icmp]);
  return frameOf(mac, frame.subarray(6, 12), EtherType.Ipv6, packet);
}
