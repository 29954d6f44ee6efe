// Does it matter that a program registers and deregisters 200,000 times without a turn of the event loop? The time of each, and memory.
import { longJobs, NO_GROWTH_MIB } from './harness/long-job.mjs';
import { FEW } from './harness/rounds.mjs';

const REGIONS = 200_000;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'register-long-job',
  title: 'A buffer of 4 KiB registered and deregistered in one synchronous job, and in short ones',
  unit: 'ns/region',
  effort: FEW,
  prepare: ({ smoke }) => ({
    contenders: longJobs('register-dereg', smoke ? 2000 : REGIONS, 'pd.regUserMr, mr.dereg'),
    lines: [
      { name: 'register-long-job', of: 'long', peer: 'short', reach: 1.2 },
      { name: 'register-long-job/growth', of: 'growth', unit: 'MiB', limit: NO_GROWTH_MIB },
      { name: 'register-long-job/peer-short-jobs', of: 'short' },
      { name: 'register-long-job/peer-growth', of: 'shortGrowth', unit: 'MiB' },
    ],
    close: () => undefined,
  }),
};
