// Measures creating each kind of object that checks need, and closing it if it can be closed.
import { openDevice } from './harness/world.mjs';

const PASS = 16;

/** @typedef {import('./harness/rounds.mjs').Work} Work */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'make-objects',
  title: 'Creating an object, and closing it if it can be closed',
  unit: 'ns/object',
  prepare() {
    const device = openDevice();
    const pd = device.allocPd();
    const qp = pd.createQp();

    /** @param {string} label @param {() => unknown} make @returns {Work} */
    const contender = (label, make) => ({
      label,
      elements: PASS,
      turn: true,
      run(passes) {
        let made = 0;
        for (let left = passes * PASS; left > 0; left--) if (make()) made++;
        return made;
      },
    });
    return {
      contenders: {
        checker: contender('pd.checker()', () => pd.checker()),
        remoteChecker: contender('qp.checker()', () => qp.checker()),
        batch: contender('pd.lkeyBatch(16)', () => pd.lkeyBatch(16)),
        qp: contender('pd.createQp(), qp.destroy()', () => {
          const made = pd.createQp();
          made.destroy();
          return made;
        }),
        pd: contender('device.allocPd(), pd.dealloc()', () => {
          const made = device.allocPd();
          made.dealloc();
          return made;
        }),
        device: contender('new Device(), device.close()', () => {
          const made = openDevice();
          made.close();
          return made;
        }),
      },
      lines: [
        { name: 'make-objects/checker', of: 'checker', limit: 10_000 },
        { name: 'make-objects/remote-checker', of: 'remoteChecker', limit: 10_000 },
        { name: 'make-objects/batch-16', of: 'batch' },
        { name: 'make-objects/queue-pair', of: 'qp' },
        { name: 'make-objects/domain', of: 'pd' },
        { name: 'make-objects/device', of: 'device' },
      ],
      close: () => device.close({ cascade: true }),
    };
  },
};
