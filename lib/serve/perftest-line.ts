/**
 * The line by which the programs of perftest (`ib_write_bw`, `ib_read_lat`, ...) tell each other how to connect, over TCP, on a
 * port with GIDs: LID, outstanding reads, number of the queue pair, number of its first packet, remote key, remote address, the 16
 * bytes of the GID, number of the shared receive queue. 107 characters and a zero byte.
 */
import { formatAddress } from '../internal/host-text';

/** Bytes of a line. */
export const PERFTEST_LINE_BYTES = 108;

const GID_BYTES = 16;
const WORDS_OF_GID = [0, 4, 8, 12];
const LINE =
  /^[0-9a-f]{4}:([0-9a-f]{4}):([0-9a-f]{6}):([0-9a-f]{6}):([0-9a-f]{8}):([0-9a-f]{16}):((?:[0-9a-f]{2}:){16})[0-9a-f]{8}:\0$/i;

/** What a line tells. */
export interface PerftestLine {
  /** How many RDMA reads and atomic operations the program wants to have outstanding. */
  readonly reads: number;
  readonly qpn: number;
  readonly psn: number;
  readonly rkey: number;
  readonly remoteAddress: bigint;
  /** The address that the GID is. */
  readonly address: string;
}

/** Reads a line; undefined if the bytes are none. */
export function parsePerftestLine(bytes: Uint8Array): PerftestLine | undefined {
  const fields = LINE.exec(Buffer.from(bytes).toString('latin1'));
  if (!fields) return undefined;
  const [, reads = '', qpn = '', psn = '', rkey = '', remoteAddress = '', digits = ''] = fields;
  const gid = Buffer.from(digits.replaceAll(':', ''), 'hex');
  const number = (text: string): number => parseInt(text, 16);
  return {
    reads: number(reads),
    qpn: number(qpn),
    psn: number(psn),
    rkey: number(rkey),
    remoteAddress: BigInt(`0x${remoteAddress}`),
    address: formatAddress(
      WORDS_OF_GID.map((at) => gid.readUInt32BE(at)),
      0,
    ),
  };
}

/** Formats the line of this end, whose GID has these 16 bytes. RoCE has no LIDs: it is 0. */
export function formatPerftestLine(here: Omit<PerftestLine, 'address'>, gid: Uint8Array): Buffer {
  const digits = (value: number | bigint, count: number): string => value.toString(16).padStart(count, '0');
  const bytes = Array.from({ length: GID_BYTES }, (_, i) => `${digits(gid[i] ?? 0, 2)}:`).join('');
  const { reads, qpn, psn, rkey, remoteAddress } = here;
  return Buffer.from(
    `0000:${digits(reads, 4)}:${digits(qpn, 6)}:${digits(psn, 6)}:${digits(rkey, 8)}:${digits(remoteAddress, 16)}:${bytes}00000000:\0`,
    'latin1',
  );
}
