import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { findDifference } from '../../lib/replay/answer-sinks';
import { TracePlayer } from '../../lib/replay/player';
import { parseExpectation, parseOperation } from '../../lib/replay/trace-format';

const conformance = join(__dirname, '..', 'conformance');

function lines(file: string): string[] {
  const text = gunzipSync(readFileSync(join(conformance, file))).toString('utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text.slice(0, -1).split('\n');
}

describe.each([
  { folder: 'traces', answers: 'expected', files: 26, operations: 54_680 },
  { folder: 'hazards', answers: 'safe', files: 49, operations: 336 },
  { folder: 'verbs/traces', answers: 'expected', files: 26, operations: 51_386 },
  { folder: 'verbs/hazards', answers: 'safe', files: 6, operations: 464 },
])('the player plays $folder', ({ folder, answers, files, operations }) => {
  const suffix = '.ops.ndjson.gz';
  const names = readdirSync(join(conformance, folder))
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length));
  let played = 0;

  it.each(names)('%s', (name) => {
    const expected = lines(`${folder}/${name}.${answers}.ndjson.gz`);
    const player = new TracePlayer();
    try {
      const trace = lines(`${folder}/${name}${suffix}`);
      expect(expected).toHaveLength(trace.length);
      for (const [i, line] of trace.entries()) {
        const answer = player.play(parseOperation(line));
        const difference = findDifference(parseExpectation(expected[i]!), answer);
        if (difference !== undefined) {
          throw new Error(
            `line ${i + 1}: ${line}\nexpected ${expected[i]}\nanswered ${JSON.stringify(answer)}`,
          );
        }
        played++;
      }
    } finally {
      player.close();
    }
  });

  it('plays every trace to the last line', () => {
    expect(names).toHaveLength(files);
    expect(played).toBe(operations);
  });
});
