// Measures checking one request through the facade without taking a reference. Compared with an empty native call.
import { Access } from 'rdmavt';

import { emptyCall } from './harness/empty-call.mjs';
import { PASS, requestsOf } from './harness/requests.mjs';
import { agreeOnSingleVerdicts } from './harness/verify.mjs';
import { World } from './harness/world.mjs';

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'request-check',
  title: 'One request checked without a reference, random over 1,024 regions',
  unit: 'ns/request',
  prepare() {
    agreeOnSingleVerdicts(1024);
    const world = new World(1024);
    const { pd, qp } = world;
    const { count, addresses, lengths, keys } = requestsOf(world);
    let i = 0;
    let j = 0;
    return {
      contenders: {
        remote: {
          label: 'qp.check({ ... })',
          elements: PASS,
          turn: true,
          run(passes) {
            let accepted = 0;
            for (let left = passes * PASS; left > 0; left--) {
              const request = { vaddr: addresses[i], length: lengths[i], rkey: keys[i] };
              if (qp.check(request, Access.RemoteWrite).ok) accepted++;
              if (++i === count) i = 0;
            }
            return accepted;
          },
        },
        local: {
          label: 'pd.check({ ... })',
          elements: PASS,
          turn: true,
          run(passes) {
            let accepted = 0;
            for (let left = passes * PASS; left > 0; left--) {
              const element = { addr: addresses[j], length: lengths[j], lkey: keys[j] };
              if (pd.check(element, Access.LocalWrite).ok) accepted++;
              if (++j === count) j = 0;
            }
            return accepted;
          },
        },
        empty: emptyCall(PASS),
      },
      lines: [
        { name: 'request-check', of: 'remote', peer: 'empty', reach: 6 },
        { name: 'request-check/local', of: 'local', peer: 'empty', reach: 6 },
        { name: 'request-check/peer-empty', of: 'empty' },
      ],
      close: () => world.close(),
    };
  },
};
