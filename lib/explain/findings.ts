/** What the wire alone shows to be wrong or worth knowing, counted by kind and place so that the memory is limited. */

/** Most findings that are kept. Further ones are counted. */
export const MOST_FINDINGS = 4096;

/** The kinds of findings. */
export const findingKinds = [
  /** The ICRC of a packet is wrong. Receivers drop such packets without an answer. */
  'BadIcrc',
  /** The UDP or IP checksum of a packet is wrong. */
  'BadChecksum',
  /** A packet to the port of RoCEv2 whose headers are not valid. */
  'Malformed',
  /** Packets to the port of RoCEv2 that are something else. */
  'NotRoce',
  /** PSNs of requests are missing in the capture. */
  'PsnGap',
  /** PSNs of READ responses are missing in the capture. */
  'ResponseGap',
  /** Frames are in the capture twice. The copies are left out. */
  'DuplicateFrames',
  /** Packets of a connection are not in the order in which they were sent. They are explained in their order. */
  'StoredOutOfOrder',
  /** The numbers of a flow begin anew: another connection with the same queue pair number. */
  'NewSequence',
  /** A request was sent again. */
  'Repeated',
  /** A request was sent again although its acknowledgement is in the capture. */
  'RepeatedAfterAnswer',
  /** The responder asked for a PSN again: NAK, PSN sequence error. */
  'SequenceNak',
  /** The receiver had no receive posted: RNR NAK. */
  'ReceiverNotReady',
  /** A NAK put a connection into error. */
  'ConnectionFailed',
  /** Requests were sent on a connection after the NAK that put it into error. */
  'SentAfterError',
  /** Requests are acknowledged that are not in the capture. */
  'RequestsNotInCapture',
  /** Answers to requests that are not in the capture, or are no longer kept. */
  'AnswerWithoutRequest',
  /** No answer at all is in the capture. */
  'NoAnswers',
  /** An opcode that cannot follow the one before it. */
  'WrongOrder',
  /** The length in the header is not the length of the payload. */
  'WrongLength',
  /** An atomic operation at an address that is not a multiple of 8. */
  'Misaligned',
  /** A request named a key that an earlier request had invalidated. */
  'UsedAfterInvalidate',
  /** A SEND_WITH_INV was acknowledged, but the receiver did not complete it. */
  'InvalidateFailed',
  /** A peer used several keys that do not exist, and the keys of that responder can be foretold from others. */
  'PredictableKeys',
  /** A peer used several keys that do not exist. */
  'KeyProbing',
  /** Congestion notification packets, or packets marked for congestion. */
  'Congestion',
  /** Which connection answers belong to could not be told with certainty. */
  'AmbiguousConnection',
  /** With regions: a request was acknowledged that the regions refuse, or the reverse. */
  'RegionsDisagree',
  /** With regions: acknowledged requests name keys that the list does not have. They are not judged. */
  'KeyNotListed',
] as const;

/** A kind of finding; see {@link CaptureFinding}. */
export type FindingKind = (typeof findingKinds)[number];

const kindNumbers: Readonly<Record<FindingKind, number>> = Object.fromEntries(
  findingKinds.map((kind, number) => [kind, number]),
) as Record<FindingKind, number>;

/** One finding: everything of one kind at one place. */
export interface Finding {
  readonly kind: FindingKind;
  /**
   * Number of the flow. Kinds that tell two cases of a flow apart have twice that number, plus 1 in the second case. Kinds that are not
   * of a flow have another number that tells places apart. describe-finding.ts lists these kinds.
   */
  readonly place: number;
  /** How often it occurred. */
  count: number;
  /** Numbers of the first and the last packet that show it. */
  packet: number;
  lastPacket: number;
  /** Numbers that the text of the finding names, of its first occurrence. */
  first: number;
  second: number;
}

/** Findings in the order of their first occurrence. */
export class Findings {
  readonly list: Finding[] = [];
  /** Occurrences that found no room. */
  dropped = 0;
  readonly #byPlace = new Map<number, Finding>();

  /**
   * Counts an occurrence. Allocates nothing but for the first one of a kind at a place.
   *
   * @param place - see {@link Finding.place}
   * @param packet - number of the packet
   * @param amount - adds to the count; packets that are missing, for example
   */
  add(kind: FindingKind, place: number, packet: number, amount = 1, first = 0, second = 0): void {
    const key = place * findingKinds.length + kindNumbers[kind];
    const known = this.#byPlace.get(key);
    if (known !== undefined) {
      known.count += amount;
      if (packet > known.lastPacket) known.lastPacket = packet;
      // A packet may have waited for the one that belongs before it.
      if (packet < known.packet) {
        known.packet = packet;
        known.first = first;
        known.second = second;
      }
      return;
    }
    if (this.list.length === MOST_FINDINGS) {
      this.dropped += amount;
      return;
    }
    const finding: Finding = { kind, place, count: amount, packet, lastPacket: packet, first, second };
    this.list.push(finding);
    this.#byPlace.set(key, finding);
  }

  /** Returns the finding of a kind at a place. */
  at(kind: FindingKind, place: number): Finding | undefined {
    return this.#byPlace.get(place * findingKinds.length + kindNumbers[kind]);
  }
}
