import * as fc from 'fast-check';

import { TracePlayer } from '../../lib/replay/player';
import { type Operation as PlayedOperation, parseOperation } from '../../lib/replay/trace-format';
import { Model } from './model';
import { programArb } from './programs';
import { matches } from './trace-files';
import type { Answer, Operation } from './trace-types';

/** So many random programs; RDMAVT_RUNS asks for another number. */
const RUNS = Number(process.env.RDMAVT_RUNS ?? 3000);

interface Disagreement {
  line: number;
  op: Operation;
  model: Answer;
  player: Answer;
}

/** Plays a program on both, line by line, to the first line where they do not answer the same. */
function firstDisagreement(operations: readonly Operation[]): Disagreement | undefined {
  const model = new Model();
  const player = new TracePlayer();
  try {
    for (const [i, op] of operations.entries()) {
      const expected = model.play(op);
      const got: Answer = player.play(throughText(op));
      if (!matches(expected, got)) return { line: i + 1, op, model: expected, player: got };
    }
    return undefined;
  } finally {
    player.close();
  }
}

/** As the command line would read it: whatever the generator makes is of the format. */
function throughText(op: Operation): PlayedOperation {
  return parseOperation(JSON.stringify(op));
}

it(
  'the player answers random programs as the model does',
  () => {
    fc.assert(
      fc.property(programArb, (operations) => {
        expect(firstDisagreement(operations)).toBeUndefined();
      }),
      { numRuns: RUNS },
    );
  },
  // A run takes some milliseconds; shrinking what failed takes many runs.
  120_000 + RUNS * 200,
);
