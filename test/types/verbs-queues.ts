// Type tests of completion queues, shared receive queues and address handles. `npm run typecheck` checks the file; it never runs.
/* eslint-disable @typescript-eslint/no-unused-vars, @typescript-eslint/no-unnecessary-type-parameters -- nothing is used */
import { EventEmitter, on, once } from 'node:events';
import {
  type AddressHandle,
  type Completion,
  CompletionQueue,
  type CompletionReason,
  CompletionRing,
  type CreateCqOptions,
  Device,
  type DeviceLimits,
  type FiredTimer,
  type ProtectionDomain,
  type QueuePair,
  type RdmaError,
  type RecvQueue,
  type RefusalReason,
  type RingCompletionQueue,
  type Rkey,
  SendQueue,
  type SharedReceiveQueue,
  type WcOpcodeName,
  type WcStatusName,
} from 'rdmavt';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Compiles only if both types are identical. */
const same = <A, B>(_same: Same<A, B>): void => {};

declare const device: Device;
declare const pd: ProtectionDomain;
declare const qp: QueuePair<'RC'>;
declare const cq: CompletionQueue;
declare const srq: SharedReceiveQueue;
declare const ah: AddressHandle;
declare const wc: Completion;

export function devices(): void {
  const opened = new Device({ limits: { maxQp: 1 }, engine: 'manual' });
  same<ReturnType<typeof opened.query>, DeviceLimits>(true);
  same<ReturnType<typeof device.fireTimers>, FiredTimer[]>(true);
  same<FiredTimer['qp'], QueuePair | undefined>(true);
  const lost: number | undefined = device.counters().completions?.lost;
  const good: number | undefined = device.counters().completions?.SUCCESS;
  device.run({ kick: [qp] });
  // @ts-expect-error -- not a limit
  new Device({ limits: { maxQP: 1 } });
  // @ts-expect-error -- not a mode
  new Device({ engine: 'thread' });
  // @ts-expect-error -- a list
  device.run({ kick: qp });
  // @ts-expect-error -- no such count
  const no = device.counters().completions?.OK;
  // @ts-expect-error -- read-only
  device.queryPort().lid = 2;
}

export async function completionQueues(): Promise<void> {
  same<ReturnType<typeof device.createCq>, CompletionQueue>(true);
  same<typeof cq.ring, CompletionRing | undefined>(true);
  const withRing: RingCompletionQueue = device.createCq(8, { ring: true });
  const ring: CompletionRing = withRing.ring;
  const options: CreateCqOptions = { ring: true };
  same<ReturnType<typeof ring.next>, boolean>(true);
  same<typeof ring.wrId, bigint>(true);
  same<typeof ring.wrIdNumber, number>(true);
  same<typeof ring.status, Completion['status']>(true);
  same<typeof ring.opcode, Completion['opcode']>(true);
  same<typeof ring.imm, number | undefined>(true);
  same<ReturnType<typeof ring.completion>, Completion>(true);
  pd.createQp({ type: 'RC', sendCq: withRing });
  // @ts-expect-error -- the type of the options does not tell whether the queue has a ring
  const unknown: CompletionRing = device.createCq(8, options).ring;
  // @ts-expect-error -- a queue that was created with `ring: false` has no ring
  const none: RingCompletionQueue = device.createCq(8, { ring: false });
  // @ts-expect-error -- `ring` is a boolean
  device.createCq(8, { ring: 'yes' });
  // @ts-expect-error -- read-only
  ring.wrIdNumber = 1;
  // @ts-expect-error -- only createCq creates one
  new CompletionRing();
  same<ReturnType<typeof cq.poll>, Completion[]>(true);
  const missed: boolean = cq.arm({ solicited: true });
  for await (const one of cq) same<typeof one, Completion>(true);
  const same1: CompletionQueue = cq.on('completion', () => {}).once('cqError', () => {});
  cq.off('completion', () => {})
    .unref()
    .ref();
  // @ts-expect-error -- no such event
  cq.on('error', () => {});
  // @ts-expect-error -- without arguments
  cq.on('completion', (one: Completion) => {});
  // @ts-expect-error -- a number
  device.createCq();
  // @ts-expect-error -- not an option
  cq.arm({ next: true });
  // @ts-expect-error -- read-only
  cq.cqe = 1;
  // @ts-expect-error -- only Device.createCq creates one
  new CompletionQueue();
  // Where Node expects an EventEmitter:
  const emitter: NodeJS.EventEmitter = cq;
  await once(cq, 'completion');
  for await (const _ of on(cq, 'completion')) break;
  const isEmitter = cq instanceof EventEmitter;
}

