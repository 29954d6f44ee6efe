// Tries accesses that memory protection must refuse, and collects the reason of each refusal.
import { Access } from 'rdmavt';

/**
 * Returns the reason why a request is refused, or `'accepted'`.
 *
 * @param {import('rdmavt').QueuePair} qp
 * @param {import('rdmavt').RemoteRequest} request
 * @param {import('rdmavt').Access} access
 */
function answerOf(qp, request, access) {
  const check = qp.acquire(request, access);
  if (!check.ok) {
    return check.reason;
  }
  check.sge.put();
  return 'accepted';
}

/**
 * Registers small buffers until one of them gets the key table slot of `key`.
 *
 * @param {import('./target.mjs').BlockTarget} target
 * @param {number} key
 */
function takeSlotOf(target, key) {
  const { pd, device } = target;
  const slot = (/** @type {number} */ rkey) => rkey >>> (32 - device.lkeyTableBits);
  for (;;) {
    const mr = pd.regUserMr(Buffer.alloc(16), { access: Access.RemoteRead });
    if (slot(mr.rkey) === slot(key)) {
      return;
    }
    mr.dereg(); // free the slot and try again: the slots of new regions are random
  }
}

/**
 * Tries forbidden accesses in the order of a region's life cycle. Revokes the target's region on the way.
 *
 * @param {import('./target.mjs').BlockTarget} target
 * @returns each access with the expected and the actual answer
 */
export function forbiddenAccesses(target) {
  const { qp, mr, device } = target;
  const { address, rkey, length } = target.advertisement;
  const wanted = Math.min(4096, length);
  const request = { vaddr: address, length: wanted, rkey };
  /** @type {{ access: string, expected: string, answer: string }[]} */
  const tried = [];
  const expect = (
    /** @type {string} */ access,
    /** @type {string} */ expected,
    /** @type {string} */ answer,
  ) => tried.push({ access, expected, answer });

  const oneTooFar = { ...request, vaddr: address + BigInt(length - wanted) + 1n };
  expect('read one byte past the end', 'OutOfBounds', answerOf(qp, oneTooFar, Access.RemoteRead));
  expect('write, with a key for reading', 'AccessDenied', answerOf(qp, request, Access.RemoteWrite));
  const stranger = device.allocPd().createQp();
  expect('read from another domain', 'WrongPd', answerOf(stranger, request, Access.RemoteRead));
  mr.dereg();
  expect('read with the revoked key', 'Revoked', answerOf(qp, request, Access.RemoteRead));
  takeSlotOf(target, rkey);
  expect('read after its slot was taken', 'StaleKey', answerOf(qp, request, Access.RemoteRead));
  return tried;
}
