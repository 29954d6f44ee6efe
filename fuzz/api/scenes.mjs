// Opens devices that contain an object of every kind, each of them in use.
import { label } from './labels.mjs';
import { DMA, PAGE } from './plausible.mjs';

/** @typedef {import('./world.mjs').World} World */

/** Limit that keeps it likely that a call uses objects of the same device. */
const MOST_DEVICES = 4;

/**
 * Opens a device through the package, and another one in the native module.
 *
 * @param {World} world
 * @param {import('./plausible.mjs').Plausible} plausible
 * @param {import('./natives.mjs').Natives} natives
 * @param {import('./traffic.mjs').Traffic} traffic
 */
export function openScene(world, plausible, natives, traffic) {
  const { random, objects, rdmavt } = world;
  const devices = objects.objects('Device');
  if (devices.length >= MOST_DEVICES) objects.forget(/** @type {object} */ (devices[0]));
  world.note('a scene begins');
  const lkeyTableBits = random.pick([3, 6, 8, 10]);
  const keyPolicy = random.pick(['sequential', 'sequential', 'random']);
  const device = world.attempt(
    'new Device',
    () =>
      new rdmavt.Device({
        lkeyTableBits,
        keyPolicy,
        remoteKeyZero: random.chance(0.5),
        engine: random.pick(['auto', 'auto', 'manual']),
        ...(random.chance(0.2) ? { limits: plausible.verbs.limits() } : {}),
        ...(random.chance(0.1) ? { faults: plausible.verbs.faults() } : {}),
        ...(random.chance(0.1) ? { strict: plausible.verbs.strict() } : {}),
      }),
  );
  if (!device) return;
  /** Runs one step, which may fail. @type {<T>(name: string, make: () => T) => T} */
  const part = (name, make) => world.attempt(name, make, {}, device);

  part('Device.dma', () => device.dma);
  const pd = part('Device.allocPd', () => device.allocPd({ trusted: random.chance(0.8) }));
  if (!pd) return;
  part('ProtectionDomain.getDmaMr', () => pd.getDmaMr({ access: 31 }));
  const qp = part('ProtectionDomain.createQp', () => pd.createQp());
  const memory = world.memories.make(4 * PAGE);
  part('DmaSpace.map', () => device.dma.map(label('DMA memory', memory.body()), { address: DMA }));
  for (let i = 0; i < 3; i++) {
    const bytes = world.memories.make().body();
    part('ProtectionDomain.regUserMr', () =>
      pd.regUserMr(label('registered memory', bytes), { access: random.pick([31, 31, 5]) }),
    );
  }
  const mr = part('ProtectionDomain.allocMr', () => pd.allocMr({ maxNumSg: 8 }));
  if (mr) {
    part('MemoryRegion.mapSg', () => mr.mapSg([{ addr: DMA, length: 2 * PAGE }]));
    part('QueuePair.fastRegMr', () => qp.fastRegMr(mr, { key: mr.lkey, access: 31, iova: 0x9000n }));
  }
  const fmr = part('ProtectionDomain.allocFmr', () => pd.allocFmr({ maxPages: 8, access: 31 }));
  if (fmr) part('FastMemoryRegion.mapPhys', () => fmr.mapPhys([DMA, DMA + 2n * BigInt(PAGE)], 0x5000n));
  const access = random.pick([1, 4, 8, 31]);
  for (let i = 0; i < 4; i++) {
    part('ProtectionDomain.acquire', () => pd.acquire(plausible.element(device), 1));
    part('QueuePair.acquire', () => qp.acquire(plausible.element(device), access));
  }
  openAtomics(world, part, pd, qp);
  const sges = plausible.sges(device);
  if (sges.length) part('new SgeState', () => new rdmavt.SgeState(sges));
  for (const parent of [pd, qp]) {
    const name = parent === pd ? 'ProtectionDomain.lkeyBatch' : 'QueuePair.rkeyBatch';
    const options = { places: random.chance(0.5) };
    const batch = part(name, () => (parent === pd ? pd.lkeyBatch(4, options) : qp.rkeyBatch(4, options)));
    if (batch)
      part('CheckBatch.set', () =>
        batch.set(...plausible.arguments({ name: 'CheckBatch.set', key: 'set', kind: 'method' }, batch)),
      );
    part(`${parent === pd ? 'ProtectionDomain' : 'QueuePair'}.checker`, () => parent.checker());
  }
  traffic.openScene(device, pd);
  openKeys(world, part, pd, plausible.verbs.queuePairs(device));
  openNativeScene(world, natives);
}

