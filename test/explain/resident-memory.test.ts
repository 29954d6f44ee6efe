// The memory that the command `rdmavt explain` takes. Apart from the other tests, because a sanitizer takes memory of its own.
import { existsSync } from 'node:fs';
import { rdmavt } from '../support/command-line';
import { describeIf, tellsMemory } from '../support/conditions';
import { connection, frame, Op, pcapHeader, pcapRecord, Syndrome } from '../support/roce-captures';
import { temporaryFolder } from '../support/temporary-folder';

const folder = temporaryFolder();

/**
 * What the command may take in kilobytes, whatever the capture. With Node 24 and later V8 takes 0 to 25 MB more for a moment, by chance
 * of its threads: Node 26 took 94 to 119 MB in 40 runs of one capture, and 83 MB each time with the optimising compilers off.
 */
const takesMore = Number(process.versions.node.split('.')[0]) >= 24;
const MOST_KILOBYTES = takesMore ? 125_000 : 100_000;

/** One request of a capture: a WRITE of 64 bytes from one queue pair to another. */
interface Request {
  from: { host: string; qp: number };
  to: { host: string; qp: number };
  psn: number;
  key: number;
  syndrome: number;
}

const usual: Request = {
  from: { host: '10.0.0.1', qp: 1 },
  to: { host: '10.0.0.2', qp: 2 },
  psn: 0,
  key: 0x1234_5600,
  syndrome: Syndrome.Ack,
};

/** Makes a capture of the requests from `begin` to `end`, each with its answer; without its header if it is a continuation. */
function capture(begin: number, end: number, change: (i: number) => Partial<Request>): Buffer {
  const records: Buffer[] = begin === 0 ? [pcapHeader()] : [];
  for (let i = begin; i < end; i++) {
    const { from, to, psn, key, syndrome } = { ...usual, psn: i, ...change(i) };
    const { ask, ack } = connection(from, to);
    const reth = { address: BigInt(i * 64), key, length: 64 };
    records.push(pcapRecord(frame(ask(Op.WriteOnly, psn, { reth, payload: 64 })), 4 * i));
    records.push(pcapRecord(frame(ack(psn, psn, syndrome)), 4 * i + 2));
  }
  return Buffer.concat(records);
}

/** Explains a capture. Returns the most memory that the process had, and what it printed. */
function explain(path: string, ...options: string[]): { kilobytes: number; stdout: string } {
  const preload = folder.file(
    'memory.cjs',
    // Not resourceUsage().maxRSS: Linux passes the memory of the parent on to it.
    "const { readFileSync } = require('node:fs');\nprocess.on('exit', () => process.stderr.write(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1]));\n",
  );
  const { status, stdout, stderr } = rdmavt(['explain', path, ...options], '', ['--require', preload]);
  expect(status).toBe(0);
  expect(stderr).toMatch(/^\d+$/);
  return { kilobytes: Number(stderr), stdout };
}

/** As {@link explain}; the least of several processes if chance makes some of them take more. */
function explainForLeast(path: string, ...options: string[]): ReturnType<typeof explain> {
  const runs = Array.from({ length: takesMore ? 4 : 1 }, () => explain(path, ...options));
  return runs.reduce((least, run) => (run.kilobytes < least.kilobytes ? run : least));
}

describeIf(existsSync('/proc/self/status') && tellsMemory, 'needs /proc/self/status, which only Linux has')(
  'the memory of the command',
  () => {
    test('is no more for a longer capture', () => {
      const change = (i: number): Partial<Request> => ({ key: usual.key + (i & 255) });
      const first = capture(0, 20_000, change); // 4.6 MB
      const shortPath = folder.file('short.pcap', first);
      const longPath = folder.file('long.pcap', Buffer.concat([first, capture(20_000, 120_000, change)]));
      for (const options of [[], ['--json']]) {
        const short = explainForLeast(shortPath, ...options);
        const long = explainForLeast(longPath, ...options);
        expect(short.stdout.match(options.length === 0 ? /: acknowledged/g : /"Acknowledged"/g)).toHaveLength(
          20_000,
        );
        expect(long.stdout.match(options.length === 0 ? /: acknowledged/g : /"Acknowledged"/g)).toHaveLength(
          120_000,
        );
        expect(long.kilobytes).toBeLessThan(MOST_KILOBYTES);
        expect(long.kilobytes - short.kilobytes).toBeLessThan(12_000);
      }
    });

    // More than the tables hold: 32,768 keys, 8,192 flows, 4,096 addresses, 4,096 findings.
    test.each<[string, number, (i: number) => Partial<Request>, string]>([
      [
        'with more keys than are told apart',
        60_000,
        (i) => ({ key: Math.imul(i, 0x9e37_79b1) >>> 0 }),
        '"dropped":{"packets":0,"keys":27232,',
      ],
      [
        'with more queue pairs than are told apart',
        20_000,
        (i) => ({ from: { host: '10.0.0.1', qp: 2 * i + 16 }, to: { host: '10.0.0.2', qp: 2 * i + 17 } }),
        '"dropped":{"packets":31808,"keys":0,',
      ],
      [
        'with more addresses than are told apart',
        20_000,
        (i) => ({ from: { host: `11.0.${i >> 8}.${i & 255}`, qp: 1 } }),
        '"dropped":{"packets":31810,"keys":0,',
      ],
      [
        'with more findings than are kept',
        20_000,
        (i) => ({
          from: { host: '10.0.0.1', qp: 2 * (i & 4095) + 16 },
          to: { host: '10.0.0.2', qp: 2 * (i & 4095) + 17 },
          psn: i >> 12,
          key: Math.imul(i, 0x9e37_79b1) >>> 0,
          syndrome: Syndrome.Access,
        }),
        '"dropped":{"packets":0,"keys":0,"findings":15904,',
      ],
    ])('is limited %s', (_, requests, change, dropped) => {
      const path = folder.file('many.pcap', capture(0, requests, change));
      expect(explain(path).kilobytes).toBeLessThan(MOST_KILOBYTES);
      const { kilobytes, stdout } = explain(path, '--json');
      expect(stdout.slice(stdout.indexOf('{"type":"summary"'))).toContain(dropped);
      expect(kilobytes).toBeLessThan(MOST_KILOBYTES);
    });
  },
);
