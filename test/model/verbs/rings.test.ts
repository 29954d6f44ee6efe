// Queues with rings behave like other queues: the trace player answers the same when every completion queue has a ring and is
// polled from shared memory.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import * as fc from 'fast-check';

import { TracePlayer } from '../../../lib/replay/player';
import { parseOperation } from '../../../lib/replay/trace-format';
import { useRings } from '../../support/ring-queues';
import { Model } from '../model';
import { firstDifference, matches, readLines } from '../trace-files';
import type { VerbsAnswer, VerbsOperation } from './operations';
import { verbsProgramArb } from './programs';

/** The number of random programs, which RDMAVT_RUNS overrides. */
const RUNS = Number(process.env.RDMAVT_RUNS ?? 60);

/** A player whose completion queues have rings. */
class RingPlayer {
  readonly #player = new TracePlayer();
  #counts = (): { rings: number; read: number } => ({ rings: 0, read: 0 });
  readonly total = { rings: 0, read: 0 };

  play(op: VerbsOperation): VerbsAnswer {
    const answer = this.#player.play(parseOperation(JSON.stringify(op))) as VerbsAnswer;
    const { session } = this.#player;
    if (op.op === 'init') {
      this.#addCounts();
      if (session !== undefined) this.#counts = useRings(session.device);
    }
    return answer;
  }

  close(): void {
    this.#addCounts();
    this.#player.close();
  }

  #addCounts(): void {
    const { rings, read } = this.#counts();
    this.total.rings += rings;
    this.total.read += read;
    this.#counts = () => ({ rings: 0, read: 0 });
  }
}

const isResize = (op: VerbsOperation): boolean => op.op === 'resize_cq';

describe.each([
  { folder: 'traces', answers: 'expected' },
  { folder: 'hazards', answers: 'safe' },
])('with rings, the player plays the verbs $folder', ({ folder, answers }) => {
  const directory = join(__dirname, '..', '..', 'conformance', 'verbs', folder);
  const suffix = '.ops.ndjson.gz';
  const names = readdirSync(directory)
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    // A queue with a ring cannot be resized.
    .filter((name) => !(readLines(join(directory, name + suffix)) as VerbsOperation[]).some(isResize));
  const total = { rings: 0, read: 0 };

  it.each(names)('%s', (name) => {
    const trace = readLines(join(directory, name + suffix)) as VerbsOperation[];
    const expected = readLines(join(directory, `${name}.${answers}.ndjson.gz`)) as VerbsAnswer[];
    const player = new RingPlayer();
    try {
      expect(firstDifference((op: VerbsOperation) => player.play(op), trace, expected)).toBeUndefined();
    } finally {
      player.close();
    }
    total.rings += player.total.rings;
    total.read += player.total.read;
  });

  it('reads completions from rings', () => {
    expect(total.rings).toBeGreaterThan(0);
    expect(total.read).toBeGreaterThan(folder === 'traces' ? 1000 : 0);
  });
});

it(
  'with rings, the player answers random verbs programs like the model',
  () => {
    let read = 0;
    fc.assert(
      fc.property(verbsProgramArb, (program) => {
        const model = new Model();
        const player = new RingPlayer();
        try {
          for (const op of program) {
            if (isResize(op)) continue;
            const expected = model.play(op);
            const got = player.play(op);
            if (!matches(expected, got)) expect({ op, got }).toEqual({ op, got: expected });
          }
        } finally {
          player.close();
          read += player.total.read;
        }
      }),
      { numRuns: RUNS },
    );
    expect(read).toBeGreaterThan(RUNS);
  },
  120_000 + RUNS * 200,
);
