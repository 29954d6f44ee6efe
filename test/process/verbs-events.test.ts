// What keeps a process alive while it waits for completions, and what happens to exceptions of listeners. Each program runs in a
// process of its own.
import { runProgram } from '../support/programs';

const prelude = `
  const { Device } = require('./dist/index.js');
  const device = new Device();
  const pd = device.allocPd();
  const cq = device.createCq(16);
  const qp = pd.createQp({ type: 'RC', sendCq: cq, maxRecvWr: 16 });
  const other = pd.createQp({ type: 'RC', sendCq: device.createCq(16) });
  qp.connect(other, { access: 0, minRnrTimer: 20 });
  const write = (wrId) => qp.postSend({ opcode: 'RDMA_WRITE', wrId, signaled: true, remoteAddr: 0, rkey: 0 });
  const say = (...words) => console.log(words.join(' '));
  process.on('exit', (code) => say('exit', code));
`;

function run(
  program: string,
  timeout?: number,
): { status: number | null; signal: string | null; lines: string[]; stderr: string } {
  const { status, signal, stdout, stderr } = runProgram(prelude + program, ['--no-warnings'], timeout);
  return { status, signal, lines: stdout.trim().split('\n'), stderr };
}
const ends = (program: string): string[] => {
  const { status, signal, lines, stderr } = run(program);
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  return lines;
};
/** Expects that the program does not exit by itself. */
const staysAlive = (program: string): void => {
  expect(run(program, 1500)).toMatchObject({ signal: 'SIGKILL', lines: ['begun'] });
};

describe('the process stays alive', () => {
  test.each([
    ['while an iteration waits', `(async () => { for await (const wc of cq) say(wc.wrId); })();`],
    ['while a promise waits', `qp.recv([]).then(() => say('received'));`],
    ['while an armed queue has a listener', `cq.on('completion', () => say('completion')); cq.arm();`],
    ['after unref and ref', `cq.on('completion', () => say('completion')); cq.arm(); cq.unref(); cq.ref();`],
  ])('%s', (_, program) => {
    staysAlive(`${program} say('begun');`);
  });

  test('until the completion comes that an iteration, a promise or a listener waits for', () => {
    expect(
      ends(`
        setTimeout(() => { write(7); }, 50).unref();
        (async () => { for await (const wc of cq) { say('iteration', wc.wrId); break; } })();
      `),
    ).toEqual(['iteration 7', 'exit 0']);
    expect(
      ends(`
        setTimeout(() => { other.postSend({ opcode: 'SEND' }); }, 50).unref();
        qp.recv([]).then((wc) => say('promise', wc.opcode));
      `),
    ).toEqual(['promise RECV', 'exit 0']);
    expect(
      ends(`
        setTimeout(() => { write(7); }, 50).unref();
        cq.on('completion', () => say('listener', cq.poll().length));
        cq.arm();
      `),
    ).toEqual(['listener 1', 'exit 0']);
  });

  test('until the events of a queue that is armed again and again are delivered', () => {
    expect(
      ends(`
        let events = 0;
        cq.on('completion', () => say('event', ++events));
        for (let i = 0; i < 3; i++) { cq.arm(); write(i); }
      `),
    ).toEqual(['event 1', 'event 2', 'event 3', 'exit 0']);
  });

  test('until another thread closes the device', () => {
    expect(
      ends(`
        const { Worker } = require('node:worker_threads');
        (async () => { for await (const wc of cq) say(wc.wrId); say('over'); })();
        qp.recv([]).catch((error) => say(error.code));
        cq.on('completion', () => {});
        const worker = new Worker(\`
          const { workerData } = require('node:worker_threads');
          const { Device } = require(process.cwd() + '/dist/index.js');
          setTimeout(() => Device.attach(workerData).close({ cascade: true }), 100);
        \`, { eval: true, workerData: device.share() });
        worker.unref();
      `).sort(),
    ).toEqual(['EBADF', 'exit 0', 'over']);
  });
});

