// Records on a stream: 4 bytes of length, big-endian, and so many bytes. QEMU carries Ethernet frames so, and so do the programs of host/.
import type { Readable, Writable } from 'node:stream';

const HEADER_BYTES = 4;

export function writeRecord(to: Writable, ...parts: readonly Uint8Array[]): void {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(parts.reduce((sum, { length }) => sum + length, 0));
  to.write(Buffer.concat([header, ...parts]));
}

/** Calls `take` with each record, in memory of its own. */
export function readRecords(from: Readable, take: (record: Buffer) => void): void {
  let rest = Buffer.alloc(0);
  from.on('data', (piece: Buffer) => {
    let bytes = rest.length ? Buffer.concat([rest, piece]) : piece;
    while (bytes.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + bytes.readUInt32BE();
      if (bytes.length < end) break;
      take(Buffer.from(bytes.subarray(HEADER_BYTES, end)));
      bytes = bytes.subarray(end);
    }
    rest = Buffer.from(bytes);
  });
}
