// Uses the package through require. Prints `good`.
'use strict';

const assert = require('node:assert/strict');
const { Access, Device, RdmaError } = require('rdmavt');

const device = new Device();
const pd = device.allocPd();
const mr = pd.regUserMr(new Uint8Array(64), { access: Access.LocalWrite });
const write = pd.acquire({ addr: mr.start, length: 64, lkey: mr.lkey }, Access.LocalWrite);
assert(write.ok);
assert.equal(write.sge.copyFrom(Buffer.from('sixteen bytes...')), 16);
assert.throws(
  () => mr.dereg(),
  (error) => error instanceof RdmaError && error.code === 'EBUSY',
);
write.sge.put();
mr.dereg();
device.close({ cascade: true });
console.log('good');
