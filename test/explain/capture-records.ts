// Helpers of the tests of captures: takes captures apart into the records of their packets, and puts altered ones together.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { captureBytes } from './explained';

/** A packet of a capture: time and frame. */
export interface CaptureRecord {
  readonly seconds: number;
  readonly micros: number;
  readonly frame: Buffer;
}

/** Returns the names of all captures of the repository. */
export function captureNames(): string[] {
  return readdirSync(join(__dirname, '..', 'wire', 'captures'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.pcap'))
    .map((file) => file.replaceAll('\\', '/').replace('.pcap', ''))
    .sort();
}

/** Returns the packets of a capture of the repository, which are all pcap with microseconds in little-endian order. */
export function recordsOf(name: string): CaptureRecord[] {
  const bytes = captureBytes(name);
  const records: CaptureRecord[] = [];
  for (let at = 24; at < bytes.length;) {
    const length = bytes.readUInt32LE(at + 8);
    const frame = bytes.subarray(at + 16, at + 16 + length);
    records.push({ seconds: bytes.readUInt32LE(at), micros: bytes.readUInt32LE(at + 4), frame });
    at += 16 + length;
  }
  return records;
}

/** How a pcap file is written. */
export interface PcapForm {
  linkType?: number;
  bigEndian?: boolean;
  nanoseconds?: boolean;
  /** Bytes that are kept of each packet. */
  snap?: number;
  /** Returns the frame as this link type has it. */
  link?: (frame: Buffer) => Buffer;
}

/** Makes a pcap file of packets. */
export function pcapOf(
  records: readonly CaptureRecord[],
  {
    linkType = 1,
    bigEndian = false,
    nanoseconds = false,
    snap = 1 << 18,
    link = (frame) => frame,
  }: PcapForm = {},
): Buffer {
  const words = (...values: number[]): Buffer => {
    const bytes = Buffer.alloc(4 * values.length);
    values.forEach((value, i) =>
      bigEndian ? bytes.writeUInt32BE(value, 4 * i) : bytes.writeUInt32LE(value, 4 * i),
    );
    return bytes;
  };
  const version = bigEndian ? 0x0002_0004 : 0x0004_0002;
  const parts = [words(nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, version, 0, 0, snap, linkType)];
  for (const { seconds, micros, frame } of records) {
    const bytes = link(frame);
    const kept = bytes.subarray(0, snap);
    parts.push(words(seconds, nanoseconds ? micros * 1000 : micros, kept.length, bytes.length), kept);
  }
  return Buffer.concat(parts);
}

/** Makes a pcapng file of packets on two interfaces in turn: Ethernet with nanoseconds, and raw IP with microseconds. */
export function pcapngOf(records: readonly CaptureRecord[]): Buffer {
  const block = (type: number, ...parts: Buffer[]): Buffer => {
    const body = Buffer.concat(parts);
    const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32LE(type);
    ends.writeUInt32LE(padded.length + 12, 4);
    return Buffer.concat([ends, padded, ends.subarray(4)]);
  };
  const packet = (at: number, time: bigint, bytes: Buffer): Buffer => {
    const header = Buffer.alloc(20);
    header.writeUInt32LE(at);
    header.writeUInt32LE(Number(time >> 32n), 4);
    header.writeUInt32LE(Number(time & 0xffff_ffffn), 8);
    header.writeUInt32LE(bytes.length, 12);
    header.writeUInt32LE(bytes.length, 16);
    return block(6, header, bytes);
  };
  return Buffer.concat([
    block(0x0a0d0d0a, Buffer.from('4d3c2b1a01000000ffffffffffffffff', 'hex')),
    block(1, Buffer.from('0100000000000000' + '0900010009000000' + '00000000', 'hex')),
    block(1, Buffer.from('6500000000000000', 'hex')),
    ...records.map(({ seconds, micros, frame }, i) =>
      i % 2 === 0
        ? packet(0, BigInt(seconds) * 1_000_000_000n + BigInt(micros) * 1000n, frame)
        : packet(1, BigInt(seconds) * 1_000_000n + BigInt(micros), frame.subarray(14)),
    ),
  ]);
}

/** Returns the frame behind VLAN tags. */
export const tagged =
  (...tags: string[]) =>
  (frame: Buffer): Buffer =>
    Buffer.concat([frame.subarray(0, 12), Buffer.from(tags.join(''), 'hex'), frame.subarray(12)]);

/** The link types that are read, each with how a frame of Ethernet looks there. */
export const pcapForms: readonly (readonly [name: string, form: PcapForm])[] = [
  ['big-endian pcap', { bigEndian: true }],
  ['pcap with nanoseconds', { nanoseconds: true }],
  ['Ethernet with a VLAN tag', { link: tagged('81000007') }],
  ['Ethernet with two VLAN tags', { link: tagged('88a80007', '81000009') }],
  ['raw IP', { linkType: 101, link: (frame) => frame.subarray(14) }],
  [
    'Linux cooked v1',
    {
      linkType: 113,
      link: (frame) =>
        Buffer.concat([
          Buffer.from('000000010006', 'hex'),
          frame.subarray(6, 12),
          Buffer.alloc(2),
          frame.subarray(12),
        ]),
    },
  ],
  [
    'Linux cooked v2',
    {
      linkType: 276,
      link: (frame) =>
        Buffer.concat([
          frame.subarray(12, 14),
          Buffer.from('000000000002000100' + '06', 'hex'),
          frame.subarray(6, 12),
          Buffer.alloc(2),
          frame.subarray(14),
        ]),
    },
  ],
];
