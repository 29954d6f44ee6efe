/** What a queue pair needs for a connection through an endpoint: its options, and the number of its first packet. */
import { invalidType, u8 } from '../internal/arguments';
import { MOST_INCOMING_READS } from '../internal/layout';
import { type Method } from '../internal/methods';
import { type NativeEndpoint } from '../internal/native';
import { requiredOptionsOf } from '../internal/options';
import { randomPsn, readNumber24, readUdpPort } from '../internal/wire-numbers';
import { type Access, readAccessBits } from './access';
import { nativeEndpointOf } from './endpoint-native';
import { type WireConnectOptions } from './queue-pair-options';

/** Attributes of a connection through an endpoint. The ones of type `unknown` are checked when the queue pair is modified. */
export interface WireAttributes {
  readonly address: string;
  readonly port: number;
  readonly destQpn: number;
  /** Numbers of the first packets: of the peer's, and of those that are sent. */
  readonly rqPsn: number;
  readonly sqPsn: number | undefined;
  readonly access: Access;
  readonly pathMtu: unknown;
  readonly maxRdAtomic: number;
  readonly maxDestRdAtomic: number;
  readonly minRnrTimer: unknown;
  readonly rnrRetry: unknown;
  readonly retryCnt: unknown;
  readonly timeout: unknown;
}

/** Most reads and atomics of one side that can be outstanding, of a queue pair of a device with this limit. */
export function mostReadsOf(maxRdmaAtomic: number): number {
  return Math.min(maxRdmaAtomic, MOST_INCOMING_READS);
}

/** Returns the native object of the option `endpoint`, or throws. */
export function endpointOption(endpoint: unknown): NativeEndpoint {
  const native = nativeEndpointOf(endpoint);
  if (native === undefined) throw invalidType('options.endpoint', 'an instance of Endpoint', endpoint);
  return native;
}

/** Reads an option that is the number of a first packet. */
export function readPsn(psn: unknown, name: string): number | undefined {
  return psn === undefined ? undefined : readNumber24(psn, name);
}

/**
 * Reads the options of {@link QueuePair.connect} through an endpoint.
 *
 * @param mostReads - {@link mostReadsOf} the device
 */
export function readWireConnectOptions(
  method: Method,
  options: unknown,
  mostReads: number,
): { endpoint: NativeEndpoint; attributes: WireAttributes } {
  const given = requiredOptionsOf<WireConnectOptions>(options, [
    'endpoint',
    'address',
    'port',
    'qpn',
    'psn',
    'localPsn',
    'access',
    'pathMtu',
    'minRnrTimer',
    'rnrRetry',
    'retryCnt',
    'timeout',
    'maxRdAtomic',
    'maxDestRdAtomic',
  ]);
  const endpoint = endpointOption(given.endpoint);
  const { address } = given;
  if (typeof address !== 'string') throw invalidType('options.address', 'of type string', address);
  const port = readUdpPort(given.port, 'options.port', 1);
  const destQpn = readNumber24(given.qpn, 'options.qpn');
  const rqPsn = readNumber24(given.psn, 'options.psn');
  const access = readAccessBits(method, given.access, 'options.access');
  const { pathMtu = 1024, minRnrTimer = 12, rnrRetry = 7, retryCnt = 7, timeout = 14 } = given;
  const { maxRdAtomic: givenReads = mostReads, maxDestRdAtomic: givenDestReads = mostReads } = given;
  const maxRdAtomic = u8(givenReads, 'options.maxRdAtomic');
  const maxDestRdAtomic = u8(givenDestReads, 'options.maxDestRdAtomic');
  const sqPsn = readPsn(given.localPsn, 'options.localPsn');
  const reads = { maxRdAtomic, maxDestRdAtomic };
  const limits = { minRnrTimer, rnrRetry, retryCnt, timeout };
  return {
    endpoint,
    attributes: { address, port, destQpn, rqPsn, sqPsn, access, pathMtu, ...reads, ...limits },
  };
}

/** The number of the first packet that a queue pair sends through an endpoint. */
export class FirstPsn {
  #psn: number | undefined;
  #isUsed = false;

  /** Returns the number for the next connection. It stays the same until one was made. */
  next(): number {
    if (this.#psn === undefined || this.#isUsed) {
      this.#psn = randomPsn();
      this.#isUsed = false;
    }
    return this.#psn;
  }

  /** Notes that a connection was made with this number. */
  use(psn: number): void {
    this.#psn = psn;
    this.#isUsed = true;
  }

  /** The number of the present connection; undefined if there is none, or if {@link next} was asked since. */
  get used(): number | undefined {
    return this.#isUsed ? this.#psn : undefined;
  }
}
