import { type Access } from './access';
import { publishRefusal } from '../internal/refused-channel';
import { type Method, operationOf } from '../internal/methods';
import { type RefusalReason } from '../internal/reasons';
import { type Refused, type RefusedRequest } from './refusal';

/**
 * A message of the channel `rdmavt:refused` (`node:diagnostics_channel`): one for each call in which an access was refused, published in
 * the thread of the call, before it returns. A subscriber may use the API; if it uses the same batch, the answers there are those of
 * its own call. What it throws does not reach the caller.
 */
export interface RefusedMessage {
  /** Why. */
  reason: RefusalReason;
  /** What was called: `'QueuePair.acquire'`, `'CheckBatch.gather'`, `'Sge.copyTo'`. */
  method: string;
  /** The kernel's operation, as {@link RdmaError.operation} names it: `'rkey_ok'`. */
  operation: string;
  /** How many accesses the call has refused; a copy stops at the first. */
  count: number;
  /** Index of the first refused element of a batch. */
  index?: number;
  /**
   * The first refused access: its address. This and what follows is undefined in messages about a walk, which has many elements, and
   * about an element that was put meanwhile.
   */
  address?: bigint;
  /** Bytes. */
  length?: number;
  /** The key it was asked under; undefined for an element that was accepted before. */
  key?: number;
  /** Rights that were asked for; of an accepted element those that it was proven with. */
  access?: Access;
  /** Whether a peer asked. */
  remote?: boolean;
  /** `id` of the protection domain that asked, for a local check. */
  pd?: number;
  /** `id` of the queue pair that asked, for a remote check. */
  qp?: number;
  /** As {@link Refused.explain}. */
  explain: () => string;
}

/** The properties of a message that a request has. */
export function describeRequest(request: RefusedRequest): Partial<RefusedMessage> {
  const { address, length, key, access, remote, pd, qp } = request;
  const described: Partial<RefusedMessage> = { address, length, key, access, remote };
  if (pd !== undefined) described.pd = pd;
  if (qp !== undefined) described.qp = qp;
  return described;
}

/** Tells the subscribers of a refused single check, after its answer was read. Whether there are any, the caller asks. */
export function reportRefusal(refused: Refused, method: Method): void {
  const message: RefusedMessage = {
    reason: refused.reason,
    method,
    operation: operationOf(method),
    count: 1,
    ...describeRequest(refused.request),
    explain: () => refused.explain(),
  };
  publishRefusal(message);
}
