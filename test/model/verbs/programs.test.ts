import * as fc from 'fast-check';

import { Model } from '../model';
import { MAX_U32 } from '../numbers';
import type { VerbsAnswer, VerbsOperation } from './operations';
import { verbsProgramArb } from './programs';
import { omittedInputs } from './omitted';
import { RnrCounter, situations, situationsAfter, situationsBefore } from './situations';

const programs = fc.sample(verbsProgramArb, { seed: 20, numRuns: 300 });

function replay(program: VerbsOperation[], see: (op: VerbsOperation, answer: VerbsAnswer) => void) {
  const model = new Model();
  for (const op of program) see(op, model.play(op));
}

function classOf(answer: VerbsAnswer): string {
  if ('err' in answer) return answer.err;
  if ('skipped' in answer) return 'skipped';
  return 'ret' in answer ? `ret ${answer.ret > 1 ? 'n' : answer.ret}` : 'told';
}

describe('300 seeded verbs programs', () => {
  it('contain every kind of operation with every class of answer', () => {
    const seen = new Map<string, Set<string>>();
    for (const program of programs) {
      replay(program, (op, answer) => {
        seen.set(op.op, (seen.get(op.op) ?? new Set()).add(classOf(answer)));
      });
    }
    const classes = Object.fromEntries([...seen].map(([op, answers]) => [op, [...answers].sort()]));
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
      fill: ['ret 0', 'skipped'],
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
    const met = new Set<string>();
    for (const program of programs) situationsOf(program).forEach((situation) => met.add(situation));
    expect(situations.filter((situation) => !met.has(situation))).toEqual([]);
  });

  it('leave out what the recorded traces leave out', () => {
    const met = new Set<string>();
    for (const program of programs) {
      const model = new Model();
      for (const op of program) {
        if (model.verbs !== undefined) omittedInputs(op, model.verbs).forEach((input) => met.add(input));
        model.play(op);
      }
    }
    expect([...met]).toEqual([]);
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
    ['RNR_RETRY_EXC_ERR after 0 retries', 20],
    ['dereg_mr with queued sends', 20],
  ])('reduces "%s" to at most %i operations', (situation, operations) => {
    const property = fc.property(verbsProgramArb, (program) => !situationsOf(program).has(situation));
    const { failed, counterexample } = fc.check(property, { seed: 5, numRuns: 300 });
    expect(failed).toBe(true);
    expect(counterexample?.[0].length).toBeLessThanOrEqual(operations);
  });
});

function situationsOf(program: VerbsOperation[]): Set<string> {
  const met = new Set<string>();
  const model = new Model();
  let rnr = new RnrCounter();
  for (const op of program) {
    if (op.op === 'init') rnr = new RnrCounter();
    const before = model.verbs === undefined ? [] : situationsBefore(op, model.verbs);
    const answer = model.play(op);
    const { verbs } = model;
    const retries = verbs === undefined ? [] : rnr.see(answer, verbs);
    for (const situation of [...before, ...situationsAfter(op, answer, verbs), ...retries])
      met.add(situation);
  }
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
