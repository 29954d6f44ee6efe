// Debian's perftest and the pingpong programs of libibverbs, unmodified, as server and client in two processes. Both must end with
// status 0 and print their results. How fast they are depends on the machine, and is not tested.
import { testIf } from '../support/conditions';
import { runPair, whyNot, type Ended } from './pair';
import { pingPongOf, rowsOf } from './results';

/** All sizes of perftest's option -a: powers of two up to 8 MiB. */
const ALL_SIZES = Array.from({ length: 23 }, (_, i) => 2 ** (i + 1));

/** perftest sends inline data only on devices that it knows by their vendor. */
const NO_INLINE = 'Device not recognized to implement inline feature. Disabling it\n';

function expectGoodEnd({ status, signal, stderr }: Ended): void {
  expect({ status, signal, stderr: stderr.replace(NO_INLINE, '') }).toEqual({
    status: 0,
    signal: null,
    stderr: '',
  });
}

/** Options of a run, the sizes whose rows it must print, and the iterations that each must have. */
interface Run {
  readonly program: string;
  readonly options: string;
  readonly sizes: readonly number[];
  readonly iterations: number;
}

function runsOf(program: string, size: number, options: readonly string[]): Run[] {
  return options.map((text) => {
    const count = Number(/-n (\d+)/.exec(text)?.[1]);
    const pairs = Number(/-q (\d+)/.exec(text)?.[1] ?? 1);
    const own = /-s (\d+)/.exec(text)?.[1];
    const sizes = text.includes('-a') ? ALL_SIZES : [own === undefined ? size : Number(own)];
    return { program, options: text, sizes, iterations: count * pairs };
  });
}

const BANDWIDTH = 65_536;
const runs: Run[] = [
  ...runsOf('ib_write_bw', BANDWIDTH, [
    '-n 500',
    '-n 20 -a',
    '-n 200 -q 4',
    '-n 200 -b',
    '-n 200 -s 64 -I 64',
  ]),
  ...runsOf('ib_write_lat', 2, ['-n 200', '-n 10 -s 100000']),
  ...runsOf('ib_read_bw', BANDWIDTH, [
    '-n 500',
    '-n 20 -a',
    '-n 200 -q 4',
    '-n 200 -b',
    '-n 200 -e',
    '-n 200 -m 1024',
  ]),
  ...runsOf('ib_read_lat', 2, ['-n 500', '-n 20 -s 1000000']),
  ...runsOf('ib_send_bw', BANDWIDTH, [
    '-n 500',
    '-n 20 -s 1000000',
    '-n 200 -b',
    '-n 200 -e',
    '-n 200 --use-srq',
  ]),
  ...runsOf('ib_send_lat', 2, ['-n 500', '-n 200 -e', '-n 20 -s 1000000']),
  ...runsOf('ib_send_lat', 2, ['-n 200 -c UC', '-n 200 -c UD']),
  ...runsOf('ib_atomic_bw', 8, ['-n 500', '-n 500 -A CMP_AND_SWAP']),
  ...runsOf('ib_atomic_lat', 8, ['-n 500', '-n 500 -A CMP_AND_SWAP']),
];

describe.each(runs)('$program $options', ({ program, options, sizes, iterations }) => {
  testIf(whyNot(program) === undefined, whyNot(program) ?? '')('prints a row for each size', async () => {
    const [server, client] = await runPair(program, options.split(' '));
    expectGoodEnd(client);
    expectGoodEnd(server);
    const rows = rowsOf(client.stdout);
    expect(rows.map((row) => [row.bytes, row.iterations])).toEqual(sizes.map((size) => [size, iterations]));
    for (const { numbers } of rows) {
      expect(numbers.length).toBeGreaterThanOrEqual(3);
      // The rate of messages is rounded to 0 for long ones.
      for (const number of numbers.slice(0, 2)) expect(number).toBeGreaterThan(0);
    }
  });
});

interface Exchange {
  readonly program: string;
  readonly options: string;
  readonly bytes: number;
  readonly iterations: number;
}

const RC = 'ibv_rc_pingpong';
const SRQ = 'ibv_srq_pingpong';
const UC = 'ibv_uc_pingpong';
const UD = 'ibv_ud_pingpong';
/** With -c they compare the bytes. The pingpong of shared receive queues counts the iterations of its 16 queue pairs together. */
const exchanges: Exchange[] = [
  { program: RC, options: '-g 0 -c', bytes: 4096, iterations: 1000 },
  { program: RC, options: '-g 0 -c -e', bytes: 4096, iterations: 1000 },
  { program: RC, options: '-g 0 -c -N -n 300', bytes: 4096, iterations: 300 },
  { program: RC, options: '-g 0 -c -n 50 -s 100000 -m 1024', bytes: 100_000, iterations: 50 },
  { program: RC, options: '-g 0 -c -n 50 -s 65536 -m 4096 -r 10 -e', bytes: 65_536, iterations: 50 },
  { program: UC, options: '-g 0 -c', bytes: 4096, iterations: 1000 },
  { program: UC, options: '-g 0 -c -e -s 20000 -n 100', bytes: 20_000, iterations: 100 },
  { program: UD, options: '-g 0 -c -s 2048', bytes: 2048, iterations: 1000 },
  { program: UD, options: '-g 0 -c -s 1000 -e', bytes: 1000, iterations: 1000 },
  { program: SRQ, options: '-g 0 -c', bytes: 4096, iterations: 1000 },
  { program: SRQ, options: '-g 0 -c -e -q 4', bytes: 4096, iterations: 1000 },
];

describe.each(exchanges)('$program $options', ({ program, options, bytes, iterations }) => {
  testIf(whyNot(program) === undefined, whyNot(program) ?? '')('exchanges all messages', async () => {
    const ends = await runPair(program, options.split(' '));
    for (const end of ends) {
      expectGoodEnd(end);
      const result = pingPongOf(end.stdout);
      expect(result).toMatchObject({ bytes: 2 * bytes * iterations, iterations });
      expect(result?.microseconds).toBeGreaterThan(0);
      // What -c prints of a byte that is not as it was sent.
      expect(end.stdout).not.toMatch(/invalid data/);
    }
  });
});
