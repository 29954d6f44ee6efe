/** Writes lines of ASCII text into a buffer, without creating strings for numbers. */

export const DIGIT_0 = 48;
const LETTER_A = 97;
const SPACE = 32;
const LINE_FEED = 10;
const QUESTION = 63;

/** Lines are written to the output when there are at least so many bytes of them. */
export const WRITE_BYTES = 1 << 16;

/** Returns the bytes of an ASCII text, for {@link LineWriter.bytes}. */
export function encoded(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** A growing buffer of lines. */
export class LineWriter {
  #bytes = new Uint8Array(2 * WRITE_BYTES);
  #length = 0;

  /** Bytes that were written since the last {@link LineWriter.take}. */
  get length(): number {
    return this.#length;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.#length + bytes));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  /** Writes a text; what is not ASCII is written as `?`. */
  text(text: string): this {
    const { length } = text;
    this.#reserve(length);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      bytes[at++] = code < 128 ? code : QUESTION;
    }
    this.#length = at;
    return this;
  }

  /** Writes a text that {@link encoded} has encoded: faster than {@link LineWriter.text} if it is longer than a few words. */
  bytes(text: Uint8Array): this {
    this.#reserve(text.length);
    this.#bytes.set(text, this.#length);
    this.#length += text.length;
    return this;
  }

  /** Writes a whole number of 0 to 2^53 - 1 in decimal, with spaces before it up to a width. */
  decimal(value: number, width = 0, fill = SPACE): this {
    let count = 1;
    for (let limit = 10; limit <= value; limit *= 10) count++;
    this.#reserve(Math.max(count, width));
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = count; i < width; i++) bytes[at++] = fill;
    at += count;
    this.#length = at;
    let rest = value;
    // Numbers of 32 bits are divided as integers, which is several times as fast.
    while (rest > 0xffff_ffff) {
      const tenth = Math.floor(rest / 10);
      bytes[--at] = DIGIT_0 + rest - 10 * tenth;
      rest = tenth;
    }
    let low = rest >>> 0;
    do {
      const tenth = (low / 10) >>> 0;
      bytes[--at] = DIGIT_0 + low - 10 * tenth;
      low = tenth;
    } while (low !== 0);
    return this;
  }

  /** Writes `0x` and a number of 64 bits, given as two words. */
  hex(low: number, high = 0): this {
    this.#reserve(18);
    const bytes = this.#bytes;
    let at = this.#length;
    bytes[at++] = DIGIT_0;
    bytes[at++] = 120; // x
    let shift =
      high !== 0 ? 60 - 4 * (Math.clz32(high) >> 2) : low === 0 ? 0 : 28 - 4 * (Math.clz32(low) >> 2);
    for (; shift >= 0; shift -= 4) {
      const digit = (shift >= 32 ? high >>> (shift - 32) : low >>> shift) & 15;
      bytes[at++] = digit < 10 ? DIGIT_0 + digit : LETTER_A + digit - 10;
    }
    this.#length = at;
    return this;
  }

  /**
   * Writes a time of whole units and billionths with six decimals.
   *
   * @param units - at least 0
   * @param billionths - 0 to 999,999,999
   */
  time(units: number, billionths: number, width: number): this {
    this.decimal(units, width).text('.');
    return this.decimal(Math.floor(billionths / 1000), 6, DIGIT_0);
  }

  /** Writes milliseconds with three decimals. */
  milliseconds(nanoseconds: number): this {
    const micros = Math.max(0, Math.round(nanoseconds / 1000));
    const whole = Math.floor(micros / 1000);
    return this.decimal(whole)
      .text('.')
      .decimal(micros - 1000 * whole, 3, DIGIT_0)
      .text(' ms');
  }

  end(): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = LINE_FEED;
    return this;
  }

  /** Returns what was written: a view that is valid until the next line is written. Empties the buffer. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    return taken;
  }
}

/** Wraps a text into lines. Words that are longer than a line stay whole. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  if (line !== '') lines.push(line);
  return lines;
}
