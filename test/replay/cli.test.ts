import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { commandFile, rdmavt } from '../support/command-line';
import { temporaryFolder } from '../support/temporary-folder';

const traces = join(__dirname, '..', 'conformance', 'traces');
const folder = temporaryFolder();
const file = folder.file.bind(folder);

function conformance(name: string): string {
  return gunzipSync(readFileSync(join(traces, `${name}.ndjson.gz`))).toString('utf8');
}

const program = [
  '{"op":"init","lkey_table_bits":4,"dma_pages":1,"dma_base":"0x0"}',
  '{"op":"alloc_pd","id":"pd","user":false}',
  '{"op":"table"}',
];
const answers = ['{"ret":0,"bits":4}', '{"ret":0}', '{"max":16,"next":0,"gen":0,"used":[]}'];
const text = (lines: string[]) => lines.map((line) => `${line}\n`).join('');

describe('a trace', () => {
  it('is answered on standard output, one line for each line', () => {
    const path = file('simple.ops.ndjson', text(program));
    expect(rdmavt(['replay', path])).toEqual({ status: 0, stdout: text(answers), stderr: '' });
  });

  it('may be read from standard input', () => {
    expect(rdmavt(['replay', '-'], text(program))).toEqual({ status: 0, stdout: text(answers), stderr: '' });
  });

  it('may lack the final LF, or be empty', () => {
    expect(rdmavt(['replay', '-'], text(program).trimEnd()).stdout).toBe(text(answers));
    expect(rdmavt(['replay', '-'])).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('of 13,000 lines is answered exactly, with members in the order of the format', () => {
    const path = file('long.ops.ndjson', conformance('a-key-zero-1.ops'));
    const { status, stdout } = rdmavt(['replay', path]);
    expect(status).toBe(0);
    expect(stdout).toBe(conformance('a-key-zero-1.expected'));
  });

  it('may have lines of many megabytes', () => {
    const long = `{"op":"unmap_fmr","fmrs":[${Array(400_000).fill('"no such fmr"').join(',')}]}`;
    const { status, stdout } = rdmavt(['replay', '-'], text([program[0]!, long, program[2]!]));
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: text([answers[0]!, '{"skipped":true}', answers[2]!]),
    });
  });

  it('is answered line by line as it arrives', async () => {
    const child = spawn(process.execPath, [commandFile, 'replay', '-']);
    for (const [i, line] of program.entries()) {
      child.stdin.write(`${line}\n`);
      const [chunk] = await new Promise<Buffer[]>((resolve) =>
        child.stdout.once('data', (...all) => resolve(all)),
      );
      expect(chunk!.toString()).toBe(`${answers[i]}\n`);
    }
    child.stdin.end();
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  });

  it('ends quietly when no reader is left', async () => {
    const child = spawn(process.execPath, [
      commandFile,
      'replay',
      file('long.ops.ndjson', conformance('a-key-zero-1.ops')),
    ]);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdout.destroy();
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
    expect(stderr).toBe('');
  });
});

