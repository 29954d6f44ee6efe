import * as fc from 'fast-check';
import { isDeepStrictEqual } from 'node:util';

import { WindowsModel } from './model';
import type { State, WindowsAnswer, WindowsOperation } from './operations';
import { PackagePlayer } from './package-player';
import { type WindowsProgram, windowsProgramArb } from './programs';

/** The number of random programs, which RDMAVT_RUNS overrides. */
const RUNS = Number(process.env.RDMAVT_RUNS ?? 2000);

interface Disagreement {
  line: number;
  op: WindowsOperation;
  model: WindowsAnswer | State;
  player: WindowsAnswer | State;
}

/** Plays a program on model and package, up to the first operation after which their answers or their states differ. */
function firstDisagreement({ bits, operations }: WindowsProgram): Disagreement | undefined {
  const model = new WindowsModel(bits);
  const player = new PackagePlayer(bits);
  try {
    for (const [i, op] of operations.entries()) {
      const expected = model.play(op);
      const got = player.play(op);
      if (!isDeepStrictEqual(expected, got)) return { line: i + 1, op, model: expected, player: got };
      const [should, is] = [model.state(), player.state()];
      if (!isDeepStrictEqual(should, is)) return { line: i + 1, op, model: should, player: is };
    }
    return undefined;
  } finally {
    player.close();
  }
}

it(
  'the package answers random programs with windows, leases and re-registrations like the model',
  () => {
    fc.assert(
      fc.property(windowsProgramArb, (program) => {
        expect(firstDisagreement(program)).toBeUndefined();
      }),
      { numRuns: RUNS },
    );
  },
  // A run takes a few milliseconds, but shrinking a failure takes many runs.
  120_000 + RUNS * 200,
);
