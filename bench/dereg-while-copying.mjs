// How long does dereg() wait while another thread copies from the region? Each round is one call, so the median and the largest figure
// are those of single calls. The wait is over when the other thread has copied 64 KiB at most, unless it has lost its processor.
import { Access } from 'rdmavt';

import { CopyingThread } from './harness/copying-thread.mjs';
import { openDevice } from './harness/world.mjs';

const BYTES = 1 << 20;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'dereg-while-copying',
  title: 'dereg() of a region of 1 MiB, while another thread copies from it again and again',
  unit: 'ns/call',
  effort: { rounds: 201, warmUp: 20, slice: 0 },
  prepare() {
    const device = openDevice();
    const pd = device.allocPd();
    const memory = new SharedArrayBuffer(BYTES);
    const other = new CopyingThread(device, pd, BYTES);

    /** @param {(mr: import('rdmavt').MemoryRegion) => void} began @param {() => void} ended */
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
