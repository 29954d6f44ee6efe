// Models the bytes of user and DMA memory, and the operations fill and mem (docs/trace-format.md, "Verbs").

import { hex } from '../numbers';
import { PageList, type Region, type Segments, type Sge } from '../region';
import { NamesNothing, type Session } from '../session';
import type { FillOp, MemOp, VerbsAnswer } from './operations';
import type { VerbsSession } from './session';

/** An accepted SGE that a work request holds, with the pages that its region had when the SGE was accepted. */
export interface HeldSge {
  readonly sge: Sge;
  readonly segments: Segments;
  readonly segmentSize: bigint;
}

/** Adjacent bytes of one buffer. */
interface Piece {
  buffer: Uint8Array;
  start: number;
  length: number;
}

/** The bytes of one session: each user region has memory of its own; all other regions share the DMA memory. */
export class Memory {
  readonly #session: Session;
  readonly #dma: Uint8Array;
  readonly #user = new WeakMap<Region, Uint8Array>();

  constructor(session: Session) {
    this.#session = session;
    this.#dma = new Uint8Array(Number(session.dmaEnd - session.dmaStart));
  }

  /** Reads the first `length` bytes of a list of SGEs. */
  read(sges: readonly HeldSge[], length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let done = 0;
    for (const { buffer, start, length: size } of this.#pieces(sges, 0, length)) {
      bytes.set(buffer.subarray(start, start + size), done);
      done += size;
    }
    return bytes;
  }

  /** Writes bytes to a list of SGEs, after the first `skip` bytes of the list. */
  write(sges: readonly HeldSge[], bytes: Uint8Array, skip = 0): void {
    let done = 0;
    for (const { buffer, start, length } of this.#pieces(sges, skip, bytes.length)) {
      buffer.set(bytes.subarray(done, done + length), start);
      done += length;
    }
  }

  /** Returns the piece of DMA memory at a DMA address. */
  ofDma(address: bigint, length: number): Uint8Array {
    const start = Number(address - this.#session.dmaStart);
    return this.#dma.subarray(start, start + length);
  }

  #pieces(sges: readonly HeldSge[], skip: number, length: number): Piece[] {
    const pieces: Piece[] = [];
    let ignore = skip;
    let left = length;
    for (const held of sges) {
      for (const piece of this.#piecesOf(held)) {
        if (left === 0) return pieces;
        const ignored = Math.min(ignore, piece.length);
        const size = Math.min(left, piece.length - ignored);
        ignore -= ignored;
        left -= size;
        if (size > 0) pieces.push({ buffer: piece.buffer, start: piece.start + ignored, length: size });
      }
    }
    if (left > 0) throw new Error('the model ran out of SGEs');
    return pieces;
  }

  /** Splits an SGE at the ends of its segments (docs/semantics.md, 13). */
  *#piecesOf({ sge, segments, segmentSize }: HeldSge): Generator<Piece> {
    let { position, segment, length: leftInSegment } = sge;
    for (let left = sge.sgeLength; left > 0n;) {
      const size = left < leftInSegment ? left : leftInSegment;
      yield this.#at(sge.region, position, Number(size));
      left -= size;
      if (left === 0n) return;
      segment += 1n;
      position = segments.start(segment);
      leftInSegment = segmentSize;
    }
  }

  /** Returns the piece of memory at a position, which `Region.locate` defines. */
  #at(region: Region, position: bigint, length: number): Piece {
    if (region.kind === 'user') return { buffer: this.#ofUser(region), start: Number(position), length };
    return { buffer: this.#dma, start: Number(position - this.#session.dmaStart), length };
  }

  #ofUser(region: Region): Uint8Array {
    let bytes = this.#user.get(region);
    if (bytes === undefined) {
      bytes = new Uint8Array(Number(region.length));
      this.#user.set(region, bytes);
    }
    return bytes;
  }

  /** Returns the bytes of a region from an offset, without any check of keys or rights; for `fill` and `mem`. */
  piecesOfRegion(region: Region, offset: number, length: number): Uint8Array[] {
    if (region.kind === 'user') return [this.#ofUser(region).subarray(offset, offset + length)];
    if (!(region.segments instanceof PageList) || region.segments.count === 0n) throw new NamesNothing();
    const pieces: Uint8Array[] = [];
    let position = BigInt(offset) + region.offset;
    for (let left = BigInt(length); left > 0n;) {
      const into = position % region.segmentSize;
      const rest = region.segmentSize - into;
      const size = left < rest ? left : rest;
      pieces.push(this.ofDma(region.segments.start(position / region.segmentSize) + into, Number(size)));
      position += size;
      left -= size;
    }
    return pieces;
  }
}

export function hold(sge: Sge): HeldSge {
  sge.region.held += 1;
  return { sge, segments: sge.region.segments, segmentSize: sge.region.segmentSize };
}

/** Drops the references of a work request. */
export function putAll(held: readonly HeldSge[]): void {
  for (const { sge } of held) sge.region.held -= 1;
}

export function lengthOf(held: readonly HeldSge[]): number {
  return held.reduce((sum, { sge }) => sum + Number(sge.sgeLength), 0);
}

export function fill(session: VerbsSession, op: FillOp): VerbsAnswer {
  let k = 0;
  for (const bytes of placeOf(session, op)) {
    for (let i = 0; i < bytes.length; i++, k++) {
      bytes[i] = (op.seed * 31 + k * 7 + Math.floor(k / 256) * 13) % 256;
    }
  }
  return { ret: 0 };
}

export function mem(session: VerbsSession, op: MemOp): VerbsAnswer {
  const bytes = Buffer.concat(placeOf(session, op));
  if (bytes.length <= 32) return { hex: bytes.toString('hex') };
  let fnv = 0x811c9dc5;
  for (const byte of bytes) fnv = Math.imul(fnv ^ byte, 0x01000193) >>> 0;
  return { fnv: hex(fnv) };
}

function placeOf(session: VerbsSession, op: FillOp | MemOp): Uint8Array[] {
  if ('dma' in op) return [session.memory.ofDma(BigInt(op.dma), op.length)];
  return session.memory.piecesOfRegion(session.regionOf(op.mr, ['user', 'mem_reg']), op.offset, op.length);
}
