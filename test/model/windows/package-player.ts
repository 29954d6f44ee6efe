import {
  type Completion,
  type CompletionQueue,
  Device,
  Lease,
  type LeaseOptions,
  type Lkey,
  type LocalCheck,
  type MemoryRegion,
  type MemoryWindow,
  type ProtectionDomain,
  type QueuePair,
  RdmaError,
  type RemoteCheck,
  type Rkey,
  type Sge,
} from '../../../lib';
import { CLOSED_DOMAIN, done, DOMAINS, skipped } from './objects';
import type {
  BindOp,
  CheckOp,
  InvalidateOp,
  LeaseOp,
  RegOp,
  RegionState,
  ReregOp,
  State,
  WindowsAnswer,
  WindowsOperation,
  WindowState,
} from './operations';

/** Long enough that no program lives to see the end of the time. */
const LONG_MS = 1e9;
/** Every remote right, for the peers of the queue pairs. */
const ANY_REMOTE = 14;

/** Carries out the operations of a program with the objects of the package. */
export class PackagePlayer {
  readonly #device: Device;
  readonly #pds: ProtectionDomain[];
  readonly #cq: CompletionQueue;
  readonly #regions = new Map<number, MemoryRegion>();
  readonly #windows = new Map<number, MemoryWindow | Lease>();
  readonly #qps = new Map<number, QueuePair<'RC'>>();
  readonly #sges = new Map<number, Sge>();

  constructor(bits: number) {
    // Sequential keys are those that the model can foresee, and with the manual engine `run` has done everything.
    this.#device = new Device({ lkeyTableBits: bits, keyPolicy: 'sequential', engine: 'manual' });
    this.#pds = Array.from({ length: DOMAINS }, () => this.#device.allocPd());
    this.#pds[CLOSED_DOMAIN]?.dealloc();
    this.#cq = this.#device.createCq(16);
  }

  close(): void {
    this.#device.close({ cascade: true });
  }

  play(op: WindowsOperation): WindowsAnswer {
    try {
      return this.#carryOut(op);
    } catch (error) {
      if (error instanceof RdmaError) {
        if (error.reason !== undefined) return { reason: error.reason };
        const { cause = 'none', counts } = error.detail ?? {};
        return counts ? { code: error.code, cause, counts } : { code: error.code, cause };
      }
      const range = error instanceof RangeError ? /options\.\w+/.exec(error.message)?.[0] : undefined;
      if (range === undefined) throw error;
      return { range };
    }
  }

