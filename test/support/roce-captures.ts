// Makes captures of RoCEv2 traffic for tests: packets with valid ICRCs, in pcap or pcapng files. Written from the specification, apart
// from native/wire, which it tests.

/** Opcodes of RC by the names of the specification; UC is 0x20 above, UD is 0x64. */
export const Op = {
  SendFirst: 0x00,
  SendMiddle: 0x01,
  SendLast: 0x02,
  SendOnly: 0x04,
  WriteFirst: 0x06,
  WriteMiddle: 0x07,
  WriteLast: 0x08,
  WriteOnly: 0x0a,
  ReadRequest: 0x0c,
  ReadFirst: 0x0d,
  ReadMiddle: 0x0e,
  ReadLast: 0x0f,
  ReadOnly: 0x10,
  Ack: 0x11,
  AtomicAck: 0x12,
  CmpSwap: 0x13,
  FetchAdd: 0x14,
  SendOnlyInv: 0x17,
  UcWriteFirst: 0x26,
  UcWriteMiddle: 0x27,
  UcWriteLast: 0x28,
  UcWriteOnly: 0x2a,
  UdSendOnly: 0x64,
  Cnp: 0x81,
} as const;

/** Syndromes of acknowledgements. */
export const Syndrome = {
  Ack: 0x1f,
  Rnr: 0x2e,
  Sequence: 0x60,
  Invalid: 0x61,
  Access: 0x62,
  Operation: 0x63,
} as const;

/** A packet to make. Headers that are left out are not in it. */
export interface PacketOf {
  from: string;
  to: string;
  qp: number;
  op: number;
  psn: number;
  reth?: { address: bigint; key: number; length: number };
  atomic?: { address: bigint; key: number; swapAdd: bigint; compare?: bigint };
  aeth?: { syndrome: number; msn?: number };
  original?: bigint;
  immediate?: number;
  invalidate?: number;
  deth?: { qkey: number; sourceQp: number };
  payload?: Buffer | number;
  ackReq?: boolean;
  /** Flip a bit of the ICRC. */
  damaged?: boolean;
  /** Seconds since the packet before; default 1 µs. */
  after?: number;
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc >>> 0;
});

export function crc32(bytes: Uint8Array, begin = 0xffffffff): number {
  let crc = begin;
  for (const byte of bytes) crc = (table[(crc ^ byte) & 255] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Returns the ICRC of an IPv4 packet without its last four bytes: what routers change counts as ones. */
function icrc(ip: Buffer): number {
  const masked = Buffer.concat([Buffer.alloc(8, 255), ip]);
  masked[8 + 1] = 255; // ToS
  masked[8 + 8] = 255; // TTL
  masked.fill(255, 8 + 10, 8 + 12); // header checksum
  masked.fill(255, 8 + 26, 8 + 28); // UDP checksum
  masked[8 + 32] = 255; // the reserved byte of the BTH with FECN and BECN
  return crc32(masked);
}

function addressOf(text: string): Buffer {
  return Buffer.from(text.split('.').map(Number));
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value >>> 0, 4 * i));
  return bytes;
}

function long(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
  return bytes;
}

/** Returns the IPv4 packet. */
export function ipPacket(packet: PacketOf): Buffer {
  const { reth, atomic, aeth, original, immediate, invalidate, deth } = packet;
  const payload = typeof packet.payload === 'number' ? Buffer.alloc(packet.payload, 0x5a) : packet.payload;
  const data = payload ?? Buffer.alloc(0);
  const pad = (4 - (data.length % 4)) % 4;
  const bth = Buffer.alloc(12);
  bth[0] = packet.op;
  bth[1] = 0x40 | (pad << 4);
  bth.writeUInt16BE(0xffff, 2);
  bth.writeUInt32BE(packet.qp, 4);
  bth.writeUInt32BE((packet.ackReq ? 0x8000_0000 : 0) + (packet.psn & 0xffffff), 8);
  const body = Buffer.concat([
    bth,
    ...(deth ? [words(deth.qkey, deth.sourceQp)] : []),
    ...(reth ? [long(reth.address), words(reth.key, reth.length)] : []),
    ...(atomic
      ? [long(atomic.address), words(atomic.key), long(atomic.swapAdd), long(atomic.compare ?? 0n)]
      : []),
    ...(aeth ? [words((aeth.syndrome << 24) | ((aeth.msn ?? 0) & 0xffffff))] : []),
    ...(original === undefined ? [] : [long(original)]),
    ...(immediate === undefined ? [] : [words(immediate)]),
    ...(invalidate === undefined ? [] : [words(invalidate)]),
    data,
    Buffer.alloc(pad),
  ]);
  const ip = Buffer.alloc(28 + body.length);
  ip[0] = 0x45;
  ip.writeUInt16BE(ip.length + 4, 2);
  ip.writeUInt16BE(0x4000, 6);
  ip[8] = 64;
  ip[9] = 17;
  addressOf(packet.from).copy(ip, 12);
  addressOf(packet.to).copy(ip, 16);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += ip.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  ip.writeUInt16BE(~sum & 0xffff, 10);
  ip.writeUInt16BE(50_000, 20);
  ip.writeUInt16BE(4791, 22);
  ip.writeUInt16BE(ip.length + 4 - 20, 24);
  body.copy(ip, 28);
  const end = Buffer.alloc(4);
  end.writeUInt32LE((icrc(ip) ^ (packet.damaged ? 0x100 : 0)) >>> 0);
  return Buffer.concat([ip, end]);
}

/** Returns the Ethernet frame. */
export function frame(packet: PacketOf): Buffer {
  return Buffer.concat([Buffer.from('52540a0000025254000000010800', 'hex'), ipPacket(packet)]);
}

/** Returns the header of a pcap file. */
export function pcapHeader(linkType = 1): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(linkType, 20);
  return header;
}

/** Returns a packet's record of a pcap file. */
export function pcapRecord(bytes: Buffer, microseconds: number): Buffer {
  const record = Buffer.alloc(16);
  record.writeUInt32LE(1_800_000_000 + Math.floor(microseconds / 1e6));
  record.writeUInt32LE(Math.floor(microseconds % 1e6), 4);
  record.writeUInt32LE(bytes.length, 8);
  record.writeUInt32LE(bytes.length, 12);
  return Buffer.concat([record, bytes]);
}

/** Makes a pcap file of packets. */
export function pcap(packets: readonly PacketOf[]): Buffer {
  let time = 0;
  const records = packets.map((packet) => {
    time += (packet.after ?? 1e-6) * 1e6;
    return pcapRecord(frame(packet), time);
  });
  return Buffer.concat([pcapHeader(), ...records]);
}

/** One direction of a connection, for short descriptions of packets. */
export function connection(a: { host: string; qp: number }, b: { host: string; qp: number }) {
  const ask = (op: number, psn: number, rest: Partial<PacketOf> = {}): PacketOf => ({
    from: a.host,
    to: b.host,
    qp: b.qp,
    op,
    psn,
    ...rest,
  });
  const answer = (op: number, psn: number, rest: Partial<PacketOf> = {}): PacketOf => ({
    from: b.host,
    to: a.host,
    qp: a.qp,
    op,
    psn,
    ...rest,
  });
  const ack = (psn: number, msn = 1, syndrome: number = Syndrome.Ack): PacketOf =>
    answer(Op.Ack, psn, { aeth: { syndrome, msn } });
  return { ask, answer, ack };
}
