// Measures posting one work request at a time and polling its completion when the work requests use 10,000 queue pairs in turn, in
// random order. Compared with a single queue pair. Each queue pair is connected with itself, and all share one completion queue.
import { Connection, PASS, postAndPoll } from './harness/connection.mjs';
import { shuffled } from './harness/world.mjs';

const QUEUE_PAIRS = 10_000;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'many-queue-pairs',
  title: 'Posting one RDMA_WRITE of 64 bytes and polling its completion, over many queue pairs',
  unit: 'ns/request',
  prepare({ smoke }) {
    const connection = new Connection();
    const count = smoke ? 100 : QUEUE_PAIRS;
    const many = overQueuePairs(connection, count);
    const one = overQueuePairs(connection, 1);
    return {
      contenders: { many, one },
      lines: [
        { name: 'many-queue-pairs', of: 'many', peer: 'one', reach: 2 },
        { name: 'many-queue-pairs/peer-one', of: 'one' },
      ],
      close: () => connection.close(),
    };
  },
};

/**
 * Returns a contender that uses new queue pairs in random order.
 *
 * @param {Connection} connection
 * @param {number} count
 * @returns {import('./harness/rounds.mjs').Work}
 */
function overQueuePairs(connection, count) {
  const { pd, cq, peer } = connection;
  const access = peer.query().access;
  const made = Array.from({ length: count }, () => {
    const qp = pd.createQp({ type: 'RC', sendCq: cq });
    qp.connect(qp, { access });
    return qp;
  });
  const qps = shuffled(count).map((i) => /** @type {(typeof made)[number]} */ (made[i]));
  return {
    ...postAndPoll(connection, PASS, qps),
    label: count === 1 ? 'one queue pair' : `${count.toLocaleString('en')} queue pairs at random`,
  };
}
