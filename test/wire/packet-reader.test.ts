// The reader of RoCEv2 packets: every capture, in any split; hostile files, chunks and blocks.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  BthOpcode,
  CaptureFormat,
  CaptureStatus,
  EINVAL,
  IcrcVerdict,
  WIRE_MAX_ROWS,
  WIRE_NO_VLAN,
  WIRE_ROW_BYTES,
  WIRE_ROWS_AT,
  WireFault,
  WireFlag,
  WireHeaders,
  WireRow,
} from '../../lib/internal/layout';
import { native } from '../../lib/internal/native';
import { PacketReader, packetsOf } from '../../lib/wire/packet-reader';

const captures = join(__dirname, 'captures');
const files = readdirSync(captures, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.pcap'))
  .sort();

/** The bytes of a capture, in memory of their own. */
const bytesOf = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(captures, name)));

/** A packet as the tests compare it: its row without the position of the payload, and the payload. */
interface Packet {
  readonly row: number[];
  readonly payload: string;
}

function packetAt(reader: PacketReader, at: number): Packet {
  const row = [...reader.words.subarray(at, at + WireRow.Words)];
  row[WireRow.Flags] = row[WireRow.Flags]! & ~WireFlag.Carried;
  row[WireRow.PayloadAt] = 0;
  return { row, payload: Buffer.from(reader.payload(at)).toString('hex') };
}

/** Reads a file in pieces. */
function read(bytes: Uint8Array, piece = bytes.length, rows = 64) {
  const reader = new PacketReader(rows);
  const packets: Packet[] = [];
  for (let at = 0; at < bytes.length; at += piece) {
    const chunk = bytes.slice(at, at + piece);
    for (let from = 0; from < chunk.length; from += reader.taken) {
      const count = reader.read(chunk, from);
      for (let row = 0; row < count; row++) {
        packets.push(packetAt(reader, reader.first + row * WireRow.Words));
      }
      if (reader.status !== CaptureStatus.Ok) break;
    }
  }
  reader.end();
  return { reader, packets, status: reader.status, position: reader.position };
}

const field = (packet: Packet | undefined, word: WireRow): number => packet?.row[word] ?? -1;

/** What README.txt of the captures says of each file: frames, of them other ones, and how many have each opcode or kind. */
function readmeOf(): Map<string, { frames: number; other: number; kinds: Map<string, number> }> {
  const text = readFileSync(join(captures, 'README.txt'), 'utf8');
  const found = new Map<string, { frames: number; other: number; kinds: Map<string, number> }>();
  let folder = '';
  let name = '';
  for (const line of text.split('\n')) {
    folder = /^== ([\w-]+)\/:/.exec(line)?.[1] ?? folder;
    name = /^([\w-]+\.pcap)$/.exec(line)?.[1] ?? name;
    const counts = /^ {2}(\d+) frames, \d+ bytes: (.*)$/.exec(line);
    if (!counts) continue;
    const kinds = new Map(
      counts[2]!.split(', ').map((part) => {
        const [count, ...kind] = part.split(' ');
        return [kind.join(' '), Number(count)] as const;
      }),
    );
    found.set(join(folder, name), { frames: Number(counts[1]), other: kinds.get('other') ?? 0, kinds });
  }
  return found;
}

