/** Describes findings in sentences. */
import { WireFault } from '../internal/layout';
import { hex } from '../internal/words';
import { type Finding } from './findings';
import { FlowDouble, FlowFlag, type Flows, FlowWord } from './flows';
import { completionAfter, nakName, rnrMilliseconds } from './opcodes';
import { type CaptureFinding } from './summary';
import { count, thousands, times } from './words';

const faultTexts: Readonly<Record<WireFault, string>> = {
  [WireFault.None]: 'nothing is wrong',
  [WireFault.Fragment]: 'the first fragment of an IP packet; RoCEv2 packets are never fragmented',
  [WireFault.IpLength]: 'the length in the IP header does not fit the frame',
  [WireFault.UdpLength]: 'the UDP length is not the rest of the IP packet',
  [WireFault.Short]: 'too short for a transport header and an ICRC',
  [WireFault.Version]: 'the version of the transport header is not 0',
  [WireFault.Opcode]: 'an opcode that is not of RC, UC or UD',
  [WireFault.Headers]: 'too short for the headers of its opcode',
  [WireFault.Pad]: 'a wrong pad count',
  [WireFault.Payload]: 'a payload length that its opcode cannot have',
  [WireFault.Cut]: 'cut in its headers by the snap length',
};

/** Findings whose place is not a flow. */
const placeless = new Set<Finding['kind']>([
  'Malformed',
  'NotRoce',
  'DuplicateFrames',
  'PredictableKeys',
  'KeyProbing',
]);
/** Findings whose place is twice the flow, plus 1 in one of two cases. */
const halved = new Set<Finding['kind']>([
  'UsedAfterInvalidate',
  'RegionsDisagree',
  'SequenceNak',
  'ReceiverNotReady',
  'ConnectionFailed',
]);

/** Findings whose first number is a key. */
const withKey = new Set<Finding['kind']>([
  'UsedAfterInvalidate',
  'RegionsDisagree',
  'KeyNotListed',
  'InvalidateFailed',
]);

/** Creates the description of a finding. */
export function describeFinding(flows: Flows, finding: Finding): CaptureFinding {
  const { kind, packet, lastPacket, count: amount } = finding;
  const flow = placeless.has(kind) ? -1 : halved.has(kind) ? finding.place >> 1 : finding.place;
  const common = { kind, packet, lastPacket, count: amount };
  if (flow < 0) return { ...common, text: withoutFlow(finding) };
  const source = flows.hosts.text(flows.get(flow, FlowWord.SourceHost));
  const destination = flows.hosts.text(flows.get(flow, FlowWord.DestinationHost));
  const queuePair = flows.get(flow, FlowWord.QueuePair);
  const peer = flows.sourceQueuePair(flow);
  const key = withKey.has(kind) ? finding.first : undefined;
  return {
    ...common,
    source,
    destination,
    queuePair,
    sourceQueuePair: peer < 0 ? undefined : peer,
    key,
    text: ofFlow(flows, flow, finding),
  };
}

function withoutFlow({ kind, count: amount, packet, first, second }: Finding): string {
  if (kind === 'DuplicateFrames') {
    return (
      `${count(amount, 'frame')} ${amount === 1 ? 'is' : 'are'} in the capture twice, and ${amount === 1 ? 'was' : 'were'} left out the second time; the first copy, packet ${packet}, is that of packet ${first}. ` +
      'A mirror port of both directions, or a capture on all interfaces, records each frame twice; a requester that sends again would have waited longer.'
    );
  }
  if (kind === 'NotRoce') {
    return `${count(amount, 'packet')} to the port of RoCEv2 (4791) ${amount === 1 ? 'is' : 'are'} something else: the first, packet ${packet}, has opcode ${hex(first)} and no valid ICRC.`;
  }
  return `${count(amount, 'malformed packet')}: ${faultTexts[second as WireFault]} (opcode ${hex(first)}).`;
}

