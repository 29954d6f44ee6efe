import { NamesNothing, Session } from '../session';
import type { ProtectionDomain, Region, RegionKind } from '../region';
import type { AddressHandle } from './address-handle';
import type { CompletionQueue } from './completion-queue';
import { Memory } from './memory-bytes';
import type { Event, Id, Limits, VerbsErrno, VerbsInitOp } from './operations';
import type { QueuePair } from './queue-pair';
import type { SharedReceiveQueue } from './shared-receive-queue';

/** The state of a verbs session, between an `init` with limits and its `exit`. */
export class VerbsSession {
  readonly limits: Limits;
  /** The protection domains, the regions and the key table. Their ids are the verbs session's ids as strings. */
  readonly regions: Session;
  readonly memory: Memory;
  readonly cqs = new Map<Id, CompletionQueue>();
  readonly srqs = new Map<Id, SharedReceiveQueue>();
  readonly ahs = new Map<Id, AddressHandle>();
  readonly qps = new Map<Id, QueuePair>();
  nextQpn = 2;
  /** The queue pairs that a destination number can find, in the order in which they last went from RESET to INIT. */
  readonly destinations = new Set<QueuePair>();
  /** The queue pairs that the engine visits next. A set keeps the order of insertion and each queue pair once. */
  readonly ready = new Set<QueuePair>();
  /** The running RNR timers in the order in which they were started. */
  readonly timers = new Map<QueuePair, { usec: number }>();

  #events: Event[] = [];
  #triggered: Event[] = [];

  constructor(op: VerbsInitOp) {
    this.limits = op.limits;
    this.regions = new Session(op);
    this.memory = new Memory(this.regions);
  }

  /** Notes an event of the operation that is being played. */
  report(event: Event): void {
    (event.ev === 'comp' ? this.#triggered : this.#events).push(event);
  }

  /** Returns the events of the operation; completion handlers run at its end, so their events come last. */
  takeEvents(): Event[] {
    const events = [...this.#events, ...this.#triggered];
    this.#events = [];
    this.#triggered = [];
    return events;
  }

  pd(id: Id): ProtectionDomain {
    return this.regions.pd(String(id));
  }

  region(id: Id): Region {
    return this.regions.region(String(id));
  }

  regionOf(id: Id, kinds: readonly RegionKind[]): Region {
    return this.regions.regionOf(String(id), kinds);
  }

  cq(id: Id): CompletionQueue {
    return named(this.cqs.get(id));
  }

  srq(id: Id): SharedReceiveQueue {
    return named(this.srqs.get(id));
  }

  ah(id: Id): AddressHandle {
    return named(this.ahs.get(id));
  }

  qp(id: Id): QueuePair {
    return named(this.qps.get(id));
  }

  /** Returns the queue pair with the number, if messages can reach it. The numbers 0 and 1 belong to no queue pair. */
  destination(qpn: number): QueuePair | undefined {
    for (const qp of this.destinations) if (qp.qpn === qpn) return qp;
    return undefined;
  }
}

/**
 * Returns whether a device can have these limits. A work request has at most 255 SGEs (docs/deviations.md, V1), so the device
 * refuses a higher limit.
 */
export function areAllowed({ max_send_sge, max_recv_sge }: Limits): boolean {
  return max_send_sge <= 255 && max_recv_sge <= 255;
}

function named<T>(object: T | undefined): T {
  if (object === undefined) throw new NamesNothing();
  return object;
}

export function refuse(err: VerbsErrno): { err: VerbsErrno } {
  return { err };
}