/** The README's name of a packet. */
function kindOf(packet: Packet): string {
  const opcode = field(packet, WireRow.Opcode);
  const syndrome = field(packet, WireRow.Syndrome);
  if (field(packet, WireRow.Icrc) !== IcrcVerdict.Good) return 'BAD icrc';
  if (opcode === BthOpcode.RcAcknowledge && syndrome >> 5 === 1) return 'RNR_NAK';
  if (opcode === BthOpcode.RcAcknowledge && syndrome >> 5 === 3) {
    return ['NAK_PSN_SEQUENCE', 'NAK_INVALID_REQUEST', 'NAK_REMOTE_ACCESS'][syndrome & 31] ?? '?';
  }
  return KINDS[opcode] ?? `opcode ${opcode}`;
}
const KINDS: Record<number, string> = {
  [BthOpcode.RcSendFirst]: 'SEND_FIRST',
  [BthOpcode.RcSendMiddle]: 'SEND_MIDDLE',
  [BthOpcode.RcSendLast]: 'SEND_LAST',
  [BthOpcode.RcSendOnly]: 'SEND_ONLY',
  [BthOpcode.RcSendOnlyWithImm]: 'SEND_ONLY_IMM',
  [BthOpcode.RcSendOnlyWithInv]: 'SEND_ONLY_INV',
  [BthOpcode.RcWriteFirst]: 'WRITE_FIRST',
  [BthOpcode.RcWriteMiddle]: 'WRITE_MIDDLE',
  [BthOpcode.RcWriteLast]: 'WRITE_LAST',
  [BthOpcode.RcWriteLastWithImm]: 'WRITE_LAST_IMM',
  [BthOpcode.RcWriteOnly]: 'WRITE_ONLY',
  [BthOpcode.RcWriteOnlyWithImm]: 'WRITE_ONLY_IMM',
  [BthOpcode.RcReadRequest]: 'READ_REQ',
  [BthOpcode.RcReadResponseFirst]: 'READ_FIRST',
  [BthOpcode.RcReadResponseMiddle]: 'READ_MIDDLE',
  [BthOpcode.RcReadResponseLast]: 'READ_LAST',
  [BthOpcode.RcReadResponseOnly]: 'READ_ONLY',
  [BthOpcode.RcAcknowledge]: 'ACK',
  [BthOpcode.RcAtomicAcknowledge]: 'ATOMIC_ACK',
  [BthOpcode.RcCmpSwap]: 'CMP_SWAP',
  [BthOpcode.RcFetchAdd]: 'FETCH_ADD',
  [BthOpcode.UdSendOnly]: 'UD_SEND_ONLY',
};

describe('captures', () => {
  const readme = readmeOf();

  it('are 82, of which the README describes 81', () => {
    expect(files).toHaveLength(82);
    expect([...readme.keys()].sort()).toEqual(files.filter((name) => name !== 'udp-socket-variants.pcap'));
  });

  it.each([...readme])('finds in %s the packets that its README lists', (name, { frames, other, kinds }) => {
    const { reader, packets, status } = read(bytesOf(name));
    expect(status).toBe(CaptureStatus.Ok);
    expect(reader.format).toBe(CaptureFormat.Pcap);
    expect(reader.packets).toBe(frames);
    expect(reader.roce).toBe(frames - other);
    const found = new Map<string, number>(other ? [['other', other]] : []);
    for (const packet of packets) {
      expect(field(packet, WireRow.Fault)).toBe(WireFault.None);
      const kind = kindOf(packet);
      found.set(kind, (found.get(kind) ?? 0) + 1);
    }
    expect(new Map([...found].sort())).toEqual(new Map([...kinds].sort()));
  });

  it('gives the same packets in any split, and with any number of rows', () => {
    for (const name of files) {
      const bytes = bytesOf(name);
      const { packets } = read(bytes);
      for (const [piece, rows] of [
        [4093, 64],
        [100, 1],
        [bytes.length, 1],
        [bytes.length, 7],
      ] as const) {
        const again = read(bytes, piece, rows);
        expect(again.status).toBe(CaptureStatus.Ok);
        expect(again.packets).toEqual(packets);
      }
    }
  });

  it('gives the same packets byte by byte', () => {
    for (const name of ['programs/program-rping.pcap', 'rxe-endpoint/over-ipv6.pcap', 'rxe-rxe/rnr.pcap']) {
      const bytes = bytesOf(name);
      expect(read(bytes, 1).packets).toEqual(read(bytes).packets);
    }
  });

  it('ends cut files with a position, after the packets before it', () => {
    const bytes = bytesOf('rxe-rxe/cas-faa.pcap');
    const ends = [24];
    const view = new DataView(bytes.buffer);
    while (ends.at(-1)! < bytes.length) ends.push(ends.at(-1)! + 16 + view.getUint32(ends.at(-1)! + 8, true));
    for (let length = 4; length <= bytes.length; length++) {
      const { status, position, packets } = read(bytes.slice(0, length));
      const whole = ends.filter((end) => end <= length);
      expect(packets).toHaveLength(Math.max(0, whole.length - 1));
      expect(status).toBe(whole.at(-1) === length ? CaptureStatus.Ok : CaptureStatus.Truncated);
      expect(position).toBe(whole.at(-1) ?? 0);
    }
  });
});