describe('the process exits', () => {
  test.each([
    ['with a queue that is armed but has no listener', `cq.arm();`],
    ['with a listener of a queue that is not armed', `cq.on('completion', () => {});`],
    ['with a listener of cqError', `cq.on('cqError', () => {}); cq.arm();`],
    [
      'with a listener that was removed',
      `const f = () => {}; cq.on('completion', f); cq.arm(); cq.off('completion', f);`,
    ],
    ['with all listeners removed', `cq.on('completion', () => {}); cq.arm(); cq.removeAllListeners();`],
    [
      'after unref, with an iteration that waits',
      `cq.unref(); (async () => { for await (const wc of cq) say(wc.wrId); })();`,
    ],
    ['after unref, with a promise that waits', `qp.recv([]).then(() => say('received')); cq.unref();`],
    [
      'after unref, with a listener of an armed queue',
      `cq.on('completion', () => {}); cq.arm(); cq.unref();`,
    ],
    ['with an iteration that was ended', `const it = cq[Symbol.asyncIterator](); it.next(); it.return();`],
    ['with an iteration between two calls of next', `cq[Symbol.asyncIterator]();`],
    ['while an RNR timer runs', `qp.postSend({ opcode: 'SEND', wrId: 1 });`],
    [
      'with a listener of the limit of a shared receive queue',
      `pd.createSrq({ maxWr: 1 }).on('limit', () => {});`,
    ],
    [
      'when the device is closed',
      `qp.recv([]).catch(() => {}); cq.on('completion', () => {}); cq.arm(); device.close({ cascade: true });`,
    ],
    ['when the waiting queue pair is destroyed', `qp.recv([]).catch(() => {}); qp.destroy();`],
  ])('%s', (_, program) => {
    const begin = Date.now();
    expect(ends(program)).toEqual(['exit 0']);
    expect(Date.now() - begin).toBeLessThan(30_000);
  });
});

describe('a listener that throws', () => {
  test('raises an uncaught exception, and the other events are delivered', () => {
    expect(
      ends(`
        const second = device.createCq(4);
        const loop = pd.createQp({ type: 'RC', sendCq: second });
        loop.connect(loop, { access: 0 });
        process.on('uncaughtException', (error) => say('uncaught', error.message));
        cq.on('completion', () => { say('first'); throw new Error('thrown'); });
        second.on('completion', () => say('second'));
        cq.arm();
        second.arm();
        write(1);
        loop.postSend({ opcode: 'RDMA_WRITE', signaled: true, remoteAddr: 0, rkey: 0 });
      `),
    ).toEqual(['first', 'uncaught thrown', 'second', 'exit 0']);
  });

  test('ends the process without a handler', () => {
    const { status, lines, stderr } = run(`
      cq.on('completion', () => { throw new Error('thrown'); });
      cq.arm();
      write(1);
    `);
    expect([status, lines]).toEqual([1, ['exit 1']]);
    expect(stderr).toContain('Error: thrown');
  });
});

test('operations that reach the stack limit do not keep the process alive', () => {
  const { status, signal, lines } = run(
    `
      const large = device.createCq(16384);
      const self = pd.createQp({ type: 'RC', sendCq: large, maxSendWr: 256 });
      self.connect(self, { access: 2 });
      const mr = pd.regUserMr(new SharedArrayBuffer(8), { access: 3 });
      const sge = { addr: mr.start, length: 8, lkey: mr.lkey };
      const remote = { vaddr: mr.iova, rkey: mr.rkey };
      let succeeded = 0, failed = 0, next;
      const writeOne = () => self.write(sge, remote).then(() => { succeeded++; }, () => { failed++; });
      const descend = () => {
        try {
          descend();
        } finally {
          if (next++ < 2000) try { writeOne(); } catch { failed++; }
        }
      };
      for (let i = 0; i < 5; i++) {
        next = 0;
        try { descend(); } catch {}
      }
      setTimeout(() => {
        say(succeeded + failed > 9000, succeeded > 0, failed > 0);
        large.poll(16384);
        writeOne().then(() => say('written', large.length));
      }, 100);
    `,
    20_000,
  );
  expect({ status, signal, lines }).toEqual({
    status: 0,
    signal: null,
    lines: ['true true true', 'written 0', 'exit 0'],
  });
});

test('a worker that ends in the middle of everything harms nobody', () => {
  expect(
    ends(`
      const { Worker } = require('node:worker_threads');
      const worker = new Worker(\`
        const { workerData } = require('node:worker_threads');
        const { Device } = require(process.cwd() + '/dist/index.js');
        const device = Device.attach(workerData);
        const cq = device.createCq(4);
        const qp = device.allocPd().createQp({ type: 'RC', sendCq: cq });
        qp.connect(qp, { access: 0, minRnrTimer: 1 });
        cq.on('completion', () => {}).on('cqError', () => {});
        cq.arm();
        qp.postSend({ opcode: 'SEND' });
        qp.recv([]).catch(() => {});
        (async () => { for await (const wc of cq); })();
        setTimeout(() => process.exit(), 50);
      \`, { eval: true, workerData: device.share() });
      worker.on('exit', () => say('left', device.resources().completionQueues.length));
    `),
  ).toEqual(['left 2', 'exit 0']);
});
