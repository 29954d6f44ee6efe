import { allocFmr, allocMr, getDmaMr, regUserMr, release } from './lifetime';
import { lkeyOk, rkeyOk } from './checks';
import { mapPhysFmr, unmapFmr } from './fmr';
import { hex } from './numbers';
import { fastRegMr, invalidateRkey } from './registration';
import { mapMrSg } from './scatter';
import { NamesNothing, refuse, Session } from './session';
import type { Answer, ExitOp, InitOp, Operation } from './trace-types';
import type { VerbsAnswer, VerbsInitOp, VerbsOperation } from './verbs/operations';
import { playVerbs, type VerbsOperationInSession } from './verbs/play';
import { areAllowed, VerbsSession } from './verbs/session';
import { walk } from './walk';

/**
 * Answers a trace line by line as the package must: with the behavior of the reference (docs/semantics.md), changed by the
 * package's deliberate deviations (docs/deviations.md, column "here").
 */
export class Model {
  #session: Session | undefined = undefined;
  #verbs: VerbsSession | undefined = undefined;

  /** The state, from which generators derive the next operation. Callers must not change it. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** The state of a verbs session, which an `init` with limits opens. Callers must not change it. */
  get verbs(): VerbsSession | undefined {
    return this.#verbs;
  }

  play(op: Operation): Answer;
  play(op: VerbsOperation): VerbsAnswer;
  play(op: Operation | VerbsOperation): VerbsAnswer {
    if (op.op === 'init') return this.#init(op);
    if (this.#session === undefined) return { skipped: true };
    if (op.op === 'exit') return this.#exit(this.#session);
    try {
      // Only the kind of session decides which operations a line can have.
      if (this.#verbs !== undefined) return playVerbs(this.#verbs, op as VerbsOperationInSession);
      return playIn(this.#session, op as OperationInSession);
    } catch (error) {
      if (error instanceof NamesNothing) return { skipped: true };
      throw error;
    }
  }

  #init(op: InitOp | VerbsInitOp): Answer {
    this.#session = undefined;
    this.#verbs = undefined;
    if (op.lkey_table_bits === 0) return refuse('EINVAL');
    if ('limits' in op) {
      if (!areAllowed(op.limits)) return refuse('EINVAL');
      this.#verbs = new VerbsSession(op);
      this.#session = this.#verbs.regions;
    } else {
      this.#session = new Session(op);
    }
    return { ret: 0, bits: this.#session.table.bits };
  }

  #exit(session: Session): Answer {
    this.#session = undefined;
    this.#verbs = undefined;
    return { ret: 0, dma_mr_leaked: session.published !== undefined };
  }
}

type OperationInSession = Exclude<Operation, InitOp | ExitOp>;

function playIn(session: Session, op: OperationInSession): Answer {
  switch (op.op) {
    case 'alloc_pd':
      session.pds.set(op.id, { id: op.id, user: op.user });
      return { ret: 0 };
    case 'create_qp':
      session.qps.set(op.id, { id: op.id, pd: session.pd(op.pd) });
      return { ret: 0 };
    case 'reg_user_mr':
      return regUserMr(session, op);
    case 'get_dma_mr':
      return getDmaMr(session, op);
    case 'alloc_mr':
      return allocMr(session, op);
    case 'map_mr_sg':
      return mapMrSg(session, op);
    case 'fast_reg_mr':
      return fastRegMr(session, op);
    case 'invalidate_rkey':
      return invalidateRkey(session, op);
    case 'alloc_fmr':
      return allocFmr(session, op);
    case 'map_phys_fmr':
      return mapPhysFmr(session, op);
    case 'unmap_fmr':
      return unmapFmr(session, op);
    case 'dealloc_fmr':
      return release(session, session.regionOf(op.fmr, ['fmr']));
    case 'dereg_mr':
      return release(session, session.regionOf(op.mr, ['user', 'dma', 'mem_reg']));
    case 'lkey_ok':
      return lkeyOk(session, op);
    case 'rkey_ok':
      return rkeyOk(session, op);
    case 'put_sge':
      session.putSge(session.sge(op.sge));
      return { ret: 0 };
    case 'walk':
      return walk(session, op);
    case 'refs':
      return { refs: session.region(op.mr).references };
    case 'table':
      return describeTable(session);
  }
}

function describeTable({ table }: Session): Answer {
  const used = [...table.slots]
    .sort(([a], [b]) => a - b)
    .map(([index, region]) => ({ index, lkey: hex(region.key), mr: region.id }));
  return { max: table.max, next: table.next, gen: table.gen, used };
}