describe('fields', () => {
  it('has the RETH and the payload of a WRITE', () => {
    // A writes 100 bytes at B+64 with immediate 0x11223344.
    const { packets } = read(bytesOf('rxe-rxe/write-imm.pcap'));
    const [write, ack] = packets;
    expect(field(write, WireRow.Headers)).toBe(WireHeaders.Bth | WireHeaders.Reth | WireHeaders.Imm);
    expect(BigInt(field(write, WireRow.Address)) | (BigInt(write!.row[WireRow.Address + 1]!) << 32n)).toBe(
      0x55abb94c2000n + 64n,
    );
    expect(field(write, WireRow.Rkey)).toBe(554);
    expect(field(write, WireRow.Length)).toBe(100);
    expect(field(write, WireRow.Immediate)).toBe(0x11223344);
    expect(field(write, WireRow.PayloadLength)).toBe(100);
    expect(write!.payload).toHaveLength(200);
    expect(field(write, WireRow.Vlan)).toBe(WIRE_NO_VLAN);
    expect(write!.row.slice(WireRow.Source, WireRow.Source + 4)).toEqual([0, 0, 0xffff, 0x0a00020f]);
    expect(write!.row.slice(WireRow.Destination, WireRow.Destination + 4)).toEqual([
      0, 0, 0xffff, 0x0a000210,
    ]);
    expect(field(ack, WireRow.Headers)).toBe(WireHeaders.Bth | WireHeaders.Aeth);
    expect(field(ack, WireRow.Psn)).toBe(field(write, WireRow.Psn));
    expect(field(ack, WireRow.SourceHash)).toBe(field(write, WireRow.DestinationHash));
    expect(field(ack, WireRow.DestinationHash)).toBe(field(write, WireRow.SourceHash));
  });

  it('has the operands and answers of atomics', () => {
    // CMP_SWAP compare 0 swap 7, then FETCH_ADD 5; the answers are 0 and 7.
    const { packets } = read(bytesOf('rxe-rxe/cas-faa.pcap'));
    const of = (opcode: BthOpcode) => packets.filter((packet) => field(packet, WireRow.Opcode) === opcode);
    expect(
      of(BthOpcode.RcCmpSwap).map((packet) => packet.row.slice(WireRow.SwapAdd, WireRow.OriginalValue)),
    ).toEqual([[7, 0, 0, 0]]);
    expect(
      of(BthOpcode.RcFetchAdd).map((packet) => packet.row.slice(WireRow.SwapAdd, WireRow.Compare)),
    ).toEqual([[5, 0]]);
    expect(of(BthOpcode.RcAtomicAcknowledge).map((packet) => field(packet, WireRow.OriginalValue))).toEqual([
      0, 7,
    ]);
    expect(of(BthOpcode.RcFetchAdd).map((packet) => field(packet, WireRow.Length))).toEqual([8]);
  });

  it('has the payload of connection-manager messages also when chunks split them', () => {
    const bytes = bytesOf('programs/program-rej.pcap');
    for (const piece of [bytes.length, 50]) {
      const { packets } = read(bytes, piece);
      // Base version 1, communication management class 7, class version 2; REQ is 0x0010, REJ 0x0012.
      expect(packets.map((packet) => packet.payload.slice(0, 6))).toEqual(['010702', '010702']);
      expect(packets.map((packet) => packet.payload.slice(32, 36))).toEqual(['0010', '0012']);
      expect(packets.map((packet) => field(packet, WireRow.Qkey))).toEqual([0x80010000, 0x80010000]);
      expect(packets.map((packet) => field(packet, WireRow.DestQp))).toEqual([1, 1]);
    }
  });

  it('has the number and the time of each packet', () => {
    const bytes = bytesOf('rxe-endpoint/ping.pcap');
    const view = new DataView(bytes.buffer);
    const reader = new PacketReader();
    const rows = reader.read(bytes);
    expect(rows).toBe(2);
    const numbers = [0, 1].map(
      (row) => reader.doubles[(reader.first + row * WireRow.Words + WireRow.Number) / 2]!,
    );
    for (const [row, number] of numbers.entries()) {
      let at = 24;
      for (let i = 1; i < number; i++) at += 16 + view.getUint32(at + 8, true);
      const first = reader.first + row * WireRow.Words;
      expect(reader.doubles[(first + WireRow.Seconds) / 2]).toBe(view.getUint32(at, true));
      expect(reader.words[first + WireRow.Nanoseconds]).toBe(view.getUint32(at + 4, true) * 1000);
      expect(reader.words[first + WireRow.Captured]).toBe(view.getUint32(at + 8, true));
    }
    expect(reader.longs[(reader.first + WireRow.Address) / 2]).toBeGreaterThan(2n ** 32n);
  });

  it('tells damaged packets from good ones', () => {
    const wrong = read(bytesOf('rxe-endpoint/variant-wrong-icrc.pcap')).packets;
    expect(wrong.map((packet) => field(packet, WireRow.Icrc))).toEqual(Array(3).fill(IcrcVerdict.Bad));
    const checksum = read(bytesOf('rxe-endpoint/variant-wrong-checksum.pcap')).packets;
    for (const packet of checksum) {
      expect(field(packet, WireRow.Flags) & WireFlag.BadUdpChecksum).not.toBe(0);
      expect(field(packet, WireRow.Icrc)).toBe(IcrcVerdict.Good);
    }
    // Another IP ID than the one that the ICRC covers.
    const bytes = bytesOf('rxe-rxe/write-imm.pcap');
    const { packets } = read(bytes);
    const first = 24 + 16 + 14;
    const isIpv4 = bytes[first] === 0x45;
    expect(isIpv4).toBe(true);
    bytes[first + 4]! ^= 0x12;
    const altered = read(bytes).packets[0]!;
    expect(field(altered, WireRow.Icrc)).toBe(IcrcVerdict.OtherId);
    expect(field(altered, WireRow.IcrcIpId)).toBe(field(packets[0], WireRow.IpId));
    expect(field(altered, WireRow.Flags) & WireFlag.BadIpChecksum).not.toBe(0);
  });
});

