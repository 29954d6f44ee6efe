/** Messages of the connection manager: datagrams to queue pair 1. */
import { CmAttribute } from '../internal/layout';

/** Queue pair and Q_Key of the general service interface. */
export const CM_QUEUE_PAIR = 1;
export const CM_QKEY = 0x8001_0000;

/** Bytes of the header of a management datagram. */
const HEADER = 24;
const CM_CLASS = 7;

const names: Readonly<Record<number, readonly [name: string, meaning: string]>> = {
  [CmAttribute.Req]: ['REQ', 'request for a connection'],
  [CmAttribute.Mra]: ['MRA', 'the answer takes longer'],
  [CmAttribute.Rej]: ['REJ', 'rejected'],
  [CmAttribute.Rep]: ['REP', 'accepted'],
  [CmAttribute.Rtu]: ['RTU', 'ready to use'],
  [CmAttribute.Dreq]: ['DREQ', 'request to disconnect'],
  [CmAttribute.Drep]: ['DREP', 'disconnected'],
  [CmAttribute.SidrReq]: ['SIDR_REQ', 'request for the queue pair of a service'],
  [CmAttribute.SidrRep]: ['SIDR_REP', 'the queue pair of a service'],
  [CmAttribute.Lap]: ['LAP', 'load an alternate path'],
  [CmAttribute.Apr]: ['APR', 'answer about an alternate path'],
};

export function cmName(attribute: number): string {
  return names[attribute]?.[0] ?? `attribute 0x${attribute.toString(16)}`;
}

export function cmMeaning(attribute: number): string {
  return names[attribute]?.[1] ?? 'unknown';
}

/** A message of the connection manager. Numbers that the message does not have are 0. */
export interface CmMessage {
  readonly attribute: number;
  /** The communication ids of the sender and of the receiver. */
  readonly localId: number;
  readonly remoteId: number;
  /** REQ and REP: the sender's queue pair. */
  readonly queuePair: number;
  /** REQ: bytes of the path MTU. */
  readonly mtu: number;
  /** REJ */
  readonly reason: number;
}

/**
 * Reads a management datagram.
 *
 * @param bytes - the payload, as much of it as the capture has
 * @returns undefined if it is not a message of the connection manager, or is cut before the fields that are read
 */
export function parseCm(bytes: Uint8Array): CmMessage | undefined {
  if (bytes.length < HEADER + 12 || bytes[1] !== CM_CLASS) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const attribute = view.getUint16(16);
  if (!(attribute in names)) return undefined;
  const word = (at: number): number => (bytes.length >= HEADER + at + 4 ? view.getUint32(HEADER + at) : 0);
  let queuePair = 0;
  let mtu = 0;
  if (attribute === CmAttribute.Req) {
    queuePair = word(32) >>> 8;
    mtu = 128 << ((word(48) >>> 12) & 15);
  } else if (attribute === CmAttribute.Rep) {
    queuePair = word(12) >>> 8;
  }
  // A SIDR_REQ has a request id only; what follows is not an id.
  const hasRemote = attribute !== CmAttribute.Req && attribute !== CmAttribute.SidrReq;
  return {
    attribute,
    localId: word(0),
    remoteId: hasRemote ? word(4) : 0,
    queuePair,
    mtu: mtu >= 256 && mtu <= 4096 ? mtu : 0,
    reason: attribute === CmAttribute.Rej ? word(8) & 0xffff : 0,
  };
}
