// The memory of `rdmavt serve`. Apart from the other tests, because a sanitizer takes memory of its own.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeIf } from '../support/conditions';
import { GREETING, MTU, PERFTEST, someLine, VERSION } from '../support/perftest-client';
import { killServed, serve, TcpClient } from '../support/served';
import { until } from '../support/wire-ends';

afterEach(() => {
  killServed();
});

const line = someLine().toString('latin1');

describeIf(process.platform === 'linux', 'endpoints need Linux')('the memory of rdmavt serve', () => {
  test('a client that asks without end and never listens costs no memory, and others are served', async () => {
    const served = await serve([...PERFTEST, '--program', 'write_bw']);
    const resident = (): number =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${served.child.pid}/status`, 'utf8'))?.[1]) * 1024;
    const client = new TcpClient(served.port);
    client.say(`${GREETING}${MTU}`);
    client.say(line);
    await until(() => served.output().includes('queue pair'));
    const before = resident();
    const block = Buffer.from(line.repeat(1000), 'latin1');
    for (let i = 0; i < 600; i++) client.socket.write(block);
    await sleep(2000);
    // 64 MB, of which the server has taken what the system's buffers hold.
    expect(client.socket.writableLength).toBeGreaterThan(20_000_000);
    expect(resident() - before).toBeLessThan(40_000_000);
    const other = new TcpClient(served.port).listen();
    expect(await other.ask(VERSION)).toHaveLength(VERSION.length);
    served.child.kill('SIGTERM');
    expect(await served.ended).toBe(0);
  });
});
