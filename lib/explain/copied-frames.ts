/** Recognizes frames that the capture has twice, as a mirror port of both directions or a capture on all interfaces records them. */
import { IcrcVerdict, WireRow } from '../internal/layout';
import { get } from './reading';
import type { Rows } from './rows';

/**
 * Nanoseconds between a frame and its copy. A switch or a system stores both within some microseconds. A requester that sends a
 * packet again by itself has waited for its timeout, which is far longer: 4.096 µs is the least that a queue pair can have, but
 * responders need more, and network cards take a millisecond at least. What is sent again because a NAK asked for it can come as soon as
 * this; see {@link CopiedFrames.originalOf}.
 */
const LONGEST = 50_000;
/**
 * The same for datagrams that are not RoCEv2. They have no PSN by which two of them differ, and programs do send the same datagram
 * twice within 12 µs.
 */
const LONGEST_OTHER = 5000;

/** Frames that are remembered; a power of two. At 100 Gbit/s, some 150 frames of 4 KiB travel in the time of a copy. */
const FRAMES = 1024;

/** Words of a frame that is remembered. */
const enum Frame {
  /** Flow plus 1; 0 for a datagram that is not RoCEv2. */
  Flow = 0,
  Psn = 1,
  Opcode = 2,
  IpId = 3,
  /** Number of NAKs to its flow that asked for packets again. */
  Naks = 4,
  /** The ICRC that the frame has, and the one that it should have, which is a check sum of all its bytes that no router changes. */
  Found = 5,
  Computed = 6,
  /** A check sum of its headers, if the capture has too little of it for the ICRC. */
  Headers = 7,
  Nanoseconds = 8,
  Words = 9,
}

/** The frames of the last moments. Nothing here allocates, and a frame costs a constant time. */
export class CopiedFrames {
  readonly #words = new Uint32Array(FRAMES * Frame.Words);
  /** Number and seconds of each frame. A number is never 0. */
  readonly #doubles = new Float64Array(FRAMES * 2);

  /**
   * Remembers a frame, unless it is a copy.
   *
   * @param flow - the packet's flow; -1 if it is not RoCEv2
   * @param naks - how many NAKs have asked its sender for packets again: if there was one since the frame that is equal to it, the sender
   *   sent it again. Its IP identification says nothing then, because senders of identification 0 are common, and IPv6 has none.
   * @returns number of the packet that this one is a copy of; 0 if there is none
   */
  originalOf({ words, doubles }: Rows, at: number, flow: number, naks: number): number {
    const psn = get(words, at + WireRow.Psn);
    const opcode = get(words, at + WireRow.Opcode);
    const found = get(words, at + WireRow.IcrcFound);
    const computed = get(words, at + WireRow.IcrcComputed);
    const headers = get(words, at + WireRow.Icrc) === IcrcVerdict.NotChecked ? headerSum(words, at) : 0;
    const seconds = get(doubles, (at + WireRow.Seconds) >> 1);
    const nanoseconds = get(words, at + WireRow.Nanoseconds);
    // Packets that follow each other have neighbouring places. Of datagrams that are not RoCEv2 only the check sums differ.
    const spread = flow < 0 ? computed ^ headers : Math.imul(flow + 1, 0x9e3779b1) >>> 22;
    const place = (psn + spread + opcode) & (FRAMES - 1);
    const known = this.#words;
    const base = place * Frame.Words;
    if (
      known[base + Frame.Psn] === psn &&
      known[base + Frame.Flow] === flow + 1 &&
      known[base + Frame.Opcode] === opcode &&
      known[base + Frame.IpId] === words[at + WireRow.IpId] &&
      known[base + Frame.Naks] === naks &&
      known[base + Frame.Found] === found &&
      known[base + Frame.Computed] === computed &&
      known[base + Frame.Headers] === headers
    ) {
      const later =
        (seconds - get(this.#doubles, 2 * place + 1)) * 1e9 +
        nanoseconds -
        get(known, base + Frame.Nanoseconds);
      // Copies can be stored in either order.
      if (Math.abs(later) <= (flow < 0 ? LONGEST_OTHER : LONGEST)) return get(this.#doubles, 2 * place);
    }
    known[base + Frame.Flow] = flow + 1;
    known[base + Frame.Psn] = psn;
    known[base + Frame.Opcode] = opcode;
    known[base + Frame.IpId] = get(words, at + WireRow.IpId);
    known[base + Frame.Naks] = naks;
    known[base + Frame.Found] = found;
    known[base + Frame.Computed] = computed;
    known[base + Frame.Headers] = headers;
    known[base + Frame.Nanoseconds] = nanoseconds;
    this.#doubles[2 * place] = get(doubles, (at + WireRow.Number) >> 1);
    this.#doubles[2 * place + 1] = seconds;
    return 0;
  }
}

/** Returns a check sum of what the reader decoded of a packet: addresses, ports, and all transport headers. */
function headerSum(words: Uint32Array, at: number): number {
  let sum = get(words, at + WireRow.Original) ^ get(words, at + WireRow.DestQp);
  for (let i = WireRow.Source; i <= WireRow.SourcePort; i++) sum = mixed(sum, get(words, at + i));
  for (let i = WireRow.Address; i <= WireRow.SourceQp; i++) sum = mixed(sum, get(words, at + i));
  return sum >>> 0;
}

function mixed(sum: number, word: number): number {
  const next = Math.imul(sum ^ word, 0x9e3779b1);
  return next ^ (next >>> 15);
}