describe('streams', () => {
  const bytes = bytesOf('programs/program-write_lat.pcap');

  it('yields the rows of all packets', async () => {
    const pieces = Array.from({ length: Math.ceil(bytes.length / 1000) }, (_, i) =>
      bytes.slice(i * 1000, (i + 1) * 1000),
    );
    const reader = new PacketReader(10);
    let total = 0;
    for await (const rows of packetsOf(Readable.from(pieces), reader)) {
      expect(rows).toBeGreaterThan(0);
      expect(rows).toBeLessThanOrEqual(10);
      total += rows;
    }
    expect(total).toBe(516);
    expect(reader.status).toBe(CaptureStatus.Ok);
    expect(reader.position).toBe(bytes.length);
  });

  it('ends at the first fault', async () => {
    const broken = bytes.slice();
    new DataView(broken.buffer).setUint32(24 + 8, 0x7fffffff, true);
    const reader = new PacketReader();
    let total = 0;
    for await (const rows of packetsOf(Readable.from([broken, broken]), reader)) total += rows;
    expect(total).toBe(0);
    expect(reader.status).toBe(CaptureStatus.TooLarge);
    expect(reader.position).toBe(24);
  });

  it.each([
    ['an empty stream', [], CaptureStatus.Empty],
    ['empty chunks', [new Uint8Array(0), new Uint8Array(0)], CaptureStatus.Empty],
    ['other bytes', [Buffer.from('hello, this is no capture')], CaptureStatus.NotACapture],
    ['gzip', [Buffer.from([0x1f, 0x8b, 8, 0, 0, 0])], CaptureStatus.Compressed],
  ])('names %s', async (_, chunks, status) => {
    const reader = new PacketReader();
    for await (const rows of packetsOf(Readable.from(chunks), reader)) expect(rows).toBe('no rows');
    expect(reader.status).toBe(status);
  });
});

