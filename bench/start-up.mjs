// Measures how long a program waits for this package: the import, and the first device with a region, each in a new process.
import { fileURLToPath } from 'node:url';

import { gaugesOf, runApart } from './harness/own-process.mjs';

const file = fileURLToPath(new URL('harness/first-use.mjs', import.meta.url));

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'start-up',
  title: 'Startup time in a new process',
  unit: 'ms',
  effort: { rounds: 15, warmUp: 0, slice: 0 },
  prepare() {
    const contenders = gaugesOf(() => runApart(file, []), {
      load: "import 'rdmavt'",
      first: 'the first device, domain, region and check',
    });
    return {
      contenders,
      lines: [
        { name: 'start-up', of: 'load' },
        { name: 'start-up/first-device', of: 'first' },
      ],
      close: () => undefined,
    };
  },
};
