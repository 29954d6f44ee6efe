// Measures a complete request through the facade: acquire it with a reference, then put the reference. Compared with an empty
// native call.
import { emptyCall } from './harness/empty-call.mjs';
import { acquireLocal, acquireRemote, PASS } from './harness/requests.mjs';
import { agreeOnSingleVerdicts } from './harness/verify.mjs';
import { World } from './harness/world.mjs';

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'request-acquire-put',
  title: 'One request acquired and put, random over 1,024, 65,536 and one region',
  unit: 'ns/request',
  prepare({ smoke }) {
    agreeOnSingleVerdicts(1024);
    const worlds = [1024, 1, smoke ? 1024 : 65_536].map((regions) => new World(regions));
    const [some, one, many] = /** @type {[World, World, World]} */ (worlds);
    return {
      contenders: {
        remote: acquireRemote(some, '1,024 regions'),
        local: acquireLocal(some, '1,024 regions'),
        remoteOne: acquireRemote(one, 'one region'),
        remoteMany: acquireRemote(many, '65,536 regions'),
        empty: emptyCall(PASS),
      },
      lines: [
        { name: 'request-acquire-put', of: 'remote', peer: 'empty', reach: 9, quoted: 7.2 },
        { name: 'request-acquire-put/local', of: 'local', peer: 'empty', reach: 9, quoted: 7.2 },
        { name: 'request-acquire-put/one-region', of: 'remoteOne', peer: 'empty', quoted: 4.1 },
        { name: 'request-acquire-put/regions-65536', of: 'remoteMany', peer: 'empty', quoted: 132 },
        { name: 'request-acquire-put/peer-empty', of: 'empty' },
      ],
      close() {
        for (const world of worlds) world.close();
      },
    };
  },
};