describe('--expect', () => {
  const operations = () => conformance('i-mixed-1.ops');
  const expected = () => conformance('i-mixed-1.expected').trimEnd().split('\n');

  it('prints only a summary if all answers match', () => {
    const trace = file('mixed.ops.ndjson', operations());
    const expectations = file('mixed.expected.ndjson', text(expected()));
    expect(rdmavt(['replay', trace, '--expect', expectations])).toEqual({
      status: 0,
      stdout: '',
      stderr: `rdmavt: 2571 operations matched ${expectations}\n`,
    });
    expect(rdmavt(['replay', `--expect=${expectations}`, '-'], operations()).status).toBe(0);
    expect(rdmavt(['replay', trace, '--expect', '-'], text(expected()))).toEqual({
      status: 0,
      stdout: '',
      stderr: 'rdmavt: 2571 operations matched standard input\n',
    });
  });

  it('shows the first line that differs', () => {
    const trace = file('mixed.ops.ndjson', operations());
    const lines = expected();
    const index = lines.findIndex((line, i) => i > 1000 && line.includes('"sge_length":'));
    const right = lines[index]!;
    lines[index] = right.replace(/"sge_length":\d+/, '"sge_length":123456789');
    lines[index + 100] = '{"any":"thing"}';
    const expectations = file('false.expected.ndjson', text(lines));
    const { status, stdout, stderr } = rdmavt(['replay', trace, '--expect', expectations]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    const label = `${trace}:${index + 1}`;
    const shown = [
      `rdmavt: ${expectations}:${index + 1}: the answer differs at .sge.sge_length`,
      `  ${label}  ${operations().split('\n')[index]}`,
      `  ${'expected'.padEnd(label.length)}  ${lines[index]}`,
      `  ${'answered'.padEnd(label.length)}  ${right}`,
    ];
    expect(stderr).toBe(text(shown));
  });

  it('reports a missing line and an extra line', () => {
    const trace = file('mixed.ops.ndjson', operations());
    const short = file('short.expected.ndjson', text(expected().slice(0, -1)));
    expect(rdmavt(['replay', trace, '--expect', short])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`${short}:2571: no expected answer for this operation`),
    });
    const long = file('long.expected.ndjson', text([...expected(), '{"ret":0}']));
    expect(rdmavt(['replay', trace, '--expect', long])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`${long}:2572: no operation for this expected answer`),
    });
  });

  it('accepts {"any":true}, and {"not_reached":true} for operations that are not reached', () => {
    const trace = file('any.ops.ndjson', text([...program, '{"op":"refs","mr":"mr"}']));
    const lines = ['{"any":true}', answers[1]!, '{"any":true}', '{"not_reached":true}'];
    expect(rdmavt(['replay', trace, '--expect', file('any.safe.ndjson', text(lines))]).status).toBe(0);
    const wrong = file('wrong.safe.ndjson', text(['{"not_reached":true}']));
    expect(rdmavt(['replay', trace, '--expect', wrong]).status).toBe(1);
  });

  it('reports an unreadable expectation with its line', () => {
    const trace = file('simple.ops.ndjson', text(program));
    const broken = file('broken.expected.ndjson', text([answers[0]!, '{"ret":']));
    const { status, stdout, stderr } = rdmavt(['replay', trace, '--expect', broken]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^rdmavt: .*broken\.expected\.ndjson:2: not JSON: .*\n$/);
    expect(rdmavt(['replay', trace, '--expect', join(folder.path, 'missing')])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(`${join(folder.path, 'missing')}: cannot be read: ENOENT`),
    });
  });
});

describe('invalid input ends with status 2 and one line that names file and line', () => {
  it.each<[line: string, message: RegExp]>([
    ['', /:3: the line is blank/],
    ['{"op":"table"', /:3: not JSON/],
    ['{"op":"table"}\r', /:3: the line ends with CR LF/],
    ['{"op":"tables"}', /:3: unknown operation "tables"/],
    ['{"op":"refs"}', /:3: refs: "mr" is missing/],
    ['{"op":"refs","mr":-7}', /:3: refs: "mr" must be a string/],
    ['{"op":"alloc_pd","id":"pd","user":true}', /:3: id "pd" is used twice/],
    ['{"op":"init","lkey_table_bits":4,"dma_pages":1,"dma_base":"0x800"}', /:3: init: "dma_base"/],
    [
      '{"op":"init","lkey_table_bits":4,"dma_pages":4294967295,"dma_base":"0x0"}',
      /:3: init: cannot allocate \d+ bytes of memory/,
    ],
    ['\u001b[31m{"op":"table"}', /:3: not JSON/],
  ])('%j', (line, message) => {
    const trace = file('bad.ops.ndjson', text([program[0]!, program[1]!, line, program[2]!]));
    const { status, stdout, stderr } = rdmavt(['replay', trace]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: text(answers.slice(0, 2)) });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^rdmavt: [^\p{Cc}]*bad\.ops\.ndjson:3: [^\p{Cc}]*\n$/u);
  });

  it('a truncated last line', () => {
    const { status, stderr } = rdmavt(['replay', '-'], text(program).slice(0, -3));
    expect(status).toBe(2);
    expect(stderr).toMatch(/^rdmavt: standard input:3: not JSON/);
  });

  it('bytes that are not UTF-8', () => {
    const trace = file('latin1.ops.ndjson', Buffer.from('{"op":"refs","mr":"\xe9"}\n', 'latin1'));
    expect(rdmavt(['replay', trace])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(':1: the line is'),
    });
  });

  it('a missing file, and a directory', () => {
    expect(rdmavt(['replay', join(folder.path, 'missing')])).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^rdmavt: .*missing: cannot be read: ENOENT.*\n$/),
    });
    expect(rdmavt(['replay', folder.path])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('EISDIR'),
    });
  });
});
