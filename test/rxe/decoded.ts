// RoCEv2 packets as this package's codec decodes them.
import { IcrcVerdict, WireFault, WireRow } from '../../lib/internal/layout';
import { PacketReader } from '../../lib/wire/packet-reader';
import { pcapHeader, pcapRecord } from '../support/roce-captures';

/** LINKTYPE_RAW: IP packets without a link layer. */
const RAW_IP = 101;

export interface Decoded {
  readonly fault: string;
  readonly opcode: number;
  readonly destQp: number;
  readonly psn: number;
  readonly address: bigint;
  readonly rkey: number;
  readonly length: number;
  readonly syndrome: number;
  readonly sourcePort: number;
  readonly icrc: string;
  /** The identification of the IPv4 header, or the one that the ICRC tells. */
  readonly ipId: number;
  readonly payload: Buffer;
}

/** Decodes the RoCEv2 packets of a capture. */
export function decodeCapture(capture: Buffer): Decoded[] {
  const reader = new PacketReader();
  const bytes = new Uint8Array(capture);
  const all: Decoded[] = [];
  for (let taken = 0; taken < bytes.length; taken += reader.taken) {
    const rows = reader.read(bytes, taken);
    for (let row = 0; row < rows; row++) all.push(decodedRow(reader, reader.first + row * WireRow.Words));
    if (reader.taken === 0) throw new Error(`the capture cannot be read: status ${reader.status}`);
  }
  return all;
}

function decodedRow(reader: PacketReader, at: number): Decoded {
  const word = (index: number) => reader.words[at + index]!;
  const icrc = word(WireRow.Icrc);
  return {
    fault: WireFault[word(WireRow.Fault)]!,
    opcode: word(WireRow.Opcode),
    destQp: word(WireRow.DestQp),
    psn: word(WireRow.Psn),
    address: reader.longs[(at + WireRow.Address) / 2]!,
    rkey: word(WireRow.Rkey),
    length: word(WireRow.Length),
    syndrome: word(WireRow.Syndrome),
    sourcePort: word(WireRow.SourcePort),
    icrc: IcrcVerdict[icrc]!,
    ipId: icrc === (IcrcVerdict.OtherId as number) ? word(WireRow.IcrcIpId) : word(WireRow.IpId),
    payload: Buffer.from(reader.payload(at)),
  };
}

/** Decodes an IP packet. */
export function decodePacket(ip: Buffer): Decoded | undefined {
  return decodeCapture(Buffer.concat([pcapHeader(RAW_IP), pcapRecord(ip, 0)]))[0];
}
