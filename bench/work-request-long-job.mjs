// Measures whether 1,000,000 work requests posted and polled without a turn of the event loop take more time or memory per work
// request.
import { longJobs, NO_GROWTH_MIB } from './harness/long-job.mjs';
import { FEW } from './harness/rounds.mjs';

const REQUESTS = 1_000_000;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'work-request-long-job',
  title: 'RDMA_WRITEs of 64 bytes posted and polled in one long synchronous job and in short jobs',
  unit: 'ns/request',
  effort: FEW,
  prepare: ({ smoke }) => ({
    contenders: longJobs('post-poll', smoke ? 10_000 : REQUESTS, 'qp.postSend, cq.poll'),
    lines: [
      { name: 'work-request-long-job', of: 'long', peer: 'short', reach: 1.3 },
      { name: 'work-request-long-job/growth', of: 'growth', unit: 'MiB', limit: NO_GROWTH_MIB },
      { name: 'work-request-long-job/peer-short-jobs', of: 'short' },
      { name: 'work-request-long-job/peer-growth', of: 'shortGrowth', unit: 'MiB' },
    ],
    close: () => undefined,
  }),
};
