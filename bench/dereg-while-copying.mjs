// Measures how long dereg() waits while another thread copies from the region. Each round is a single call, so the median and the
// maximum are those of single calls. dereg() waits until the other thread has copied at most 64 KiB, or longer if that thread is
// preempted.
import { Access } from 'rdmavt';

import { CopyingThread } from './harness/copying-thread.mjs';
import { openDevice } from './harness/world.mjs';

const BYTES = 1 << 20;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'dereg-while-copying',
  title: 'dereg() of a 1 MiB region while another thread repeatedly copies from it',
  unit: 'ns/call',
  effort: { rounds: 201, warmUp: 20, slice: 0 },
  prepare() {
    const device = openDevice();
    const pd = device.allocPd();
    const memory = new SharedArrayBuffer(BYTES);
    const other = new CopyingThread(device, pd, BYTES);

    /**
     * Returns a contender that deregisters a region.
     * @param {(mr: import('rdmavt').MemoryRegion) => void} began called after each registration
     * @param {() => void} ended called after each deregistration
     */
    const dereg = (began, ended) => {
      const register = () => {
        const mr = pd.regUserMr(memory, { access: Access.LocalWrite });
        began(mr);
        return mr;
      };
      let mr = register();
      return {
        elements: 1,
        mostPasses: 1,
        run() {
          mr.dereg();
          return Number(mr.state === 'Closed');
        },
        reset() {
          ended();
          mr = register();
        },
      };
    };
    return {
      contenders: {
        copying: {
          label: 'dereg(), another thread copying',
          ...dereg(
            (mr) => other.start(mr),
            () => other.stop(),
          ),
        },
        alone: {
          label: 'dereg(), alone',
          ...dereg(
            () => other.stop(),
            () => undefined,
          ),
        },
      },
      lines: [
        { name: 'dereg-while-copying', of: 'copying', peer: 'alone' },
        { name: 'dereg-while-copying/peer-alone', of: 'alone' },
      ],
      close() {
        if (!other.done) throw new Error('the second thread copied nothing');
        other.end();
        device.close({ cascade: true });
      },
    };
  },
};
