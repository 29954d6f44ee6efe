// Reports of regions that were never deregistered (`reportLeaks`): when their device is collected, and when the process or worker
// ends. Each program runs in a process of its own.
import { runProgram } from '../support/programs';

const prelude = `
  const { Device } = require('rdmavt');
  const { Worker, isMainThread, parentPort } = require('node:worker_threads');
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const rounds = async () => { for (let i = 0; i < 5; i++) { gc(); await turn(); } };
  /** Opens a device with a domain and \`count\` regions of 8 bytes. */
  function open(count, options = { reportLeaks: true }) {
    const device = new Device({ keyPolicy: 'sequential', ...options });
    const pd = device.allocPd();
    for (let i = 0; i < count; i++) pd.regUserMr(Buffer.alloc(8), { start: 0x1000 * (i + 1) });
    return { device, pd };
  }
`;

interface Told {
  status: number | null;
  /** The text of each warning, without the process ID. */
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

describe('nothing is reported', () => {
  test.each([
    ['by default', 'open(2, {}); (async () => { globalThis.kept = open(2, {}); await rounds(); })();'],
    [
      'for a device without regions',
      'globalThis.kept = open(0); (async () => { open(0); await rounds(); })();',
    ],
    ['for a device that was closed', 'open(2).device.close({ cascade: true }); rounds();'],
    ['for a device that was disposed', 'open(2).device[Symbol.dispose](); rounds();'],
    [
      'for a device object that was detached',
      `const { device } = open(0, {});
       (() => {
         const other = Device.attach(device.share(), { reportLeaks: true });
         other.allocPd().regUserMr(Buffer.alloc(8));
         other.detach({ cascade: true });
       })();
       rounds();`,
    ],
    ['for regions whose domain was closed', 'const { pd } = open(3); pd.dealloc({ cascade: true });'],
    [
      'for a device that another thread closed',
      `const { device } = open(2);
       new Worker("require('rdmavt').Device.attach(require('node:worker_threads').workerData).close({ cascade: true })",
         { eval: true, workerData: device.share() });`,
    ],
  ])('%s', (_, program) => {
    expect(run(program)).toEqual({ status: 0, warnings: [], stdout: '' });
  });
});

describe('a device that is garbage-collected', () => {
  test('is reported with its regions', () => {
    expect(run('open(1); rounds();').warnings).toEqual([`${collected} ${one}`]);
    expect(run('open(2); rounds();').warnings).toEqual([
      `${collected} 2 memory regions still registered:\n${line(1, '0x100', 0x1000)}\n${line(2, '0x10200', 0x2000)}`,
    ]);
  });

  test('is reported once, separately from other devices', () => {
    const { warnings } = run('open(1); open(1); rounds().then(rounds);');
    expect(warnings).toEqual([`${collected} ${one}`, `${collected} ${one}`]);
  });

  test('is reported with its first ten regions', () => {
    const [warning] = run('open(25); rounds();').warnings;
    const lines = warning!.split('\n');
    expect([lines[0], lines.length, lines[11]]).toEqual([
      `${collected} 25 memory regions still registered:`,
      12,
      '  and 15 more',
    ]);
  });

  test('is reported with the stacks of creation, if they were captured', () => {
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

  test('is reported to listeners, with a code', () => {
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

describe('at the end', () => {
  test.each([
    ['of a program that runs to completion', 'globalThis.kept = open(1);', 0],
    ['of a program that dropped the device', 'open(1);', 0],
    ['of a program whose device was just collected', '(async () => { open(1); await turn(); gc(); })();', 0],
    [
      'of a program whose device was collected but not reported yet',
      '(async () => { open(1); await turn(); gc(); await turn(); process.exit(6); })();',
      6,
    ],
    ['by process.exit', 'globalThis.kept = open(1); process.exit(7);', 7],
    ['with an exit code', 'globalThis.kept = open(1); process.exitCode = 8;', 8],
  ])('%s, the leak is reported and the exit code is kept', (_, program, status) => {
    const told = run(program);
    expect(told.status).toBe(status);
    expect(told.warnings).toEqual([
      expect.stringMatching(
        /^\[RDMAVT_LEAK\] RdmavtLeakWarning: (The process ended|A device was garbage-collected) with 1 memory region still registered:\n/,
      ),
    ]);
    expect(told.warnings[0]).toContain(line(1, '0x100', 0x1000));
  });

  test('every kind of region is reported, also half-dead ones', () => {
    const [warning] = run(
      `(() => {
         const device = new Device({ reportLeaks: true });
         const pd = device.allocPd({ trusted: true });
         const mr = pd.regUserMr(Buffer.alloc(8), { start: 0x1000 });
         globalThis.held = pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0).sge;
         try { mr.dereg(); } catch {} // fails because an SGE is held
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

  test('each device is reported, in order', () => {
    const two = `2 memory regions still registered:\n${line(1, '0x100', 0x1000)}\n${line(2, '0x10200', 0x2000)}`;
    expect(run('globalThis.kept = [open(1), open(2), open(0), open(1)];').warnings).toEqual([
      `${ended} ${one}`,
      `${ended} ${two}`,
      `${ended} ${one}`,
    ]);
  });

  test('each object of a device in one thread is reported with what it created', () => {
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

  test('of a worker, only what the worker created is reported', () => {
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

  test('nothing is reported with --no-warnings', () => {
    for (const program of ['globalThis.kept = open(1);', 'open(1); rounds();']) {
      expect(run(program, ['--no-warnings'])).toEqual({ status: 0, warnings: [], stdout: '' });
    }
  });

  test('by an uncaught error, the leak is reported as well', () => {
    const { status, warnings } = run(`globalThis.kept = open(1); throw new Error('on purpose');`);
    expect(status).toBe(1);
    expect(warnings.join('\n')).toMatch(/on purpose[^]*RDMAVT_LEAK|RDMAVT_LEAK[^]*on purpose/);
  });
});
