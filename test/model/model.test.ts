import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { Model } from './model';
import { firstDifference, readExpected, readOperations } from './trace-files';

const conformance = join(__dirname, '..', 'conformance');

it('firstDifference reports a wrong answer', () => {
  const model = new Model();
  const op = { op: 'init', lkey_table_bits: 25, dma_pages: 1, dma_base: '0x1000' } as const;
  const expected = { ret: 0, bits: 25 } as const;
  const difference = firstDifference((line) => model.play(line), [op], [expected]);
  expect(difference).toEqual({ line: 1, op, expected, got: { ret: 0, bits: 23 } });
});

describe.each([
  { folder: 'traces', answers: 'expected', files: 26 },
  { folder: 'hazards', answers: 'safe', files: 49 },
])('the model plays $folder', ({ folder, answers, files }) => {
  const suffix = '.ops.ndjson.gz';
  const names = readdirSync(join(conformance, folder))
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length));

  it('has the expected number of traces', () => {
    expect(names).toHaveLength(files);
  });

  it.each(names)('%s', (name) => {
    const operations = readOperations(join(conformance, folder, name + suffix));
    const expected = readExpected(join(conformance, folder, `${name}.${answers}.ndjson.gz`));
    expect(expected).toHaveLength(operations.length);
    const model = new Model();
    expect(firstDifference((op) => model.play(op), operations, expected)).toBeUndefined();
  });
});
