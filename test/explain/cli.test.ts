// The command `rdmavt explain`: its output, its options, its exit status.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv';
import type { ExplainedRequest } from '../../lib';
import { commandFile, rdmavt } from '../support/command-line';
import { connection, frame, Op, pcapHeader, pcapRecord } from '../support/roce-captures';
import { temporaryFolder } from '../support/temporary-folder';
import { captureBytes, capturePath, explainBytes } from './explained';

const folder = temporaryFolder();
const file = folder.file.bind(folder);

const requestLines = (stdout: string): string[] =>
  stdout.split('\n').filter((line) => /^ *\d+ +\d+\.\d{6} /.test(line));

test('prints a line for each request, its explanation, and a summary', () => {
  expect(rdmavt(['explain', capturePath('rxe-endpoint/peer-sends-with-invalidate')])).toEqual({
    status: 0,
    stderr: '',
    stdout: readFileSync(join(__dirname, 'peer-sends-with-invalidate.txt'), 'utf8'),
  });
});

test('reads standard input, with the same output', () => {
  const name = 'programs/program-rping';
  const fromFile = rdmavt(['explain', capturePath(name)]);
  expect(fromFile.status).toBe(0);
  expect(requestLines(fromFile.stdout).length).toBe(65);
  expect(rdmavt(['explain', '-'], captureBytes(name))).toEqual(fromFile);
});

test('--only, --key and --qp choose requests', () => {
  const path = capturePath('programs/program-rping');
  expect(requestLines(rdmavt(['explain', path, '--only', 'refused']).stdout)).toEqual([]);
  for (const key of ['0xec4', '3780']) {
    expect(requestLines(rdmavt(['explain', path, '--key', key]).stdout).length).toBe(10);
  }
  expect(requestLines(rdmavt(['explain', path, '--qp', '0x10a']).stdout).length).toBe(60);
  expect(requestLines(rdmavt(['explain', path, '--qp', '1', '--key=0xec4']).stdout)).toEqual([]);
  const bad = rdmavt(['explain', capturePath('rxe-endpoint/variant-after-error'), '--only=refused']);
  expect(requestLines(bad.stdout).length).toBe(1);
});

test('--regions judges requests; the list may come from standard input', () => {
  const list = JSON.stringify([
    { key: '0x22a', address: '0x55abb94c2000', length: 16384, rights: ['RemoteWrite'] },
  ]);
  const path = capturePath('rxe-rxe/out-of-bounds-write');
  const fromFile = rdmavt(['explain', path, '--regions', file('regions.json', list)]);
  expect(fromFile).toMatchObject({ status: 0, stderr: '' });
  expect(fromFile.stdout).toContain('OutOfBounds, by the regions: It ends 16 bytes past the last byte');
  expect(rdmavt(['explain', path, '--regions', '-'], list)).toEqual(fromFile);
});

test('--json prints objects that its schema describes, for every kind of capture', () => {
  const schema = JSON.parse(
    readFileSync(join(__dirname, '..', '..', 'docs', 'explain.schema.json'), 'utf8'),
  ) as object;
  const validate = new Ajv().compile(schema);
  const regions = file(
    'b.json',
    JSON.stringify([{ key: '0x22a', address: '0x55abb94c2000', length: 16384, rights: 15 }]),
  );
  const types = new Set<string>();
  for (const name of [
    'rxe-rxe/bad-rkey',
    'rxe-rxe/cas-faa',
    'rxe-rxe/send-inv-own',
    'rxe-rxe/rnr-exceeded',
    'rxe-rxe/retry-exceeded',
    'rxe-endpoint/over-ipv6',
    'rxe-endpoint/endpoint-loses-a-request',
    'rxe-endpoint/variant-wrong-icrc',
    'programs/program-rej',
    'programs/program-read_bw',
    'udp-socket-variants',
  ]) {
    const { status, stdout } = rdmavt(['explain', capturePath(name), '--json', '--regions', regions]);
    expect(status).toBe(0);
    for (const line of stdout.trimEnd().split('\n')) {
      const object = JSON.parse(line) as { type: string };
      types.add(object.type);
      expect([line, validate(object), validate.errors]).toEqual([line, true, null]);
    }
  }
  expect([...types].sort()).toEqual(['finding', 'key', 'queuePair', 'request', 'summary']);
});

