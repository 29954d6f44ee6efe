// Runs in Vitest: imported and required classes must be the same.
import { createRequire } from 'node:module';
import { Access, Device, RdmaError } from 'rdmavt';

test('checks an access and throws an RdmaError', () => {
  const device = new Device();
  const pd = device.allocPd();
  const mr = pd.regUserMr(new Uint8Array(64), { access: Access.LocalWrite });
  const write = pd.acquire({ addr: mr.start, length: 64, lkey: mr.lkey }, Access.LocalWrite);
  expect(write.ok).toBe(true);
  expect(() => mr.dereg()).toThrow(RdmaError);
  device.close({ cascade: true });
});

test('import and require load one copy of the package', () => {
  expect(createRequire(import.meta.url)('rdmavt').Device).toBe(Device);
});
