// A plugin that goes around its library, tells nobody of refusals, and never ends. It looks for other memory with the key that it has, and
// keeps on writing through an element that it holds.
import { workerData } from 'node:worker_threads';

import { Access, Device } from 'rdmavt';

const qp = Device.attach(workerData.token).importPd(workerData.pd).createQp();
const { vaddr, length, rkey } = workerData.output;
const held = qp.acquire(workerData.output, Access.RemoteWrite);
for (let i = 0n; ; i++) {
  try {
    if (held.ok) held.sge.copyFrom(Buffer.from(`${i}`.padStart(length)));
    const other = qp.acquire({ vaddr: vaddr + i, length, rkey }, Access.RemoteRead);
    if (other.ok) other.sge.put();
  } catch {
    // try the next one
  }
}
