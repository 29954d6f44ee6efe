// Endpoints when the system's calls fail: sockets without room, messages that are too long, kernels without options, and processes
// without descriptors. Each program runs in a process of its own, in which test/support/faulty-calls makes calls fail.
import { describeIf } from '../support/conditions';
import { canFail, runWithFaults } from '../support/faulty-calls';

const prelude = `
  const { readdirSync } = require('node:fs');
  const { randomFillSync } = require('node:crypto');
  const { Access, Device, Endpoint } = require('rdmavt');
  const REMOTE = Access.RemoteRead | Access.RemoteWrite | Access.RemoteAtomic;
  const end = () => {
    const device = new Device(), pd = device.allocPd(), cq = device.createCq(64);
    const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
    const qp = pd.createQp({ type: 'RC', sendCq: cq, maxSendWr: 64 });
    const bytes = Buffer.alloc(1 << 18);
    const mr = pd.regUserMr(bytes, { access: Access.LocalWrite | REMOTE });
    const sge = (at, length) => ({ addr: mr.start + BigInt(at), length, lkey: mr.lkey });
    const remote = (at) => ({ vaddr: mr.iova + BigInt(at), rkey: mr.rkey });
    return { device, pd, endpoint, qp, bytes, mr, sge, remote, here: endpoint.describe(qp) };
  };
  const ends = (options) => {
    const [a, b] = [end(), end()];
    a.qp.connect({ endpoint: a.endpoint, ...b.here, access: REMOTE, timeout: 11, ...options });
    b.qp.connect({ endpoint: b.endpoint, ...a.here, access: REMOTE, timeout: 11, ...options });
    return [a, b];
  };
  /** Writes and reads 2 MiB in messages of many lengths, of both directions at once, and sends messages. Throws if a byte differs. */
  const traffic = async ([a, b]) => {
    for (let round = 0; round < 8; round++) {
      randomFillSync(a.bytes, 0, 1 << 17);
      randomFillSync(b.bytes, 0, 1 << 17);
      const all = [];
      for (let at = 0, length; at < 1 << 17; at += length) {
        length = Math.min([1, 64, 1000, 8192, 30000][all.length % 5], (1 << 17) - at);
        all.push(a.qp.write(a.sge(at, length), b.remote((1 << 17) + at)));
        all.push(b.qp.read(b.sge(at, 0), a.remote(at)), a.qp.read(a.sge((1 << 17) + at, length), b.remote(at)));
      }
      const received = b.qp.recv(b.sge(0, 0));
      await Promise.all([...all, received, a.qp.send(a.sge(0, 0))]);
      const half = (bytes, i) => bytes.subarray(i << 17, (i + 1) << 17);
      if (!half(a.bytes, 0).equals(half(b.bytes, 1)) || !half(b.bytes, 0).equals(half(a.bytes, 1)))
        throw new Error('other bytes have arrived');
    }
  };
  const sum = (all, name) => all.reduce((count, { endpoint }) => count + endpoint.counters()[name], 0);
  const close = (all) => all.forEach(({ device }) => device.close({ cascade: true }));
  const tell = (value) => console.log(JSON.stringify(value));
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const opens = (device) => {
    try {
      new Endpoint({ device, address: '127.0.0.1', port: 0 }).close();
      return 'opened';
    } catch (error) {
      return [error.code, error.detail.cause, error.detail.value];
    }
  };
`;

