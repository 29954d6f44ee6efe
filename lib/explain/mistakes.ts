/**
 * Why a request failed, in sentences, from what the capture itself shows. Each text names packets by their numbers. What a remote access
 * error may mean is in access-mistakes.ts.
 */
import { hex } from '../internal/words';
import { accessRefused, invalidatedBefore, kindWords, type Tables } from './access-mistakes';
import { FlowDouble, FlowWord } from './flows';
import { wide } from './keys';
import { completionAfter, Kind, nakName, rnrMilliseconds } from './opcodes';
import { psnDistance } from './reading';
import { Outcome, RequestDouble, RequestFlag, type Requests, RequestWord } from './requests';
import { NakCode } from '../internal/layout';
import { count, keysOf, thousands } from './words';

/** Explains what became of a request. Empty if nothing is wrong with it. */
export function explainOutcome(tables: Tables, slot: number): string {
  const { requests } = tables;
  const sentences: string[] = [];
  switch (requests.outcome(slot)) {
    case Outcome.Refused:
      sentences.push(...refused(tables, slot));
      break;
    case Outcome.NotCarriedOut:
      sentences.push(notCarriedOut(tables, slot));
      break;
    case Outcome.ReceiverNotReady:
      sentences.push(receiverNotReady(tables, slot));
      break;
    case Outcome.OutOfSequence:
      sentences.push(outOfSequence(tables, slot));
      break;
    case Outcome.PartlyAnswered:
      sentences.push(
        `The capture has ${count(requests.get(slot, RequestWord.Responses), 'response packet')} with ` +
          `${count(requests.get(slot, RequestWord.ResponseBytes), 'byte')} of ${thousands(requests.get(slot, RequestWord.Length))} in order; the rest is missing.`,
      );
      break;
    case Outcome.NoAnswer:
      sentences.push(...noAnswer(tables, slot));
      break;
    default:
  }
  if (requests.has(slot, RequestFlag.NotCounted)) sentences.push(notCounted(tables, slot));
  if (
    requests.has(slot, RequestFlag.RepeatedAfterAnswer) &&
    requests.outcome(slot) === Outcome.Acknowledged
  ) {
    sentences.push(
      `It was sent again in packet ${requests.getDouble(slot, RequestDouble.NeedlessPacket)} although packet ` +
        `${requests.getDouble(slot, RequestDouble.AnswerPacket)} had answered it: the answer was lost on its way behind the point of capture, or came too late.`,
    );
  }
  const used = usedAfterInvalidate(tables, slot);
  if (used !== '' && requests.outcome(slot) === Outcome.Acknowledged) sentences.push(used);
  return sentences.join(' ');
}

function usedAfterInvalidate(tables: Tables, slot: number): string {
  const by = invalidatedBefore(tables, slot);
  if (by === 0) return '';
  const key = hex(tables.requests.get(slot, RequestWord.Key));
  return `The key ${key} had been invalidated by packet ${by}, and yet the request was carried out: the region was registered again under the same key.`;
}

function notCounted({ requests }: Tables, slot: number): string {
  return (
    `The acknowledgement in packet ${requests.getDouble(slot, RequestDouble.AnswerPacket)} does not count this message (its MSN did not grow): ` +
    `the receiver could not invalidate key ${hex(requests.get(slot, RequestWord.Invalidate))}. It has no such key, or the key is of an ordinary region, ` +
    "which a peer may not invalidate. The key stays as it was, and the receiver's queue pair goes into error (REM_INV_REQ_ERR there), although the sender sees success."
  );
}

/** Explains a fatal NAK. */
function refused(tables: Tables, slot: number): string[] {
  const { requests } = tables;
  const syndrome = requests.get(slot, RequestWord.Syndrome);
  const repeated = requests.getDouble(slot, RequestDouble.RepeatPacket);
  const who =
    repeated > requests.getDouble(slot, RequestDouble.AnswerPacket)
      ? `Packet ${repeated} sends it again: the NAK was lost on its way, so the requester ends with RETRY_EXC_ERR rather than ${completionAfter(syndrome)}.`
      : `The requester's completion is ${completionAfter(syndrome)}.`;
  switch ((syndrome & 31) as NakCode) {
    case NakCode.RemoteAccessError:
      return [...accessRefused(tables, slot), who];
    case NakCode.InvalidRequest:
      return [...invalidRequest(tables, slot), who];
    case NakCode.RemoteOperationalError:
      return [
        'The responder could not carry it out because of an error on its own side: look at the responder (a receive whose memory is not accessible to it, a device error).',
        who,
      ];
    default:
      return [`The responder answered with a NAK that RC does not use here (${nakName(syndrome)}).`, who];
  }
}

