import { check } from '../checks';
import { keyOf } from '../numbers';
import type { ProtectionDomain, Sge } from '../region';
import type { SgeInput } from './operations';
import type { VerbsSession } from './session';

/** Checks one SGE of a work request like `lkey_ok` (docs/semantics.md, 9). The result holds no reference yet. */
export function lkeyCheck(
  session: VerbsSession,
  pd: ProtectionDomain,
  sge: SgeInput,
  acc: number,
): Sge | undefined {
  return check(session.regions, {
    id: '',
    pd,
    key: keyOf(sge.lkey),
    address: BigInt(sge.addr),
    length: BigInt(sge.length),
    local: true,
    acc,
  });
}
