/** Listens to the refusals of one device while somebody looks. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { REFUSED_CHANNEL } from '../internal/refused-channel';
import { hex } from '../internal/words';
import { type RefusedMessage } from '../verbs/refused-message';
import { MOST_REFUSALS } from './apply-tick';
import { type RefusalView } from './protocol';

/**
 * How many refusals are explained between two ticks. An explanation searches the regions, in the call that was refused, so a
 * program that is refused a million times in a second must not pay for each.
 */
export const MOST_EXPLAINED = 8;
/** Characters of an explanation that are sent. */
const MOST_TEXT = 2000;

/** The refusals of one device, from {@link RefusalLog.start} to {@link RefusalLog.stop}. */
export class RefusalLog {
  readonly #device: number;
  #kept: RefusalView[] = [];
  #fresh: RefusalView[] = [];
  #unexplained = 0;
  #number = 0;
  #isListening = false;
  readonly #listener = (message: unknown): void => {
    this.#note(message as RefusedMessage);
  };

  /** @param device - number of the device in this process */
  constructor(device: number) {
    this.#device = device;
  }

  /** The newest refusals that {@link RefusalLog.takeFresh} has returned, oldest first. */
  get kept(): readonly RefusalView[] {
    return this.#kept;
  }

  /** Number of refusals that were counted and not explained, because there were too many at once. */
  get unexplained(): number {
    return this.#unexplained;
  }

  start(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    subscribe(REFUSED_CHANNEL, this.#listener);
  }

  /** Stops listening, and forgets all refusals. */
  stop(): void {
    if (this.#isListening) unsubscribe(REFUSED_CHANNEL, this.#listener);
    this.#isListening = false;
    this.#kept = [];
    this.#fresh = [];
    this.#unexplained = 0;
  }

  /** Returns the refusals since the last call. */
  takeFresh(): RefusalView[] {
    const fresh = this.#fresh;
    if (fresh.length === 0) return fresh;
    this.#fresh = [];
    this.#kept = [...this.#kept, ...fresh].slice(-MOST_REFUSALS);
    return fresh;
  }

  /** Runs in the call that was refused. An error would become an uncaught exception of the program, so there must be none. */
  #note(message: RefusedMessage): void {
    try {
      if (message.device !== this.#device) return;
      if (this.#fresh.length >= MOST_EXPLAINED) {
        this.#unexplained++;
        return;
      }
      this.#fresh.push(viewOf(message, ++this.#number));
    } catch {
      this.#unexplained++; // no stack or memory is left for an explanation
    }
  }
}

function viewOf(message: RefusedMessage, n: number): RefusalView {
  const { reason, method, operation, count, address, length, key, access, remote, pd, qp, peer } = message;
  return {
    n,
    time: Date.now(),
    reason,
    method,
    operation,
    count,
    ...(address !== undefined && { address: hex(address) }),
    ...(length !== undefined && { length }),
    ...(key !== undefined && { key: hex(key) }),
    ...(access !== undefined && { access }),
    ...(remote !== undefined && { remote }),
    ...(pd !== undefined && { pd }),
    ...(qp !== undefined && { qp }),
    ...(peer !== undefined && { peer: `${peer.address} port ${peer.port}` }),
    text: message.explain().slice(0, MOST_TEXT),
  };
}
