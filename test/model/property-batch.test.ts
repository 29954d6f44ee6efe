// The property test of property.test.ts, with the checks of the programs played in batches.
import * as fc from 'fast-check';

import { parseOperation } from '../../lib/replay/trace-format';
import { BatchedPlayer } from '../replay/batched-player';
import { chainArb } from './chains';
import { Model } from './model';
import { programArb } from './programs';
import { matches } from './trace-files';
import type { Operation } from './trace-types';

/** The number of random programs, which RDMAVT_RUNS overrides. */
const RUNS = Number(process.env.RDMAVT_RUNS ?? 1000);

/** Returns the answers of model and player to the first operation on which they differ. */
function firstDisagreement(operations: readonly Operation[]): object | undefined {
  const model = new Model();
  const player = new BatchedPlayer();
  try {
    const lines = operations.map((op) => parseOperation(JSON.stringify(op)));
    const answers = Array.from(player.play(lines), ({ batched }) => batched);
    expect(answers).toHaveLength(lines.length);
    for (const [i, op] of operations.entries()) {
      const expected = model.play(op);
      const got = answers[i]!;
      if (!matches(expected, got)) return { line: i + 1, op, model: expected, player: got };
    }
    return undefined;
  } finally {
    player.close();
  }
}

const checksOnly = new Set(['lkey_ok', 'rkey_ok']);

/** Returns how many checks follow another check directly: only those share a batch. */
function checksInRow(operations: readonly Operation[]): number {
  return operations.filter((op, i) => checksOnly.has(op.op) && checksOnly.has(operations[i - 1]?.op ?? ''))
    .length;
}

it(
  'the batched player answers random programs like the model',
  () => {
    let inRow = 0;
    fc.assert(
      fc.property(programArb, (operations) => {
        inRow += checksInRow(operations);
        expect(firstDisagreement(operations)).toBeUndefined();
      }),
      { numRuns: RUNS },
    );
    expect(inRow).toBeGreaterThan(RUNS);
  },
  120_000 + RUNS * 200,
);

it(
  'the batched player answers chains of checks like the model',
  () => {
    let coalesced = 0;
    let inPageLists = 0;
    fc.assert(
      fc.property(chainArb, (operations) => {
        const model = new Model();
        for (const op of operations) {
          const answer = model.play(op);
          if (op.op !== 'lkey_ok' || !('ret' in answer) || answer.ret !== 0) continue;
          coalesced++;
          if (op.sge.lkey !== '0x0') inPageLists++; // Outside key 0, elements coalesce only at the edge of a segment.
        }
        expect(firstDisagreement(operations)).toBeUndefined();
      }),
      { numRuns: RUNS },
    );
    expect(coalesced).toBeGreaterThan(RUNS);
    expect(inPageLists).toBeGreaterThan(RUNS / 4);
  },
  120_000 + RUNS * 200,
);
