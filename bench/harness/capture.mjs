// Makes captures of RoCEv2 traffic, for the benchmark of `explainCapture`: WRITEs of one packet and their acknowledgements, or READs and
// their responses of one packet.

const ETHERNET = Buffer.from('52540a0000025254000000010800', 'hex');
const WRITE_ONLY = 0x0a;
const READ_REQUEST = 0x0c;
const READ_RESPONSE_ONLY = 0x10;
const ACKNOWLEDGE = 0x11;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc >>> 0;
});

/**
 * Returns the ICRC of an IPv4 packet without its last four bytes. Fields that routers change count as ones.
 * @param {Buffer} ip
 */
function icrc(ip) {
  const masked = Buffer.concat([Buffer.alloc(8, 255), ip]);
  for (const at of [9, 16, 18, 19, 34, 35, 40]) masked[at] = 255;
  let crc = 0xffffffff;
  for (const byte of masked) crc = (table[(crc ^ byte) & 255] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * @param {boolean} back whether the packet goes from the responder to the requester
 * @param {number} opcode
 * @param {number} psn
 * @param {Buffer} rest what follows the base transport header
 */
function frame(back, opcode, psn, rest) {
  const ip = Buffer.alloc(40 + rest.length);
  ip.writeUInt16BE(0x4500, 0);
  ip.writeUInt16BE(ip.length + 4, 2);
  ip.writeUInt32BE(0x4000_4011, 6); // do not fragment, TTL 64, UDP; the checksum is added below
  ip.writeUInt32BE(back ? 0x0a000002 : 0x0a000001, 12);
  ip.writeUInt32BE(back ? 0x0a000001 : 0x0a000002, 16);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += ip.readUInt16BE(at);
  ip.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 10);
  ip.writeUInt16BE(50_000, 20);
  ip.writeUInt16BE(4791, 22);
  ip.writeUInt16BE(ip.length + 4 - 20, 24);
  ip.writeUInt32BE(((opcode << 24) | 0x0040_ffff) >>> 0, 28);
  ip.writeUInt32BE(back ? 17 : 18, 32);
  ip.writeUInt32BE((0x8000_0000 | psn) >>> 0, 36);
  rest.copy(ip, 40);
  const end = Buffer.alloc(4);
  end.writeUInt32LE(icrc(ip));
  return Buffer.concat([ETHERNET, ip, end]);
}

/**
 * Returns a pcap file of requests, each answered.
 *
 * @param {'write' | 'read'} kind
 * @param {number} requests
 * @param {number} length bytes of each request, a multiple of 4
 */
export function captureOf(kind, requests, length) {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt32LE(0x0004_0002, 4);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(1, 20);
  /** @type {Buffer[]} */
  const parts = [header];
  /** @param {Buffer} bytes */
  const add = (bytes) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(1_800_000_000, 0);
    record.writeUInt32LE(parts.length % 1_000_000, 4);
    record.writeUInt32LE(bytes.length, 8);
    record.writeUInt32LE(bytes.length, 12);
    parts.push(record, bytes);
  };
  for (let psn = 0; psn < requests; psn++) {
    const isWrite = kind === 'write';
    const request = Buffer.alloc(16 + (isWrite ? length : 0), psn);
    request.writeBigUInt64BE(BigInt(0x10000 + psn * length), 0);
    request.writeUInt32BE(0x1234_5678, 8);
    request.writeUInt32BE(length, 12);
    add(frame(false, isWrite ? WRITE_ONLY : READ_REQUEST, psn, request));
    const answer = Buffer.alloc(4 + (isWrite ? 0 : length), psn);
    answer.writeUInt32BE((0x1f00_0000 | (psn + 1)) >>> 0);
    add(frame(true, isWrite ? ACKNOWLEDGE : READ_RESPONSE_ONLY, psn, answer));
  }
  return Buffer.concat(parts);
}
