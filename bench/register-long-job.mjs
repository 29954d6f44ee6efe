// Measures whether 200,000 registrations and deregistrations without a turn of the event loop take more time or memory per
// region.
import { longJobs, NO_GROWTH_MIB } from './harness/long-job.mjs';
import { FEW } from './harness/rounds.mjs';

const REGIONS = 200_000;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'register-long-job',
  title: 'Registering and deregistering a 4 KiB buffer, in one long synchronous job and in short jobs',
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
