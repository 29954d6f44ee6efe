/** Why a completion failed: the names of the causes that the status hides, and a sentence about each. */
import { FaultKind, NakCode, WcCause } from './layout';
import { type RefusalReason } from './reasons';
import { joinRights } from './right-names';
import { qpStateName, qpTypeName } from './verbs-names';

/**
 * Why a work request failed. A completion's status only tells the class of the error; the reason tells the cause, because both
 * ends are in this process. The meaning of a name never changes.
 */
export const completionReasons = [
  /** The queue pair was in the error state before the work request was carried out. */
  'Flushed',
  /** No queue pair has the destination's number, or that queue pair is in RESET. */
  'NoPeer',
  /** The peer is in a state in which it accepts no requests. */
  'PeerState',
  /** The peer is of another type. */
  'PeerType',
  /** The access flags of the peer's queue pair do not allow the operation. */
  'QpAccess',
  /** The message is longer than the receive that it met. */
  'ReceiveTooShort',
  /** The remote address of an atomic operation is not a multiple of 8. */
  'AtomicAddress',
  /** The peer had no receive posted. */
  'NoReceive',
  /** An SGE of the receive was refused. */
  'ReceiveRefused',
  /** The remote access was refused. */
  'RemoteRefused',
  /** The bytes of the work request's own SGEs could not be accessed any more. */
  'LocalRefused',
  /** A region that a queued work request uses was deregistered. */
  'RegionReleased',
  /** A completion was lost because its completion queue was full. */
  'CqFull',
  /** A delayed LOCAL_INV named a key that the queue pair cannot invalidate. */
  'InvalidateRefused',
  /** A delayed BIND_MW could not bind its window. */
  'BindRefused',
  /** The sender was stopped in the middle of the message. */
  'BrokenOff',
  /** The peer at the other end of the wire refused it with a NAK. */
  'Nak',
  /** The peer at the other end of the wire did not answer. */
  'NoAnswer',
  /** Packets of the peer at the other end of the wire break the rules of the transport. */
  'BadPacket',
  /** The endpoint through which the queue pair was connected was closed. */
  'EndpointClosed',
  /** The device was opened with faults, and this is one of them. */
  'Injected',
] as const;

/** One of {@link completionReasons}. */
export type CompletionReason = (typeof completionReasons)[number];

/** What is known about a failed completion. */
export interface CompletionFacts {
  /** The cause, a number of {@link WcCause}. */
  readonly cause: number;
  /** State or type of the peer, or the access flags of its queue pair, depending on the cause. */
  readonly value: number;
  /** Whether the completion is of a receive. */
  readonly received: boolean;
  /** Why the access was refused; undefined if the cause is not a refused access. */
  readonly refusal?: RefusalReason | undefined;
}

type Sentence = (facts: CompletionFacts) => string;

/** Returns ` (StaleKey)` for a refused access. */
const because = ({ refusal }: CompletionFacts): string => (refusal === undefined ? '' : ` (${refusal})`);
const stateOf = ({ value }: CompletionFacts): string => qpStateName(value) ?? String(value);
const typeOf = ({ value }: CompletionFacts): string => qpTypeName(value) ?? String(value);

