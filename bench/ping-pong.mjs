// Measures a round trip between two worker threads by SEND and RECV, with both threads polling, like examples/ping-pong. Compared
// with a round trip by postMessage between the same two threads.
import { gaugesOf } from './harness/own-process.mjs';
import { BYTES, roundTrips } from './harness/round-trips.mjs';
import { FEW } from './harness/rounds.mjs';

const ROUNDS = 8000;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'ping-pong',
  title: 'A round trip between two worker threads',
  unit: 'ns/trip',
  effort: FEW,
  prepare: ({ smoke }) => ({
    contenders: gaugesOf(() => roundTrips(smoke ? 200 : ROUNDS), {
      rdma: `SEND and RECV of ${BYTES} bytes, polled`,
      message: 'postMessage of a number',
    }),
    lines: [
      { name: 'ping-pong', of: 'rdma', peer: 'message', reach: 0.2 },
      { name: 'ping-pong/peer-post-message', of: 'message' },
    ],
    close: () => undefined,
  }),
};
