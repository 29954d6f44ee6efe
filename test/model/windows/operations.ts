// The operations of the programs and their answers. Objects have numbers, in the order in which a program asks for them; an
// operation that names an object which was never made is skipped by both sides. Closed objects can still be named.

/** How a queue pair invalidates a key: LOCAL_INV, `invalidateRkey`, or a SEND_WITH_INV that it receives. */
export type Invalidation = 'post' | 'call' | 'receive';

export interface Translation {
  size: number;
  start: bigint;
  /** Default: `start`. */
  iova: bigint | undefined;
}

export interface RegOp extends Translation {
  op: 'reg';
  id: number;
  pd: number;
  access: number;
}
export interface AllocMrOp {
  op: 'allocMr';
  id: number;
  pd: number;
}
export interface DeregOp {
  op: 'dereg';
  mr: number;
  force: boolean;
}
export interface ReregOp {
  op: 'rereg';
  mr: number;
  translation: Translation | undefined;
  access: number | undefined;
  pd: number | undefined;
}
export interface CreateQpOp {
  op: 'createQp';
  id: number;
  pd: number;
}
export interface DestroyQpOp {
  op: 'destroyQp';
  qp: number;
}
export interface AllocMwOp {
  op: 'allocMw';
  id: number;
  pd: number;
}
export interface BindOp {
  op: 'bind';
  qp: number;
  mw: number;
  mr: number;
  addr: bigint;
  length: number;
  access: number;
  key: number;
}
export interface LeaseOp {
  op: 'lease';
  id: number;
  mr: number;
  offset: number;
  /** Default: the rest of the region. */
  length: number | undefined;
  /** Default: every remote right of the region. */
  access: number | undefined;
  /** Default: every queue pair of the domain. */
  qp: number | undefined;
  /** Whether its time is over from the start (0 ms). Otherwise the program does not live to see its end. */
  expired: boolean;
}
/** Ends a window (`dealloc`) or a lease (`revoke`). */
export interface EndOp {
  op: 'end';
  mw: number;
}
export interface InvalidateOp {
  op: 'invalidate';
  qp: number;
  key: number;
  how: Invalidation;
}
interface Access {
  /** The domain of a local access, or the queue pair whose peer makes a remote one. */
  by: { pd: number } | { qp: number };
  addr: bigint;
  length: number;
  key: number;
  acc: number;
}
export interface CheckOp extends Access {
  op: 'check';
}
export interface AcquireOp extends Access {
  op: 'acquire';
  id: number;
}
/** Copies bytes out of an element that was accepted. */
export interface CopyOp {
  op: 'copy';
  sge: number;
}
export interface PutOp {
  op: 'put';
  sge: number;
}

export type WindowsOperation =
  | RegOp
  | AllocMrOp
  | DeregOp
  | ReregOp
  | CreateQpOp
  | DestroyQpOp
  | AllocMwOp
  | BindOp
  | LeaseOp
  | EndOp
  | InvalidateOp
  | CheckOp
  | AcquireOp
  | CopyOp
  | PutOp;

export type WindowsAnswer =
  | { done: true }
  | { skipped: true }
  | { code: string; cause: string; counts?: Record<string, number> }
  | { range: string }
  | { reason: string }
  | { copied: number }
  | { invalidated: number | undefined };

/** What the objects say of themselves after an operation. Objects that were never made are absent. */
export interface State {
  regions: Record<number, RegionState>;
  windows: Record<number, WindowState>;
  /** The number of regions, windows and leases that hold memory of the device. */
  counts: { regions: number; windows: number; leases: number };
  /** The device's counts of its checks, and of refusals by reason, with those of copies. */
  checks: { accepted: number; refused: number; reasons: Record<string, number> };
}

export type RegionState =
  | { state: 'Closed' }
  | {
      state: 'Valid' | 'Invalid' | 'HalfDead';
      key: number;
      access: number;
      start: bigint;
      iova: bigint;
      length: number;
      refs: number;
    };

export type WindowState =
  | { state: 'Closed' }
  | { state: 'Live' | 'Expired' | 'Revoked'; rkey: number; vaddr: bigint; length: number; access: number }
  | {
      state: 'Unbound' | 'Bound';
      rkey: number;
      region: number | undefined;
      qp: number | undefined;
      vaddr: bigint;
      length: number;
      access: number;
    };
