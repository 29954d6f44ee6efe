/**
 * Writes requests as JSON, field by field: JSON.stringify(), and the object that it would need, take several times as long and leave
 * garbage.
 */
import { hex } from '../internal/words';
import type { ExplainedRequest } from './explained-request';
import { DIGIT_0, encoded, type LineWriter } from './line-writer';

/** Returns the bytes before the value of a field. */
function field(name: keyof ExplainedRequest | 'offset' | 'answerSeconds'): Uint8Array {
  return encoded(`,"${name}":`);
}

const BEGIN = encoded('{"type":"request"');
const packet = field('packet');
const lastPacket = field('lastPacket');
const time = field('time');
const source = field('source');
const destination = field('destination');
const queuePair = field('queuePair');
const sourceQueuePair = field('sourceQueuePair');
const transport = field('transport');
const opcode = field('opcode');
const address = field('address');
const key = field('key');
const length = field('length');
const psn = field('psn');
const packets = field('packets');
const immediate = field('immediate');
const invalidate = field('invalidate');
const swapAdd = field('swapAdd');
const compare = field('compare');
const original = field('original');
const complete = field('complete');
const cm = field('cm');
const outcome = field('outcome');
const answerPacket = field('answerPacket');
const nak = field('nak');
const nakText = field('nakText');
const repeats = field('repeats');
const rnrNaks = field('rnrNaks');
const sequenceNaks = field('sequenceNaks');
const badPackets = field('badPackets');
const verdict = field('verdict');
const explanation = field('explanation');
const offset = field('offset');
const answerSeconds = field('answerSeconds');

/** Writes objects of requests. */
export class RequestJson {
  readonly #lines: LineWriter;

  constructor(lines: LineWriter) {
    this.#lines = lines;
  }

  /**
   * Writes the object of a request: addresses, keys, and 64-bit values as hex texts, times in seconds; what is undefined is left out.
   * docs/explain.schema.json describes it.
   *
   * @param origin - time of the first packet of the capture, in nanoseconds since 1970
   */
  write(request: ExplainedRequest, origin: bigint): void {
    const lines = this.#lines;
    lines.bytes(BEGIN);
    this.#whole(packet, request.packet);
    this.#whole(lastPacket, request.lastPacket);
    this.#seconds(time, Number(request.time));
    this.#word(source, request.source);
    this.#word(destination, request.destination);
    this.#whole(queuePair, request.queuePair);
    this.#whole(sourceQueuePair, request.sourceQueuePair);
    this.#word(transport, request.transport);
    this.#word(opcode, request.opcode);
    this.#hex(address, request.address);
    this.#hex(key, request.key);
    this.#whole(length, request.length);
    this.#whole(psn, request.psn);
    this.#whole(packets, request.packets);
    this.#hex(immediate, request.immediate);
    this.#hex(invalidate, request.invalidate);
    this.#hex(swapAdd, request.swapAdd);
    this.#hex(compare, request.compare);
    this.#hex(original, request.original);
    lines.bytes(complete).text(request.complete ? 'true' : 'false');
    if (request.cm !== undefined) lines.bytes(cm).text(JSON.stringify(request.cm));
    this.#word(outcome, request.outcome);
    this.#whole(answerPacket, request.answerPacket);
    this.#hex(nak, request.nak);
    this.#word(nakText, request.nakText);
    this.#whole(repeats, request.repeats);
    this.#whole(rnrNaks, request.rnrNaks);
    this.#whole(sequenceNaks, request.sequenceNaks);
    this.#whole(badPackets, request.badPackets);
    this.#word(verdict, request.verdict);
    if (request.explanation !== '') lines.bytes(explanation).text(JSON.stringify(request.explanation));
    this.#seconds(offset, Number(request.time - origin));
    if (request.answerNanoseconds !== undefined) this.#seconds(answerSeconds, request.answerNanoseconds);
    lines.text('}').end();
  }

  /** @param value - a whole number of at least 0 */
  #whole(name: Uint8Array, value: number | undefined): void {
    if (value !== undefined) this.#lines.bytes(name).decimal(value);
  }

  #hex(name: Uint8Array, value: number | bigint | undefined): void {
    if (value === undefined) return;
    this.#lines.bytes(name).text('"');
    if (typeof value === 'number') this.#lines.hex(value);
    else this.#lines.text(hex(value));
    this.#lines.text('"');
  }

  /**
   * Writes nanoseconds as a number of seconds: the digits that a reader needs to get the same double. The engine, which finds them too,
   * keeps the text of each number in a cache; with a million numbers, that makes the heap grow by 20 MB.
   */
  #seconds(name: Uint8Array, nanoseconds: number): void {
    const lines = this.#lines.bytes(name);
    const seconds = nanoseconds / 1e9;
    const whole = Math.floor(seconds);
    for (let digits = 6, scale = 1e6; digits <= 9 && seconds >= 0; digits++, scale *= 10) {
      let fraction = Math.round((seconds - whole) * scale);
      if (whole + fraction / scale !== seconds) continue;
      lines.decimal(whole);
      if (fraction === 0) return;
      for (; fraction % 10 === 0; fraction /= 10) digits--;
      lines.text('.').decimal(fraction, digits, DIGIT_0);
      return;
    }
    lines.text(String(seconds));
  }

  /** @param value - a text in which JSON escapes nothing */
  #word(name: Uint8Array, value: string | undefined): void {
    if (value !== undefined) this.#lines.bytes(name).text('"').text(value).text('"');
  }
}