const sentences: Readonly<Record<CompletionReason, Sentence>> = {
  Flushed: () =>
    'The queue pair was in the error state before this work request was carried out, because another one failed or the state was set to ERR. ' +
    'Look at the first completion that was not flushed; then set the state to RESET and connect again.',
  NoPeer: () =>
    'No queue pair has the number that this one is connected to (destQpn), or that queue pair is in RESET. ' +
    'Check destQpn, and bring the peer to RTR before sending.',
  PeerState: (facts) =>
    `The peer is in state ${stateOf(facts)}, but accepts requests only in RTR, RTS and SQD. ` +
    (stateOf(facts) === 'ERR'
      ? 'Find out why it failed from its completions, then connect both queue pairs again.'
      : 'Bring it to RTR before sending.'),
  PeerType: (facts) =>
    `The peer is a queue pair of type ${typeOf(facts)}. Connect queue pairs of the same type.`,
  QpAccess: ({ value }) =>
    'The access flags of the peer do not allow this operation: ' +
    `they are ${joinRights(value, ' and ', 'empty')}. ` +
    'Set them with modify({ access }) at the peer.',
  ReceiveTooShort: ({ received }) =>
    received
      ? 'A message was longer than this receive. Post receives with room for the longest message.'
      : 'The message is longer than the receive that the peer had posted. Send less, or post longer receives at the peer.',
  AtomicAddress: () => 'The remote address of an atomic operation must be a multiple of 8, but is not.',
  NoReceive: () =>
    'The peer had no receive posted, and all retries were used up. ' +
    'Post receives before the peer sends, or raise rnrRetry (7: retry for ever) or minRnrTimer.',
  ReceiveRefused: (facts) =>
    facts.received
      ? `An SGE of this receive was refused${because(facts)}. Post receives with SGEs that stay valid, in a region with LocalWrite.`
      : `An SGE of the receive that the peer had posted was refused${because(facts)}. The peer's completion says which.`,
  RemoteRefused: (facts) =>
    facts.received
      ? `A peer's RDMA write was refused${because(facts)}, and put this queue pair into the error state.`
      : `The peer refused the access to its memory${because(facts)}. Check the remote address, the length, the rkey and the rights of its region.`,
  LocalRefused: (facts) =>
    `The bytes of this work request's SGEs could not be accessed when it was carried out${because(facts)}. ` +
    'Keep its regions and buffers unchanged until it completes.',
  RegionReleased: () =>
    "A region of this queue pair's work requests was deregistered before they completed, which put the queue pair into the error state. " +
    'Wait for the completions, then deregister.',
  CqFull: () =>
    'A completion was lost because its completion queue was full, which put the queue pair into the error state. ' +
    'Destroy the broken completion queue, create a larger one, and poll it more often.',
  InvalidateRefused: () =>
    'The delayed LOCAL_INV named a key that no region has, or whose region is in another protection domain. The queue pair is unchanged.',
  BindRefused: () =>
    'The delayed BIND_MW could not bind its memory window when it was carried out: the window is bound or deallocated, or the ' +
    'region or its rights do not allow it. The queue pair is unchanged.',
  BrokenOff: () =>
    'The sender was reset, destroyed or put into the error state in the middle of a message, or could not read its bytes. ' +
    'The receive may hold a part of the message.',
  Nak: ({ value }) =>
    `The peer refused the request with a NAK: ${nakText(value)}. A peer on the wire says only this class, never the reason: ` +
    'look at the events and counters of the peer.',
  NoAnswer: () =>
    'The peer did not answer, however often the request was sent again. ' +
    'Check its address, queue pair number and state, and what lies between: UDP port 4791 must be open in both directions. ' +
    'A peer whose queue pair has failed says nothing either.',
  BadPacket: () =>
    'Packets of the peer did not fit together: an opcode in the wrong order, or a length that its header does not announce.',
  EndpointClosed: () =>
    'The endpoint through which this queue pair was connected was closed. Set the state to RESET and connect again.',
  Injected: ({ value }) =>
    `The device was opened with faults, and has made this one (options.faults.${value === (FaultKind.Rnr as number) ? 'rnr' : 'flush'}).`,
};

/** What the classes of NAKs mean, by the lower 5 bits of the syndrome (InfiniBand specification, 9.7.5.2.3). */
function nakText(syndrome: number): string {
  switch (syndrome & 31) {
    case NakCode.InvalidRequest as number:
      return 'invalid request (a missing right of its queue pair, a bad address of an atomic, or a receive that is too short)';
    case NakCode.RemoteAccessError as number:
      return 'remote access error (key, bounds, rights or domain)';
    case NakCode.RemoteOperationalError as number:
      return 'remote operational error (its own receive is unusable)';
    default:
      return `syndrome 0x${syndrome.toString(16)}`;
  }
}

/** Returns the name of a completion's cause; undefined for success and for a number that is no cause. */
export function completionReason(cause: number): CompletionReason | undefined {
  const name = WcCause[cause] as CompletionReason | 'None' | 'Count' | undefined;
  return name === 'None' || name === 'Count' ? undefined : name;
}

/**
 * Explains a failed completion in one or two sentences: what happened, and what to do.
 *
 * @returns undefined for a completion without a cause
 */
export function explainCompletion(facts: CompletionFacts): string | undefined {
  const reason = completionReason(facts.cause);
  return reason === undefined ? undefined : sentences[reason](facts);
}
