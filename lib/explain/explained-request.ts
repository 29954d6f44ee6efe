/** The requests of a capture as objects, for programs and for JSON. */
import { cmReason } from '../internal/cm-words';
import { cmMeaning, cmName } from './cm';
import { type Flows, FlowWord } from './flows';
import { wide } from './keys';
import { nakName, opcodeName, type RequestOpcode, Transport } from './opcodes';
import { Outcome, RequestDouble, RequestFlag, type Requests, RequestWord } from './requests';

/** What became of a request; see {@link ExplainedRequest.outcome}. */
export type RequestOutcome =
  | 'Acknowledged'
  | 'Refused'
  | 'NotCarriedOut'
  | 'Unacknowledged'
  | 'ReceiverNotReady'
  | 'OutOfSequence'
  | 'PartlyAnswered'
  | 'NoAnswer';

const outcomeNames: Readonly<Record<Outcome, RequestOutcome>> = {
  [Outcome.Pending]: 'NoAnswer',
  [Outcome.Acknowledged]: 'Acknowledged',
  [Outcome.Refused]: 'Refused',
  [Outcome.NotCarriedOut]: 'NotCarriedOut',
  [Outcome.Unacknowledged]: 'Unacknowledged',
  [Outcome.ReceiverNotReady]: 'ReceiverNotReady',
  [Outcome.OutOfSequence]: 'OutOfSequence',
  [Outcome.PartlyAnswered]: 'PartlyAnswered',
  [Outcome.NoAnswer]: 'NoAnswer',
};

/** A message of the connection manager; see {@link ExplainedRequest.cm}. */
export interface ExplainedCm {
  /** `REQ`, `MRA`, `REJ`, `REP`, `RTU`, `DREQ`, `DREP`, `SIDR_REQ`, `SIDR_REP`, `LAP` or `APR`. */
  readonly name: string;
  readonly meaning: string;
  /** REQ and REP: number of the sender's queue pair for the connection. */
  readonly queuePair: number | undefined;
  /** REJ: number of the reason, and its meaning. */
  readonly reason: number | undefined;
  readonly reasonText: string | undefined;
}

/** One request of a capture and what became of it. */
export interface ExplainedRequest {
  /** Number of its first packet in the file, as Wireshark shows it. */
  readonly packet: number;
  /** Number of its last packet; the same for a request of one packet. */
  readonly lastPacket: number;
  /** Time of its first packet in nanoseconds since 1970. */
  readonly time: bigint;
  /** Addresses of the requester and of the responder. */
  readonly source: string;
  readonly destination: string;
  /** Number of the responder's queue pair. */
  readonly queuePair: number;
  /** Number of the requester's queue pair; undefined if the capture does not show it. */
  readonly sourceQueuePair: number | undefined;
  readonly transport: 'RC' | 'UC' | 'UD';
  readonly opcode: RequestOpcode;
  /** Address in the responder's memory; undefined for a SEND. */
  readonly address: bigint | undefined;
  /** Key of the responder's memory; undefined for a SEND. */
  readonly key: number | undefined;
  /** Bytes of the message, as its header says; of a SEND: as its packets have. */
  readonly length: number;
  /** PSN of its first packet. */
  readonly psn: number;
  /** Its packets in the capture, without repeated ones. */
  readonly packets: number;
  readonly immediate: number | undefined;
  /** SEND_WITH_INV: the key to invalidate. */
  readonly invalidate: number | undefined;
  /** Atomic operations: the value to add or to store. */
  readonly swapAdd: bigint | undefined;
  readonly compare: bigint | undefined;
  /** Atomic operations: the value before, from the answer. */
  readonly original: bigint | undefined;
  /** Whether its first and last packet are in the capture. */
  readonly complete: boolean;
  readonly cm: ExplainedCm | undefined;
  /**
   * - `Acknowledged`: carried out.
   * - `Refused`: answered by the NAK {@link ExplainedRequest.nak}, which ends the connection.
   * - `NotCarriedOut`: sent behind a request that was refused.
   * - `Unacknowledged`: UC or UD, where nothing is acknowledged.
   * - `ReceiverNotReady`: the last answer was an RNR NAK.
   * - `OutOfSequence`: the responder waits for an earlier packet, which it never got.
   * - `PartlyAnswered`: a READ of which responses are missing.
   * - `NoAnswer`: no answer is in the capture.
   */
  readonly outcome: RequestOutcome;
  /** Number of the packet that settled it; undefined if there is none. */
  readonly answerPacket: number | undefined;
  /** Nanoseconds from its first packet to that answer; undefined also if the capture has the answer at an earlier time. */
  readonly answerNanoseconds: number | undefined;
  /** Syndrome of the NAK that refused it (0x60 to 0x7f), or of the last RNR NAK (0x20 to 0x3f), and the NAK's name. */
  readonly nak: number | undefined;
  readonly nakText: string | undefined;
  /** How often it, or a part of it, was sent again. */
  readonly repeats: number;
  readonly rnrNaks: number;
  readonly sequenceNaks: number;
  /** Packets of it with a wrong ICRC or checksum. */
  readonly badPackets: number;
  /** With regions: `Accepted`, or the reason for which the core refuses it; undefined if it was not judged. */
  readonly verdict: string | undefined;
  /**
   * Sentences: why the request failed, as far as the capture and the regions tell, and the most likely mistake. Empty if nothing is
   * wrong. The wording may change in any version.
   */
  readonly explanation: string;
}

