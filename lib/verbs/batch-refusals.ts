/** Explains and reports the refused elements of a batch. */
import { type Method, operationOf } from '../internal/methods';
import { type Access } from './access';
import { type Asker } from './asker';
import { SGE_WORDS } from './batch-block';
import { unusable } from '../internal/cause-words';
import { explainNow, explainRefusal } from './explanation';
import { type AskedAccess } from './explanation-facts';
import { rightsOf } from './explanation-words';
import { HIGH, LOW } from '../internal/halves';
import { AccessBit, PACKED_SGE_BYTES } from '../internal/layout';
import { type RefusalReason } from '../internal/reasons';
import { publishRefusal } from '../internal/refused-channel';
import { requestOf } from './refusal';
import { describeRequest, type RefusedMessage } from './refused-message';
import { isRemoteRight } from './remote-right';

/**
 * How the last call used its elements. A copy (`'read'` or `'write'`) requires rights beyond those that a plain check requires.
 */
export type BatchUse = 'check' | 'read' | 'write';

/** Reads element `index` from packed words. Another thread may be writing to the words. */
export function elementAt(words: Uint32Array, index: number, access: Access): AskedAccess {
  const first = index * SGE_WORDS;
  const address = (BigInt(words[first + HIGH] ?? 0) << 32n) | BigInt(words[first + LOW] ?? 0);
  return { address, length: words[first + 2] ?? 0, key: words[first + 3] ?? 0, access };
}

/**
 * Reads element `index` from packed bytes at any alignment. `bytes` must be a genuine Uint8Array, so that indexing runs no
 * program code.
 */
export function packedElementAt(bytes: Uint8Array, index: number, access: Access): AskedAccess {
  const memory = new ArrayBuffer(PACKED_SGE_BYTES);
  const to = new Uint8Array(memory);
  for (let i = 0; i < PACKED_SGE_BYTES; i++) to[i] = bytes[index * PACKED_SGE_BYTES + i] ?? 0;
  return elementAt(new Uint32Array(memory), 0, access);
}

/**
 * Explains a refusal that follows from the access mask alone: no check accepts the mask, or the copy cannot use it. Returns
 * undefined if the verdict depends on the region.
 */
function explainRights(asker: Asker, access: Access, use: BatchUse): string | undefined {
  if (asker.remote && !isRemoteRight(access)) {
    return `AccessDenied: a remote element must ask for exactly one of RemoteRead, RemoteWrite and RemoteAtomic, but this one asks for ${rightsOf(access)}.`;
  }
  if (use === 'write' && (access & (AccessBit.LocalWrite | AccessBit.RemoteWrite)) === 0) {
    return `AccessDenied: the copy writes into this element, but its access (${rightsOf(access)}) has neither LocalWrite nor RemoteWrite.`;
  }
  if (use === 'read' && asker.remote && (access & AccessBit.RemoteRead) === 0) {
    return `AccessDenied: the copy reads this element for a peer, but its access (${rightsOf(access)}) is not RemoteRead.`;
  }
  return undefined;
}

/**
 * Explains the verdict on one element of a batch, using the element's current contents.
 *
 * @param reason - why the last call refused the element; undefined if the last call did not refuse it
 */
export function explainElement(
  asker: Asker,
  index: number,
  asked: AskedAccess,
  use: BatchUse,
  reason: RefusalReason | undefined,
): string {
  const told = reason === undefined ? 'not refused by the last call' : `refused by the last call: ${reason}`;
  const now = explainRights(asker, asked.access, use) ?? explainNow(asker, asked);
  return `Element ${index} (${told}), as it is in the batch now: ${now}`;
}

/** Returns whether the access was accepted but the memory behind it could not be used. */
function isOfBytes(reason: RefusalReason): reason is 'MemoryDetached' | 'MemoryShrunk' | 'OtherEnvironment' {
  return reason === 'MemoryDetached' || reason === 'MemoryShrunk' || reason === 'OtherEnvironment';
}

/**
 * Publishes the first refused element of a call to the subscribers of the channel `rdmavt:refused`.
 *
 * @param count - number of elements that the call refused
 */
export function reportElement(
  asker: Asker,
  method: Method,
  index: number,
  count: number,
  asked: AskedAccess,
  use: BatchUse,
  reason: RefusalReason,
): void {
  const { address, length, key, access } = asked;
  const message: RefusedMessage = {
    reason,
    method,
    operation: operationOf(method),
    count,
    index,
    ...describeRequest(asker, requestOf(asker, address, length, key, access)),
    explain: () => {
      if (isOfBytes(reason)) return `${reason}: element ${index} was accepted, but ${unusable[reason]}.`;
      const rights = reason === 'AccessDenied' ? explainRights(asker, access, use) : undefined;
      return rights ?? explainRefusal(asker, asked, reason, undefined);
    },
  };
  publishRefusal(message);
}
