// Compressed traces, which are recognized by their first bytes, from files and from standard input.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { deflateSync, gunzipSync, gzipSync } from 'node:zlib';

import { InputError, LineReader } from '../../lib/replay/read-lines';
import { replay } from '../../lib/replay/replay';
import { commandFile, rdmavt } from '../support/command-line';
import { temporaryFolder } from '../support/temporary-folder';

async function readAll(chunks: Iterable<Buffer>): Promise<string[]> {
  const reader = new LineReader('file', Readable.from(chunks));
  const lines: string[] = [];
  for (let line = await reader.next(); line !== undefined; line = await reader.next()) lines.push(line);
  return lines;
}

/** Cuts the bytes into pieces of one size. */
function cut(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
}

const zeros = (count: number) => Buffer.alloc(count);

describe('gzip data', () => {
  const [first, second] = [gzipSync('a\nb'), gzipSync('c\nd\n')];

  it.each<[what: string, bytes: Buffer, lines: string[]]>([
    ['one member', first, ['a', 'b']],
    ['several members', Buffer.concat([first, second, first]), ['a', 'bc', 'd', 'a', 'b']],
    ['an empty member', gzipSync(''), []],
    ['zero bytes after the end', Buffer.concat([first, second, zeros(1000)]), ['a', 'bc', 'd']],
  ])('%s is read in chunks of any size', async (_, bytes, lines) => {
    for (const size of [1, 2, 3, first.length, first.length + 1, bytes.length]) {
      expect(await readAll(cut(bytes, size))).toEqual(lines);
    }
  });

  it.each<[what: string, bytes: Buffer, message: string]>([
    ['the magic bytes alone', first.subarray(0, 2), 'truncated'],
    ['a truncated header', first.subarray(0, 7), 'truncated'],
    ['truncated data', first.subarray(0, 12), 'truncated'],
    ['a truncated trailer', first.subarray(0, -1), 'truncated'],
    ['a truncated second member', Buffer.concat([first, second.subarray(0, 12)]), 'truncated'],
    ['the first byte of a second member', Buffer.concat([first, second.subarray(0, 1)]), 'truncated'],
    [
      'a wrong method',
      Buffer.from([0x1f, 0x8b, 7, ...first.subarray(3)]),
      'corrupt: unknown compression method',
    ],
    [
      'a wrong checksum',
      Buffer.concat([first.subarray(0, -8), zeros(4), first.subarray(-4)]),
      'corrupt: incorrect data check',
    ],
    ['text after the end', Buffer.concat([first, Buffer.from('c\n')]), 'corrupt: incorrect header check'],
  ])('%s is an error that names the file, in chunks of any size', async (_, bytes, message) => {
    for (const size of [1, 2, 3, first.length, bytes.length]) {
      const error: unknown = await readAll(cut(bytes, size)).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InputError);
      expect((error as InputError).message).toMatch(/^file(:1)?: the gzip data is /);
      expect((error as InputError).message).toContain(`the gzip data is ${message}`);
    }
  });

  it('data after zero padding is an error, however long the padding', async () => {
    for (const padding of [1, 10, 100_000]) {
      const bytes = Buffer.concat([first, zeros(padding), second]);
      for (const size of [7, 65_536, bytes.length]) {
        await expect(readAll(cut(bytes, size))).rejects.toThrow(/^file(:1)?: garbage follows the gzip data$/);
      }
    }
  });

  it('is recognized only by both magic bytes', async () => {
    expect(await readAll([Buffer.from([0x1f])])).toEqual(['\u001f']);
    expect(await readAll([Buffer.from([0x1f]), Buffer.from('\n')])).toEqual(['\u001f']);
    // The zlib format is not supported.
    await expect(readAll([deflateSync('a\n')])).rejects.toThrow('file:1: the line is not UTF-8');
  });

  it('has a limit on the length of lines', async () => {
    const bomb = gzipSync(Buffer.alloc(65 * 2 ** 20, 'x'));
    expect(bomb.length).toBeLessThan(2 ** 17);
    await expect(readAll([bomb])).rejects.toThrow('file:1: the line is longer than 67108864 bytes');
  });

  it('passes on an error of its source', async () => {
    function* broken(): Generator<Buffer> {
      yield first.subarray(0, 12);
      throw new Error('the disk is gone');
    }
    await expect(readAll(broken())).rejects.toThrow('file: cannot be read: the disk is gone');
  });

  it('counts compressed bytes, and is never read far ahead', async () => {
    // Random bytes, so that compression does not shorten the line.
    const line = `${randomBytes(48 * 1024).toString('base64')}\n`;
    const member = gzipSync(line);
    let handedOut = 0;
    function* members(): Generator<Buffer> {
      for (let i = 0; i < 400; i++) {
        handedOut += member.length;
        yield member;
      }
    }
    const reader = new LineReader('file', Readable.from(members()));
    for (let i = 1; i <= 400; i++) {
      expect(await reader.next()).toHaveLength(line.length - 1);
      expect(reader.bytesRead).toBeGreaterThanOrEqual(i * member.length);
      expect(handedOut - i * member.length).toBeLessThan(2 ** 21);
    }
    expect(await reader.next()).toBeUndefined();
    expect(reader.bytesRead).toBe(400 * member.length);
  });
});

