/** Reads the old value that an atomic operation has stored in local memory. */
import { acquireAccess } from './check-result';
import { type Asker } from './asker';
import { explainedError } from '../internal/errors';
import { storeAccess } from '../internal/element';
import { type Method } from '../internal/methods';
import { type LocalSge } from './protection-domain';

const VALUE_BYTES = 8;

const value = new BigUint64Array(1);
const valueBytes = new Uint8Array(value.buffer);

/**
 * Returns the 64-bit number in the first 8 bytes of an element.
 *
 * @param method - the method that the program called
 * @param asker - the domain of the queue pair
 * @throws RdmaError `EACCES`: the region was deregistered since the completion, or its memory cannot be used; `EBADF`
 */
export function readOldValue(method: Method, asker: Asker | undefined, { addr, lkey }: LocalSge): bigint {
  if (asker === undefined) throw explainedError(method, 'EINVAL', 'QpHasNoQueues');
  storeAccess(asker.number, addr, 'sge.addr', VALUE_BYTES, 'sge.length', lkey, 'sge.lkey', 0);
  const check = acquireAccess(asker, addr, VALUE_BYTES, lkey, 0, undefined);
  if (!check.ok)
    throw explainedError(method, 'EACCES', 'BytesUnusable', { limit: BigInt(VALUE_BYTES), argument: 'sge' });
  try {
    check.sge.copyTo(valueBytes);
    return value[0] ?? 0n;
  } finally {
    check.sge.put();
  }
}
