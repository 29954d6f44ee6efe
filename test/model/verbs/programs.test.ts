import * as fc from 'fast-check';

import { Model } from '../model';
import { MAX_U32 } from '../numbers';
import type { VerbsAnswer, VerbsOperation } from './operations';
import { omittedInputs } from './omitted';
import { verbsProgramArb } from './programs';
import type { VerbsSession } from './session';
import { RnrCounter, situations, situationsAfter, situationsBefore } from './situations';

const programs = fc.sample(verbsProgramArb, { seed: 20, numRuns: 300 });

function classOf(answer: VerbsAnswer): string {
  if ('err' in answer) return answer.err;
  if ('skipped' in answer) return 'skipped';
  return 'ret' in answer ? `ret ${answer.ret > 1 ? 'n' : answer.ret}` : 'told';
}

/** What the programs contain, which one pass over them finds. */
interface Survey {
  classes: Map<string, Set<string>>;
  situations: Set<string>;
  omitted: Set<string>;
}

function survey(): Survey {
  const found: Survey = { classes: new Map(), situations: new Set(), omitted: new Set() };
  for (const program of programs) {
    replay(program, {
      before: (op, session) => omittedInputs(op, session).forEach((input) => found.omitted.add(input)),
      after: (op, answer, met) => {
        found.classes.set(op.op, (found.classes.get(op.op) ?? new Set()).add(classOf(answer)));
        met.forEach((situation) => found.situations.add(situation));
      },
    });
  }
  return found;
}

/** Plays a program and tells each operation with the state before it, and then with its answer and the situations that it met. */
function replay(
  program: VerbsOperation[],
  see: {
    before?: (op: VerbsOperation, session: VerbsSession) => void;
    after: (op: VerbsOperation, answer: VerbsAnswer, met: string[]) => void;
  },
): void {
  const model = new Model();
  let rnr = new RnrCounter();
  for (const op of program) {
    if (op.op === 'init') rnr = new RnrCounter();
    const met: string[] = [];
    if (model.verbs !== undefined) {
      see.before?.(op, model.verbs);
      met.push(...situationsBefore(op, model.verbs));
    }
    const answer = model.play(op);
    met.push(...situationsAfter(op, answer, model.verbs));
    if (model.verbs !== undefined) met.push(...rnr.see(answer, model.verbs));
    see.after(op, answer, met);
  }
}

describe('300 seeded verbs programs', () => {
  const found = survey();

  it('contain every kind of operation with every class of answer', () => {
    const classes = Object.fromEntries([...found.classes].map(([op, answers]) => [op, [...answers].sort()]));
    expect(classes).toEqual({
      init: ['ret 0'],
      alloc_pd: ['ENOMEM', 'ret 0'],
      dealloc_pd: ['EBUSY', 'ret 0', 'skipped'],
      reg_user_mr: ['EINVAL', 'ret 0', 'skipped'],
      get_dma_mr: ['EPERM', 'ret 0', 'skipped'],
      alloc_mr: ['EINVAL', 'ret 0', 'skipped'],
      map_mr_sg: ['ret 1', 'ret n', 'skipped'],
      dereg_mr: ['EBUSY', 'ret 0', 'skipped'],
      refs: ['skipped', 'told'],
      mr_state: ['skipped', 'told'],
      fill: ['ret 0'],
      mem: ['skipped', 'told'],
      create_ah: ['EINVAL', 'ENOMEM', 'ret 0', 'skipped'],
      destroy_ah: ['ret 0', 'skipped'],
      create_cq: ['EINVAL', 'ENOMEM', 'EOPNOTSUPP', 'ret 0'],
      resize_cq: ['EINVAL', 'ret 0', 'skipped'],
      destroy_cq: ['EBUSY', 'ret 0', 'skipped'],
      poll_cq: ['skipped', 'told'],
      req_notify_cq: ['ret 0', 'ret 1', 'skipped'],
      create_srq: ['EINVAL', 'ENOMEM', 'EOPNOTSUPP', 'ret 0', 'skipped'],
      modify_srq: ['EINVAL', 'ret 0', 'skipped'],
      query_srq: ['skipped', 'told'],
      destroy_srq: ['EBUSY', 'ret 0'],
      post_srq_recv: ['EINVAL', 'ENOMEM', 'ret 0', 'skipped'],
      create_qp: ['EINVAL', 'ENOMEM', 'EOPNOTSUPP', 'ret 0', 'skipped'],
      modify_qp: ['EINVAL', 'ret 0', 'skipped'],
      query_qp: ['skipped', 'told'],
      destroy_qp: ['ret 0', 'skipped'],
      post_recv: ['EINVAL', 'ENOMEM', 'ret 0', 'skipped'],
      post_send: ['EACCES', 'EINVAL', 'ENOMEM', 'ret 0', 'skipped'],
      run: ['ret 0', 'skipped'],
      timers: ['told'],
      exit: ['ret 0'],
    });
  });

  it('reach every situation of docs/semantics.md, Verbs', () => {
    expect(situations.filter((situation) => !found.situations.has(situation))).toEqual([]);
  });

  it('leave out what the recorded traces leave out', () => {
    expect([...found.omitted]).toEqual([]);
  });

  it('are valid in the trace format', () => {
    for (const program of programs) {
      expect(program[0]?.op).toBe('init');
      expect(program.at(-1)?.op).toBe('exit');
      expect(program.filter((op) => !hasSoundNumbers(op))).toEqual([]);

      const ids = new Set<number>();
      const usedTwice = program.filter((op) => {
        if (op.op === 'init') ids.clear();
        if (!('id' in op)) return false;
        const known = ids.has(op.id);
        ids.add(op.id);
        return known;
      });
      expect(usedTwice).toEqual([]);
    }
  });
});

describe('shrinking', () => {
  it.each<[situation: string, operations: number]>([
    ['SEND completes with SUCCESS', 24],
    ['RNR_RETRY_EXC_ERR after 0 retries', 32],
    ['dereg_mr with queued sends', 20],
  ])('reduces "%s" to at most %i operations', (situation, operations) => {
    const property = fc.property(verbsProgramArb, (program) => !meets(program, situation));
    const { failed, counterexample } = fc.check(property, { seed: 5, numRuns: 300 });
    expect(failed).toBe(true);
    expect(counterexample?.[0].length).toBeLessThanOrEqual(operations);
  });
});

function meets(program: VerbsOperation[], situation: string): boolean {
  let met = false;
  replay(program, {
    after: (_op, _answer, situationsMet) => {
      met ||= situationsMet.includes(situation);
    },
  });
  return met;
}

/** Returns whether all numbers of an operation are written as the format wants them. */
function hasSoundNumbers(op: VerbsOperation): boolean {
  const text = JSON.stringify(op);
  const hexes = text.match(/(?<=")[-+]?0x[^"]*/g) ?? [];
  if (!hexes.every((one) => /^0x(0|[1-9a-f][0-9a-f]{0,15})$/.test(one))) return false;
  const numbers = text.match(/(?<=[:[,])-?[0-9][^,}\]]*/g) ?? [];
  return numbers.every((one) => /^[0-9]+$/.test(one) && Number(one) <= Number(MAX_U32));
}
