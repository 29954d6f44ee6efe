// Models address handles (docs/semantics.md, V14).

import type { ProtectionDomain } from '../region';
import type { AddressVector, CreateAhOp, DestroyAhOp, VerbsAnswer } from './operations';
import { refuse, type VerbsSession } from './session';

export interface AddressHandle {
  readonly pd: ProtectionDomain;
  readonly av: AddressVector;
}

export function createAh(session: VerbsSession, op: CreateAhOp): VerbsAnswer {
  const pd = session.pd(op.pd);
  if (op.av.port !== 1 || !isStaticRate(op.av.static_rate)) return refuse('EINVAL');
  if (session.ahs.size >= (session.limits.max_ah ?? 0)) return refuse('ENOMEM');
  session.ahs.set(op.id, { pd, av: op.av });
  return { ret: 0 };
}

export function destroyAh(session: VerbsSession, op: DestroyAhOp): VerbsAnswer {
  session.ah(op.ah);
  session.ahs.delete(op.ah);
  return { ret: 0 };
}

export function isStaticRate(rate: number): boolean {
  return rate === 0 || (rate >= 2 && rate <= 22);
}