  #carryOut(op: WindowsOperation): WindowsAnswer {
    switch (op.op) {
      case 'reg':
        return this.#reg(op);
      case 'allocMr':
        this.#regions.set(op.id, this.#pd(op.pd).allocMr({ maxNumSg: 1 }));
        return done;
      case 'allocMw':
        this.#windows.set(op.id, this.#pd(op.pd).allocMw());
        return done;
      case 'createQp': {
        const qp = this.#pd(op.pd).createQp({ type: 'RC', sendCq: this.#cq });
        qp.connect(qp, { access: ANY_REMOTE }); // its own peer, so that it receives what it sends
        this.#qps.set(op.id, qp);
        return done;
      }
      case 'destroyQp':
        return withObject(this.#qps.get(op.qp), (qp) => {
          qp.destroy();
        });
      case 'dereg':
        return withObject(this.#regions.get(op.mr), (mr) => {
          mr.dereg({ force: op.force });
        });
      case 'rereg':
        return withObject(this.#regions.get(op.mr), (mr) => {
          this.#rereg(mr, op);
        });
      case 'bind':
        return this.#bind(op);
      case 'lease':
        return this.#lease(op);
      case 'end':
        return withObject(this.#windows.get(op.mw), (window) => {
          if (window instanceof Lease) window.revoke();
          else window.dealloc();
        });
      case 'invalidate': {
        const qp = this.#qps.get(op.qp);
        return qp ? this.#invalidate(qp, op) : skipped;
      }
      case 'check':
        return this.#ask(op, (answer) => {
          if (answer.ok && 'sge' in answer) throw new Error('a check without an element');
        });
      case 'acquire':
        return this.#ask(op, (answer) => {
          if (answer.ok && 'sge' in answer) this.#sges.set(op.id, answer.sge);
        });
      case 'copy': {
        const sge = this.#sges.get(op.sge);
        return sge ? { copied: sge.copyTo(Buffer.alloc(sge.length)) } : skipped;
      }
      case 'put': {
        const sge = this.#sges.get(op.sge);
        this.#sges.delete(op.sge);
        return withObject(sge, (held) => {
          held.put();
        });
      }
    }
  }

  #reg({ id, pd, size, start, iova, access }: RegOp): WindowsAnswer {
    const options = { start, access, ...(iova === undefined ? {} : { iova }) };
    this.#regions.set(id, this.#pd(pd).regUserMr(Buffer.alloc(size), options));
    return done;
  }

  #rereg(mr: MemoryRegion, { translation, access, pd }: ReregOp): void {
    mr.rereg({
      ...(translation && {
        translation: {
          memory: Buffer.alloc(translation.size),
          start: translation.start,
          ...(translation.iova === undefined ? {} : { iova: translation.iova }),
        },
      }),
      ...(access === undefined ? {} : { access }),
      ...(pd === undefined ? {} : { pd: this.#pd(pd) }),
    });
  }

  #bind({ qp: qpId, mw: mwId, mr: mrId, addr, length, access, key }: BindOp): WindowsAnswer {
    const [qp, mw, mr] = [this.#qps.get(qpId), this.#windows.get(mwId), this.#regions.get(mrId)];
    if (!qp || !mr || !mw || mw instanceof Lease) return skipped;
    qp.postSend({ opcode: 'BIND_MW', mw, mr, addr, length, access, key: key as Rkey });
    return done;
  }

  #lease({ id, mr: mrId, offset, length, access, qp: qpId, expired }: LeaseOp): WindowsAnswer {
    const mr = this.#regions.get(mrId);
    const qp = qpId === undefined ? undefined : this.#qps.get(qpId);
    if (!mr || (qpId !== undefined && !qp)) return skipped;
    const options: LeaseOptions = { offset, expiresInMs: expired ? 0 : LONG_MS };
    if (length !== undefined) options.length = length;
    if (access !== undefined) options.access = access;
    if (qp !== undefined) options.qp = qp;
    this.#windows.set(id, mr.advertise(options));
    return done;
  }

  #invalidate(qp: QueuePair<'RC'>, { key, how }: InvalidateOp): WindowsAnswer {
    const rkey = key as Rkey;
    if (how === 'call') {
      qp.invalidateRkey(rkey);
      return done;
    }
    if (how === 'post') {
      qp.postSend({ opcode: 'LOCAL_INV', invalidateRkey: rkey });
      return done;
    }
    qp.postRecv({ sges: [] });
    qp.postSend({ opcode: 'SEND_WITH_INV', invalidateRkey: rkey });
    this.#device.run();
    const completions: Completion[] = this.#cq.poll();
    const received = completions.find(({ opcode }) => opcode === 'RECV');
    if (received?.status !== 'SUCCESS') throw new Error(`received: ${completions.map(String).join()}`);
    return { invalidated: received.invalidatedRkey };
  }

  #ask(
    op: CheckOp | (Omit<CheckOp, 'op'> & { op: 'acquire' }),
    take: (answer: LocalCheck | RemoteCheck | ReturnType<ProtectionDomain['check']>) => void,
  ): WindowsAnswer {
    const { by, addr, length, key, acc } = op;
    const [way] = [op.op];
    let answer: LocalCheck | RemoteCheck | ReturnType<ProtectionDomain['check']>;
    if ('pd' in by) answer = this.#pd(by.pd)[way]({ addr, length, lkey: key as Lkey }, acc);
    else {
      const qp = this.#qps.get(by.qp);
      if (!qp) return skipped;
      answer = qp[way]({ vaddr: addr, length, rkey: key as Rkey }, acc);
    }
    take(answer);
    return answer.ok ? done : { reason: answer.reason };
  }

  #pd(number: number): ProtectionDomain {
    const pd = this.#pds[number];
    if (!pd) throw new Error(`there is no domain ${number}`);
    return pd;
  }

  /** Asks every object for its state. */
  state(): State {
    const { regions, windows } = this.#device.resources();
    const { accepted, refused, reasons } = this.#device.counters();
    return {
      checks: { accepted, refused, reasons: { ...reasons } },
      regions: Object.fromEntries([...this.#regions].map(([id, mr]) => [id, regionState(mr)])),
      windows: Object.fromEntries([...this.#windows].map(([id, window]) => [id, this.#windowState(window)])),
      counts: {
        regions: regions.length,
        windows: windows.filter(({ kind }) => kind === 'WINDOW').length,
        leases: windows.filter(({ kind }) => kind === 'LEASE').length,
      },
    };
  }

  #windowState(window: MemoryWindow | Lease): WindowState {
    if (window instanceof Lease) {
      const { state, rkey, vaddr, length, access } = window;
      return { state, rkey, vaddr, length, access };
    }
    const { state } = window;
    if (state === 'Closed') return { state };
    const { rkey, vaddr, length, access, regionId, qpId } = window;
    return {
      state,
      rkey,
      region: idOf(this.#regions, regionId),
      qp: idOf(this.#qps, qpId),
      vaddr,
      length,
      access,
    };
  }
}

function withObject<T>(object: T | undefined, use: (object: T) => void): WindowsAnswer {
  if (object === undefined) return skipped;
  use(object);
  return done;
}

/** Returns the program's number of the object with this id of the device. */
function idOf(objects: ReadonlyMap<number, { id: number }>, id: number | undefined): number | undefined {
  if (id === undefined) return undefined;
  const found = [...objects].find(([, object]) => object.id === id);
  if (!found) throw new Error(`no object of the program has id ${id}`);
  return found[0];
}

function regionState(mr: MemoryRegion): RegionState {
  const { state } = mr;
  if (state === 'Closed') return { state };
  const { lkey, access, start, iova, length, refs } = mr;
  return { state, key: lkey, access, start, iova, length, refs };
}
