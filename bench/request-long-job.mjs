// Measures whether 1,000,000 requests acquired and put without a turn of the event loop take more time or memory per request.
import { longJobs, NO_GROWTH_MIB } from './harness/long-job.mjs';
import { FEW } from './harness/rounds.mjs';

const REQUESTS = 1_000_000;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'request-long-job',
  title: 'Requests acquired and put in one long synchronous job and in short jobs, random over 1,024 regions',
  unit: 'ns/request',
  effort: FEW,
  prepare: ({ smoke }) => ({
    contenders: longJobs('acquire-put', smoke ? 10_000 : REQUESTS, 'qp.acquire, sge.put'),
    lines: [
      { name: 'request-long-job', of: 'long', peer: 'short', reach: 1.3 },
      { name: 'request-long-job/growth', of: 'growth', unit: 'MiB', limit: NO_GROWTH_MIB },
      { name: 'request-long-job/peer-short-jobs', of: 'short' },
      { name: 'request-long-job/peer-growth', of: 'shortGrowth', unit: 'MiB' },
    ],
    close: () => undefined,
  }),
};
