import * as fc from 'fast-check';

import { hazards, hazardsOf } from './hazards';
import { Model } from './model';
import { MAX_U32 } from './numbers';
import { programArb } from './programs';
import type { Answer, Operation } from './trace-types';

const programs = fc.sample(programArb, { seed: 20, numRuns: 300 });

function replay(program: Operation[], see: (op: Operation, answer: Answer) => void) {
  const model = new Model();
  for (const op of program) see(op, model.play(op));
}

function classOf(op: Operation, answer: Answer): string {
  if ('err' in answer) return answer.err;
  if ('skipped' in answer) return 'skipped';
  if (op.op === 'map_mr_sg' && 'ret' in answer) return answer.ret === op.sg.length ? 'all' : 'short';
  if ('sge' in answer) return answer.ret === 1 ? 'ret 1' : 'coalesced';
  return 'ret' in answer ? 'ret 0' : 'told';
}

describe('300 seeded programs', () => {
  it('contain every kind of operation with every class of answer', () => {
    const seen = new Map<string, Set<string>>();
    for (const program of programs) {
      replay(program, (op, answer) => {
        seen.set(op.op, (seen.get(op.op) ?? new Set()).add(classOf(op, answer)));
      });
    }
    const classes = Object.fromEntries([...seen].map(([op, answers]) => [op, [...answers].sort()]));
    expect(classes).toEqual({
      init: ['EINVAL', 'ret 0'],
      alloc_pd: ['ret 0'],
      create_qp: ['ret 0', 'skipped'],
      reg_user_mr: ['EINVAL', 'ENOMEM', 'ret 0', 'skipped'],
      get_dma_mr: ['EPERM', 'ret 0', 'skipped'],
      alloc_mr: ['EINVAL', 'ENOMEM', 'ret 0', 'skipped'],
      map_mr_sg: ['EINVAL', 'ENOMEM', 'all', 'short', 'skipped'],
      fast_reg_mr: ['EACCES', 'EINVAL', 'ret 0', 'skipped'],
      invalidate_rkey: ['EINVAL', 'ret 0', 'skipped'],
      alloc_fmr: ['EINVAL', 'ENOMEM', 'ret 0', 'skipped'],
      map_phys_fmr: ['EBUSY', 'EINVAL', 'ret 0', 'skipped'],
      unmap_fmr: ['EBUSY', 'ret 0', 'skipped'],
      dealloc_fmr: ['EBUSY', 'ret 0', 'skipped'],
      dereg_mr: ['EBUSY', 'ret 0', 'skipped'],
      lkey_ok: ['EINVAL', 'coalesced', 'ret 1', 'skipped'],
      rkey_ok: ['ret 0', 'ret 1', 'skipped'],
      put_sge: ['ret 0', 'skipped'],
      walk: ['EINVAL', 'ret 0', 'skipped'],
      refs: ['skipped', 'told'],
      table: ['told'],
      exit: ['ret 0'],
    });
  });

  it('contain the hazards of docs/deviations.md', () => {
    const met = new Set<string>();
    for (const program of programs) {
      const model = new Model();
      for (const op of program) {
        if (model.session !== undefined) hazardsOf(op, model.session).forEach((hazard) => met.add(hazard));
        model.play(op);
      }
    }
    expect(hazards.filter((hazard) => !met.has(hazard))).toEqual([]);
  });

  it('are valid in the trace format', () => {
    for (const program of programs) {
      expect(program[0]?.op).toBe('init');
      expect(program.at(-1)?.op).toBe('exit');
      expect(program.filter((op) => !hasSoundNumbers(op))).toEqual([]);

      const ids = new Set<string>();
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

  it('need little memory', () => {
    const large: Operation[] = [];
    for (const program of programs) {
      replay(program, (op, answer) => {
        if ('ret' in answer && needsMuchMemory(op)) large.push(op);
      });
    }
    expect(large).toEqual([]);
  });
});

describe('shrinking', () => {
  const unless = (found: (op: Operation, answer: Answer) => boolean) =>
    fc.property(programArb, (program) => {
      let ok = true;
      replay(program, (op, answer) => {
        if (found(op, answer)) ok = false;
      });
      return ok;
    });

  it.each<[name: string, operations: number, found: (op: Operation, answer: Answer) => boolean]>([
    ['a coalesced answer', 12, (op, answer) => op.op === 'lkey_ok' && classOf(op, answer) === 'coalesced'],
    ['a short map', 9, (op, answer) => op.op === 'map_mr_sg' && classOf(op, answer) === 'short'],
    [
      'a walk over two segments',
      10,
      (_op, answer) => 'fragments' in answer && (answer.fragments[0]?.length ?? 0) > 1,
    ],
    ['a busy dereg', 9, (op, answer) => op.op === 'dereg_mr' && classOf(op, answer) === 'EBUSY'],
  ])('reduces %s to at most %i operations', (_name, operations, found) => {
    const { failed, counterexample } = fc.check(unless(found), { seed: 5, numRuns: 300 });
    expect(failed).toBe(true);
    expect(counterexample?.[0].length).toBeLessThanOrEqual(operations);
  });
});

function hasSoundNumbers(op: Operation): boolean {
  const texts = JSON.stringify(op).match(/(?<=")[-+]?0x[^"]*/g) ?? [];
  if (!texts.every((text) => /^0x(0|[1-9a-f][0-9a-f]{0,15})$/.test(text))) return false;
  switch (op.op) {
    case 'lkey_ok':
      return isU32(op.sge.length) && isU32(op.acc);
    case 'rkey_ok':
      return isU32(op.len) && isU32(op.acc);
    case 'map_mr_sg':
      return op.sg.every(({ length }) => isU32(length)) && isU32(op.sg_offset ?? 0);
    case 'walk':
      return op.steps.every(isU32) && op.sges.length >= 1 && op.sges.length <= 255;
    default:
      return true;
  }
}

function isU32(n: number): boolean {
  return Number.isInteger(n) && n >= 0 && n <= Number(MAX_U32);
}

function needsMuchMemory(op: Operation): boolean {
  switch (op.op) {
    case 'init':
      return op.dma_pages > 512;
    case 'reg_user_mr':
      return BigInt(op.length) > 1n << 20n;
    case 'alloc_mr':
      return op.max_num_sg > 512;
    case 'alloc_fmr':
      return op.max_pages > 512;
    default:
      return false;
  }
}