/**
 * Attaches a device that another thread has opened, and creates queue pairs in it.
 *
 * @param {World} world
 * @param {import('./plausible.mjs').Plausible} plausible
 * @param {import('./traffic.mjs').Traffic} traffic
 * @param {string} token
 * @returns {boolean} whether the device has queue pairs of this thread now
 */
export function openShared(world, plausible, traffic, token) {
  world.note('a device of another thread is attached');
  world.sharesDevices = true;
  const device = world.attempt('static Device.attach', () => world.rdmavt.Device.attach(token));
  if (!device) return false;
  const part = (/** @type {string} */ name, /** @type {() => any} */ make) =>
    world.attempt(name, make, {}, device);
  const pd = part('Device.allocPd', () => device.allocPd());
  if (!pd) return false;
  for (let i = 0; i < 3; i++)
    part('ProtectionDomain.regUserMr', () =>
      pd.regUserMr(label('registered memory', world.memories.make().body()), { access: 31 }),
    );
  traffic.openScene(device, pd);
  return plausible.verbs.queuePairs(device).length > 0;
}

/**
 * Makes what gives keys of its own: a window, bound and perhaps unbound again, a lease, and a cache. Random arguments rarely fit
 * together.
 *
 * @param {World} world
 * @param {<T>(name: string, make: () => T) => T} part
 * @param {any} pd
 * @param {any[]} queuePairs
 */
function openKeys({ memories, random, rdmavt }, part, pd, queuePairs) {
  const register = () =>
    part('ProtectionDomain.regUserMr', () =>
      pd.regUserMr(label('registered memory', memories.make(64).body()), { access: 31 }),
    );
  const mr = register();
  if (!mr) return;
  const mw = part('ProtectionDomain.allocMw', () => pd.allocMw());
  const qp = queuePairs.length ? random.pick(queuePairs) : undefined;
  if (mw && qp) {
    const { iova, length } = mr;
    const key = mw.nextRkey;
    part('QueuePair.postSend', () =>
      qp.postSend({ opcode: 'BIND_MW', mw, mr, addr: iova, length, access: 6, key }),
    );
    if (random.chance(0.3)) part('QueuePair.invalidateRkey', () => qp.invalidateRkey(key));
    if (random.chance(0.3)) part('MemoryWindow.dealloc', () => mw.dealloc());
  }
  const leased = register();
  if (leased) {
    const lease = part('MemoryRegion.advertise', () =>
      leased.advertise({ expiresInMs: random.pick([0, 1, 60_000]) }),
    );
    if (lease && random.chance(0.3)) part('Lease.revoke', () => lease.revoke());
    const access = random.pick([0, 1, 31]);
    part('MemoryRegion.rereg', () => leased.rereg({ access }));
  }
  const cache = part('new RegistrationCache', () => new rdmavt.RegistrationCache(pd, { maxRegions: 2 }));
  if (!cache) return;
  for (let i = 0; i < 3; i++) {
    const bytes = memories.make().body();
    const use = part('RegistrationCache.get', () => cache.get(label('cached memory', bytes), 31));
    if (use && random.chance(0.7)) part('RegionUse.put', () => use.put());
  }
}

/**
 * Acquires an element for atomics: 8 aligned bytes with the right for atomics. Random elements rarely meet these conditions.
 *
 * @param {World} world
 * @param {<T>(name: string, make: () => T) => T} part
 * @param {any} pd
 * @param {any} qp
 */
function openAtomics({ memories, random }, part, pd, qp) {
  const bytes = memories.make(64).body();
  const mr = part('ProtectionDomain.regUserMr', () =>
    pd.regUserMr(label('registered memory', bytes), { access: 31, start: 0, iova: 0 }),
  );
  const check = mr && part('QueuePair.acquire', () => qp.acquire({ vaddr: 8, length: 8, rkey: mr.rkey }, 8));
  if (!check?.ok) return;
  part('Sge.fetchAdd', () => check.sge.fetchAdd(random.dice(256)));
  part('Sge.compareSwap', () => check.sge.compareSwap(0n, BigInt(random.dice(256))));
}

/**
 * Opens a device in the native module.
 *
 * @param {World} world
 * @param {import('./natives.mjs').Natives} natives
 */
function openNativeScene(world, natives) {
  /** @type {(name: string, make: () => any) => any} */
  const part = (name, make) => {
    const made = world.attempt(`native ${name}`, make, { raw: true });
    return typeof made === 'object' ? made : undefined;
  };
  const memory = world.memories.make(4 * PAGE);
  natives.openScene(part, label('memory of the native module', memory.body()));
}
