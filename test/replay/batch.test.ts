// Checks that are played together, many in one call.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { differenceFrom } from '../../lib/replay/compare';
import { TracePlayer } from '../../lib/replay/player';
import { parseExpectation, parseOperation } from '../../lib/replay/trace-format';
import { playBatched } from './batched';

const conformance = join(__dirname, '..', 'conformance');

function lines(file: string): string[] {
  const text = gunzipSync(readFileSync(join(conformance, file))).toString('utf8');
  return text.slice(0, -1).split('\n');
}

describe.each([
  { folder: 'traces', answers: 'expected', operations: 54_680 },
  { folder: 'hazards', answers: 'safe', operations: 336 },
])('the batched player plays $folder', ({ folder, answers, operations }) => {
  const suffix = '.ops.ndjson.gz';
  const names = readdirSync(join(conformance, folder))
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length));
  let played = 0;

  it.each(names)('%s', (name) => {
    const trace = lines(`${folder}/${name}${suffix}`);
    const expected = lines(`${folder}/${name}.${answers}.ndjson.gz`);
    const player = new TracePlayer(true);
    try {
      let i = 0;
      for (const answer of playBatched(player, trace.map(parseOperation))) {
        if (differenceFrom(parseExpectation(expected[i]!), answer) !== undefined) {
          const got = JSON.stringify(answer);
          throw new Error(`line ${i + 1}: ${trace[i]}\nexpected ${expected[i]}\nanswered ${got}`);
        }
        i++;
      }
      expect(i).toBe(expected.length);
      played += i;
    } finally {
      player.close();
    }
  });

  it('all of them, to the last line', () => {
    expect(played).toBe(operations);
  });
});

const text = (list: readonly string[]) => list.map((line) => `${line}\n`).join('');

/** Four pages at 0x0, and key 0. */
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

/** The answers of a player that keeps checks back, or of one that does not. */
function told(operations: readonly string[], batched: boolean): unknown[] {
  const parsed = operations.map(parseOperation);
  const player = new TracePlayer(batched);
  try {
    return batched ? [...playBatched(player, parsed)] : parsed.map((op) => player.play(op));
  } finally {
    player.close();
  }
}

describe('a check that names', () => {
  const TOO_FAR = '0x4000';
  const put = (id: string) => JSON.stringify({ op: 'put_sge', sge: id });
  it.each<[what: string, checks: string[]]>([
    ['the element before it', [check('a', '0x0', 16, null), check('b', '0x10', 16, 'a')]],
    [
      'what was coalesced',
      [check('a', '0x0', 16, null), check('b', '0x10', 16, 'a'), check('c', '0x20', 16, 'b')],
    ],
    [
      'what was refused',
      [check('a', TOO_FAR, 16, null), check('b', '0x10', 16, 'a'), check('c', '0x20', 16, null)],
    ],
    [
      'what was refused beside a seed, and then the seed',
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
      'an element that is not the last one',
      [
        check('a', '0x0', 16, null),
        check('b', '0x1000', 16, 'a'),
        check('c', '0x10', 16, 'a'),
        check('d', '0x1010', 16, 'b'),
        check('e', '0x20', 16, 'a'),
      ],
    ],
    [
      'nothing, where it could continue',
      [
        check('a', '0x0', 16, null),
        check('b', '0x10', 16, 'a'),
        check('c', '0x20', 16, null),
        check('d', '0x30', 16, 'c'),
      ],
    ],
    [
      'what was there before and is put',
      [check('a', '0x0', 16, null), put('a'), check('b', '0x10', 16, 'a'), check('c', '0x10', 16, null)],
    ],
    [
      'nothing there',
      [check('a', '0x0', 16, null), check('b', '0x10', 16, 'x'), check('c', '0x10', 16, 'a')],
    ],
  ])('%s is answered as alone', (_, checks) => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    const program = [...scene, ...checks, ...ids.map(put), '{"op":"refs","mr":"dma"}'];
    expect(told(program, true)).toEqual(told(program, false));
  });

  it('an id for the second time ends the player at its line', () => {
    const player = new TracePlayer(true);
    const operations = [...scene, check('a', '0x0', 16, null), check('a', '0x10', 16, null)].map(
      parseOperation,
    );
    const answers = playBatched(player, operations);
    for (let i = 0; i < 4; i++) expect(answers.next().value).toMatchObject({ ret: expect.any(Number) });
    expect(() => answers.next()).toThrow(/id "a" is used twice/);
    player.close();
  });

  it('the id of a refused check may be used again', () => {
    const program = [...scene, check('a', TOO_FAR, 16, null), check('a', '0x10', 16, null), put('a')];
    expect(told(program, true)).toEqual(told(program, false));
  });
});

