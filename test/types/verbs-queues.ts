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
  type RefusalReason,
  type RingCompletionQueue,
  type Rkey,
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
  // @ts-expect-error -- without the option there is none
  const none: RingCompletionQueue = device.createCq(8, { ring: false });
  // @ts-expect-error -- a boolean
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
