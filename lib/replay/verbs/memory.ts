/** Executes `fill` and `mem`, which write and read the bytes of regions and of DMA memory without any check. */
import { EINVAL, RegionField } from '../../internal/layout';
import { type Answer, answerFailure, fieldOf, SKIPPED, toHex } from '../answers';
import type { NamedRegion, Session } from '../session';
import type { OperationMembers } from '../trace-format';
import type { Place } from './operations';

/** The longest memory that `mem` answers as hex digits, in bytes. */
const MOST_HEX = 32;

const FNV_START = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** A place that names no bytes, and the answer to its operation. */
interface Refused {
  readonly answer: Answer;
}

export function fill(session: Session, op: OperationMembers['fill']): Answer {
  const pieces = piecesOf(session, op);
  if ('answer' in pieces) return pieces.answer;
  let k = 0;
  for (const bytes of pieces) {
    for (let i = 0; i < bytes.length; i++, k++) {
      bytes[i] = op.seed * 31 + k * 7 + Math.floor(k / 256) * 13; // stored mod 256
    }
  }
  return { ret: 0 };
}

export function mem(session: Session, op: OperationMembers['mem']): Answer {
  const pieces = piecesOf(session, op);
  if ('answer' in pieces) return pieces.answer;
  if (op.length <= MOST_HEX) return { hex: Buffer.concat(pieces).toString('hex') };
  let hash = FNV_START;
  for (const bytes of pieces) {
    for (const byte of bytes) hash = Math.imul(hash ^ byte, FNV_PRIME);
  }
  return { fnv: toHex(hash >>> 0) };
}

/** Finds the bytes of a place, as pieces of memory in order. */
function piecesOf(session: Session, { mr, offset = 0, dma, length }: Place): Uint8Array[] | Refused {
  if (dma !== undefined) return pieceOfDma(session, BigInt(dma), length);
  const region = mr === undefined ? undefined : session.region(mr);
  if (region === undefined) return { answer: SKIPPED };
  if (region.memory !== undefined) return pieceOf(region.memory, offset, length);
  return piecesOfMapping(session, region, offset, length);
}

function pieceOf(bytes: Uint8Array, offset: number, length: number): Uint8Array[] | Refused {
  if (offset + length > bytes.length) return { answer: answerFailure(-EINVAL) };
  return [bytes.subarray(offset, offset + length)];
}

function pieceOfDma(session: Session, address: bigint, length: number): Uint8Array[] | Refused {
  const { base, bytes } = session.dmaMemory;
  if (address < base || address > base + BigInt(bytes.length)) return { answer: answerFailure(-EINVAL) };
  return pieceOf(bytes, Number(address - base), length);
}

/** The bytes of a mapped region are those of the list's elements one after the other, up to the region's length. */
function piecesOfMapping(
  session: Session,
  region: NamedRegion,
  offset: number,
  length: number,
): Uint8Array[] | Refused {
  if (region.mapped === undefined) return { answer: SKIPPED };
  const mapped = Number(fieldOf(session.queryRegion(region.native), RegionField.Length));
  if (offset + length > mapped) return { answer: answerFailure(-EINVAL) };
  const pieces: Uint8Array[] = [];
  let [skip, left] = [offset, length];
  for (const element of region.mapped) {
    const taken = Math.min(left, Math.max(element.length - skip, 0));
    if (taken > 0) {
      const found = pieceOfDma(session, BigInt(element.addr) + BigInt(skip), taken);
      if ('answer' in found) return found;
      pieces.push(...found);
    }
    left -= taken;
    skip = Math.max(skip - element.length, 0);
  }
  return pieces;
}
