// Uses the package through import. Prints `good`.
import assert from 'node:assert/strict';
import { Access, Device, RdmaError } from 'rdmavt';

const device = new Device();
const pd = device.allocPd();
const qp = pd.createQp();
const memory = Buffer.from('a region of ordinary JavaScript memory');
const mr = pd.regUserMr(memory, { access: Access.LocalWrite | Access.RemoteRead });
const request = { vaddr: mr.iova + 2n, length: 6, rkey: mr.rkey };

const read = qp.acquire(request, Access.RemoteRead);
assert(read.ok);
const target = Buffer.alloc(6);
read.sge.copyTo(target);
read.sge.put();
assert.equal(target.toString(), 'region');

const batch = pd.lkeyBatch(4);
for (let i = 0; i < 4; i++) batch.set(i, mr.start + BigInt(i), 1, mr.lkey);
assert.equal(batch.check(4, Access.LocalWrite), 4);

mr.dereg();
const again = qp.acquire(request, Access.RemoteRead);
assert.equal(!again.ok && again.reason, 'Revoked');
assert.throws(() => pd.regUserMr(memory, { access: Access.RemoteWrite }), RdmaError);
device.close({ cascade: true });
console.log('good');
