// Queue pairs that are connected through endpoints of two devices, for tests of the wire.
import {
  Access,
  type CompletionQueue,
  type CreateQpOptions,
  Device,
  type DeviceOptions,
  Endpoint,
  type ProtectionDomain,
  type QueuePair,
  type WireAddress,
  type WireConnectOptions,
} from '../../lib';
import { REMOTE } from './queue-pairs';
import { open } from './scene';

/** One end of a connection: a device of its own with an endpoint. */
export interface WireEnd {
  device: Device;
  endpoint: Endpoint;
  pd: ProtectionDomain;
  cq: CompletionQueue;
  qp: QueuePair<'RC'>;
  /** What the other end must know. */
  here: WireAddress;
}

export interface WireOptions {
  address?: string;
  device?: DeviceOptions;
  qp?: Partial<CreateQpOptions<'RC'>>;
  refusalsPerMinute?: number;
}

/** Opens an end at a free port of an address, default 127.0.0.1. */
export function wireEnd({
  address = '127.0.0.1',
  device: given,
  qp,
  refusalsPerMinute,
}: WireOptions = {}): WireEnd {
  const device = open(given);
  const endpoint = new Endpoint({
    device,
    address,
    port: 0,
    ...(refusalsPerMinute !== undefined && { refusalsPerMinute }),
  });
  const pd = device.allocPd();
  const cq = device.createCq(1024);
  const made = pd.createQp({ type: 'RC', sendCq: cq, ...qp });
  return { device, endpoint, pd, cq, qp: made, here: endpoint.describe(made) };
}

/** Connects two ends with each other. */
export function connectEnds(a: WireEnd, b: WireEnd, options: Partial<WireConnectOptions> = {}): void {
  const with_ = { access: REMOTE, ...options };
  a.qp.connect({ endpoint: a.endpoint, ...b.here, ...with_ });
  b.qp.connect({ endpoint: b.endpoint, ...a.here, ...with_ });
}

/** Two connected ends. */
export function wireEnds(options: WireOptions & { connect?: Partial<WireConnectOptions> } = {}): {
  a: WireEnd;
  b: WireEnd;
} {
  const [a, b] = [wireEnd(options), wireEnd(options)];
  connectEnds(a, b, options.connect);
  return { a, b };
}

/** Waits until a condition holds; fails after 10 seconds. */
export async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error('the condition does not hold after 10 s');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Waits long enough for packets that are under way on a loopback interface to arrive. */
export const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

export { Access };