function answerOf(program: string): any {
  const { status, stdout, stderr } = runWithFaults(prelude + program);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

const describeFaults = describeIf(canFail, 'needs Linux and gcc');

/** Transfers while the faults happen. */
const transfer = (faults: string, options = '{}'): any =>
  answerOf(`
    (async () => {
      const all = ends(${options});
      Object.assign(faults, ${faults});
      await traffic(all);
      const counts = Object.fromEntries(Object.keys(${faults}).map((name) => [name, failed(name)]));
      const [unsent, tooLong, timeouts] = ['unsent', 'tooLong', 'timeouts'].map((name) => sum(all, name));
      tell({ ...counts, unsent, tooLong, timeouts });
      close(all);
    })();`);

describeFaults('an endpoint loses no packet', () => {
  test('when the socket has no room: it waits until there is', () => {
    const { again, unsent } = transfer('{ again: 2 }');
    expect(again).toBeGreaterThan(20);
    expect(unsent).toBe(0);
  });

  test('when the system takes only the first of several messages', () => {
    const { partial, unsent } = transfer('{ partial: 1 }', '{ pathMtu: 256 }');
    expect(partial).toBeGreaterThan(0);
    expect(unsent).toBe(0);
  });

  test('when calls are interrupted, or tell of an earlier packet', () => {
    const { interrupted, refused, unsent } = transfer('{ interrupted: 2, refused: 3 }');
    expect(interrupted).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(20);
    expect(unsent).toBe(0);
  });

  test.each([
    ['EIO', 5],
    ['EOPNOTSUPP', 95],
    ['ENOPROTOOPT', 92],
  ])('when the system cannot cut messages (%s): it sends packets one by one from then on', (_, errno) => {
    const { segments, unsent, tooLong } = transfer(`{ segments: ${errno} }`);
    expect(segments).toBe(2); // each endpoint tries it once
    expect({ unsent, tooLong }).toEqual({ unsent: 0, tooLong: 0 });
  });

  test('when it cannot cut messages and has no room', () => {
    const { segments, again, unsent } = transfer('{ segments: 5, again: 3 }');
    expect(segments).toBe(2);
    expect(again).toBeGreaterThan(20);
    expect(unsent).toBe(0);
  });

  test('when the system does not put packets together', () => {
    const { sent } = answerOf(`
      (async () => {
        faults.option = 104; // UDP_GRO
        const all = ends();
        await traffic(all);
        tell({ sent: sum(all, 'sent') });
        close(all);
      })();`);
    expect(sent).toBeGreaterThan(1000);
  });
});

describeFaults('an endpoint repeats packets', () => {
  test('that the system did not send, and counts them', () => {
    const { unreachable, unsent } = transfer('{ unreachable: 5 }', '{ retryCnt: 7, timeout: 8 }');
    expect(unreachable).toBeGreaterThan(5);
    expect(unsent).toBeGreaterThanOrEqual(unreachable);
  });

  test('that are too long in vain: the request fails, and shorter ones arrive', () => {
    const { status, tooLong, unsent, short } = answerOf(`
      (async () => {
        const [a, b] = ends({ pathMtu: 4096, timeout: 8, retryCnt: 2 });
        faults.mtu = 1500;
        a.bytes.fill(7, 0, 1000);
        await a.qp.write(a.sge(0, 1000), b.remote(0));
        const short = b.bytes.subarray(0, 1001).join('') === '7'.repeat(1000) + '0';
        const { status } = await a.qp.write(a.sge(0, 20000), b.remote(0)).catch((error) => error);
        const { tooLong, unsent } = a.endpoint.counters();
        tell({ status, tooLong, unsent, short });
        close([a, b]);
      })();`);
    // The message has 5 packets, which are sent and sent again twice.
    expect({ status, unsent, short }).toEqual({ status: 'RETRY_EXC_ERR', unsent: 0, short: true });
    expect(tooLong).toBe(3 * 5);
  });
});

describeFaults('opening an endpoint fails', () => {
  test('with the errno of the system, and leaves nothing open', () => {
    const { failures, before, after, last } = answerOf(`
      const device = new Device();
      const first = opens(device);
      const before = descriptors();
      const failures = {};
      for (const [name, errno] of [
        ['socket', 24], ['socket', 23], ['socket', 12], ['socket', 105], ['socket', 1], ['socket', 13], ['socket', 97],
        ['bind', 13], ['bind', 98], ['bind', 99], ['bind', 19],
        ['epoll', 24], ['timer', 24], ['event', 24], ['epollAdd', 12], ['epollAdd', 28],
        ['option', 10], // IP_MTU_DISCOVER
      ]) {
        faults[name] = errno;
        failures[name + ' ' + errno] = opens(device).join(' ');
        faults[name] = 0;
      }
      tell({ failures, before, after: descriptors(), last: opens(device) });
      device.close();`);
    expect(failures).toEqual({
      'socket 24': 'EMFILE Socket 24',
      'socket 23': 'EMFILE Socket 23',
      'socket 12': 'ENOMEM Socket 12',
      'socket 105': 'ENOMEM Socket 105',
      'socket 1': 'EACCES Socket 1',
      'socket 13': 'EACCES Socket 13',
      'socket 97': 'EADDRNOTAVAIL Socket 97',
      'bind 13': 'EACCES Socket 13',
      'bind 98': 'EADDRINUSE Socket 98',
      'bind 99': 'EADDRNOTAVAIL Socket 99',
      'bind 19': 'EADDRNOTAVAIL Socket 19',
      'epoll 24': 'EMFILE Socket 24',
      'timer 24': 'EMFILE Socket 24',
      'event 24': 'EMFILE Socket 24',
      'epollAdd 12': 'ENOMEM Socket 12',
      'epollAdd 28': 'EOPNOTSUPP Socket 28',
      'option 10': 'EOPNOTSUPP Socket 92',
    });
    expect(after).toBe(before);
    expect(last).toBe('opened');
  });

  test('with ENOMEM if it must wait in a thread and there can be none', () => {
    const { answers, before, after } = answerOf(`
      require('./test/support/wait-by-thread.cjs');
      const device = new Device();
      opens(device);
      const before = descriptors();
      const answers = [];
      for (const name of ['thread', 'event']) {
        faults[name] = 11;
        answers.push(opens(device).slice(0, 2).join(' '));
        faults[name] = 0;
      }
      answers.push(opens(device));
      tell({ answers, before, after: descriptors() });
      device.close();`);
    expect(answers).toEqual(['ENOMEM NoMemory', 'EOPNOTSUPP Socket', 'opened']);
    expect(after).toBe(before);
  });
});