describe('rdmavt replay', () => {
  const conformance = (name: string) => join(__dirname, '..', 'conformance', 'traces', `${name}.ndjson.gz`);
  const folder = temporaryFolder();
  const play = (args: string[], input: Buffer | string = '') => rdmavt(['replay', ...args], input);

  const trace = conformance('i-mixed-1.ops');
  const expected = conformance('i-mixed-1.expected');

  it('plays a compressed file with any name', () => {
    const answers = gunzipSync(readFileSync(expected)).toString('utf8');
    expect(play([trace])).toEqual({ status: 0, stdout: answers, stderr: '' });
    expect(play([folder.file('trace', readFileSync(trace))]).stdout).toBe(answers);
  });

  it('reads compressed traces and expected answers from standard input', () => {
    const matched = (name: string) => ({
      status: 0,
      stdout: '',
      stderr: `rdmavt: 2571 operations matched ${name}\n`,
    });
    expect(play(['-', '--expect', expected], readFileSync(trace))).toEqual(matched(expected));
    expect(play([trace, '--expect', '-'], readFileSync(expected))).toEqual(matched('standard input'));
  });

  it('answers everything before the end of a truncated file', () => {
    const cutOff = folder.file('cut.ops.ndjson.gz', readFileSync(trace).subarray(0, -20));
    const { status, stdout, stderr } = play([cutOff]);
    expect(status).toBe(2);
    expect(stdout.split('\n').length).toBeGreaterThan(1000);
    expect(stderr).toMatch(/^rdmavt: [^\n]*cut\.ops\.ndjson\.gz:\d+: the gzip data is truncated\n$/);
  });

  it('ends with status 2 at truncated or corrupt expected answers', () => {
    const bytes = readFileSync(expected);
    const cutOff = folder.file('cut.expected.ndjson.gz', bytes.subarray(0, -20));
    expect(play([trace, '--expect', cutOff])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(
        /^rdmavt: [^\n]*cut\.expected\.ndjson\.gz(:\d+)?: the gzip data is truncated\n$/,
      ),
    });
    const corrupt = Buffer.from(bytes);
    corrupt[bytes.length - 8]! ^= 1;
    expect(play([trace, '--expect', folder.file('corrupt.expected.ndjson.gz', corrupt)])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(
        /corrupt\.expected\.ndjson\.gz:\d+: the gzip data is corrupt: incorrect data check\n$/,
      ),
    });
    expect(play(['-'], bytes.subarray(0, 5))).toEqual({
      status: 2,
      stdout: '',
      stderr: 'rdmavt: standard input: the gzip data is truncated\n',
    });
  });

  it('answers each compressed operation as it arrives', async () => {
    const program = ['{"op":"init","lkey_table_bits":4,"dma_pages":1,"dma_base":"0x0"}', '{"op":"exit"}'];
    const child = spawn(process.execPath, [commandFile, 'replay', '-']);
    for (const line of program) {
      child.stdin.write(gzipSync(`${line}\n`));
      const [chunk] = await new Promise<Buffer[]>((resolve) =>
        child.stdout.once('data', (...all) => resolve(all)),
      );
      expect(chunk!.toString()).toMatch(/^\{"ret":0,.*\}\n$/);
    }
    child.stdin.end();
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  });

  it('shows how much of the compressed file was read', async () => {
    let now = 0;
    jest.spyOn(Date, 'now').mockImplementation(() => (now += 1000));
    const shown: string[] = [];
    const stderr = Object.assign(
      new Writable({
        write(chunk: Buffer, _encoding, done) {
          shown.push(chunk.toString());
          done();
        },
      }),
      { isTTY: true },
    );
    const stdout = new Writable({ write: (_chunk, _encoding, done) => done() });
    try {
      const status = await replay(
        { trace: conformance('a-key-zero-1.ops') },
        { stdin: process.stdin, stdout, stderr },
      );
      expect(status).toBe(0);
    } finally {
      jest.restoreAllMocks();
    }
    const shares = Array.from(shown.join('').matchAll(/(\d+) operations, (\d+) %/g), (match) =>
      match.slice(1).map(Number),
    );
    expect(shares.length).toBeGreaterThan(3);
    expect(shares).toEqual([...shares].sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]!));
    for (const [, share] of shares) expect(share).toBeLessThanOrEqual(100);
    expect(shares.at(-1)).toEqual([expect.any(Number), 100]);
  });
});
