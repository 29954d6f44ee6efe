// Random programs on a registration cache, compared with a simple model of it: lists instead of trees, and no shortcuts.
import { type Device, type MemoryRegion, RegistrationCache, type RegionUse } from '../../lib';
import { accepted, rdma } from '../support/answers';
import { scene } from '../support/scene';

const RIGHTS = [0, 1, 2 | 1, 4, 8 | 1, 16, 5, 31];

interface ModelRegion {
  buffer: number;
  start: number;
  end: number;
  access: number;
  uses: number;
  /** The time of the last put; regions with a lower one go first. */
  put: number;
  /** Gets may use it. */
  open: boolean;
  region: MemoryRegion | undefined;
}

interface ModelUse {
  region: ModelRegion;
  start: number;
  length: number;
}

/** The cache as its documentation describes it. */
class Model {
  regions: ModelRegion[] = [];
  hits = 0;
  misses = 0;
  evictions = 0;
  time = 0;

  constructor(
    readonly maxRegions: number,
    readonly maxBytes: number,
  ) {}

  static bytesOf = (regions: ModelRegion[]): number => regions.reduce((sum, r) => sum + r.end - r.start, 0);
  get busy(): ModelRegion[] {
    return this.regions.filter(({ uses }) => uses > 0);
  }

  /** Returns whether a region of this length fits once everything idle is gone. */
  #fits(length: number): boolean {
    return this.busy.length < this.maxRegions && Model.bytesOf(this.busy) + length <= this.maxBytes;
  }

  #add(made: Omit<ModelRegion, 'uses' | 'put' | 'open' | 'region'>): ModelRegion {
    const length = made.end - made.start;
    while (this.regions.length >= this.maxRegions || Model.bytesOf(this.regions) + length > this.maxBytes) {
      const [oldest] = this.regions.filter(({ uses }) => uses === 0).sort((a, b) => a.put - b.put);
      this.regions.splice(this.regions.indexOf(oldest!), 1);
      this.evictions++;
    }
    const region = { ...made, uses: 0, put: 0, open: true, region: undefined };
    this.regions.push(region);
    return region;
  }

  /** Returns the regions that may serve the get: several, if regions overlap. A new one has no `region` yet. */
  get(buffer: number, start: number, end: number, access: number): ModelRegion[] | 'ENOMEM' | 'EINVAL' {
    const open = this.regions.filter((r) => r.open && r.buffer === buffer);
    const serving = open.filter((r) => r.start <= start && r.end >= end && (r.access & access) === access);
    if (serving.length > 0) {
      this.hits++;
      return serving;
    }
    this.misses++;
    const pieces = open.filter((r) => r.start <= end && r.end >= start);
    const union = {
      buffer,
      start: Math.min(start, ...pieces.map((r) => r.start)),
      end: Math.max(end, ...pieces.map((r) => r.end)),
      access: pieces.reduce((all, r) => all | r.access, access),
    };
    if (pieces.length > 0 && this.#fits(union.end - union.start)) {
      this.regions = this.regions.filter((r) => r.uses > 0 || !pieces.includes(r));
      const grown = this.#add(union);
      for (const piece of pieces) piece.open = false;
      return [grown];
    }
    if (end - start > this.maxBytes) return 'EINVAL';
    if (!this.#fits(end - start)) return 'ENOMEM';
    return [this.#add({ buffer, start, end, access })];
  }

  put(region: ModelRegion): void {
    if (--region.uses > 0) return;
    region.put = ++this.time;
    if (!region.open) this.forget(region, false);
  }

  /** The region works no longer. It ends now if it is unused or does not exist any more, and otherwise with its last put. */
  forget(region: ModelRegion, isGone: boolean): void {
    region.open = false;
    if (isGone || region.uses === 0) this.regions = this.regions.filter((r) => r !== region);
  }

  counters(): object {
    return {
      hits: this.hits,
      misses: this.misses,
      evictions: this.evictions,
      regions: this.regions.length,
      bytes: Model.bytesOf(this.regions),
      inUse: this.busy.length,
    };
  }
}

/** The regions that the device has, in order of their ids. */
const regionsOf = (device: Device): string[] =>
  device
    .resources()
    .regions.map(({ region }) => region as MemoryRegion)
    .filter(({ state }) => state === 'Valid')
    .map((region) => `${region.id}: ${region.length} bytes, rights ${region.access}`);

/** Returns a generator of integers below a limit that repeats in each run. */
function diceOf(seed: number): { below(limit: number): number } {
  let state = Math.imul(seed, 2654435761) >>> 0;
  return {
    below: (limit) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    },
  };
}

