// How much memory does a device take with its first region? Counted in a new process, for a device with the default table.
import { fileURLToPath } from 'node:url';

import { gaugesOf, runApart } from './harness/own-process.mjs';
import { FEW } from './harness/rounds.mjs';

const file = fileURLToPath(new URL('harness/first-use.mjs', import.meta.url));

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'first-region-memory',
  title: 'Memory that becomes resident with a device, a domain and its first region',
  unit: 'KiB',
  effort: FEW,
  prepare: () => ({
    contenders: gaugesOf(() => runApart(file, []), { resident: 'new Device(), allocPd, regUserMr' }),
    lines: [{ name: 'first-region-memory', of: 'resident', limit: 64 }],
    close: () => undefined,
  }),
};