describe('hostile programs', () => {
  const bytes = bytesOf('rxe-rxe/write.pcap');

  it.each([0, -1, 1.5, WIRE_MAX_ROWS + 1, NaN, Infinity])('throws a RangeError for %d rows', (rows) => {
    expect(() => new PacketReader(rows)).toThrow(RangeError);
  });

  it('has up to 65,536 rows', () => {
    const reader = new PacketReader(WIRE_MAX_ROWS);
    expect(reader.read(bytes)).toBe(4);
    expect(reader.words).toHaveLength((WIRE_ROWS_AT + WIRE_MAX_ROWS * WIRE_ROW_BYTES) / 4);
  });

  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  it.each<[string, unknown, unknown]>([
    ['shared memory', shared, 0],
    ['no bytes', undefined, 0],
    ['a string', 'bytes', 0],
    ['another typed array', new Uint16Array(4), 0],
    ['a DataView', new DataView(new ArrayBuffer(8)), 0],
    ['an offset behind the chunk', bytes, bytes.length + 1],
    ['a negative offset', bytes, -1],
    ['a fraction', bytes, 0.5],
    ['an offset that is no number', bytes, '0'],
    ['a bigint', bytes, 0n],
    ['NaN', bytes, NaN],
  ])('throws a TypeError for %s, and takes nothing', (_, chunk, from) => {
    const reader = new PacketReader();
    const read = reader.read.bind(reader) as (chunk: unknown, from: unknown) => number;
    expect(() => read(chunk, from)).toThrow(expect.objectContaining({ name: 'TypeError' }));
    expect(reader.read(bytes)).toBe(4);
    expect(reader.status).toBe(CaptureStatus.Ok);
  });

  it('takes nothing from a detached chunk', () => {
    const chunk = bytes.slice();
    structuredClone(chunk, { transfer: [chunk.buffer] });
    const reader = new PacketReader();
    expect(reader.read(chunk)).toBe(0);
    expect(reader.taken).toBe(0);
    expect(reader.read(bytes)).toBe(4);
  });

  it.each<[string, unknown, unknown]>([
    ['memory that is not shared', new Uint8Array(WIRE_ROWS_AT + WIRE_ROW_BYTES), 1],
    [
      'a block that is too small',
      new Uint8Array(new SharedArrayBuffer(WIRE_ROWS_AT + WIRE_ROW_BYTES - 1)),
      1,
    ],
    [
      'a block that is not aligned',
      new Uint8Array(new SharedArrayBuffer(WIRE_ROWS_AT + 2 * WIRE_ROW_BYTES), 4),
      1,
    ],
    ['no rows', new Uint8Array(new SharedArrayBuffer(WIRE_ROWS_AT)), 0],
    ['too many rows', new Uint8Array(new SharedArrayBuffer(WIRE_ROWS_AT)), 2 ** 32 + 1],
    ['no block', undefined, 1],
    ['no number', new Uint8Array(new SharedArrayBuffer(WIRE_ROWS_AT + WIRE_ROW_BYTES)), undefined],
  ])('refuses %s', (_, block, rows) => {
    const create = native.createPacketReader as (block: unknown, rows: unknown) => unknown;
    expect(() => create(block, rows)).toThrow(expect.objectContaining({ name: 'TypeError' }));
  });

  it('never reads what programs write to the block', () => {
    const wanted = read(bytes).packets;
    const reader = new PacketReader(2);
    const packets: Packet[] = [];
    for (let at = 0; at < bytes.length; at += 90) {
      const chunk = bytes.slice(at, at + 90);
      for (let from = 0; from < chunk.length;) {
        reader.words.fill(EINVAL);
        const rows = reader.read(chunk, from);
        from += reader.taken;
        for (let row = 0; row < rows; row++)
          packets.push(packetAt(reader, reader.first + row * WireRow.Words));
      }
    }
    expect(packets).toEqual(wanted);
  });

  it('keeps the block while only its functions live', () => {
    const { read: readOn, end } = native.createPacketReader(
      new Uint8Array(new SharedArrayBuffer(WIRE_ROWS_AT + WIRE_ROW_BYTES)),
      1,
    ) as { read: (chunk: Uint8Array, from: number) => void; end: () => void };
    globalThis.gc?.();
    readOn(bytes, 0);
    end();
    expect(typeof readOn).toBe('function');
  });

  it('survives any change of a capture', () => {
    let seed = 1;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let round = 0; round < 2000; round++) {
      const altered = bytes.slice(0, 1 + random(bytes.length));
      for (let changes = random(8); changes > 0; changes--) altered[random(altered.length)] = random(256);
      const { reader, packets, status } = read(altered, 1 + random(300), 1 + random(4));
      expect(packets).toHaveLength(reader.roce);
      expect(CaptureStatus[status]).toBeDefined();
      expect(reader.position).toBeLessThanOrEqual(altered.length);
    }
  });
});