describe('the requests that --json prints', () => {
  const inHex = ['address', 'key', 'immediate', 'invalidate', 'swapAdd', 'compare', 'original', 'nak'];
  const hexIn = (name: string, value: unknown): unknown =>
    inHex.includes(name) ? `0x${(value as number | bigint).toString(16)}` : value;

  /** Returns the JSON of a request of the API, made by JSON.stringify(). */
  function jsonOf({ time, answerNanoseconds, ...rest }: ExplainedRequest, origin: bigint): unknown {
    const fields = Object.entries(rest).filter(([, value]) => value !== undefined && value !== '');
    return JSON.parse(
      JSON.stringify({
        type: 'request',
        ...Object.fromEntries(fields.map(([name, value]) => [name, hexIn(name, value)])),
        time: Number(time) / 1e9,
        offset: Number(time - origin) / 1e9,
        answerSeconds: answerNanoseconds === undefined ? undefined : answerNanoseconds / 1e9,
      }),
    );
  }

  async function compare(path: string, bytes: Uint8Array, regions?: string): Promise<number> {
    const options = regions === undefined ? [] : ['--regions', regions];
    const { status, stdout } = rdmavt(['explain', path, '--json', ...options]);
    expect(status).toBe(0);
    const printed = stdout.split('\n').filter((line) => line.startsWith('{"type":"request"'));
    const { requests, summary } = await explainBytes(
      bytes,
      regions === undefined ? {} : { regions: readFileSync(regions, 'utf8') },
    );
    expect(printed.map((line) => JSON.parse(line) as unknown)).toEqual(
      requests.map((request) => jsonOf(request, summary.firstTime)),
    );
    return printed.length;
  }

  it.each([
    'rxe-rxe/bad-rkey',
    'rxe-rxe/cas-faa',
    'rxe-rxe/write-imm',
    'rxe-rxe/send-inv-own',
    'rxe-rxe/rnr-exceeded',
    'rxe-endpoint/over-ipv6',
    'rxe-endpoint/endpoint-loses-a-request',
    'rxe-endpoint/variant-wrong-icrc',
    'rxe-endpoint/peer-compare-and-swap',
    'programs/program-rping',
    'programs/program-rej',
  ])('are those of the API, with all fields: %s', async (name) => {
    const regions = join(__dirname, 'regions-of-b.json');
    expect(await compare(capturePath(name), captureBytes(name))).toBeGreaterThan(0);
    expect(await compare(capturePath(name), captureBytes(name), regions)).toBeGreaterThan(0);
  });

  it('have the times of the API, to the last bit', async () => {
    const { ask } = connection({ host: '10.0.0.1', qp: 1 }, { host: '10.0.0.2', qp: 2 });
    const header = pcapHeader();
    header.writeUInt32LE(0xa1b23c4d); // times in nanoseconds
    const times: [seconds: number, nanoseconds: number][] = [
      [1_800_000_000, 0],
      [1_800_000_000, 1],
      [1_800_000_000, 900],
      [1_800_000_000, 999_999_999],
      [1_800_000_000, 3_906_250], // its shortest decimals are two of seven digits
      [1_700_000_000, 5], // before the first one
      [0, 0],
      [0, 123_456_789],
      [1, 100_000_000],
      [999_999_999, 999_999_999],
      [2_147_483_648, 123_456_789],
      [4_294_967_295, 999_999_000],
    ];
    for (let i = 0; i < 500; i++) {
      times.push([1_800_000_000 + i, (i * 123_456_789) % 1_000_000_000]);
      times.push([1_800_000_000 + i, ((i * 654_321) % 1_000_000) * 1000]);
    }
    const records = times.map(([seconds, nanoseconds], psn) => {
      const record = pcapRecord(frame(ask(Op.SendOnly, psn, { payload: 8 })), 0);
      record.writeUInt32LE(seconds);
      record.writeUInt32LE(nanoseconds, 4);
      return record;
    });
    const bytes = Buffer.concat([header, ...records]);
    expect(await compare(file('times.pcap', bytes), bytes)).toBe(times.length);
  });
});

