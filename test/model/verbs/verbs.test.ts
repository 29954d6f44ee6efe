import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { Model } from '../model';
import { firstDifference, readLines } from '../trace-files';
import type { VerbsAnswer, VerbsOperation } from './operations';

const conformance = join(__dirname, '..', '..', 'conformance', 'verbs');

describe.each([
  { folder: 'traces', answers: 'expected', files: 26, operations: 51_386 },
  { folder: 'hazards', answers: 'safe', files: 6, operations: 464 },
])('the model plays the verbs $folder', ({ folder, answers, files, operations }) => {
  const suffix = '.ops.ndjson.gz';
  const names = readdirSync(join(conformance, folder))
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length));
  let played = 0;

  it.each(names)('%s', (name) => {
    const trace = readLines(join(conformance, folder, name + suffix)) as VerbsOperation[];
    const expected = readLines(join(conformance, folder, `${name}.${answers}.ndjson.gz`)) as VerbsAnswer[];
    expect(expected).toHaveLength(trace.length);
    const model = new Model();
    expect(firstDifference((op: VerbsOperation) => model.play(op), trace, expected)).toBeUndefined();
    played += trace.length;
  });

  it('plays all files and operations', () => {
    expect({ files: names.length, operations: played }).toEqual({ files, operations });
  });
});
