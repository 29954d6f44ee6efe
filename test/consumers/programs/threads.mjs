// Several threads load the package, and one of them shares a device with the main thread. Prints `good`.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { Access, Device } from 'rdmavt';

/** @typedef {{ token: import('rdmavt').DeviceToken, pd: number, vaddr: bigint, rkey: import('rdmavt').Rkey }} Shared */

if (isMainThread) await main();
else work();

async function main() {
  const device = new Device();
  const pd = device.allocPd();
  const memory = new SharedArrayBuffer(16);
  const mr = pd.regUserMr(memory, { access: Access.LocalWrite | Access.RemoteWrite });
  /** @type {Shared} */
  const shared = { token: device.share(), pd: pd.id, vaddr: mr.iova, rkey: mr.rkey };
  const workers = [shared, undefined, undefined].map((data) => {
    return new Worker(new URL(import.meta.url), { workerData: data });
  });
  const answers = await Promise.all(
    workers.map(async (worker) => {
      const exit = once(worker, 'exit');
      const [answer] = await once(worker, 'message');
      await exit;
      return answer;
    }),
  );
  assert.deepEqual(answers, ['shared', 'alone', 'alone']);
  assert.equal(Buffer.from(memory).toString(), 'from a worker...');
  assert.equal(device.resources().queuePairs.length, 0); // The queue pair of the worker was closed with the worker.
  device.close({ cascade: true });
  console.log('good');
}

function work() {
  /** @type {Shared | undefined} */
  const shared = workerData;
  const device = shared ? Device.attach(shared.token) : new Device();
  const pd = shared ? device.importPd(shared.pd) : device.allocPd();
  const qp = pd.createQp();
  if (shared) {
    const write = qp.acquire({ vaddr: shared.vaddr, length: 16, rkey: shared.rkey }, Access.RemoteWrite);
    assert(write.ok);
    write.sge.copyFrom(Buffer.from('from a worker...'));
    write.sge.put();
  } else {
    device.close({ cascade: true });
  }
  parentPort?.postMessage(shared ? 'shared' : 'alone');
}
