import { type Access } from './access';
import { publishRefusal } from '../internal/refused-channel';
import { type Method, operationOf } from '../internal/methods';
import { type RefusalReason } from '../internal/reasons';
import { type CompletionReason } from '../internal/wc-causes';
import { type Asker } from './asker';
import { type Refused, type RefusedRequest } from './refusal';
import { type WireRefusal } from './wire-refusal';

/**
 * A message on the channel `rdmavt:refused` of `node:diagnostics_channel`. Each call that refuses an access publishes one
 * message, in the calling thread, before the call returns. An {@link Endpoint} publishes one message for each refused request of a
 * peer, in its own thread, before its event `'refused'`. A {@link Completion} whose work request failed because an access was refused
 * publishes one message soon after the thread has taken it. A subscriber may call the API; if it uses the same batch, its own call
 * replaces the results in the batch. An exception in a subscriber does not reach the caller.
 */
export interface RefusedMessage {
  /** Why the access was refused. A {@link CompletionReason} only if a peer's request was refused before its access was judged. */
  reason: RefusalReason | CompletionReason;
  /**
   * The method that was called: `'QueuePair.acquire'`, `'CheckBatch.gather'`, `'Sge.copyTo'`; `'Endpoint'` for a peer's request,
   * `'Completion'` for a failed work request.
   */
  method: string;
  /**
   * The kernel's name of the operation, as {@link RdmaError.operation}: `'rkey_ok'`; for a peer's request its {@link WireOperation},
   * for a failed work request {@link Completion.opcode}.
   */
  operation: string;
  /** Number of the device in this process, as {@link ShownDevice.id}. */
  device: number;
  /** Number of accesses that the call refused. A copy stops at the first refusal, so its count is 1. */
  count: number;
  /** Index of the first refused element, if the call was made on a batch. */
  index?: number;
  /**
   * Address of the first refused access. This property and the following ones, up to `access`, are undefined for a walk, which has
   * many elements, for an element that has been put in the meantime, and for a peer's request that was refused before its access was
   * judged.
   */
  address?: bigint;
  /** Length of the access in bytes. */
  length?: number;
  /** The key of the access; undefined if the element was accepted before and now its bytes cannot be used. */
  key?: number;
  /** The requested rights; for an element that was accepted before, the rights that its check established. */
  access?: Access;
  /** Whether the access was a peer's. */
  remote?: boolean;
  /** `id` of the protection domain that checked the access, for a local check. */
  pd?: number;
  /** `id` of the queue pair that checked the access, for a remote check. */
  qp?: number;
  /** Address and port of the peer, for a request that came through an endpoint. */
  peer?: { address: string; port: number };
  /** Explains the refusal in sentences, as {@link Refused.explain}. */
  explain: () => string;
}

/** Returns the properties of a message that come from the request. */
export function describeRequest(
  asker: Asker,
  request: RefusedRequest,
): Partial<RefusedMessage> & { device: number } {
  const { address, length, key, access, remote, pd, qp } = request;
  const described: Partial<RefusedMessage> & { device: number } = {
    device: asker.table.registry.device,
    address,
    length,
    key,
    access,
    remote,
  };
  if (pd !== undefined) described.pd = pd;
  if (qp !== undefined) described.qp = qp;
  return described;
}

/** Publishes the refusal of a single check. Call it after reading the native answer, and only if the channel has subscribers. */
export function reportRefusal(refused: Refused, asker: Asker, method: Method): void {
  const message: RefusedMessage = {
    reason: refused.reason,
    method,
    operation: operationOf(method),
    count: 1,
    ...describeRequest(asker, refused.request),
    explain: () => refused.explain(),
  };
  publishRefusal(message);
}

/** Publishes a peer's request that an endpoint refused. Call it only if the channel has subscribers. */
export function reportWireRefusal(refusal: WireRefusal, device: number): void {
  const { reason, operation, request, qpId, address, port } = refusal;
  const message: RefusedMessage = {
    reason,
    method: 'Endpoint',
    operation,
    device,
    count: 1,
    remote: true,
    qp: qpId,
    peer: { address, port },
    explain: () => refusal.explain(),
  };
  if (request !== undefined) {
    message.address = request.vaddr;
    message.length = request.length;
    message.key = request.rkey;
    message.access = request.access;
  }
  publishRefusal(message);
}
