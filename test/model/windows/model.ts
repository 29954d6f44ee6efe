import { allocMw, bind, invalidate, lease } from './binding';
import { check, refusalOfUse } from './checks';
import { CLOSED_DOMAIN, done, fail, QueuePair, skipped, WindowsSession } from './objects';
import type { State, WindowsAnswer, WindowsOperation } from './operations';
import { allocMr, dereg, reg, rereg } from './regions';

/** Answers operations on windows, leases and re-registered regions as docs/guide/windows.md says the package does. */
export class WindowsModel {
  /** The state, from which the generator derives the next operation. Callers must not change it. */
  readonly session: WindowsSession;

  constructor(bits: number) {
    this.session = new WindowsSession(bits);
  }

  state(): State {
    return this.session.describe();
  }

  play(op: WindowsOperation): WindowsAnswer {
    const { session } = this;
    switch (op.op) {
      case 'reg':
        return reg(session, op);
      case 'allocMr':
        return allocMr(session, op);
      case 'allocMw':
        return allocMw(session, op);
      case 'createQp':
        if (op.pd === CLOSED_DOMAIN) return fail('EBADF', 'PdGone');
        session.qps.set(op.id, new QueuePair(op.id, op.pd));
        return done;
      case 'destroyQp': {
        const qp = session.qps.get(op.qp);
        if (!qp) return skipped;
        qp.alive = false;
        return done;
      }
      case 'dereg': {
        const region = session.regions.get(op.mr);
        return region ? dereg(session, region, op) : skipped;
      }
      case 'rereg': {
        const region = session.regions.get(op.mr);
        return region ? rereg(session, region, op) : skipped;
      }
      case 'bind': {
        const [qp, window, region] = [
          session.qps.get(op.qp),
          session.windows.get(op.mw),
          session.regions.get(op.mr),
        ];
        return qp && window && region && !window.terms ? bind(qp, window, region, op) : skipped;
      }
      case 'lease': {
        const region = session.regions.get(op.mr);
        const qp = op.qp === undefined ? undefined : session.qps.get(op.qp);
        if (!region || (op.qp !== undefined && !qp)) return skipped;
        return lease(session, region, qp, op);
      }
      case 'end': {
        const window = session.windows.get(op.mw);
        if (!window) return skipped;
        if (window.alive) session.end(window);
        return done;
      }
      case 'invalidate': {
        const qp = session.qps.get(op.qp);
        return qp ? invalidate(session, qp, op) : skipped;
      }
      case 'check':
      case 'acquire': {
        if ('qp' in op.by && !session.qps.has(op.by.qp)) return skipped;
        const element = check(session, op);
        if (typeof element === 'string') {
          session.countRefusal(element);
          return { reason: element };
        }
        session.checks.accepted += 1;
        if (op.op === 'acquire') {
          session.elements.set(op.id, element);
          element.region.held += 1;
        }
        return done;
      }
      case 'copy': {
        const element = session.elements.get(op.sge);
        if (!element) return skipped;
        const reason = element.length === 0 ? undefined : refusalOfUse(element);
        if (reason === undefined) return { copied: element.length };
        session.countRefusal(reason);
        return { reason };
      }
      case 'put': {
        const element = session.elements.get(op.sge);
        if (!element) return skipped;
        session.elements.delete(op.sge);
        element.region.held -= 1;
        return done;
      }
    }
  }
}
