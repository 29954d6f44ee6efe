// Models posted receives, which a queue pair or a shared receive queue holds.

import { lkeyCheck } from './local-check';
import { type HeldSge, hold, putAll } from './memory-bytes';
import type { ReceiveWr } from './operations';
import type { QueuePair } from './queue-pair';
import type { VerbsSession } from './session';

/** A receive that a message took from its queue, with references on the regions of its SGEs. */
export interface Receive {
  readonly wrId: number;
  readonly sges: readonly HeldSge[];
}

/** The result of taking a receive: none was posted, one with a bad key was used up, or a receive. */
export type Taken = { none: true } | { badKey: ReceiveWr } | { receive: Receive };

/**
 * Takes the next receive of a queue pair, from its shared receive queue if it has one (docs/semantics.md, V11). `withBuffers` asks
 * to check the SGEs; a message that carries only immediate data does not look at them.
 */
export function takeReceive(session: VerbsSession, qp: QueuePair, withBuffers: boolean): Taken {
  const { srq } = qp;
  const wr = (srq?.receives ?? qp.receives).shift();
  if (wr === undefined) return { none: true };

  const sges: HeldSge[] = [];
  if (withBuffers) {
    for (const input of wr.sges) {
      if (input.length === 0) continue;
      const sge = lkeyCheck(session, srq?.pd ?? qp.pd, input, 1);
      if (sge === undefined) {
        putAll(sges);
        return { badKey: wr };
      }
      sges.push(hold(sge));
    }
  }
  if (srq !== undefined && srq.receives.length < srq.limit) {
    srq.limit = 0;
    session.report({ ev: 'srq_limit', srq: srq.id });
  }
  return { receive: { wrId: wr.wr_id, sges } };
}
