// Smoke program for the prebuilt binaries: uses every part of the add-on once, in the main thread and in a worker, and prints one
// line. It must run wherever the binaries run, so it needs nothing but the package itself; `rdmavt` must resolve from its folder.
'use strict';
const assert = require('node:assert');
const { isMainThread, parentPort, Worker } = require('node:worker_threads');
const { Access, Device, SgeState } = require('rdmavt');

const PAGE = 4096;

/** @param {string} kind */
function smoke(kind) {
  const device = new Device({ keyPolicy: 'random' }); // uses the system's random numbers
  const pd = device.allocPd();
  const qp = pd.createQp();
  const memory = Buffer.from(new SharedArrayBuffer(4 * PAGE));
  const mr = pd.regUserMr(memory, { access: 15 });

  // Single accesses.
  const request = { vaddr: mr.iova + 8n, length: 16, rkey: mr.rkey };
  const remote = qp.acquire(request, Access.RemoteWrite | Access.RemoteRead);
  assert(remote.ok);
  assert.equal(remote.sge.copyFrom(Buffer.from('sixteen bytes on')), 16);
  assert.equal(memory.toString('latin1', 8, 24), 'sixteen bytes on');
  const back = Buffer.alloc(16);
  assert.equal(remote.sge.copyTo(back), 16);
  assert.equal(back.toString('latin1'), 'sixteen bytes on');
  remote.sge.put();
  assert.equal(qp.acquire({ ...request, length: 4 * PAGE }, Access.RemoteRead).reason, 'OutOfBounds');
  assert.equal(qp.check({ ...request, rkey: (mr.rkey ^ 1) >>> 0 }, Access.RemoteRead).reason, 'StaleKey');

  // Atomics.
  const word = qp.acquire({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, Access.RemoteAtomic);
  assert(word.ok);
  assert.equal(word.sge.fetchAdd(5n), 0n);
  assert.equal(word.sge.compareSwap(5n, 7n), 5n);
  assert.equal(memory.readBigUInt64LE(0), 7n);
  word.sge.put();

  // Scatter-gather walks.
  const local = pd.acquire({ addr: mr.start + 100n, length: 300, lkey: mr.lkey }, Access.LocalWrite);
  assert(local.ok && !local.coalesced);
  const walk = new SgeState([local.sge]);
  assert.equal(walk.copyIn(Buffer.alloc(200, 'w')), 200);
  walk.put();
  assert.equal(memory[299], 'w'.charCodeAt(0));

  // Batches.
  const batch = pd.lkeyBatch(64);
  for (let i = 0; i < 64; i++) batch.set(i, mr.start + BigInt(i * 64), 64, mr.lkey);
  assert.equal(batch.check(64, Access.LocalWrite), 64);
  const gathered = Buffer.alloc(64 * 64);
  assert.equal(batch.gather(gathered, 64, 0), gathered.length);
  assert(gathered.equals(memory.subarray(0, gathered.length)));

  // Page lists.
  const pages = device.dma.map(Buffer.alloc(2 * PAGE));
  const fmr = pd.allocFmr({ access: Access.LocalWrite, maxPages: 2, pageShift: 12 });
  fmr.mapPhys([pages.address + BigInt(PAGE), pages.address], 0n);
  const across = pd.acquire({ addr: BigInt(PAGE) - 4n, length: 8, lkey: fmr.lkey }, Access.LocalWrite);
  assert(across.ok && !across.coalesced);
  assert.equal(across.sge.copyFrom(Buffer.alloc(8, 'x')), 8);
  across.sge.put();

  // Detached memory.
  const buffer = new ArrayBuffer(PAGE);
  const taken = pd.regUserMr(new Uint8Array(buffer), { access: Access.LocalWrite });
  const held = pd.acquire({ addr: taken.start, length: 8, lkey: taken.lkey }, Access.LocalWrite);
  assert(held.ok && !held.coalesced);
  structuredClone(buffer, { transfer: [buffer] });
  assert.throws(() => held.sge.copyFrom(Buffer.alloc(8)), { reason: 'MemoryDetached' });

  // Device memory, attached through a share token as another thread would.
  const owned = device.allocDm(2 * PAGE);
  new Uint8Array(owned.buffer).fill(7);
  const common = pd.regUserMr(owned.buffer, { access: Access.LocalWrite | Access.RemoteRead });
  const attached = Device.attach(device.share());
  const there = attached.importPd(pd.id).createQp();
  const read = there.acquire({ vaddr: common.iova + 1n, length: 8, rkey: common.rkey }, Access.RemoteRead);
  assert(read.ok);
  const seen = Buffer.alloc(8);
  read.sge.copyTo(seen);
  assert(seen.equals(Buffer.alloc(8, 7)));
  read.sge.put();
  attached.detach({ cascade: true });
  assert(device.resources().regions.length >= 3);
  assert(device.counters().accepted > 64);
  common.dereg();
  owned.free();

  // Deregistration and closing.
  mr.dereg();
  assert.equal(qp.check(request, Access.RemoteRead).reason, 'Revoked');
  device.close({ cascade: true });
  return `${kind} ok`;
}

if (isMainThread) {
  const mine = smoke('main thread');
  const binary = Object.keys(require.cache).find((path) => path.endsWith('.node')) ?? '';
  new Worker(__filename)
    .on('message', (theirs) => {
      const { platform, arch } = process;
      const runtime = process.versions.bun ? `bun ${process.versions.bun}` : `node ${process.version}`;
      const loaded = binary.split(/[/\\]/).slice(-2).join('/');
      console.log(`smoke: ${runtime} ${platform}-${arch}, ${loaded}: ${mine}, ${theirs}`);
    })
    .on('error', (error) => {
      throw error;
    });
} else {
  parentPort?.postMessage(smoke('worker'));
}
