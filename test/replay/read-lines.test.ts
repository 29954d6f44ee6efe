import { Readable } from 'node:stream';

import { InputError, LineReader } from '../../lib/replay/read-lines';

async function readAll(chunks: (string | Buffer)[]): Promise<string[]> {
  const reader = new LineReader('file', Readable.from(chunks.map((chunk) => Buffer.from(chunk))));
  const lines: string[] = [];
  for (let line = await reader.next(); line !== undefined; line = await reader.next()) {
    lines.push(line);
    expect(reader.number).toBe(lines.length);
  }
  return lines;
}

it.each<[chunks: string[], lines: string[]]>([
  [[], []],
  [[''], []],
  [['\n'], ['']],
  [['a'], ['a']],
  [['a\n'], ['a']],
  [['a\nb'], ['a', 'b']],
  [['a\n\nb\n'], ['a', '', 'b']],
  [
    ['a', 'b', '\n', 'c\n', 'd'],
    ['ab', 'c', 'd'],
  ],
  [
    ['a\n', '', 'b\nc', '\n'],
    ['a', 'b', 'c'],
  ],
])('chunks %j contain the lines %j', async (chunks, lines) => {
  expect(await readAll(chunks)).toEqual(lines);
});

it('a character may be split between two chunks', async () => {
  const bytes = Buffer.from('é漢😀\n');
  const cuts = Array.from(bytes, (byte) => Buffer.from([byte]));
  expect(await readAll(cuts)).toEqual(['é漢😀']);
});

it('text that is not UTF-8 is rejected with the number of its line', async () => {
  await expect(readAll(['a\nb\n', Buffer.from([0x22, 0xff, 0x22, 0x0a])])).rejects.toThrow(
    new InputError('file:3: the line is not UTF-8'),
  );
});

it('a line of many megabytes is read, and a line that is too long is rejected before its end', async () => {
  const megabyte = 'x'.repeat(2 ** 20);
  const [line] = await readAll([...Array.from({ length: 20 }, () => megabyte), '\nend']);
  expect(line).toHaveLength(20 * 2 ** 20);

  let handedOut = 0;
  function* endless(): Generator<Buffer> {
    yield Buffer.from('a\n');
    for (const chunk = Buffer.from(megabyte); ; handedOut++) yield chunk;
  }
  const reader = new LineReader('file', Readable.from(endless()));
  expect(await reader.next()).toBe('a');
  await expect(reader.next()).rejects.toThrow('file:2: the line is longer than 67108864 bytes');
  expect(handedOut).toBeLessThan(100);
  reader.close();
});

it('an unreadable file is reported by name', async () => {
  const missing = LineReader.open('/nowhere/trace.ops.ndjson', process.stdin);
  await expect(missing.next()).rejects.toThrow(/^\/nowhere\/trace\.ops\.ndjson: cannot be read: ENOENT/);
  const late = LineReader.open('/nowhere/trace.ops.ndjson', process.stdin);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await expect(late.next()).rejects.toThrow(/cannot be read: ENOENT/);
  const folder = LineReader.open(__dirname, process.stdin);
  await expect(folder.next()).rejects.toThrow(/: cannot be read: EISDIR/);
});
