// Regions that nobody has ended are told about (`reportLeaks`): when their device is collected, and when the process or worker
// ends. Each program runs in a process of its own.
import { runProgram } from '../support/programs';

const prelude = `
  const { Device } = require('rdmavt');
  const { Worker, isMainThread, parentPort } = require('node:worker_threads');
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const rounds = async () => { for (let i = 0; i < 5; i++) { gc(); await turn(); } };
  /** A device with a domain and \`count\` regions of 8 bytes. */
  function open(count, options = { reportLeaks: true }) {
    const device = new Device({ keyPolicy: 'sequential', ...options });
    const pd = device.allocPd();
    for (let i = 0; i < count; i++) pd.regUserMr(Buffer.alloc(8), { start: 0x1000 * (i + 1) });
    return { device, pd };
  }
`;

interface Told {
  status: number | null;
  /** The text of each warning, without the process id. */
  warnings: string[];
  stdout: string;
}

function run(program: string, nodeOptions: readonly string[] = []): Told {
  const { status, signal, stdout, stderr } = runProgram(prelude + program, nodeOptions);
  expect(signal).toBeNull();
  const warnings = stderr
    .replace(/\(Use `node --trace-warnings[^\n]*\n/, '')
    .split(/^\(node:\d+\) /m)
    .filter((text) => text.trim())
    .map((text) => text.trimEnd());
  return { status, warnings, stdout };
}

const line = (number: number, key: string, start: number): string =>
  `  USER region ${number}: key ${key}, 8 bytes at 0x${start.toString(16)}, 2 references`;

const collected = '[RDMAVT_LEAK] RdmavtLeakWarning: A device was garbage-collected with';
const ended = '[RDMAVT_LEAK] RdmavtLeakWarning: The process ended with';
const one = `1 memory region still registered:\n${line(1, '0x100', 0x1000)}`;

describe('nothing is told', () => {
  test.each([
    [
      'unless it was asked for',
      'open(2, {}); (async () => { globalThis.kept = open(2, {}); await rounds(); })();',
    ],
    [
      'of a device without regions',
      'globalThis.kept = open(0); (async () => { open(0); await rounds(); })();',
    ],
    ['of one that was closed', 'open(2).device.close({ cascade: true }); rounds();'],
    ['of one that was disposed of', 'open(2).device[Symbol.dispose](); rounds();'],
    [
      'of one that was left',
      `const { device } = open(0, {});
       (() => {
         const other = Device.attach(device.share(), { reportLeaks: true });
         other.allocPd().regUserMr(Buffer.alloc(8));
         other.detach({ cascade: true });
       })();
       rounds();`,
    ],
    ['of regions whose domain has ended', 'const { pd } = open(3); pd.dealloc({ cascade: true });'],
    [
      'of one that another thread has closed',
      `const { device } = open(2);
       new Worker("require('rdmavt').Device.attach(require('node:worker_threads').workerData).close({ cascade: true })",
         { eval: true, workerData: device.share() });`,
    ],
  ])('%s', (_, program) => {
    expect(run(program)).toEqual({ status: 0, warnings: [], stdout: '' });
  });
});

describe('a device that is collected', () => {
  test('is told with its regions', () => {
    expect(run('open(1); rounds();').warnings).toEqual([`${collected} ${one}`]);
    expect(run('open(2); rounds();').warnings).toEqual([
      `${collected} 2 memory regions still registered:\n${line(1, '0x100', 0x1000)}\n${line(2, '0x10200', 0x2000)}`,
    ]);
  });

  test('is told once, and others are told by themselves', () => {
    const { warnings } = run('open(1); open(1); rounds().then(rounds);');
    expect(warnings).toEqual([`${collected} ${one}`, `${collected} ${one}`]);
  });

  test('tells the first ten regions of many', () => {
    const [warning] = run('open(25); rounds();').warnings;
    const lines = warning!.split('\n');
    expect([lines[0], lines.length, lines[11]]).toEqual([
      `${collected} 25 memory regions still registered:`,
      12,
      '  and 15 more',
    ]);
  });

  test('tells where they were created, if that was captured', () => {
    const [warning] = run(
      `(function creator() { open(1, { reportLeaks: true, captureStacks: true }); })(); rounds();`,
    ).warnings;
    const lines = warning!.split('\n');
    expect(lines.slice(0, 2)).toEqual([
      `${collected} 1 memory region still registered:`,
      `${line(1, '0x100', 0x1000)}, created`,
    ]);
    expect(lines[2]).toMatch(/^ +at open \(/);
    expect(lines[3]).toMatch(/^ +at creator \(/);
    expect(warning).not.toMatch(/[\\/]dist[\\/]/);
  });

  test('is told to listeners, with a code', () => {
    const { stdout } = run(
      `process.on('warning', ({ name, code, message }) => console.log(JSON.stringify({ name, code, message })));
       open(1); rounds();`,
      ['--no-warnings'],
    );
    expect(JSON.parse(stdout)).toEqual({
      name: 'RdmavtLeakWarning',
      code: 'RDMAVT_LEAK',
      message: `A device was garbage-collected with ${one}`,
    });
  });
});

describe('the end', () => {
  test.each([
    ['of a program that has nothing left to do', 'globalThis.kept = open(1);', 0],
    ['of one that has dropped the device', 'open(1);', 0],
    ['of one whose device was collected just now', '(async () => { open(1); await turn(); gc(); })();', 0],
    [
      'of one that has not been told yet',
      '(async () => { open(1); await turn(); gc(); await turn(); process.exit(6); })();',
      6,
    ],
    ['by process.exit', 'globalThis.kept = open(1); process.exit(7);', 7],
    ['with an exit code', 'globalThis.kept = open(1); process.exitCode = 8;', 8],
  ])('%s: told, and the exit code stays', (_, program, status) => {
    const told = run(program);
    expect(told.status).toBe(status);
    expect(told.warnings).toEqual([
      expect.stringMatching(
        /^\[RDMAVT_LEAK\] RdmavtLeakWarning: (The process ended|A device was garbage-collected) with 1 memory region still registered:\n/,
      ),
    ]);
    expect(told.warnings[0]).toContain(line(1, '0x100', 0x1000));
  });

  test('tells of every kind of region, and of half-dead ones', () => {
    const [warning] = run(
      `(() => {
         const device = new Device({ reportLeaks: true });
         const pd = device.allocPd({ trusted: true });
         const mr = pd.regUserMr(Buffer.alloc(8), { start: 0x1000 });
         globalThis.held = pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0).sge;
         try { mr.dereg(); } catch {} // it is held
         pd.getDmaMr(); pd.allocMr({ maxNumSg: 1 }); pd.allocFmr({ maxPages: 1 });
       })();
`,
    ).warnings;
    expect(warning!.split('\n').map((text) => text.trim().split(':')[0])).toEqual([
      '[RDMAVT_LEAK] RdmavtLeakWarning',
      'USER region 1',
      'DMA region 2',
      'MEM_REG region 3',
      'FMR region 4',
    ]);
  });

  test('tells each device, in order', () => {
    const two = `2 memory regions still registered:\n${line(1, '0x100', 0x1000)}\n${line(2, '0x10200', 0x2000)}`;
    expect(run('globalThis.kept = [open(1), open(2), open(0), open(1)];').warnings).toEqual([
      `${ended} ${one}`,
      `${ended} ${two}`,
      `${ended} ${one}`,
    ]);
  });

  test('tells each object of a device in one thread, of what it has made', () => {
    const { warnings } = run(
      `const { device } = open(1);
       const other = Device.attach(device.share(), { reportLeaks: true });
       other.allocPd().regUserMr(Buffer.alloc(8), { start: 0x5000 });
       const third = Device.attach(device.share(), { reportLeaks: true });
       third.detach();
       globalThis.kept = [device, other];`,
    );
    expect(warnings).toEqual([
      `${ended} ${one}`,
      `${ended} 1 memory region still registered:\n${line(2, '0x10200', 0x5000)}`,
    ]);
  });

  test('of a worker tells of what it has made, and of nothing else', () => {
    const worker = (end: string): string => {
      const program = `
        const { Device } = require('rdmavt');
        globalThis.device = Device.attach(require('node:worker_threads').workerData, { reportLeaks: true });
        device.allocPd().regUserMr(new Uint8Array(8), { start: 0x9000 });
        ${end}`;
      return `const { device, pd } = open(1, {});
        const worker = new Worker(${JSON.stringify(program)}, { eval: true, workerData: device.share() });
        worker.on('exit', (code) => { process.exitCode = code; device.close({ cascade: true }); });`;
    };
    const warning = `${ended} 1 memory region still registered:\n${line(2, '0x10200', 0x9000)}`;
    expect(run(worker(''))).toEqual({ status: 0, warnings: [warning], stdout: '' });
    expect(run(worker('process.exit(5)'))).toEqual({ status: 5, warnings: [warning], stdout: '' });
  });

  test('is silent with --no-warnings', () => {
    for (const program of ['globalThis.kept = open(1);', 'open(1); rounds();']) {
      expect(run(program, ['--no-warnings'])).toEqual({ status: 0, warnings: [], stdout: '' });
    }
  });

  test('by an uncaught error is told after it', () => {
    const { status, warnings } = run(`globalThis.kept = open(1); throw new Error('on purpose');`);
    expect(status).toBe(1);
    expect(warnings.join('\n')).toMatch(/on purpose[^]*RDMAVT_LEAK|RDMAVT_LEAK[^]*on purpose/);
  });
});
