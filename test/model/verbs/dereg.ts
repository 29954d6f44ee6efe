// Models dereg_mr while work requests hold the region (docs/semantics.md, V13).

import { release } from '../lifetime';
import type { Region } from '../region';
import { runEngine } from './engine';
import { enterErrorWithEvent } from './error-state';
import type { VerbsAnswer } from './operations';
import type { QueuePair } from './queue-pair';
import type { VerbsSession } from './session';

export function deregMr(session: VerbsSession, region: Region): VerbsAnswer {
  const { regions } = session;
  if (!region.halfDead) {
    regions.table.leave(region);
    if (regions.published === region) regions.published = undefined;
    if (region.kind !== 'dma') failHolders(session, region);
    // Flushing can release the references that are left.
    if (region.held > 0) runEngine(session);
  }
  return release(regions, region);
}

/** Brings the queue pairs that hold the region into the error state. */
function failHolders(session: VerbsSession, region: Region): void {
  // In each bucket, the queue pair that entered the table last comes first.
  const newestFirst = [...session.destinations].reverse();
  const inOrder = newestFirst.sort((a, b) => bucketOf(a) - bucketOf(b));
  for (const qp of inOrder) {
    if (qp.pd === region.pd && holds(qp, region)) enterErrorWithEvent(session, qp, 'LOC_PROT_ERR');
  }
}

/** Returns the place of a queue pair in the table of destinations, which has 256 buckets. */
export function bucketOf({ qpn }: QueuePair): number {
  return (Math.imul(qpn, 0x61c88647) >>> 0) >>> 24;
}

function holds(qp: QueuePair, region: Region): boolean {
  const sges = [...qp.sends.flatMap((send) => send.sges), ...(qp.inHand?.sges ?? [])];
  return sges.some(({ sge }) => sge.region === region);
}
