// Measures how much resident memory a queue pair with queues of the default sizes takes. 10,000 queue pairs are created in a
// separate process.
import { memoryOf } from './harness/object-memory.mjs';
import { gaugesOf } from './harness/own-process.mjs';

const QUEUE_PAIRS = 10_000;

/** @typedef {import('./harness/object-memory.mjs').Kind} Kind */

/** @type {{ name: string, kind: Kind, label: string }[]} */
const KINDS = [
  { name: 'unused', kind: 'unusedQueuePair', label: 'connected queue pair, not used yet' },
  { name: 'used', kind: 'usedQueuePair', label: 'connected queue pair, after one RDMA_WRITE' },
];

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'queue-pair-memory',
  title: 'Resident memory of an RC queue pair with default sizes, of 10,000',
  unit: 'KiB',
  effort: { rounds: 3, warmUp: 0, slice: 0 },
  prepare({ smoke }) {
    const gauges = KINDS.map(({ kind, name, label }) => {
      const ask = () => memoryOf(kind, smoke ? QUEUE_PAIRS / 100 : QUEUE_PAIRS).resident / 1024;
      return [name, gaugesOf(() => ({ resident: ask() }), { resident: label }).resident];
    });
    return {
      contenders: Object.fromEntries(gauges),
      lines: KINDS.map(({ name }) => ({ name: `queue-pair-memory/${name}`, of: name })),
      close: () => undefined,
    };
  },
};