export function completions(): void {
  same<Completion['wrId'], number | bigint>(true);
  same<Completion['status'], WcStatusName>(true);
  same<Completion['opcode'], WcOpcodeName>(true);
  same<Completion['reason'], CompletionReason | RefusalReason | undefined>(true);
  same<Completion['invalidatedRkey'], Rkey | undefined>(true);
  same<Completion['qp'], QueuePair | undefined>(true);
  const text: string = wc.explain();
  // @ts-expect-error -- read-only
  wc.wrId = 1;
  // @ts-expect-error -- no such status
  if (wc.status === 'OK') return;
}

export function sharedReceiveQueues(): void {
  same<ReturnType<typeof pd.createSrq>, SharedReceiveQueue>(true);
  srq.postRecv({ wrId: 1n, sges: [] });
  srq.postRecv([{}, { wrId: 1 }]);
  srq.modify({ limit: 1 });
  const held: number = srq.query().held;
  const again: SharedReceiveQueue = srq.on('limit', () => {});
  // @ts-expect-error -- maxWr is required
  pd.createSrq({});
  // @ts-expect-error -- sends are posted to queue pairs
  srq.postRecv({ opcode: 'SEND' });
  // @ts-expect-error -- no such event
  srq.on('completion', () => {});
  // @ts-expect-error -- cannot be changed
  srq.modify({ maxSge: 1 });
}

export function addressHandles(): void {
  same<ReturnType<typeof pd.createAh>, AddressHandle>(true);
  pd.createAh({ dlid: 1, sl: 0, staticRate: 0, port: 1 });
  ah.destroy();
  // @ts-expect-error -- not an option
  pd.createAh({ lid: 1 });
}

export function packedQueues(): void {
  same<ReturnType<typeof srq.recvQueue>, RecvQueue>(true);
  const sends: SendQueue<'RC'> = qp.sendQueue(16);
  const receives: RecvQueue = qp.recvQueue(16);
  const posted: number = sends.post(4, 12) + receives.post(1);
  const error: RdmaError | undefined = sends.error ?? receives.error;
  const region = pd.regUserMr(new Uint8Array(8));
  sends.fill(0, { opcode: 'ATOMIC_FETCH_AND_ADD', remoteAddr: 0, rkey: region.rkey, compareAdd: 1 });
  sends.setLocal(0, 1n, 8, region.lkey);
  sends.setRemote(0, 1, region.rkey);
  sends.setId(0, 5n);
  sends.setSignaled(0, true);
  receives.fill(0, { wrId: 1, sges: [{ addr: 0, length: 8, lkey: region.lkey }] });
  const ud = pd.createQp({ type: 'UD', sendCq: cq }).sendQueue(1);
  ud.fill(0, { opcode: 'SEND', ah, remoteQpn: 1, remoteQkey: 1 });
  // @ts-expect-error -- a datagram needs a destination
  ud.fill(0, { opcode: 'SEND' });
  // @ts-expect-error -- not an opcode of UD
  ud.fill(0, { opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: region.rkey });
  // @ts-expect-error -- not an opcode of UC
  pd.createQp({ type: 'UC', sendCq: cq }).sendQueue(1).fill(0, { opcode: 'RDMA_READ' });
  // @ts-expect-error -- an lkey is no rkey
  sends.setRemote(0, 1, region.lkey);
  // @ts-expect-error -- a receive has no opcode
  receives.fill(0, { opcode: 'SEND' });
  // @ts-expect-error -- a queue pair without queues
  pd.createQp().sendQueue(1);
  // @ts-expect-error -- a capacity
  qp.sendQueue();
  // @ts-expect-error -- read-only
  sends.capacity = 1;
  // @ts-expect-error -- only queue pairs create one
  new SendQueue();
}