describe('input that cannot be read', () => {
  it('ends with status 2 and one line that names the file', () => {
    for (const [content, message] of [
      ['', 'the file is empty (at byte 0)'],
      ['this is no capture, whatever its name', 'not a capture file (pcap or pcapng) (at byte 0)'],
      [Buffer.from('1f8b0800000000000003', 'hex'), 'the file is compressed'],
    ] as const) {
      const path = file('bad.pcap', content);
      const answer = rdmavt(['explain', path]);
      expect(answer).toEqual({
        status: 2,
        stdout: '',
        stderr: expect.stringContaining(`rdmavt: ${path}: ${message}`),
      });
      expect(answer.stderr.split('\n').length).toBe(2);
    }
    const missing = join(folder.path, 'missing.pcap');
    expect(rdmavt(['explain', missing])).toEqual({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^rdmavt: .*missing\.pcap: cannot be read: ENOENT.*\n$/),
    });
  });

  it('is explained as far as it goes', () => {
    const bytes = captureBytes('rxe-rxe/many');
    const { status, stdout, stderr } = rdmavt(['explain', '-'], bytes.subarray(0, bytes.length - 10));
    expect(status).toBe(2);
    expect(stderr).toMatch(
      /^rdmavt: standard input: the file ends in the middle of a packet \(at byte \d+\)\n$/,
    );
    expect(requestLines(stdout).length).toBe(40);
    expect(stdout).toContain('40 requests: 39 acknowledged and 1 without an answer');
  });

  it('may be the list of regions', () => {
    const path = file('regions.json', '[{"key":1}]');
    expect(rdmavt(['explain', capturePath('rxe-rxe/write'), '--regions', path])).toEqual({
      status: 2,
      stdout: '',
      stderr: `rdmavt: ${path}: regions[0].address must be a number, or a text such as "0x1000"\n`,
    });
    expect(
      rdmavt(['explain', capturePath('rxe-rxe/write'), '--regions', join(folder.path, 'none')]),
    ).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('cannot be read: ENOENT'),
    });
  });
});

test('prints the lines of a live capture before it ends', async () => {
  const { ask, ack } = connection({ host: '10.0.0.1', qp: 1 }, { host: '10.0.0.2', qp: 2 });
  const child = spawn(process.execPath, [commandFile, 'explain', '-']);
  const first = new Promise<string>((resolve) =>
    child.stdout.once('data', (data: Buffer) => resolve(data.toString())),
  );
  child.stdin.write(
    Buffer.concat([
      pcapHeader(),
      pcapRecord(frame(ask(Op.SendOnly, 1, { payload: 8 })), 0),
      pcapRecord(frame(ack(1)), 10),
      // Three seconds later in the time of the capture nothing more is expected for the first request.
      pcapRecord(frame(ask(Op.SendOnly, 2, { payload: 8 })), 3e6),
    ]),
  );
  expect(await first).toContain('SEND 8 bytes, PSN 1: acknowledged, packet 2 after 0.010 ms');
  child.stdin.end();
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
});

test('ends quietly when no reader is left', async () => {
  const child = spawn(process.execPath, [commandFile, 'explain', capturePath('programs/program-send_lat')]);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout.destroy();
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  expect(stderr).toBe('');
});