function play(
  seed: number,
  steps: number,
): { hits: number; misses: number; evictions: number; refused: number } {
  const dice = diceOf(seed);
  const { device, pd, qp } = scene({ keyPolicy: dice.below(2) ? 'random' : 'sequential' });
  const [maxRegions, maxBytes] = [1 + dice.below(8), 50 + dice.below(1000)];
  const cache = new RegistrationCache(pd, { maxRegions, maxBytes });
  const model = new Model(maxRegions, maxBytes);
  const newBuffer = (): Uint8Array => {
    const length = 1 + dice.below(300);
    const bytes = new Uint8Array(dice.below(2) ? new ArrayBuffer(length) : new SharedArrayBuffer(length));
    for (let i = 0; i < length; i++) bytes[i] = dice.below(256);
    return bytes;
  };
  const buffers = Array.from({ length: 1 + dice.below(5) }, newBuffer);
  const used: { use: RegionUse; model: ModelUse; bytes: Uint8Array }[] = [];
  let refused = 0;

  const get = (): void => {
    const at = dice.below(buffers.length);
    const buffer = buffers[at]!;
    const start = dice.below(buffer.length);
    const length = 1 + dice.below(Math.min(buffer.length - start, 1 + dice.below(300)));
    const bytes = buffer.subarray(start, start + length);
    const access = RIGHTS[dice.below(RIGHTS.length)]!;
    const expected = model.get(at, start, start + length, access);
    if (typeof expected === 'string') {
      refused++;
      expect(() => cache.get(bytes, access)).toThrow(rdma(expected));
      return;
    }
    const use = cache.get(bytes, access);
    const region = expected.find((one) => one.region === undefined || one.region === use.region)!;
    expect(region).toBeDefined();
    region.region ??= use.region;
    region.uses++;
    expect([use.length, use.region.length, use.region.access, use.start - use.region.start]).toEqual([
      length,
      region.end - region.start,
      region.access,
      BigInt(start - region.start),
    ]);
    used.push({ use, model: { region, start, length }, bytes });
  };

  const take = (): (typeof used)[number] | undefined => used.splice(dice.below(used.length || 1), 1)[0];
  const commands: Record<string, () => void> = {
    get,
    put() {
      const one = take();
      if (one === undefined) return;
      one.use.put();
      model.put(one.model.region);
      if (dice.below(4) === 0) one.use.put();
    },
    /** The bytes that a key reaches are those of the view. */
    read() {
      const one = used[dice.below(used.length || 1)];
      if (one?.model.region.region?.state !== 'Valid') return;
      const { use, bytes } = one;
      const sge = accepted(pd.acquire({ addr: use.start, length: use.length, lkey: use.lkey }, 0));
      const copy = Buffer.alloc(use.length);
      sge.copyTo(copy);
      sge.put();
      expect(copy.equals(bytes)).toBe(true);
      if (use.access & 4) {
        expect(qp.check({ vaddr: use.iova, length: use.length, rkey: use.rkey }, 4).ok).toBe(true);
      }
    },
    /** The program ends a region behind the cache's back. */
    end() {
      const region = model.regions[dice.below(model.regions.length || 1)];
      if (region?.region?.state !== 'Valid') return;
      const isGone = dice.below(2) === 1;
      if (isGone) region.region.dereg();
      else qp.invalidateRkey(region.region.rkey);
      cache.counters(); // the model forgets at once
      model.forget(region, isGone);
    },
    /** A buffer is detached, and replaced by a new one. */
    detach() {
      const at = dice.below(buffers.length);
      const { buffer } = buffers[at]!;
      if (buffer instanceof ArrayBuffer) structuredClone(buffer, { transfer: [buffer] });
      buffers[at] = newBuffer();
      if (!(buffer instanceof ArrayBuffer)) {
        for (const region of model.regions) if (region.buffer === at) region.buffer = -1; // unreachable, but still cached
        return;
      }
      cache.counters();
      for (const region of [...model.regions]) if (region.buffer === at) model.forget(region, false);
      for (let i = used.length - 1; i >= 0; i--) {
        const one = used[i]!;
        if (one.bytes.buffer !== buffer) continue;
        used.splice(i, 1);
        one.use.put();
        model.put(one.model.region);
      }
    },
  };
  const chances = ['get', 'get', 'get', 'get', 'put', 'put', 'put', 'read', 'read', 'end', 'detach'];
  for (let step = 0; step < steps; step++) {
    const name = chances[dice.below(chances.length - (dice.below(3) ? 2 : 0))]!;
    commands[name]!();
    expect({ seed, step, name, ...cache.counters() }).toEqual({ seed, step, name, ...model.counters() });
    expect(cache.counters().regions).toBeLessThanOrEqual(maxRegions);
    expect(cache.counters().bytes).toBeLessThanOrEqual(maxBytes);
  }
  // What the device has is what the model has.
  expect(regionsOf(device)).toHaveLength(
    model.regions.filter(({ region }) => region?.state === 'Valid').length,
  );
  for (const { use } of used) use.put();
  cache.close();
  expect(device.resources().regions).toEqual([]);
  return { hits: model.hits, misses: model.misses, evictions: model.evictions, refused };
}

test('random programs: the cache does what its model does', () => {
  const done = { hits: 0, misses: 0, evictions: 0, refused: 0 };
  for (let seed = 1; seed <= 60; seed++) {
    const one = play(seed, 150);
    for (const key of Object.keys(done) as (keyof typeof done)[]) done[key] += one[key];
  }
  // The programs reach what the cache is about.
  expect(done.hits).toBeGreaterThan(500);
  expect(done.misses).toBeGreaterThan(500);
  expect(done.evictions).toBeGreaterThan(200);
  expect(done.refused).toBeGreaterThan(100);
});