const transports: Readonly<Record<Transport, ExplainedRequest['transport']>> = {
  [Transport.Rc]: 'RC',
  [Transport.Uc]: 'UC',
  [Transport.Ud]: 'UD',
};

/** Returns a time in nanoseconds since 1970. */
export function timeOf(seconds: number, nanoseconds: number): bigint {
  return BigInt(Math.trunc(seconds)) * 1_000_000_000n + BigInt(nanoseconds);
}

/**
 * Returns the nanoseconds from a request's first packet to the answer that settled it; undefined if there is none, or if the capture has
 * the answer at an earlier time.
 */
export function answerDelay(requests: Requests, slot: number): number | undefined {
  const seconds = requests.getDouble(slot, RequestDouble.AnswerSeconds);
  if (seconds === 0) return undefined;
  const delay =
    (seconds - requests.getDouble(slot, RequestDouble.Seconds)) * 1e9 +
    (requests.getDouble(slot, RequestDouble.AnswerNanoseconds) -
      requests.getDouble(slot, RequestDouble.Nanoseconds));
  return delay < 0 ? undefined : delay;
}

export function nameOfRequest(requests: Requests, slot: number): RequestOpcode {
  return opcodeName(
    requests.get(slot, RequestWord.Kind),
    requests.has(slot, RequestFlag.HasImmediate),
    requests.has(slot, RequestFlag.HasInvalidate),
  );
}

function longOf(requests: Requests, slot: number, word: RequestWord): bigint {
  return wide(requests.words, slot * RequestWord.Words + word);
}

// It has no functions inside: the bundler adds a call to each that gives it its name, which takes longer than all the rest.
/** Creates the object of a request. */
export function explainedRequest(
  flows: Flows,
  requests: Requests,
  slot: number,
  verdict: string | undefined,
  explanation: string,
): ExplainedRequest {
  const flow = requests.get(slot, RequestWord.Flow);
  const outcome = requests.outcome(slot);
  const opcode = nameOfRequest(requests, slot);
  const isAtomic = opcode.startsWith('ATOMIC');
  const answerPacket = requests.getDouble(slot, RequestDouble.AnswerPacket);
  const source = flows.sourceQueuePair(flow);
  const syndrome = requests.get(slot, RequestWord.Syndrome);
  const cm = requests.get(slot, RequestWord.Cm) - 1;
  const reason = requests.get(slot, RequestWord.CmReason);
  const queuePair = requests.get(slot, RequestWord.CmQueuePair);
  return {
    packet: requests.getDouble(slot, RequestDouble.Packet),
    lastPacket: requests.getDouble(slot, RequestDouble.LastPacket),
    time: timeOf(
      requests.getDouble(slot, RequestDouble.Seconds),
      requests.getDouble(slot, RequestDouble.Nanoseconds),
    ),
    source: flows.hosts.text(flows.get(flow, FlowWord.SourceHost)),
    destination: flows.hosts.text(flows.get(flow, FlowWord.DestinationHost)),
    queuePair: flows.get(flow, FlowWord.QueuePair),
    sourceQueuePair: source < 0 ? undefined : source,
    transport: transports[flows.get(flow, FlowWord.Transport) as Transport],
    opcode,
    address: requests.has(slot, RequestFlag.HasTarget)
      ? longOf(requests, slot, RequestWord.Address)
      : undefined,
    key: requests.has(slot, RequestFlag.HasTarget) ? requests.get(slot, RequestWord.Key) : undefined,
    length: requests.get(slot, RequestWord.Length),
    psn: requests.get(slot, RequestWord.Psn),
    packets: requests.get(slot, RequestWord.Packets),
    immediate: requests.has(slot, RequestFlag.HasImmediate)
      ? requests.get(slot, RequestWord.Immediate)
      : undefined,
    invalidate: requests.has(slot, RequestFlag.HasInvalidate)
      ? requests.get(slot, RequestWord.Invalidate)
      : undefined,
    swapAdd: isAtomic ? longOf(requests, slot, RequestWord.SwapAdd) : undefined,
    compare: opcode === 'ATOMIC_CMP_AND_SWP' ? longOf(requests, slot, RequestWord.Compare) : undefined,
    original:
      isAtomic && outcome === Outcome.Acknowledged
        ? longOf(requests, slot, RequestWord.OriginalValue)
        : undefined,
    complete:
      requests.has(slot, RequestFlag.Complete) &&
      !requests.has(slot, RequestFlag.BeginsMidway) &&
      !requests.has(slot, RequestFlag.HasGap),
    cm:
      cm < 0
        ? undefined
        : {
            name: cmName(cm),
            meaning: cmMeaning(cm),
            queuePair: queuePair === 0 ? undefined : queuePair,
            reason: cmName(cm) === 'REJ' ? reason : undefined,
            reasonText: cmName(cm) === 'REJ' ? cmReason(reason) : undefined,
          },
    outcome: outcomeNames[outcome],
    answerPacket: answerPacket === 0 ? undefined : answerPacket,
    answerNanoseconds: answerDelay(requests, slot),
    nak: syndrome === 0 ? undefined : syndrome,
    nakText: syndrome === 0 ? undefined : syndrome < 0x60 ? 'receiver not ready' : nakName(syndrome),
    repeats: requests.get(slot, RequestWord.Repeats),
    rnrNaks: requests.get(slot, RequestWord.RnrNaks),
    sequenceNaks: requests.get(slot, RequestWord.SequenceNaks),
    badPackets: requests.get(slot, RequestWord.BadPackets),
    verdict,
    explanation,
  };
}
