// Programs that the fuzzer of the wire starts with: frames and small files from the captures of the tests, and each file's first
// packets in the other formats.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const captures = fileURLToPath(new URL('../../../test/wire/captures', import.meta.url));

const FILE_PROGRAM = 0x80;
/** In the order of the fuzzer's link types. */
const [ETHERNET, RAW, SLL, SLL2] = [0, 1, 2, 3];
const LONGEST_FRAME = 600;
const PACKETS_A_FILE = 5;
const ETHERNET_HEADER = 14;

/** Yields the packets of a pcap file in little-endian order. @param {Buffer} file */
function* packetsOf(file) {
  for (let at = 24; at < file.length;) {
    const end = at + 16 + file.readUInt32LE(at + 8);
    yield file.subarray(at + 16, end);
    at = end;
  }
}

/** @param {number} link index of the link type @param {Buffer} bytes */
const frame = (link, bytes) => Buffer.concat([Buffer.from([link, 0, 0]), bytes]);
/** @param {number} piece @param {Buffer} bytes */
const file = (piece, bytes) => Buffer.concat([Buffer.from([FILE_PROGRAM, piece]), bytes]);

/**
 * Makes a pcap file.
 * @param {Buffer[]} packets
 * @param {boolean} big big-endian
 * @param {number} magic
 */
function pcap(packets, big, magic) {
  /** @param {...number} values */
  const words = (...values) => Buffer.concat(values.map((value) => word(value, big)));
  const version = big ? 0x00020004 : 0x00040002;
  return Buffer.concat([
    words(magic, version, 0, 0, 262144, 1),
    ...packets.flatMap((packet) => [words(1, 2, packet.length, packet.length), packet]),
  ]);
}

/** @param {number} value @param {boolean} big */
function word(value, big) {
  const bytes = Buffer.alloc(4);
  if (big) bytes.writeUInt32BE(value);
  else bytes.writeUInt32LE(value);
  return bytes;
}

/**
 * Makes a pcapng file with two interfaces, an obsolete and a simple packet, and a second section.
 * @param {Buffer[]} packets
 * @param {boolean} big
 */
function pcapng(packets, big) {
  /** @param {...number} values */
  const words = (...values) => Buffer.concat(values.map((value) => word(value, big)));
  /** Two 16-bit numbers. @param {number} first @param {number} second */
  const pair = (first, second) => (big ? first * 0x10000 + second : second * 0x10000 + first);
  /** @param {number} type @param {...Buffer} content */
  const block = (type, ...content) => {
    const bytes = Buffer.concat(content);
    const length = 12 + Math.ceil(bytes.length / 4) * 4;
    return Buffer.concat([
      words(type, length),
      bytes,
      Buffer.alloc(length - 12 - bytes.length),
      words(length),
    ]);
  };
  const section = block(0x0a0d0d0a, words(0x1a2b3c4d, pair(1, 0), 0xffffffff, 0xffffffff));
  const nanoseconds = Buffer.concat([
    words(pair(9, 1)),
    Buffer.from([9, 0, 0, 0]),
    words(pair(14, 8), 0, 1, 0),
  ]);
  return Buffer.concat([
    section,
    block(1, words(pair(1, 0), 0)),
    block(1, words(pair(1, 0), 300), nanoseconds),
    ...packets.map((packet, i) => block(6, words(i % 2, 1, 2, packet.length, packet.length), packet)),
    ...packets.slice(0, 1).map((packet) => block(3, words(packet.length), packet)),
    ...packets
      .slice(0, 1)
      .map((packet) => block(2, words(pair(1, 0), 1, 2, packet.length, packet.length), packet)),
    block(5, words(1, 2, 3)),
    section,
  ]);
}

/** Yields the programs. */
export function* wireSeeds() {
  const names = readdirSync(captures, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.pcap'),
  );
  /** Opcodes and lengths that a frame was already made of. @type {Set<string>} */
  const seen = new Set();
  for (const [index, name] of names.sort().entries()) {
    const bytes = readFileSync(join(captures, name));
    const packets = [...packetsOf(bytes)]
      .filter((packet) => packet.length <= LONGEST_FRAME)
      .slice(0, PACKETS_A_FILE);
    for (const packet of packets) {
      const type = packet.readUInt16BE(12);
      const kind = `${type} ${packet[type === 0x86dd ? 62 : 42] ?? -1} ${packet.length > 100}`;
      if (seen.has(kind)) continue;
      seen.add(kind);
      const ip = packet.subarray(ETHERNET_HEADER);
      const typed = packet.subarray(12, 14);
      const tag = Buffer.from([0x81, 0, 0, 5]);
      yield frame(ETHERNET, packet);
      yield frame(ETHERNET, Buffer.concat([packet.subarray(0, 12), tag, packet.subarray(12)]));
      yield frame(RAW, ip);
      yield frame(SLL, Buffer.concat([Buffer.alloc(14), typed, ip]));
      yield frame(SLL2, Buffer.concat([typed, Buffer.alloc(18), ip]));
    }
    const small = packets.filter((packet) => packet.length < 250);
    yield file(index, pcap(small, index % 2 === 1, index % 4 < 2 ? 0xa1b2c3d4 : 0xa1b23c4d));
    yield file(index, pcapng(small, index % 2 === 0));
  }
}
