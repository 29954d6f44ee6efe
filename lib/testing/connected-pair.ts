/** Two connected queue pairs. */
import {
  Access,
  type CompletionQueue,
  type ConnectOptions,
  type CreateQpOptions,
  type Device,
  type DeviceOptions,
  type ProtectionDomain,
  type QueuePair,
} from '../index';
import { dispose } from '../internal/disposal';
import { openTestDevice } from './test-device';

/** Options of {@link connectedPair}. */
export interface ConnectedPairOptions<Type extends 'RC' | 'UC' = 'RC'> {
  /** Default `'RC'`. */
  type?: Type;
  /** The domain of both queue pairs, which stays open. Default: a new domain on a new device. */
  pd?: ProtectionDomain;
  /** The device of the domain, which has the completion queues. Required with `pd`. */
  device?: Device;
  /** Options of the new device. */
  deviceOptions?: DeviceOptions;
  /** Number of entries of each completion queue. Default 256. */
  cqe?: number;
  /** Other options of both queue pairs. Every work request is signaled unless `sqSigAll` is false. */
  qp?: Partial<CreateQpOptions<Type>>;
  /** Options of the connection. Default: each may read, write and change the other's memory. */
  connect?: Partial<ConnectOptions>;
}

/** Two connected queue pairs and what they need; see {@link connectedPair}. */
export interface ConnectedPair<Type extends 'RC' | 'UC' = 'RC'> {
  readonly device: Device;
  readonly pd: ProtectionDomain;
  readonly a: QueuePair<Type>;
  /** The queue of all completions of `a`. */
  readonly aCq: CompletionQueue;
  readonly b: QueuePair<Type>;
  /** The queue of all completions of `b`. */
  readonly bCq: CompletionQueue;
  /**
   * Ends what {@link connectedPair} has created. A second call is a no-op.
   *
   * @throws LeftOverError: the device is the pair's own, and something else was left on it
   */
  close(): void;
  /** As {@link ConnectedPair.close}, for `using`. */
  [Symbol.dispose](): void;
}

const REMOTE = Access.RemoteRead | Access.RemoteWrite | Access.RemoteAtomic;

/**
 * Creates two queue pairs that are connected with each other, ready to send and receive.
 *
 * @example
 * ```ts
 * import { Access } from 'rdmavt';
 * import { connectedPair, takeCompletions } from 'rdmavt/testing';
 *
 * const pair = connectedPair();
 * const { pd, a, b, bCq } = pair;
 * const target = Buffer.alloc(5);
 * const from = pd.regUserMr(Buffer.from('hello'));
 * const to = pd.regUserMr(target, { access: Access.LocalWrite });
 * b.postRecv({ wrId: 1, sges: [{ addr: to.start, length: 5, lkey: to.lkey }] });
 * a.postSend({ opcode: 'SEND', sges: [{ addr: from.start, length: 5, lkey: from.lkey }] });
 * const [completion] = await takeCompletions(bCq, 1);
 * console.log(completion?.status, target.toString()); // SUCCESS hello
 * pd.deregMany([from, to]);
 * pair.close();
 * ```
 *
 * @throws TypeError: only one of `pd` and `device` is given
 */
export function connectedPair<Type extends 'RC' | 'UC' = 'RC'>(
  options: ConnectedPairOptions<Type> = {},
): ConnectedPair<Type> {
  const { type = 'RC' as Type, deviceOptions, cqe = 256, qp, connect } = options;
  if ((options.pd === undefined) !== (options.device === undefined)) {
    throw new TypeError('options.pd and options.device must be given together');
  }
  const test = options.device === undefined ? openTestDevice(deviceOptions) : undefined;
  const device = options.device ?? test?.device;
  if (device === undefined) throw new TypeError('there is no device');
  const ends: { destroy(): void }[] = [];
  try {
    const pd = options.pd ?? device.allocPd();
    const [aCq, bCq] = [device.createCq(cqe), device.createCq(cqe)];
    ends.push(aCq, bCq);
    const create = (sendCq: CompletionQueue): QueuePair<Type> => {
      const made = pd.createQp<Type>({ type, sendCq, sqSigAll: true, ...qp } as CreateQpOptions<Type>);
      ends.unshift(made); // before the queues that it uses
      return made;
    };
    const [a, b] = [create(aCq), create(bCq)];
    (a as QueuePair<'RC' | 'UC'>).connect(b, { access: REMOTE, ...connect });
    const close = (): void => {
      for (const end of ends.splice(0)) end.destroy();
      test?.close({ except: [pd] });
    };
    return {
      device,
      pd,
      a,
      aCq,
      b,
      bCq,
      close,
      [dispose]: () => {
        close();
      },
    };
  } catch (error) {
    for (const end of ends) end.destroy();
    test?.device.close({ cascade: true });
    throw error;
  }
}
