// Type tests of the verbs: what must compile, and what must not. `npm run typecheck` checks the file; it never runs.
/* eslint-disable @typescript-eslint/no-unnecessary-type-parameters, @typescript-eslint/no-meaningless-void-operator,
   @typescript-eslint/no-unused-vars, @typescript-eslint/no-floating-promises -- wrong things on purpose, and nothing is used */
import {
  type Advertisement,
  type AddressHandle,
  type Completion,
  CompletionError,
  type CompletionQueue,
  type LocalSge,
  type MemoryRegion,
  type ProtectionDomain,
  type QpType,
  type QueuePair,
  type ReceiveWorkRequest,
  type RdmaError,
  type Rkey,
  type SendWorkRequest,
  type SharedReceiveQueue,
} from 'rdmavt';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Compiles only if both types are identical. */
const same = <A, B>(_same: Same<A, B>): void => {};

declare const pd: ProtectionDomain;
declare const cq: CompletionQueue;
declare const srq: SharedReceiveQueue;
declare const ah: AddressHandle;
declare const mr: MemoryRegion;
declare const rc: QueuePair<'RC'>;
declare const uc: QueuePair<'UC'>;
declare const ud: QueuePair<'UD'>;
declare const check: QueuePair<'CHECK'>;
declare const any: QueuePair;
declare const sge: LocalSge;
declare const key: Rkey;
declare const peer: Advertisement;

/** createQp returns a queue pair of the type that it is given. */
export function creating(): void {
  same<ReturnType<typeof pd.createQp<'UD'>>, QueuePair<'UD'>>(true);
  const plain: QueuePair<'CHECK'> = pd.createQp();
  const reliable: QueuePair<'RC'> = pd.createQp({
    type: 'RC',
    sendCq: cq,
    recvCq: cq,
    srq,
    sqSigAll: true,
    maxPending: 1,
  });
  // @ts-expect-error: a queue pair with queues needs a completion queue
  pd.createQp({ type: 'RC' });
  // @ts-expect-error: not a supported type
  pd.createQp({ type: 'XRC_INI', sendCq: cq });
  // @ts-expect-error: a queue pair for checks has no queues
  pd.createQp({ type: 'CHECK', sendCq: cq });
  // @ts-expect-error: not an option
  pd.createQp({ type: 'RC', sendCq: cq, maxWr: 1 });
  // @ts-expect-error: the types of queue pairs are not interchangeable
  const wrong: QueuePair<'UC'> = reliable;
  const general: QueuePair = reliable;
  same<typeof general.type, QpType>(true);
  same<typeof reliable.type, 'RC'>(true);
  void [plain, wrong];
}

/** A queue pair without queues has none of the methods that need them. */
export function checks(): void {
  // @ts-expect-error: no queues
  check.postSend({ opcode: 'SEND' });
  // @ts-expect-error: no queues
  check.postRecv({});
  // @ts-expect-error: no queues
  check.modify({ state: 'ERR' });
  // @ts-expect-error: no queues
  check.query();
  // @ts-expect-error: no queues
  check.recv(sge);
  // @ts-expect-error: may be a queue pair without queues
  any.postRecv({});
  // @ts-expect-error: no queues
  check.connect(check, { access: 0 });
}

/** The type of a queue pair determines the opcodes. */
export function opcodes(): void {
  rc.postSend({ opcode: 'RDMA_READ', sges: [sge], remoteAddr: 0n, rkey: key });
  rc.postSend([
    { opcode: 'SEND', wrId: 1n, signaled: true, solicited: true, fence: true, inline: true },
    { opcode: 'ATOMIC_CMP_AND_SWP', sges: [sge], remoteAddr: 0, rkey: key, compareAdd: 1n, swap: 2 },
    { opcode: 'REG_MR', mr, key, access: 1 },
    { opcode: 'SEND_WITH_INV', invalidateRkey: key },
  ]);
  uc.postSend({ opcode: 'RDMA_WRITE_WITH_IMM', remoteAddr: 0, rkey: key, imm: 1 });
  uc.postSend({ opcode: 'LOCAL_INV', invalidateRkey: key });
  ud.postSend({ opcode: 'SEND', ah, remoteQpn: 2, remoteQkey: 1 });
  // @ts-expect-error: UC has no reads
  uc.postSend({ opcode: 'RDMA_READ', sges: [sge], remoteAddr: 0n, rkey: key });
  // @ts-expect-error: UC has no atomics
  uc.postSend({ opcode: 'ATOMIC_FETCH_AND_ADD', sges: [sge], remoteAddr: 0, rkey: key, compareAdd: 1n });
  // @ts-expect-error: UC has no sends with invalidate
  uc.postSend({ opcode: 'SEND_WITH_INV', invalidateRkey: key });
  // @ts-expect-error: UD has only sends
  ud.postSend({ opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: key });
  // @ts-expect-error: a datagram needs a destination
  ud.postSend({ opcode: 'SEND' });
  // @ts-expect-error: not a supported opcode
  rc.postSend({ opcode: 'BIND_MW' });
  same<Extract<SendWorkRequest<'UD'>, { opcode: 'LOCAL_INV' }>, never>(true);
  same<SendWorkRequest<'CHECK'>, never>(true);
}

