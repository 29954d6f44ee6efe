import * as fc from 'fast-check';

import { TracePlayer } from '../../../lib/replay/player';
import { type Operation as PlayedOperation, parseOperation } from '../../../lib/replay/trace-format';
import { Model } from '../model';
import { matches } from '../trace-files';
import type { VerbsAnswer, VerbsOperation } from './operations';
import { verbsProgramArb } from './programs';

/** The number of random programs, which RDMAVT_RUNS overrides. */
const RUNS = Number(process.env.RDMAVT_RUNS ?? 200);

interface Disagreement {
  line: number;
  op: VerbsOperation;
  model: VerbsAnswer;
  player: object;
}

/** Plays a program on model and player, up to the first line on which their answers differ. */
function firstDisagreement(operations: readonly VerbsOperation[]): Disagreement | undefined {
  const model = new Model();
  const player = new TracePlayer();
  try {
    for (const [i, op] of operations.entries()) {
      const expected = model.play(op);
      const got = player.play(throughText(op));
      if (!matches(expected, got)) return { line: i + 1, op, model: expected, player: got };
    }
    return undefined;
  } finally {
    player.close();
  }
}

/**
 * Converts the operation to text and back, as the command line reads it. This also proves that the generator follows the format.
 */
function throughText(op: VerbsOperation): PlayedOperation {
  return parseOperation(JSON.stringify(op));
}

it(
  'the player answers random verbs programs like the model',
  () => {
    let operations = 0;
    fc.assert(
      fc.property(verbsProgramArb, (program) => {
        operations += program.length;
        expect(firstDisagreement(program)).toBeUndefined();
      }),
      { numRuns: RUNS },
    );
    expect(operations).toBeGreaterThan(20 * RUNS);
  },
  // A run takes a few milliseconds, but shrinking a failure takes many runs.
  120_000 + RUNS * 200,
);
