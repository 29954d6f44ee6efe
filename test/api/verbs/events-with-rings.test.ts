// All tests of events, iterations and promises, again with a ring for every completion queue: nothing may differ.
import { CompletionRing, Device } from '../../../lib';

const { createCq } = Device.prototype;
let rings = 0;

beforeAll(() => {
  Device.prototype.createCq = function (this: Device, cqe: number, options: object = {}) {
    const cq = createCq.call(this, cqe, { ...options, ring: true });
    if (cq.ring instanceof CompletionRing) rings++;
    return cq;
  } as typeof createCq;
});

afterAll(() => {
  Device.prototype.createCq = createCq;
  expect(rings).toBeGreaterThan(100);
});

jest.requireActual('./events.test');
jest.requireActual('./promises.test');
jest.requireActual('./rc.test');
jest.requireActual('./ud.test');
