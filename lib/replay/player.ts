import { native } from '../internal/native';
import { failure, hex, memoryOf, SKIPPED } from './answers';
import { BatchedChecks } from './batched-checks';
import { lkeyOk, putSge, rkeyOk } from './checks';
import type { Answer, Operation, OperationMembers, OperationOf } from './operations';
import {
  allocFmr,
  allocMr,
  deallocFmr,
  deregMr,
  fastRegMr,
  getDmaMr,
  invalidateRkey,
  mapMrSg,
  mapPhysFmr,
  refs,
  regUserMr,
  unmapFmr,
} from './regions';
import { Session } from './session';
import { TraceError } from './trace-error';
import { walk } from './walk';

/** What needs a session that is open. */
type SessionOperation = Exclude<Operation, OperationOf<'init'> | OperationOf<'exit'>>;

/**
 * Plays operations of the trace format on real devices, below the verbs core's access rule and with remote use of key 0
 * allowed.
 *
 * An operation that names what is not there, or not of the kind it needs, is answered with `{"skipped":true}`; so is any
 * operation while no session is open.
 */
export class TracePlayer {
  readonly #inBatches: boolean;
  #session: Session | undefined = undefined;
  #checks: BatchedChecks | undefined = undefined;

  /** `inBatches`: checks can be kept back and played together. */
  constructor(inBatches = false) {
    this.#inBatches = inBatches;
  }

  /**
   * Keeps the operation back, if it is a check that can be played with those already kept. If not, they must be played first;
   * then it can be kept if it is a check of an open session, unless its id is used twice.
   */
  keep(op: Operation): boolean {
    return this.#checks?.keep(op) === true;
  }

  /**
   * The answers to what was kept, in order. They must be taken to the end before anything else is played.
   *
   * @throws TraceError if memory for one cannot be had.
   */
  *playKept(): Generator<Answer, void> {
    if (this.#checks !== undefined) yield* this.#checks.play();
  }

  /**
   * The answer to the next operation; nothing is kept back then.
   *
   * @throws TraceError if it uses an id for the second time in its session, or if memory for it cannot be had.
   */
  play(op: Operation): Answer {
    if (op.op === 'init') return this.#init(op);
    const session = this.#session;
    if (session === undefined) return SKIPPED;
    if (op.op === 'exit') return { ret: 0, dma_mr_leaked: this.#end(session) };
    if ('id' in op) session.expectFresh(op.id);
    return playIn(session, op);
  }

  /** Abandons the session that is open, if one is. */
  close(): void {
    if (this.#session !== undefined) this.#end(this.#session);
  }

  #init(op: OperationMembers['init']): Answer {
    // A session that was not ended is abandoned, as one that is.
    this.close();
    const device = native.openDevice(op.lkey_table_bits, false, true);
    if (typeof device === 'number') return failure(device);
    const session = new Session(device);
    this.#session = session;
    if (this.#inBatches) this.#checks = new BatchedChecks(session);
    if (op.dma_pages > 0) {
      const memory = memoryOf(4096n * BigInt(op.dma_pages), 'init');
      const mapping = device.mapDma(memory, BigInt(op.dma_base));
      if (typeof mapping === 'number') throw new TraceError(`init: DMA memory cannot be had (${mapping})`);
      session.dma = mapping;
    }
    return { ret: 0, bits: device.bits() };
  }

  /** Everything of the session goes, whatever is held; tells whether a DMA region was still published. */
  #end(session: Session): boolean {
    this.#session = undefined;
    this.#checks = undefined;
    const status = session.device.close(true);
    if (status < 0) throw new Error(`the native module answered ${status} to a close`);
    return status === 1;
  }
}

function playIn(session: Session, op: SessionOperation): Answer {
  switch (op.op) {
    case 'alloc_pd':
      return allocPd(session, op);
    case 'create_qp':
      return createQp(session, op);
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
      return deallocFmr(session, op);
    case 'dereg_mr':
      return deregMr(session, op);
    case 'lkey_ok':
      return lkeyOk(session, op);
    case 'rkey_ok':
      return rkeyOk(session, op);
    case 'put_sge':
      return putSge(session, op);
    case 'walk':
      return walk(session, op);
    case 'refs':
      return refs(session, op);
    case 'table':
      return table(session);
  }
}

function allocPd(session: Session, op: OperationMembers['alloc_pd']): Answer {
  const pd = session.device.allocPd(op.user);
  if (typeof pd === 'number') throw new TraceError(`alloc_pd: memory cannot be had (${pd})`);
  session.bindPd(op.id, pd);
  return { ret: 0 };
}

function createQp(session: Session, op: OperationMembers['create_qp']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  const qp = pd.createQp();
  if (typeof qp === 'number') throw new TraceError(`create_qp: memory cannot be had (${qp})`);
  session.bindQp(op.id, qp);
  return { ret: 0 };
}

/** The key table; `used` of the native module is flat: index, key and region of each slot. */
function table(session: Session): Answer {
  const { max, next, generation, used: flat } = session.device.keyTable();
  const used = Array.from({ length: flat.length / 3 }, (_, i) => {
    const [index = 0, lkey = 0, region = 0] = flat.subarray(3 * i, 3 * i + 3);
    return { index, lkey: hex(lkey), mr: session.regionOf(region).name };
  });
  return { max, next, gen: generation, used };
}
