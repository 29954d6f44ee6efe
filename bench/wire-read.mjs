// Measures READs of 8 bytes from another process over the loopback interface, one after the other, through endpoints. Compared with a
// request and a response by node:net.
import { gaugesOf } from './harness/own-process.mjs';
import { FEW } from './harness/rounds.mjs';
import { wire } from './harness/wire.mjs';

const TRIPS = 1000;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'wire-read',
  title: 'A round trip to another process: 8 bytes are read',
  unit: 'ns/trip',
  effort: FEW,
  prepare: ({ smoke }) => ({
    contenders: gaugesOf(() => wire('read-8', smoke ? 50 : TRIPS), {
      rdma: 'RDMA_READ, endpoint.poll() until it is in the ring',
      awaited: 'await qp.read(...)',
      net: 'socket.write of a request, and its answer',
    }),
    lines: [
      { name: 'wire-read', of: 'rdma', peer: 'net', reach: 0.6 },
      { name: 'wire-read/await-read', of: 'awaited', peer: 'net' },
      { name: 'wire-read/peer-net', of: 'net' },
    ],
    close: () => undefined,
  }),
};
