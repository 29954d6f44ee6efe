// Connected queue pairs, registered memory and readable completions for tests of the verbs. Not for tests of other folders.
import {
  Access,
  type Completion,
  type CompletionQueue,
  type ConnectOptions,
  type CreateQpOptions,
  type Device,
  type DeviceOptions,
  type LocalSge,
  type MemoryRegion,
  type ProtectionDomain,
  type QueuePair,
  type RdmaError,
  type RdmaWriteRequest,
  type SendWorkRequest,
} from '../../lib';
import { ALL, open } from './scene';

export const REMOTE = Access.RemoteRead | Access.RemoteWrite | Access.RemoteAtomic;
export type Connected = 'RC' | 'UC';

/** Two connected queue pairs of one device, whose engine works only in `device.run()`. */
export interface Ends<Type extends Connected = 'RC'> {
  device: Device;
  pd: ProtectionDomain;
  /** The requester and the queue for all its completions. */
  a: QueuePair<Type>;
  aCq: CompletionQueue;
  /** The responder and the queue for all its completions. */
  b: QueuePair<Type>;
  bCq: CompletionQueue;
}

export interface EndsOptions<Type extends Connected = 'RC'> {
  type?: Type;
  device?: DeviceOptions;
  /** Options of both queue pairs. */
  qp?: Partial<CreateQpOptions<Type>>;
  /** Options of the responder. */
  responder?: Partial<CreateQpOptions<Type>>;
  connect?: Partial<ConnectOptions>;
  /** Size of the completion queues. */
  cqe?: number;
  /** Domain of the responder: another one than the requester's. */
  otherPd?: boolean;
}

/** Opens a device with two queue pairs and connects them. */
export function ends<Type extends Connected = 'RC'>(
  options: EndsOptions<Type> = {},
): Ends<Type> & { bPd: ProtectionDomain } {
  const {
    type = 'RC' as Type,
    device: deviceOptions,
    qp,
    responder,
    connect,
    cqe = 64,
    otherPd = false,
  } = options;
  const device = open({ engine: 'manual', keyPolicy: 'sequential', ...deviceOptions });
  const pd = device.allocPd();
  const bPd = otherPd ? device.allocPd() : pd;
  const [aCq, bCq] = [device.createCq(cqe), device.createCq(cqe)];
  const a = pd.createQp<Type>({ type, sendCq: aCq, ...qp });
  const b = bPd.createQp<Type>({ type, sendCq: bCq, ...qp, ...responder });
  (a as QueuePair<Connected>).connect(b, { access: REMOTE, ...connect });
  return { device, pd, bPd, a, aCq, b, bCq };
}

/** Registered memory of a test, and how work requests name parts of it. */
export interface TestMemory {
  bytes: Buffer;
  mr: MemoryRegion;
  /** Returns an SGE. Default: all bytes. */
  sge: (offset?: number, length?: number) => LocalSge;
  /** Returns the remote address and key of the byte at an offset. */
  at: (offset?: number) => Pick<RdmaWriteRequest, 'remoteAddr' | 'rkey'>;
}

/** Registers new memory: `content` bytes of zeros, or the bytes of a text. */
export function memory(pd: ProtectionDomain, content: number | string, access: number = ALL): TestMemory {
  const bytes = typeof content === 'number' ? Buffer.alloc(content) : Buffer.from(content);
  return registered(pd, bytes, access);
}

/** Registers memory. */
export function registered(pd: ProtectionDomain, bytes: Buffer, access: number = ALL): TestMemory {
  const mr = pd.regUserMr(bytes, { access });
  return {
    bytes,
    mr,
    sge: (offset = 0, length = bytes.length - offset) => ({
      addr: mr.start + BigInt(offset),
      length,
      lkey: mr.lkey,
    }),
    at: (offset = 0) => ({ remoteAddr: mr.iova + BigInt(offset), rkey: mr.rkey }),
  };
}

/** Describes a completion in a line: `7 SEND SUCCESS`, `8 RDMA_READ REM_ACCESS_ERR StaleKey`. */
export const lineOf = ({ wrId, opcode, status, reason }: Completion): string =>
  `${wrId} ${opcode} ${status}${reason === undefined ? '' : ` ${reason}`}`;

/** Takes all completions of a queue and describes them. */
export const linesOf = (cq: CompletionQueue): string[] => cq.poll(1000).map(lineOf);

/** Posts a signaled work request with wr_id 1, runs the engine and returns the line of its completion. */
export function outcome<Type extends Connected>(
  { device, a, aCq }: Pick<Ends<Type>, 'device' | 'a' | 'aCq'>,
  wr: SendWorkRequest<Type>,
): string | undefined {
  (a as QueuePair<Connected>).postSend({ wrId: 1, signaled: true, ...wr });
  device.run();
  return linesOf(aCq).join();
}

/** Calls a function that must throw an RdmaError, and returns the error's code, cause, index and count of accepted requests. */
export function refusal(
  call: () => unknown,
): [code: string, cause: string | undefined, index: number | undefined, posted: number | undefined] {
  try {
    call();
  } catch (error) {
    const { code, detail, index, posted } = error as RdmaError;
    return [code, detail?.cause, index, posted];
  }
  throw new Error('the call did not throw');
}