/** Each opcode requires its properties, and keys are not interchangeable. */
export function properties(): void {
  // @ts-expect-error: no remote address
  rc.postSend({ opcode: 'RDMA_WRITE', rkey: key });
  // @ts-expect-error: no immediate data
  rc.postSend({ opcode: 'SEND_WITH_IMM' });
  // @ts-expect-error: immediate data without an opcode that sends them
  rc.postSend({ opcode: 'SEND', imm: 1 });
  // @ts-expect-error: an lkey where an rkey is needed
  rc.postSend({ opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: mr.lkey });
  // @ts-expect-error: an rkey where an lkey is needed
  rc.postRecv({ sges: [{ addr: 0, length: 1, lkey: mr.rkey }] });
  // @ts-expect-error: a plain number as a key
  rc.postSend({ opcode: 'LOCAL_INV', invalidateRkey: 5 });
  // @ts-expect-error: no value to swap
  rc.postSend({ opcode: 'ATOMIC_CMP_AND_SWP', sges: [sge], remoteAddr: 0, rkey: key, compareAdd: 1n });
  const list: readonly ReceiveWorkRequest[] = [{ wrId: 1, sges: [sge] }];
  rc.postRecv(list);
  srq.postRecv(list);
}

/** Promises. */
export async function promises(error: unknown): Promise<void> {
  const wc: Completion = await rc.write(sge, peer, { imm: 1, signal: AbortSignal.abort() });
  const old: bigint = await rc.fetchAdd(sge, peer, 1n);
  await rc.compareSwap(sge, { remoteAddr: 0, rkey: key }, 1, 2n);
  await rc.send([sge, sge], { invalidateRkey: key });
  await uc.send(sge, { imm: 1 });
  await ud.send(sge, { ah, remoteQpn: 2, remoteQkey: 3 });
  // @ts-expect-error: a datagram needs a destination
  await ud.send(sge);
  // @ts-expect-error: UC has no sends with invalidate
  await uc.send(sge, { invalidateRkey: key });
  // @ts-expect-error: RC has no destination per message
  await rc.send(sge, { ah });
  // @ts-expect-error: UC has no reads
  await uc.read(sge, peer);
  // @ts-expect-error: UC has no atomics
  await uc.fetchAdd(sge, peer, 1);
  // @ts-expect-error: UD has no writes
  await ud.write(sge, peer);
  // @ts-expect-error: no address
  await rc.read(sge, { rkey: key });
  if (error instanceof CompletionError) same<typeof error.completion, Completion>(true);
  void [wc, old];
}

/** Connecting. */
export function connecting(error: RdmaError): void {
  rc.connect(rc, { access: 0 });
  uc.connect(uc, { access: 0, pathMtu: 256 });
  ud.activate({ qkey: 1 });
  // @ts-expect-error: rights are never a default
  rc.connect(rc, {});
  // @ts-expect-error: a peer of another type
  rc.connect(uc, { access: 0 });
  // @ts-expect-error: UD queue pairs are not connected
  ud.connect(ud, { access: 0 });
  // @ts-expect-error: RC queue pairs are connected
  rc.activate({ qkey: 1 });
  // @ts-expect-error: not an MTU
  rc.modify({ pathMtu: 100 });
  // @ts-expect-error: not a state
  rc.modify({ state: 'READY' });
  same<typeof error.index, number | undefined>(true);
  rc.on('lastWqe', () => undefined);
  // @ts-expect-error: not an event
  rc.on('error', () => undefined);
}
