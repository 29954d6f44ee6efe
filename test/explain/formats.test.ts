// The same packets in every file format and link type give the same explanation.
import { captureBytes, explainBytes } from './explained';

/** The packets of a capture of the tests: seconds, microseconds, frame. */
function packetsOf(bytes: Buffer): [seconds: number, micros: number, frame: Buffer][] {
  const packets: [number, number, Buffer][] = [];
  for (let at = 24; at < bytes.length;) {
    const length = bytes.readUInt32LE(at + 8);
    const frame = bytes.subarray(at + 16, at + 16 + length);
    packets.push([bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4), frame]);
    at += 16 + length;
  }
  return packets;
}

const original = captureBytes('rxe-endpoint/peer-sends-with-invalidate');
const packets = packetsOf(original);

interface Pcap {
  linkType: number;
  bigEndian?: boolean;
  nanoseconds?: boolean;
  /** Bytes that are kept of each packet. */
  snap?: number;
}

function pcapOf(
  { linkType, bigEndian = false, nanoseconds = false, snap = 1 << 18 }: Pcap,
  link: (frame: Buffer) => Buffer,
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
  for (const [seconds, micros, frame] of packets) {
    const bytes = link(frame);
    const kept = bytes.subarray(0, snap);
    parts.push(words(seconds, nanoseconds ? micros * 1000 : micros, kept.length, bytes.length), kept);
  }
  return Buffer.concat(parts);
}

const same = (frame: Buffer): Buffer => frame;
const tagged =
  (...tags: string[]) =>
  (frame: Buffer): Buffer =>
    Buffer.concat([frame.subarray(0, 12), Buffer.from(tags.join(''), 'hex'), frame.subarray(12)]);

function pcapngOf(): Buffer {
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
    // Ethernet with nanoseconds, and raw IP with microseconds
    block(1, Buffer.from('0100000000000000' + '0900010009000000' + '00000000', 'hex')),
    block(1, Buffer.from('6500000000000000', 'hex')),
    ...packets.map(([seconds, micros, frame], i) =>
      i % 2 === 0
        ? packet(0, BigInt(seconds) * 1_000_000_000n + BigInt(micros) * 1000n, frame)
        : packet(1, BigInt(seconds) * 1_000_000n + BigInt(micros), frame.subarray(14)),
    ),
  ]);
}

test.each<[name: string, capture: Buffer]>([
  ['big-endian pcap', pcapOf({ linkType: 1, bigEndian: true }, same)],
  ['pcap with nanoseconds', pcapOf({ linkType: 1, nanoseconds: true }, same)],
  ['Ethernet with a VLAN tag', pcapOf({ linkType: 1 }, tagged('81000007'))],
  ['Ethernet with two VLAN tags', pcapOf({ linkType: 1 }, tagged('88a80007', '81000009'))],
  ['raw IP', pcapOf({ linkType: 101 }, (frame) => frame.subarray(14))],
  [
    'Linux cooked v1',
    pcapOf({ linkType: 113 }, (frame) =>
      Buffer.concat([
        Buffer.from('000000010006', 'hex'),
        frame.subarray(6, 12),
        Buffer.alloc(2),
        frame.subarray(12),
      ]),
    ),
  ],
  [
    'Linux cooked v2',
    pcapOf({ linkType: 276 }, (frame) =>
      Buffer.concat([
        frame.subarray(12, 14),
        Buffer.from('000000000002000100' + '06', 'hex'),
        frame.subarray(6, 12),
        Buffer.alloc(2),
        frame.subarray(14),
      ]),
    ),
  ],
  ['pcapng with two interfaces', pcapngOf()],
])('%s', async (_, capture) => {
  const expected = await explainBytes(original);
  const { requests, summary } = await explainBytes(capture);
  expect(requests).toEqual(expected.requests);
  expect({ ...summary, bytes: 0 }).toEqual({ ...expected.summary, bytes: 0 });
});

test('a snap length that keeps the headers costs only the check of the ICRC', async () => {
  const expected = await explainBytes(original);
  const { requests, summary } = await explainBytes(pcapOf({ linkType: 1, snap: 86 }, same));
  expect(requests).toEqual(expected.requests);
  expect(summary.icrcChecked).toBeLessThan(expected.summary.icrcChecked);
});

test('packets of an unknown link type are counted', async () => {
  const { requests, summary } = await explainBytes(pcapOf({ linkType: 105 }, same));
  expect(requests).toEqual([]);
  expect(summary).toMatchObject({ packets: 6, roce: 0, unreadLink: 6, unreadLinkType: 105 });
});
