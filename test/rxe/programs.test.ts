// Programs of Debian in the guest, as they are, against `rdmavt serve` in a process of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandFile } from '../support/command-line';
import { describeIf } from '../support/conditions';
import { socketPlace } from './network';
import type { Family } from './peer';
import { BOOT_LIMIT_MS, Session, whyNot } from './session';

const PROGRAM_MS = 20_000;
const ITERATIONS = 200;
/** Programs of perftest, the size of their messages, and what the server says when they are done. */
const PERFTEST: readonly [name: string, size: number, done: string][] = [
  ['write_bw', 65_536, `${ITERATIONS * 65_536} bytes came in`],
  ['write_lat', 64, `${ITERATIONS} messages, ${ITERATIONS * 64} bytes, written back`],
  ['read_bw', 4096, 'bytes came in'],
  ['read_lat', 64, 'bytes came in'],
  ['send_bw', 4096, `${ITERATIONS} messages, ${ITERATIONS * 4096} bytes, received`],
  ['send_lat', 64, `${ITERATIONS} messages, ${ITERATIONS * 64} bytes, sent back`],
  ['atomic_bw', 8, 'the number in memory is'],
  ['atomic_lat', 8, 'the number in memory is'],
];
const because = whyNot('sockets');
const families: readonly Family[] = ['ipv4', 'ipv6'];

describeIf(because === undefined, because ?? '')('programs of the guest', () => {
  let session: Session | undefined; // not there if the guest does not boot
  let server: ChildProcess | undefined;
  let said = '';
  beforeAll(async () => {
    session = await Session.open();
    await session.openTap();
  }, BOOT_LIMIT_MS);
  afterEach(() => {
    server?.kill('SIGKILL');
    server = undefined;
  });
  afterAll(async () => {
    await session?.close();
  });

  /** Starts `rdmavt serve`, and waits until it serves. */
  async function serve(args: readonly string[]): Promise<void> {
    said = '';
    const child = spawn(process.execPath, [commandFile, 'serve', ...args]);
    server = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
    await until(() => said.includes('serving'));
  }

  /** Runs a program in the guest, and returns its status and what it has said. */
  async function run(argv: readonly string[]): Promise<{ status: number; text: string }> {
    const answer = await session!.machine.shell.command(
      'run',
      { argv: argv.join(','), ms: PROGRAM_MS },
      PROGRAM_MS,
    );
    const values = new Map(answer.map((word) => word.split('=') as [string, string]));
    return {
      status: Number(values.get('status')),
      text: Buffer.from(values.get('text') ?? '', 'hex').toString(),
    };
  }

  /** The index of the GID that is the guest's address. */
  async function gidIndex(family: Family): Promise<string> {
    const wanted =
      family === 'ipv4'
        ? `00000000000000000000ffff${Buffer.from(socketPlace.guest.ipv4.split('.').map(Number)).toString('hex')}`
        : `fd000003${'0'.repeat(22)}15`;
    const gids = await session!.machine.shell.command('gids', { device: socketPlace.rxe });
    const found = gids.find((gid) => gid.endsWith(`:${wanted}`))?.split(':')[0];
    if (found === undefined) throw new Error(`no GID ${wanted} in ${gids.join(' ')}`);
    return found;
  }

  // They find their server over IPv4 only.
  test.each(PERFTEST)('ib_%s', async (name, size, done) => {
    const address = socketPlace.host.ipv4;
    const ofServer = name === 'write_lat' ? ['--size', `${size}`] : [];
    await serve(['perftest', '--program', name, '--address', address, '--once', ...ofServer]);
    const { status, text } = await run([
      ...[`ib_${name}`, '-d', socketPlace.rxe, '-x', await gidIndex('ipv4'), '-n', `${ITERATIONS}`],
      ...(size === 8 ? [] : ['-s', `${size}`]),
      address,
    ]);
    expect(`${status}\n${text}\n${said}`).toMatch(/^0\n/);
    expect(text).toMatch(new RegExp(`^ *${size} +${ITERATIONS} `, 'm'));
    await until(() => server?.exitCode !== null);
    expect(said).toContain('path MTU 1024');
    expect(said).toContain(done);
    expect(said).not.toContain('refused');
    console.log(`ib_${name}: ${text.split('\n').slice(-3).join(' ').trim()}\n${said}`);
  });

  describe.each(families)('over %s', (family) => {
    test.each(['rc', 'uc', 'ud'] as const)('ibv_%s_pingpong', async (type) => {
      const address = socketPlace.host[family];
      await serve(['pingpong', '--address', address, '--type', type, '--once']);
      const sizes = type === 'ud' ? '2048' : '4096';
      const { status, text } = await run([
        `ibv_${type}_pingpong`,
        ...['-d', socketPlace.rxe, '-g', await gidIndex(family), '-n', `${ITERATIONS}`, '-s', sizes],
        address,
      ]);
      expect(`${status}\n${text}\n${said}`).toMatch(/^0\n/);
      expect(text).toContain(`${ITERATIONS} iters in`);
      await until(() => server?.exitCode !== null);
      expect(said).toContain(`${ITERATIONS} messages, ${ITERATIONS * Number(sizes)} bytes`);
      console.log(`ibv_${type}_pingpong, ${family}: ${text.split('\n').slice(-3).join(' ').trim()}`);
    });

    test('rping -c', async () => {
      const address = socketPlace.host[family];
      await serve(['rping', '--address', address, '--once']);
      const { status, text } = await run(['rping', '-c', '-a', address, '-C', '10', '-v', '-V']);
      expect(`${status}\n${text}\n${said}`).toMatch(/^0\n/);
      expect(text.match(/ping data: rdma-ping-\d/g)).toHaveLength(10);
      await until(() => server?.exitCode !== null);
      expect(said).toContain(`${socketPlace.guest[family]}: asks for a connection`);
      expect(said).toContain('rdma-ping-0: ');
      expect(said).toContain('10 rounds, 640 bytes read and written back');
    });
  });
});

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !holds(); i++) await sleep(10);
  expect(holds()).toBe(true);
}
