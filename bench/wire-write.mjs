// Measures WRITEs from one process to another over the loopback interface, through endpoints. Compared with the same bytes by
// node:net, which the other process copies to where the WRITE puts them, and acknowledges message by message.
import { gaugesOf } from './harness/own-process.mjs';
import { FEW } from './harness/rounds.mjs';
import { wire } from './harness/wire.mjs';

const LONG = 512;
const SHORT = 8192;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'wire-write',
  title: 'RDMA_WRITE to another process through endpoints, path MTU 4096',
  unit: 'ns/message',
  effort: FEW,
  prepare({ smoke }) {
    const long = gaugesOf(() => wire('write-64k', smoke ? 32 : LONG), {
      rdma: 'RDMA_WRITE of 64 KiB, 16 outstanding',
      net: 'socket.write of 64 KiB, 16 outstanding',
    });
    const short = gaugesOf(() => wire('write-64', smoke ? 512 : SHORT), {
      rdma: 'RDMA_WRITE of 64 bytes, 256 outstanding',
      net: 'socket.write of 64 bytes, 256 outstanding',
    });
    return {
      contenders: { long: long.rdma, longNet: long.net, short: short.rdma, shortNet: short.net },
      lines: [
        // Half the rate, or twice.
        { name: 'wire-write/65536', of: 'long', peer: 'longNet', reach: 2 },
        { name: 'wire-write/64', of: 'short', peer: 'shortNet', reach: 0.5 },
        { name: 'wire-write/peer-net-65536', of: 'longNet' },
        { name: 'wire-write/peer-net-64', of: 'shortNet' },
      ],
      close: () => undefined,
    };
  },
};