function invalidRequest({ requests }: Tables, slot: number): string[] {
  const kind = requests.get(slot, RequestWord.Kind) as Kind;
  const low = requests.get(slot, RequestWord.Address);
  if (kind >= Kind.CompareSwap && (low & 7) !== 0) {
    const address = hex(wide(requests.words, slot * RequestWord.Words + RequestWord.Address));
    return [
      `Most likely: the address ${address} is not a multiple of 8 (it is ${low & 7} past one), which atomic operations need.`,
    ];
  }
  if (requests.has(slot, RequestFlag.WrongLength)) {
    return [
      `Most likely: the header says ${count(requests.get(slot, RequestWord.Length), 'byte')}, but the payload has ` +
        `${thousands(requests.get(slot, RequestWord.Payload))}; the responder writes nothing.`,
    ];
  }
  if (requests.has(slot, RequestFlag.WrongOrder)) {
    return [
      'Most likely: its packets are in an order that is not allowed, such as a MIDDLE without a FIRST.',
    ];
  }
  if (kind === Kind.Send) {
    return [
      'Most likely: the message is longer than the receive that was posted for it, or that receive is not writable.',
    ];
  }
  return [
    `Most likely: the responder's queue pair does not allow ${kindWords[kind]} (its access flags, set by modify to INIT or RTR), ` +
      `or${kind === Kind.Read || kind >= Kind.CompareSwap ? ' more READs and atomic operations are outstanding than it accepts (max_dest_rd_atomic), or' : ''} the packet breaks a rule of the protocol.`,
  ];
}

function notCarriedOut({ flows, requests }: Tables, slot: number): string {
  const packet = requests.getDouble(slot, RequestDouble.AnswerPacket);
  const flow = requests.get(slot, RequestWord.Flow);
  const nak = packet || flows.getDouble(flow, FlowDouble.FailedPacket);
  return `Not carried out: the NAK in packet ${nak} refused a request before it and put the connection into error (the requester's completion is WR_FLUSH_ERR).`;
}

function receiverNotReady({ requests }: Tables, slot: number): string {
  const naks = requests.get(slot, RequestWord.RnrNaks);
  const wait = rnrMilliseconds(requests.get(slot, RequestWord.Syndrome));
  return (
    `The receiver had no receive posted: ${count(naks, 'RNR NAK')}, the last in packet ${requests.getDouble(slot, RequestDouble.AnswerPacket)} ` +
    `(wait ${wait} ms), and nothing after it. Most likely: the receiver posts too few receives or too late, and the requester's rnr_retry ended (RNR_RETRY_EXC_ERR).`
  );
}

function outOfSequence({ flows, requests }: Tables, slot: number): string {
  const flow = requests.get(slot, RequestWord.Flow);
  const awaited = flows.get(flow, FlowWord.AwaitedPsn);
  const ahead = psnDistance(requests.get(slot, RequestWord.Psn), awaited);
  const nak = flows.getDouble(flow, FlowDouble.AwaitedPacket);
  return (
    `The responder waits for PSN ${awaited} (NAK, PSN sequence error, in packet ${nak})` +
    `${ahead > 0 ? `, which is ${count(ahead, 'packet')} before this one` : ''}, and the capture does not show that it was sent. ` +
    'Most likely: a packet was lost and never repeated, or the two ends began with different PSNs.'
  );
}

function noAnswer({ flows, requests }: Tables, slot: number): string[] {
  const repeats = requests.get(slot, RequestWord.Repeats);
  const flow = requests.get(slot, RequestWord.Flow);
  const bad = requests.get(slot, RequestWord.BadPackets);
  const sentences: string[] = [];
  if (repeats > 0) sentences.push(`Sent ${count(repeats + 1, 'time')}, never answered.`);
  if (bad > 0) {
    sentences.push(damaged(requests, slot, bad));
  } else if (requests.has(slot, RequestFlag.PassedOver)) {
    sentences.push(
      'Its answer is not in the capture, but a later request was answered, so it was carried out or asked for again.',
    );
  } else if (repeats > 0) {
    sentences.push(
      flows.get(flow, FlowWord.Answers) === 0
        ? 'Most likely: the packets do not arrive at all (path, firewall, MTU), the queue pair number is unknown there, or its queue pair is not ready to receive. The requester ends with RETRY_EXC_ERR.'
        : 'Most likely: the responder died, its queue pair went into error, or the path broke. The requester ends with RETRY_EXC_ERR.',
    );
  }
  return sentences;
}

function damaged(requests: Requests, slot: number, bad: number): string {
  if (requests.has(slot, RequestFlag.BadChecksum)) {
    return `Most likely: ${count(bad, 'packet')} of it had a wrong UDP or IP checksum, so the receiver dropped it without an answer. (A capture on the sender itself can show wrong checksums that the network card sets right later.)`;
  }
  if (requests.has(slot, RequestFlag.OtherIpId)) {
    const id = requests.get(slot, RequestWord.IcrcIpId);
    return (
      `Most likely: the ICRC of ${count(bad, 'packet')} was computed for the IP identification ${id}, and the packet was sent with another one, so the receiver dropped it without an answer. ` +
      'On Linux only an unconnected UDP socket with path MTU discovery sends identification 0.'
    );
  }
  return `Most likely: ${count(bad, 'packet')} of it had a wrong ICRC, so the receiver dropped it without an answer.`;
}

/** Describes keys that a peer tried in vain. */
export function describeProbing(
  requester: string,
  responder: string,
  tried: readonly number[],
  total: number,
): string {
  return (
    `${requester} used ${thousands(total)} different keys that ${responder} refused (${keysOf(tried)}${total > tried.length ? ' ...' : ''}): ` +
    'it guesses keys, or its list of keys is out of date.'
  );
}
