/** What a capture holds as a whole; see {@link CaptureSummary}. */
import { type FindingKind } from './findings';

/** Something that the capture shows to be wrong, or worth knowing. Everything of one kind at one place is one finding. */
export interface CaptureFinding {
  readonly kind: FindingKind;
  /** Number of the first packet that shows it, and of the last one. */
  readonly packet: number;
  readonly lastPacket: number;
  /** How often it occurred: packets, requests or PSNs, as the text says. */
  readonly count: number;
  /**
   * Addresses and queue pairs that it concerns, as far as it concerns certain ones: those of the requests, or those of the answers if
   * the capture does not show to which requests they belong.
   */
  readonly source?: string | undefined;
  readonly destination?: string | undefined;
  readonly queuePair?: number | undefined;
  readonly sourceQueuePair?: number | undefined;
  readonly key?: number | undefined;
  /** Describes it in sentences. The wording may change in any version. */
  readonly text: string;
}

/** What the requests of a capture did with one key of one responder. */
export interface CaptureKey {
  /** Address of the responder. */
  readonly host: string;
  readonly key: number;
  readonly requests: number;
  /** Acknowledged requests of at least one byte. */
  readonly accepted: number;
  readonly refused: number;
  /** Bytes of the accepted requests. */
  readonly bytes: number;
  /** The operations that were accepted. */
  readonly operations: readonly ('write' | 'read' | 'atomic')[];
  /** Lowest and highest address that was accepted; undefined if none was. */
  readonly firstAddress: bigint | undefined;
  readonly lastAddress: bigint | undefined;
  /** Numbers of the first and the last packet that named the key. */
  readonly firstPacket: number;
  readonly lastPacket: number;
  /** Number of the packet that invalidated it; undefined if none did. */
  readonly invalidatedBy: number | undefined;
}

/** The requests from one address to one queue pair. */
export interface CaptureQueuePair {
  readonly source: string;
  readonly destination: string;
  /** Number of the queue pair that received the requests. */
  readonly queuePair: number;
  /** Number of the queue pair that sent them; undefined if the capture does not show it. */
  readonly sourceQueuePair: number | undefined;
  /** Whether `sourceQueuePair` is the most likely one of several. */
  readonly guessed: boolean;
  readonly transport: 'RC' | 'UC' | 'UD';
  /** Bytes of a full packet; undefined if the capture does not show it. */
  readonly mtu: number | undefined;
  readonly requests: number;
  readonly acknowledged: number;
  readonly refused: number;
  /** Requests without a final answer. */
  readonly unanswered: number;
  /** Times that the requester went back and sent again. */
  readonly repeated: number;
  readonly rnrNaks: number;
  readonly sequenceNaks: number;
  /** Packets with a wrong ICRC or checksum. */
  readonly badPackets: number;
  /** PSNs that the capture does not have. */
  readonly missingPackets: number;
  /** Bytes that the requests moved or asked for. */
  readonly bytes: number;
  readonly firstPacket: number;
  readonly lastPacket: number;
  /** Number of the packet with the NAK that ended the connection; undefined if there is none. */
  readonly failedPacket: number | undefined;
}

/** How many of something were not told apart because a table was full. The limits are constant; see the guide. */
export interface CaptureDropped {
  /** Packets of queue pairs beyond the 8,192 that are told apart. */
  readonly packets: number;
  /** Requests whose keys are beyond the 32,768 that are told apart. */
  readonly keys: number;
  /** Findings beyond the 4,096 that are kept. */
  readonly findings: number;
  /** Answers that could not be assigned to a connection. */
  readonly answers: number;
}

/** A summary of a capture. */
export interface CaptureSummary {
  /** Bytes of the file that were read. */
  readonly bytes: number;
  /** All packets of the file. */
  readonly packets: number;
  /** Packets to the UDP port of RoCEv2. */
  readonly roce: number;
  /** Of these, packets whose headers are not valid, those that are something else, and those that the file has too little of. */
  readonly malformed: number;
  readonly notRoce: number;
  readonly cut: number;
  /** Packets whose ICRC was checked, and those of which it was wrong. */
  readonly icrcChecked: number;
  readonly icrcWrong: number;
  /** Congestion notification packets. */
  readonly cnps: number;
  /** Fragments of IP packets, which are not put together; RoCEv1 packets, which are not read; and packets of an unknown link type. */
  readonly fragments: number;
  readonly roceV1: number;
  readonly unreadLink: number;
  /** The last unknown link type (LINKTYPE_*); undefined if there was none. */
  readonly unreadLinkType: number | undefined;
  /** Time of the first and the last RoCEv2 packet in nanoseconds since 1970. */
  readonly firstTime: bigint;
  readonly lastTime: bigint;
  readonly requests: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly notCarriedOut: number;
  readonly unacknowledged: number;
  readonly receiverNotReady: number;
  readonly outOfSequence: number;
  readonly partlyAnswered: number;
  readonly noAnswer: number;
  /** With regions: requests that the core judged, and those that it refused. */
  readonly judged: number;
  readonly judgedRefused: number;
  readonly queuePairs: readonly CaptureQueuePair[];
  readonly keys: readonly CaptureKey[];
  readonly findings: readonly CaptureFinding[];
  readonly dropped: CaptureDropped;
}

/** A summary whose rows are made one at a time, because all of them together may need more memory than anything else. */
export interface CaptureReport extends Omit<CaptureSummary, 'queuePairs' | 'keys' | 'findings'> {
  /** Each can be iterated once. */
  readonly queuePairs: Iterable<CaptureQueuePair>;
  readonly keys: Iterable<CaptureKey>;
  readonly findings: Iterable<CaptureFinding>;
}
