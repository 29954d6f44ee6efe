// The other half of memory protection: what must not work, and what the refusal says.
import { Access } from 'rdmavt';

/**
 * The reason of the refusal, or a word that no reason is.
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
 * Register small buffers until one of them gets the slot that `key` named.
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
    mr.dereg(); // the search goes on behind this slot, so the next one is another
  }
}

/**
 * Try what is forbidden, in the order of a region's life. The target's region is revoked on the way.
 *
 * @param {import('./target.mjs').BlockTarget} target
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
