// Measures how much memory each kind of object takes while the program keeps it. Many objects of a kind are created in a separate
// process.
import { memoryOf } from './harness/object-memory.mjs';
import { gaugesOf } from './harness/own-process.mjs';

/** @typedef {import('./harness/object-memory.mjs').Kind} Kind */
/** @typedef {import('./harness/question.mjs').Line} Line */

/** @type {{ name: string, kind: Kind, label: string, count: number, each?: number, limit?: number }[]} */
const KINDS = [
  { name: 'region', kind: 'region', label: 'region', count: 100_000 },
  {
    name: 'region-of-1024',
    kind: 'regionsOfDevice',
    label: 'region, in a device with 1,024',
    count: 20,
    each: 1024,
  },
  { name: 'element', kind: 'element', label: 'SGE with a reference', count: 100_000 },
  {
    name: 'batch-element',
    kind: 'batchElements',
    label: 'element of a batch, with a reference',
    count: 100,
    each: 1024,
  },
  { name: 'domain', kind: 'domain', label: 'protection domain', count: 50_000 },
  { name: 'queue-pair', kind: 'queuePair', label: 'queue pair', count: 50_000 },
  { name: 'checker', kind: 'checker', label: 'checker', count: 10_000, limit: 1024 },
  { name: 'batch-16', kind: 'batch', label: 'batch of 16', count: 10_000 },
  { name: 'device', kind: 'device', label: 'device', count: 1000 },
];

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'object-memory',
  title: 'Memory per object while the program keeps it',
  unit: 'bytes',
  effort: { rounds: 3, warmUp: 0, slice: 0 },
  prepare({ smoke }) {
    /** @type {Record<string, import('./harness/rounds.mjs').Contender>} */
    const contenders = {};
    /** @type {Line[]} */
    const lines = [];
    for (const { name, kind, label, count, each = 1, limit } of KINDS) {
      const { resident, heap } = gaugesOf(
        () => {
          const answer = memoryOf(kind, smoke ? Math.ceil(count / 100) : count);
          return { resident: answer.resident / each, heap: answer.heap / each };
        },
        { resident: label, heap: `${label}, in V8's heap` },
      );
      contenders[name] = resident;
      contenders[`${name}-heap`] = heap;
      lines.push({ name: `object-memory/${name}`, of: name, ...(limit === undefined ? {} : { limit }) });
      lines.push({ name: `object-memory/${name}-heap`, of: `${name}-heap` });
    }
    return { contenders, lines, close: () => undefined };
  },
};