function ofFlow(flows: Flows, flow: number, finding: Finding): string {
  const { kind, count: amount, packet, first, second } = finding;
  // Means something only for the kinds in `halved`.
  const odd = (finding.place & 1) === 1;
  switch (kind) {
    case 'BadIcrc':
      return (
        `${count(amount, 'packet')} with a wrong ICRC, which receivers drop without an answer.` +
        (first > 0
          ? ` It would be right for the IP identification ${first - 1}, but the packet carries ${second}: the sender computed it before the system chose the identification.`
          : '')
      );
    case 'BadChecksum':
      return `${count(amount, 'packet')} with a wrong ${first === 0 ? 'IP header' : 'UDP'} checksum, which receivers drop. (In a capture on the sender, the network card may set it right later.)`;
    case 'PsnGap':
      return `${count(amount, 'PSN')} missing in the capture, the first ${first === second ? `is ${first}` : `are ${first} to ${second}`}, before packet ${packet}: lost before the point of capture, or not captured.`;
    case 'ResponseGap':
      return `${count(amount, 'READ response')} missing, the first with PSN ${first}, before packet ${packet}.`;
    case 'StoredOutOfOrder':
      return `${count(amount, 'packet')} ${amount === 1 ? 'is' : 'are'} stored out of order: the first, packet ${packet} (PSN ${first}), belongs before packets that the file has before it. A capture of several queues of a network card has neighbouring packets so; they are explained in the order of their PSNs.`;
    case 'NewSequence':
      return `The PSNs jump from ${first} to ${second}: another connection uses the same queue pair number, or most of the connection is not captured.`;
    case 'Repeated':
      return `Requests were sent again, ${times(amount)}, because no answer came in time or a NAK asked for them${first > 0 ? `; the first is that of packet ${first}` : ''}.`;
    case 'RepeatedAfterAnswer':
      return `Requests were sent again, ${times(amount)}, although their answers are in the capture (the first is that of packet ${first}): the answer was lost behind the point of capture, or came too late.`;
    case 'SequenceNak':
      return (
        `${count(amount, 'NAK')} for a PSN sequence error: the responder did not get PSN ${first}, ` +
        (second > 0
          ? `which belongs to the request of packet ${second}.`
          : 'which is not in the capture: it was lost before, or the two ends began with different PSNs.')
      );
    case 'ReceiverNotReady':
      return `${count(amount, 'RNR NAK')}${odd ? ' to requests that are not in the capture' : ''}: no receive was posted; the requester has to wait ${rnrMilliseconds(first)} ms each time.`;
    case 'ConnectionFailed':
      return `The NAK in packet ${packet} (${nakName(first)}, PSN ${second}) ${odd ? 'answers a request that is not in the capture, and ended its connection' : 'ended the connection'}: the requester completes with ${completionAfter(first)}, and both queue pairs go into error.`;
    case 'SentAfterError':
      return `${count(amount, 'request')} followed the NAK of packet ${flows.getDouble(flow, FlowDouble.FailedPacket)} on the same connection and ${amount === 1 ? 'was' : 'were'} not carried out.`;
    case 'RequestsNotInCapture':
      return `${count(amount, 'PSN')} acknowledged that the capture does not have, from ${first} on: it lost packets, or was cut.`;
    case 'AnswerWithoutRequest':
      return `${count(amount, 'answer')} without a request in the capture, the first for PSN ${first}.`;
    case 'NoAnswers':
      return `Not one answer to ${count(flows.get(flow, FlowWord.Requests), 'request')} is in the capture: the peer does not answer, or only one direction was captured.`;
    case 'WrongOrder':
      return `${count(amount, 'packet')} with an opcode that cannot follow the one before it.`;
    case 'WrongLength':
      return `${count(amount, 'WRITE')} whose header and payload differ in length; the first says ${count(first, 'byte')} and has ${thousands(second)}.`;
    case 'Misaligned':
      return `${count(amount, 'atomic operation')} at an address that is not a multiple of 8.`;
    case 'UsedAfterInvalidate':
      return (
        `${count(amount, 'request')} with key ${hex(first)} after packet ${second} had invalidated it; ` +
        (odd
          ? 'it was accepted, so the region was registered again under the same key.'
          : 'not accepted, as it should be.')
      );
    case 'InvalidateFailed':
      return `The SEND_WITH_INV of key ${hex(first)} was acknowledged by packet ${second}, but not completed: the receiver could not invalidate that key, and its queue pair goes into error.`;
    case 'Congestion':
      return first === 2
        ? `${count(amount, 'congestion notification packet')} (CNP): the network asks the sender to slow down.`
        : `${count(amount, 'packet')} marked by a switch as having met congestion (ECN).`;
    case 'AmbiguousConnection':
      return `Answers fit ${thousands(first)} connections equally well; they were taken to belong to the oldest${flows.has(flow, FlowFlag.Guessed) ? '' : ' one'}.`;
    case 'RegionsDisagree':
      return !odd
        ? `${count(amount, 'request')} acknowledged that the listed regions refuse (the first with key ${hex(first)}): the list is not complete, or of another time or host.`
        : `${count(amount, 'request')} refused that the listed regions allow (the first with key ${hex(first)}): the region had ended or changed by then, or the list is of another time or host.`;
    case 'KeyNotListed':
      return `${count(amount, 'acknowledged request')} with keys that the list of regions does not have (the first is ${hex(first)}): the list is of another host, or not complete. They were not judged.`;
    default:
      return '';
  }
}
