// Measures how much resident memory a device with its first region takes: in a new process, with the default table size.
import { fileURLToPath } from 'node:url';

import { gaugesOf, runApart } from './harness/own-process.mjs';
import { FEW } from './harness/rounds.mjs';

const file = fileURLToPath(new URL('harness/first-use.mjs', import.meta.url));

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'first-region-memory',
  title: 'Resident memory of a device with a protection domain and its first region',
  unit: 'KiB',
  effort: FEW,
  prepare: () => ({
    contenders: gaugesOf(() => runApart(file, []), { resident: 'new Device(), allocPd, regUserMr' }),
    lines: [{ name: 'first-region-memory', of: 'resident', limit: 64 }],
    close: () => undefined,
  }),
};
