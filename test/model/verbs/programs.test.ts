import * as fc from 'fast-check';

import { Model } from '../model';
import type { VerbsAnswer, VerbsOperation } from './operations';
import { verbsProgramArb } from './programs';
import { RnrCounter, situations, situationsAfter, situationsBefore } from './situations';

const programs = fc.sample(verbsProgramArb, { seed: 20, numRuns: 300 });

function replay(program: VerbsOperation[], see: (op: VerbsOperation, answer: VerbsAnswer) => void) {
  const model = new Model();
  for (const op of program) see(op, model.play(op));
}

function classOf(answer: VerbsAnswer): string {
  if ('err' in answer) return answer.err;
  if ('skipped' in answer) return 'skipped';
  return 'ret' in answer ? 'ret' : 'told';
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
      init: ['ret'],
    });
  });

  it('reach every situation of docs/semantics.md, Verbs', () => {
    const count = new Map<string, number>();
    for (const program of programs) {
      const model = new Model();
      let rnr = new RnrCounter();
      for (const op of program) {
        if (op.op === 'init') rnr = new RnrCounter();
        const before = model.verbs === undefined ? [] : situationsBefore(op, model.verbs);
        const answer = model.play(op);
        const { verbs } = model;
        const after = situationsAfter(op, answer, verbs);
        const retries = verbs === undefined ? [] : rnr.see(answer, verbs);
        for (const name of [...before, ...after, ...retries]) count.set(name, (count.get(name) ?? 0) + 1);
      }
    }
    console.log(JSON.stringify([...count].sort((a, b) => a[1] - b[1])));
    expect(situations.filter((situation) => !count.has(situation))).toEqual([]);
  });
});
