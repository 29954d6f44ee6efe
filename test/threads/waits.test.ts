// A long call in one thread does not block the others. The test counts what finishes during the call; it does not measure time.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Device, type FastMemoryRegion, type MemoryRegion } from '../../lib';
import { open, PAGE } from '../support/scene';
import { Peer, type Scope } from '../support/workers';

/** The number of attempts of each test, because other load on the machine may spoil an attempt. */
const ATTEMPTS = 10;
/** How many regions one attempt creates and ends. */
const ROUNDS = 100;

/** Creates and ends `rounds` regions on a device. */
function useRegions(device: Device, rounds: number): void {
  const pd = device.allocPd();
  const memory = new SharedArrayBuffer(64);
  for (let round = 0; round < rounds; round++) pd.regUserMr(memory).dereg();
  pd.dealloc();
}

/** Waits until a word of the block is not 0, or the step that sets it has ended. */
async function waitForWord(control: Int32Array, index: number, step: Promise<unknown>): Promise<void> {
  const over = step.then(() => true);
  const turn = (): Promise<false> => new Promise((resolve) => setImmediate(resolve, false));
  while (Atomics.load(control, index) === 0) if (await Promise.race([over, turn()])) return;
}

describe('while a call of another thread', () => {
  /** A long call of a worker. Its last element uses a separate region. */
  interface LongCall {
    /** A time in ms after the start at which the call is surely running and far from its end. */
    head: number;
    /** Creates the last element again. */
    prepare(): Promise<void>;
    /** Starts the call, which sets word 0 when it starts. Resolves to whether the last element was refused. */
    begin(begun: Int32Array): Promise<boolean>;
    /** Ends the region of the last element. If the call has not finished, it refuses that element. */
    revoke(): void;
  }

  /** Prepares a check of many elements with places. */
  async function longCheck(): Promise<LongCall> {
    const device = open();
    const pd = device.allocPd();
    const memory = new SharedArrayBuffer(64);
    const { start, lkey } = pd.regUserMr(memory);
    let last: MemoryRegion;
    const peer = new Peer({ token: device.share() });
    await peer.run(
      (w, pd, start, lkey) => {
        w.count = 2 ** 21;
        w.batch = w.device.importPd(pd).lkeyBatch(w.count, { places: true });
        for (let i = 0; i < w.count; i++) w.batch.set(i, start, 64, lkey);
        w.batch.check(w.count, 0); // The first check allocates the memory that the batch needs.
      },
      pd.id,
      start,
      lkey,
    );
    return {
      head: 8,
      async prepare() {
        last = pd.regUserMr(memory);
        await peer.run((w, start, lkey) => w.batch.set(w.count - 1, start, 64, lkey), last.start, last.lkey);
      },
      begin: (begun) =>
        peer.run((w, begun) => {
          Atomics.store(begun, 0, 1);
          const passed: number = w.batch.check(w.count, 0);
          if (passed < w.count - 1) throw new Error('another element was refused');
          return passed === w.count - 1;
        }, begun),
      revoke: () => last.dereg(),
    };
  }

  /** Prepares a walk over many fragments. */
  async function longWalk(): Promise<LongCall> {
    const device = open();
    const pd = device.allocPd();
    const mapping = device.dma.map(new SharedArrayBuffer(PAGE));
    const pages = new BigUint64Array(2 ** 22).fill(mapping.address);
    const long = pd.allocFmr({ maxPages: pages.length, pageShift: 0 });
    long.mapPhys(pages, 0n);
    const { lkey } = long;
    let last: FastMemoryRegion;
    const peer = new Peer({ token: device.share() });
    await peer.run((w, pd) => {
      w.pd = w.device.importPd(pd);
    }, pd.id);
    return {
      head: 40,
      async prepare() {
        last = pd.allocFmr({ maxPages: 1 });
        last.mapPhys([mapping.address], 0n);
        await peer.run(
          (w, length, lkey, last) => {
            w.steps = [length, 1];
            w.sges = [
              w.accepted(w.pd.acquire({ addr: 0n, length, lkey }, 0)),
              w.accepted(w.pd.acquire({ addr: 0n, length: 1, lkey: last }, 0)),
            ];
          },
          pages.length,
          lkey,
          last.lkey,
        );
      },
      begin: (begun) =>
        peer.run((w, begun) => {
          const state = new w.SgeState(w.sges);
          Atomics.store(begun, 0, 1);
          const told: string = w.codeOf(() => state.walk(w.steps));
          w.sges.forEach((sge: Scope) => sge.put());
          return told === 'Remapped';
        }, begun),
      revoke: () => last.unmap(),
    };
  }

  test.each([
    ['walks over 2^22 fragments', longWalk],
    ['checks 2^21 places', longCheck],
  ])('%s, other devices can be used and another worker can end', async (_, make) => {
    const call = await make();
    const device = open();
    let inTime = false;
    // An attempt fails if the machine is so busy that the call finishes before it is observed.
    for (let attempt = 0; attempt < ATTEMPTS && !inTime; attempt++) {
      const bystander = new Peer({ token: open().share() });
      await bystander.run((w) => {
        w.pd = w.device.allocPd();
      });
      await call.prepare();
      const begun = new Int32Array(new SharedArrayBuffer(4));
      const called = call.begin(begun);
      await waitForWord(begun, 0, called);
      await sleep(call.head);
      useRegions(device, ROUNDS);
      await bystander.worker.terminate();
      call.revoke();
      inTime = await called;
    }
    expect(inTime).toBe(true);
  });
});
