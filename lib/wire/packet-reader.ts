/** Reads the RoCEv2 packets of a capture file (pcap, pcapng). The native module decodes them, many in a call. */
import {
  CaptureStatus,
  WIRE_CARRIED_AT,
  WIRE_MAX_ROWS,
  WIRE_ROW_BYTES,
  WIRE_ROWS_AT,
  WireFlag,
  WireHeaderDouble,
  WireHeaderWord,
  WireRow,
} from '../internal/layout';
import { native, type NativePacketReader } from '../internal/native';

const WORD_BYTES = 4;
const DEFAULT_ROWS = 1024;

/**
 * A reader of one capture file, which arrives in chunks of any size. Each call of {@link PacketReader.read} fills rows of numbers,
 * one for each RoCEv2 packet ({@link WireRow}), which the next call overwrites. No objects are created for packets.
 *
 * A row begins at the word index {@link PacketReader.first} plus a multiple of `WireRow.Words`. Its fields are
 * `reader.words[at + WireRow.Psn]`; doubles and 64-bit numbers are in `doubles` and `longs` at half of the index.
 */
export class PacketReader {
  /** The block as 32-bit words. */
  readonly words: Uint32Array;
  /** The block as doubles. */
  readonly doubles: Float64Array;
  /** The block as unsigned 64-bit numbers. */
  readonly longs: BigUint64Array;
  /** Index in {@link PacketReader.words} of the first row. */
  readonly first: number = WIRE_ROWS_AT / WORD_BYTES;
  /** The most rows of a call. */
  readonly capacity: number;
  readonly #native: NativePacketReader;
  readonly #bytes: Uint8Array;
  /** The chunk of the last call. */
  #chunk: Uint8Array = new Uint8Array(0);

  /**
   * @param rows - the most rows of a call, 1..65,536
   * @throws RangeError: `rows` is out of range, or no memory
   */
  constructor(rows: number = DEFAULT_ROWS) {
    if (!(Number.isInteger(rows) && rows >= 1 && rows <= WIRE_MAX_ROWS)) {
      throw new RangeError(`a packet reader has 1 to ${WIRE_MAX_ROWS} rows, not ${rows}`);
    }
    const buffer = new SharedArrayBuffer(WIRE_ROWS_AT + rows * WIRE_ROW_BYTES);
    this.#bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.doubles = new Float64Array(buffer);
    this.longs = new BigUint64Array(buffer);
    this.capacity = rows;
    const reader = native.createPacketReader(this.#bytes, rows);
    if (typeof reader === 'number') throw new RangeError('no memory for a packet reader');
    this.#native = reader;
  }

  /**
   * Takes bytes of a chunk, and fills rows. Stops behind the chunk, when all rows are filled, or if {@link PacketReader.status} is
   * no longer OK; {@link PacketReader.taken} tells how many bytes were taken. What was not taken must be given again.
   *
   * @param chunk - the next bytes of the file; not over shared memory
   * @param from - offset in the chunk at which to begin
   * @returns the number of rows
   * @throws TypeError: the chunk is shared or has 2^31 bytes or more, or `from` is not an offset in it
   */
  read(chunk: Uint8Array, from = 0): number {
    this.#native.read(chunk, from);
    this.#chunk = chunk;
    return this.words[WireHeaderWord.Rows] ?? 0;
  }

  /** Ends the file. Returns the status: OK if it ended behind a packet. */
  end(): number {
    this.#native.end();
    return this.status;
  }

  /** Why the file cannot be read further: a {@link CaptureStatus}. The rows of the last call are valid nevertheless. */
  get status(): number {
    return this.words[WireHeaderWord.Status] ?? 0;
  }

  /** Offset in the file: of the packet or block at fault if the status is not OK, else of the next byte. */
  get position(): number {
    return this.#count(WireHeaderDouble.Position);
  }

  /** Bytes of the last chunk that were taken. */
  get taken(): number {
    return this.#count(WireHeaderDouble.Taken);
  }

  /** A `CaptureFormat`. */
  get format(): number {
    return this.words[WireHeaderWord.Format] ?? 0;
  }

  /** Packets so far, of any kind. */
  get packets(): number {
    return this.#count(WireHeaderDouble.Packets);
  }

  /** RoCEv2 packets so far. */
  get roce(): number {
    return this.#count(WireHeaderDouble.Roce);
  }

  /** Fragments of IP packets so far, but for first ones. They are not reassembled. */
  get fragments(): number {
    return this.#count(WireHeaderDouble.Fragments);
  }

  /** RoCEv1 packets so far, which are not read. */
  get roceV1(): number {
    return this.#count(WireHeaderDouble.RoceV1);
  }

  /** Packets so far whose link type cannot be read. */
  get unreadLink(): number {
    return this.#count(WireHeaderDouble.UnreadLink);
  }

  /** The link type (LINKTYPE_*) of the last packet whose link type cannot be read. */
  get unreadLinkType(): number {
    return this.words[WireHeaderWord.UnreadLinkType] ?? 0;
  }

  /**
   * Returns the bytes of a row's payload that are in the file: a view that is valid until the next call.
   *
   * @param at - index of the row's first word
   */
  payload(at: number): Uint8Array {
    const { words } = this;
    const isCarried = ((words[at + WireRow.Flags] ?? 0) & WireFlag.Carried) !== 0;
    const start = isCarried ? WIRE_CARRIED_AT : (words[at + WireRow.PayloadAt] ?? 0);
    return (isCarried ? this.#bytes : this.#chunk).subarray(
      start,
      start + (words[at + WireRow.PayloadBytes] ?? 0),
    );
  }

  #count(which: WireHeaderDouble): number {
    return this.doubles[which] ?? 0;
  }
}

/**
 * Reads a stream to its end or to its first fault, which `reader.status` tells afterwards.
 *
 * @param chunks - the bytes of a capture file
 * @param reader - a new reader, whose rows are valid until the next step of the iteration
 * @returns the number of rows, more than 0, in each step
 */
export async function* packetsOf(
  chunks: AsyncIterable<Uint8Array>,
  reader: PacketReader,
): AsyncGenerator<number, void, undefined> {
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; from += reader.taken) {
      const rows = reader.read(chunk, from);
      if (rows > 0) yield rows;
      if (reader.status !== CaptureStatus.Ok) return;
    }
  }
  reader.end();
}
