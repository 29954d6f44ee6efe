// The memory that the command `rdmavt explain` takes. Apart from the other tests, because a sanitizer takes memory of its own.
import { existsSync } from 'node:fs';
import { rdmavt } from '../support/command-line';
import { tellsMemory, testIf } from '../support/conditions';
import { connection, frame, Op, pcapHeader, pcapRecord } from '../support/roce-captures';
import { temporaryFolder } from '../support/temporary-folder';

const folder = temporaryFolder();

testIf(existsSync('/proc/self/status') && tellsMemory, 'needs /proc/self/status, which only Linux has')(
  'needs no more memory for a longer capture',
  () => {
    const { ask, ack } = connection({ host: '10.0.0.1', qp: 1 }, { host: '10.0.0.2', qp: 2 });
    const records: Buffer[] = [pcapHeader()];
    const grow = (from: number, to: number): void => {
      for (let psn = from; psn < to; psn++) {
        const reth = { address: BigInt(psn * 64), key: 0x1234_5600 + (psn & 255), length: 64 };
        records.push(pcapRecord(frame(ask(Op.WriteOnly, psn, { reth, payload: 64 })), 4 * psn));
        records.push(pcapRecord(frame(ack(psn, psn)), 4 * psn + 2));
      }
    };
    const preload = folder.file(
      'memory.cjs',
      // Not resourceUsage().maxRSS: Linux passes the memory of the parent on to it.
      "const { readFileSync } = require('node:fs');\nprocess.on('exit', () => process.stderr.write(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1]));\n",
    );
    const kilobytes = (name: string): number => {
      const path = folder.file(name, Buffer.concat(records));
      const { status, stdout, stderr } = rdmavt(['explain', path], '', ['--require', preload]);
      expect(status).toBe(0);
      expect(stdout).toContain(`${(records.length - 1) / 2 === 20_000 ? '20,000' : '120,000'} acknowledged`);
      return Number(stderr);
    };
    grow(0, 20_000);
    const short = kilobytes('short.pcap'); // 4.6 MB
    grow(20_000, 120_000);
    const long = kilobytes('long.pcap'); // 28 MB
    expect(long).toBeLessThan(100_000);
    expect(long - short).toBeLessThan(12_000);
  },
);