it('more checks in a row than a batch holds', () => {
  const checks = Array.from({ length: 1000 }, (_, i) =>
    check(`s${i}`, `0x${(i * 3).toString(16)}`, 3, i % 100 === 0 ? null : `s${i - (i % 100)}`),
  );
  const program = [...scene, ...checks, '{"op":"refs","mr":"dma"}'];
  const answers = told(program, true);
  expect(answers).toEqual(told(program, false));
  expect(answers.at(-1)).toEqual({ refs: 13 });
});

it('without a session, checks are skipped', () => {
  const program = [check('a', '0x0', 16, null), ...scene, '{"op":"exit"}', check('a', '0x0', 16, null)];
  expect(told(program, true)).toEqual(told(program, false));
});

it('a player that was not asked to keeps nothing back', () => {
  const player = new TracePlayer();
  for (const line of scene) player.play(parseOperation(line));
  expect(player.keep(parseOperation(check('a', '0x0', 16, null)))).toBe(false);
  expect([...player.playKept()]).toEqual([]);
  player.close();
});

describe('replay --batch', () => {
  const main = join(__dirname, '..', '..', 'dist', 'cli.js');
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rdmavt-batch-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function rdmavt(args: string[], input = '') {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'replay', ...args], {
      input,
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    return { status, stdout, stderr };
  }

  function file(name: string, content: string): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }

  const chain = [
    check('a', '0x0', 16, null),
    check('b', '0x10', 16, 'a'),
    check('c', '0x4000', 16, 'a'),
    check('d', '0x1000', 16, 'a'),
    check('e', '0x1010', 16, 'd'),
  ];

  it.each(['a-key-zero-1', 'i-mixed-1'])('plays %s to the letter, and compares it', (name) => {
    const trace = file('trace.ops.ndjson', text(lines(`traces/${name}.ops.ndjson.gz`)));
    const answers = text(lines(`traces/${name}.expected.ndjson.gz`));
    expect(rdmavt([trace, '--batch'])).toEqual({ status: 0, stdout: answers, stderr: '' });
    const { status, stderr } = rdmavt(['--batch', trace, '--expect', file('expected.ndjson', answers)]);
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringContaining(' operations matched '),
    });
  });

  it('shows the line that differs, in the middle of a run', () => {
    const trace = file('chain.ops.ndjson', text([...scene, ...chain]));
    const alone = rdmavt([trace]).stdout.trimEnd().split('\n');
    const wrong = alone.map((line, i) =>
      i === 6 ? line.replace('"sge_length":16', '"sge_length":17') : line,
    );
    expect(wrong).not.toEqual(alone);
    const expected = file('wrong.expected.ndjson', text(wrong));
    const differs = rdmavt([trace, '--batch', '--expect', expected]);
    expect(differs).toEqual(rdmavt([trace, '--expect', expected]));
    expect(differs).toMatchObject({ status: 1, stderr: expect.stringContaining('chain.ops.ndjson:7') });
  });

  it.each<[what: string, line: string]>([
    ['not of the format', '{"op":"nothing"}'],
    ['an id for the second time', check('b2', '0x0', 1, null).replace('"b2"', '"a"')],
  ])('answers what comes before a line that is %s', (_, line) => {
    const trace = file('broken.ops.ndjson', text([...scene, ...chain, line, ...chain]));
    const { status, stdout, stderr } = rdmavt([trace, '--batch']);
    expect({ status, stdout, stderr }).toEqual(rdmavt([trace]));
    expect(status).toBe(2);
    expect(stdout.trimEnd().split('\n')).toHaveLength(scene.length + chain.length);
    expect(stderr).toContain('broken.ops.ndjson:9: ');
  });

  it('tells a difference before the unreadable line after it', () => {
    const trace = file('broken.ops.ndjson', text([...scene, ...chain, 'x']));
    const expected = file('none.expected.ndjson', text(Array<string>(8).fill('{"ret":0}')));
    const { status, stderr } = rdmavt([trace, '--batch', '--expect', expected]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining('broken.ops.ndjson:1 '),
    });
  });

  it('answers as it is asked', async () => {
    const child = spawn(process.execPath, [main, 'replay', '--batch', '-']);
    for (const line of [...scene, ...chain]) {
      child.stdin.write(`${line}\n`);
      const [chunk] = await new Promise<Buffer[]>((resolve) =>
        child.stdout.once('data', (...all) => resolve(all)),
      );
      expect(chunk!.toString()).toMatch(/^\{.*\}\n$/);
    }
    child.stdin.end();
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  });

  it('is told of in the help', () => {
    expect(rdmavt(['--help']).stdout).toMatch(/^ {2}--batch /m);
  });
});
