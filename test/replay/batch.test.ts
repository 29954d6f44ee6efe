// Playing the access checks of traces in batches must give the same answers as playing each check alone.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { findDifference } from '../../lib/replay/answer-sinks';
import { TracePlayer } from '../../lib/replay/player';
import { parseExpectation, parseOperation } from '../../lib/replay/trace-format';
import { BatchedPlayer, MOST_CHECKS } from './batched-player';

const conformance = join(__dirname, '..', 'conformance');

function lines(file: string): string[] {
  const text = gunzipSync(readFileSync(join(conformance, file))).toString('utf8');
  return text.slice(0, -1).split('\n');
}

describe.each([
  { folder: 'traces', answers: 'expected', files: 26, operations: 54_680 },
  { folder: 'hazards', answers: 'safe', files: 49, operations: 336 },
])('the batched player plays $folder', ({ folder, answers, files, operations }) => {
  const suffix = '.ops.ndjson.gz';
  const names = readdirSync(join(conformance, folder))
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length));
  let played = 0;
  let checks = 0;
  const runs: number[] = [];

  it.each(names)('%s', (name) => {
    const trace = lines(`${folder}/${name}${suffix}`);
    const expected = lines(`${folder}/${name}.${answers}.ndjson.gz`);
    const player = new BatchedPlayer();
    try {
      let i = 0;
      for (const { batched, alone } of player.play(trace.map(parseOperation))) {
        const wrong = [parseExpectation(expected[i]!), alone].find(
          (right) => findDifference(right, batched) !== undefined,
        );
        if (wrong !== undefined) {
          throw new Error(
            `line ${i + 1}: ${trace[i]}\nexpected ${JSON.stringify(wrong)}\nanswered ${JSON.stringify(batched)}`,
          );
        }
        if (/"op":"[lr]key_ok"/.test(trace[i]!) && !('skipped' in alone)) checks++;
        i++;
      }
      expect(i).toBe(expected.length);
      played += i;
      runs.push(...player.runs);
    } finally {
      player.close();
    }
  });

  it('plays every trace to the last line', () => {
    expect(names).toHaveLength(files);
    expect(played).toBe(operations);
    const batched = runs.reduce((sum, run) => sum + run, 0);
    expect(batched).toBe(checks);
    expect(runs.length).toBeLessThan(checks);
  });
});

/** A scene with four pages of DMA memory at 0x0, and key 0. */
const scene = [
  '{"op":"init","lkey_table_bits":4,"dma_pages":4,"dma_base":"0x0"}',
  '{"op":"alloc_pd","id":"pd","user":false}',
  '{"op":"get_dma_mr","id":"dma","pd":"pd","access":1}',
];

function check(id: string, addr: string, length: number, last: string | null): string {
  return JSON.stringify({
    op: 'lkey_ok',
    id,
    pd: 'pd',
    sge: { addr, length, lkey: '0x0' },
    acc: 1,
    last,
  });
}

/**
 * Returns the answers with checks in batches, the answers of a separate player without batches, and the number of checks in each
 * batch.
 */
function playBoth(operations: readonly string[]) {
  const parsed = operations.map(parseOperation);
  const [player, single] = [new BatchedPlayer(), new TracePlayer()];
  try {
    const batched = [...player.play(parsed)].map((answers) => answers.batched);
    return { batched, alone: parsed.map((op) => single.play(op)), runs: player.runs };
  } finally {
    player.close();
    single.close();
  }
}

describe('a check that names', () => {
  const TOO_FAR = '0x4000';
  const put = (id: string) => JSON.stringify({ op: 'put_sge', sge: id });
  it.each<[what: string, checks: string[]]>([
    ['the element before it', [check('a', '0x0', 16, null), check('b', '0x10', 16, 'a')]],
    [
      'a coalesced element',
      [check('a', '0x0', 16, null), check('b', '0x10', 16, 'a'), check('c', '0x20', 16, 'b')],
    ],
    [
      'a refused element',
      [check('a', TOO_FAR, 16, null), check('b', '0x10', 16, 'a'), check('c', '0x20', 16, null)],
    ],
    [
      'a refused element together with a seed, and then the seed',
      [
        check('a', '0x0', 16, null),
        put('none'),
        check('b', TOO_FAR, 16, 'a'),
        check('c', TOO_FAR, 16, 'b'),
        check('d', '0x10', 16, 'a'),
        check('e', '0x20', 16, 'a'),
      ],
    ],
    [
      'an element other than the last one',
      [
        check('a', '0x0', 16, null),
        check('b', '0x1000', 16, 'a'),
        check('c', '0x10', 16, 'a'),
        check('d', '0x1010', 16, 'b'),
        check('e', '0x20', 16, 'a'),
      ],
    ],
    [
      'nothing, although it could continue an element',
      [
        check('a', '0x0', 16, null),
        check('b', '0x10', 16, 'a'),
        check('c', '0x20', 16, null),
        check('d', '0x30', 16, 'c'),
      ],
    ],
    [
      'an earlier element that is then put',
      [check('a', '0x0', 16, null), put('a'), check('b', '0x10', 16, 'a'), check('c', '0x10', 16, null)],
    ],
    [
      'an unknown element',
      [check('a', '0x0', 16, null), check('b', '0x10', 16, 'x'), check('c', '0x10', 16, 'a')],
    ],
  ])('%s is answered like a single check', (_, checks) => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    const program = [...scene, ...checks, ...ids.map(put), '{"op":"refs","mr":"dma"}'];
    const { batched, alone } = playBoth(program);
    expect(batched).toEqual(alone);
  });

  it('a duplicate ID ends the player at its line', () => {
    const player = new BatchedPlayer();
    const operations = [...scene, check('a', '0x0', 16, null), check('a', '0x10', 16, null)].map(
      parseOperation,
    );
    const answers = player.play(operations);
    for (let i = 0; i < 4; i++)
      expect(answers.next().value).toMatchObject({ batched: { ret: expect.any(Number) } });
    expect(() => answers.next()).toThrow(/id "a" is used twice/);
    player.close();
  });

  it('the ID of a refused check may be reused', () => {
    const program = [...scene, check('a', TOO_FAR, 16, null), check('a', '0x10', 16, null), put('a')];
    const { batched, alone } = playBoth(program);
    expect(batched).toEqual(alone);
  });
});

it('more consecutive checks than a batch holds are split', () => {
  const checks = Array.from({ length: 1000 }, (_, i) =>
    check(`s${i}`, `0x${(i * 3).toString(16)}`, 3, i % 100 === 0 ? null : `s${i - (i % 100)}`),
  );
  const program = [...scene, ...checks, '{"op":"refs","mr":"dma"}'];
  const { batched, alone, runs } = playBoth(program);
  expect(batched).toEqual(alone);
  expect(runs.reduce((sum, run) => sum + run, 0)).toBe(1000);
  expect(Math.max(...runs)).toBeLessThanOrEqual(MOST_CHECKS);
  expect(batched.at(-1)).toEqual({ refs: 13 });
});

it('checks without a session are skipped', () => {
  const program = [check('a', '0x0', 16, null), ...scene, '{"op":"exit"}', check('a', '0x0', 16, null)];
  const { batched, alone, runs } = playBoth(program);
  expect(batched).toEqual(alone);
  expect(runs).toEqual([]);
});
