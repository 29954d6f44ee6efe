/**
 * The line by which the programs `ibv_rc_pingpong`, `ibv_uc_pingpong` and `ibv_ud_pingpong` of libibverbs tell each other how to
 * connect, over TCP: LID, number of the queue pair, number of its first packet, GID. 51 characters and a zero byte.
 */
import { formatAddress } from '../internal/host-text';

/** Bytes of a line. */
export const LINE_BYTES = 52;

const WORD_DIGITS = 8;
const LINE = /^[0-9a-f]{4}:([0-9a-f]{6}):([0-9a-f]{6}):([0-9a-f]{32})\0$/i;

/** What a line tells. */
export interface PingpongLine {
  readonly qpn: number;
  readonly psn: number;
  /** The address that the GID is. */
  readonly address: string;
}

/** Reads a line; undefined if the bytes are none. */
export function parseLine(bytes: Uint8Array): PingpongLine | undefined {
  const [, qpn, psn, gid] = LINE.exec(Buffer.from(bytes).toString('latin1')) ?? [];
  if (qpn === undefined || psn === undefined || gid === undefined) return undefined;
  const words = [0, 1, 2, 3].map((i) => parseInt(gid.slice(i * WORD_DIGITS, (i + 1) * WORD_DIGITS), 16));
  return { qpn: parseInt(qpn, 16), psn: parseInt(psn, 16), address: formatAddress(words, 0) };
}

/** Formats the line of this end, whose GID has these 16 bytes. RoCE has no LIDs: it is 0. */
export function formatLine(qpn: number, psn: number, gid: Uint8Array): Buffer {
  const digits = (value: number): string => value.toString(16).padStart(6, '0');
  return Buffer.from(`0000:${digits(qpn)}:${digits(psn)}:${Buffer.from(gid).toString('hex')}\0`, 'latin1');
}
