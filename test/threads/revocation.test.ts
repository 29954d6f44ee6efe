// After a call that ends a region, mapping or key (or the domain or device that holds them) has succeeded, no byte moves any
// more, in either direction, whatever accesses other threads are in the middle of. One test for each pair of call and access.
//
// To print a table of the observations instead of failing, with 1,000 ms for each pair, run
// RDMAVT_REVOCATION_REPORT=1000 npm run test:jest -- threads/revocation
import { FastMemoryRegion } from '../../lib';
import { asyncDispose, dispose } from '../../lib/internal/disposal';
import { playReversedRounds } from '../support/revocation/reversed';
import { type Access, Copier, type Counts, playRounds, type Scene } from '../support/revocation/rounds';
import * as scenes from '../support/revocation/scenes';

const reportMs = Number(process.env.RDMAVT_REVOCATION_REPORT ?? 0);
/** How long one pair is tried, in ms. */
const DURATION = reportMs || 330;
/** An atomic moves 8 bytes at once, so a call is in the middle of one only briefly. */
const ATOMICS_DURATION = reportMs || 100;

const access = (title: string, name: string, kind: 'reads' | 'writes', held = false): [string, Access] => [
  title,
  { name, writes: kind === 'writes', held },
];

const unheld = new Map([
  access('gather', 'gather', 'reads'),
  access('scatter', 'scatter', 'writes'),
  access('list to list, as the source', 'copyFromList', 'reads'),
  access('list to list, as the target', 'copyToList', 'writes'),
]);
const held = new Map([
  access('sge.copyTo', 'sgeCopyTo', 'reads', true),
  access('sge.copyFrom', 'sgeCopyFrom', 'writes', true),
  access('state.copyOut', 'stateCopyOut', 'reads', true),
  access('state.copyIn', 'stateCopyIn', 'writes', true),
  access('fetchAdd and compareSwap', 'atomics', 'writes', true),
]);
const all = new Map([...unheld, ...held]);

interface Call {
  title: string;
  scene: () => Scene;
  accesses: Map<string, Access>;
  /** Whether the access uses a remote key. */
  remote?: boolean;
  /** Whether this build of the package has the method. */
  exists?: boolean;
}

const calls: Call[] = [
  { title: 'dereg()', scene: () => scenes.userRegion((mr) => mr.dereg()), accesses: unheld },
  {
    title: 'dereg({ force })',
    scene: () => scenes.userRegion((mr) => mr.dereg({ force: true })),
    accesses: all,
  },
  { title: '[Symbol.dispose]()', scene: () => scenes.userRegion((mr) => mr[dispose]()), accesses: all },
  { title: 'deregAsync()', scene: () => scenes.userRegion((mr) => mr.deregAsync()), accesses: unheld },
  {
    title: '[Symbol.asyncDispose](), device memory',
    scene: () => scenes.userRegion((mr) => mr[asyncDispose](), 'device'),
    accesses: unheld,
  },
  {
    title: 'pd.deregMany()',
    scene: () => scenes.twoRegions(),
    accesses: unheld,
    exists: scenes.hasDeregMany,
  },
  {
    title: 'pd.deregMany({ force })',
    scene: () => scenes.twoRegions({ force: true }),
    accesses: all,
    exists: scenes.hasDeregMany,
  },
  { title: 'dereg(), and device memory is freed', scene: () => scenes.freedMemory(), accesses: unheld },
  {
    title: 'cache.get() that evicts',
    scene: () => scenes.cachedRegion(scenes.evict),
    accesses: unheld,
  },
  {
    title: 'use.put() of a cached region that was replaced',
    scene: () =>
      scenes.cachedRegion((cache, use) => {
        use.region.rereg({ access: 1 });
        cache.counters();
        use.put();
      }),
    accesses: unheld,
  },
  {
    title: 'cache.close({ force })',
    scene: () => scenes.cachedRegion((cache) => cache.close({ force: true })),
    accesses: all,
  },
  {
    title: 'cache[Symbol.dispose]()',
    scene: () => scenes.cachedRegion((cache) => cache[dispose]()),
    accesses: all,
  },
  { title: 'fmr.dealloc()', scene: () => scenes.fmr((fmr) => fmr.dealloc()), accesses: unheld },
  {
    title: 'fmr.dealloc({ force })',
    scene: () => scenes.fmr((fmr) => fmr.dealloc({ force: true })),
    accesses: all,
  },
  { title: 'fmr.deallocAsync()', scene: () => scenes.fmr((fmr) => fmr.deallocAsync()), accesses: unheld },
  { title: 'fmr[Symbol.dispose]()', scene: () => scenes.fmr((fmr) => fmr[dispose]()), accesses: held },
  {
    title: 'fmr.unmap()',
    scene: () => scenes.mappedFmr(([, fmr]) => fmr.unmap()),
    accesses: all,
  },
  {
    title: 'FastMemoryRegion.unmap(list)',
    scene: () => scenes.mappedFmr((fmrs) => FastMemoryRegion.unmap(fmrs)),
    accesses: all,
  },
  {
    title: 'fmr.mapPhys() over a mapping',
    scene: () => scenes.mappedFmr(([, fmr], pages) => fmr.mapPhys(pages, fmr.iova), true),
    accesses: unheld,
  },
  {
    title: 'mr.mapSg() over a mapping',
    scene: () => scenes.listRegion((mr, _, list) => mr.mapSg(list)),
    accesses: all,
  },
  { title: 'mapping.unmap(), key 0', scene: () => scenes.keyZero(), accesses: unheld },
  {
    title: 'qp.invalidateRkey()',
    scene: () => scenes.listRegion((mr, qp) => qp.invalidateRkey(mr.rkey)),
    accesses: unheld,
    remote: true,
  },
  {
    title: 'qp.fastRegMr() with a new key',
    scene: () => scenes.listRegion((mr, qp) => qp.fastRegMr(mr, { key: scenes.nextKey(mr), access: 31 })),
    accesses: unheld,
    remote: true,
  },
  { title: 'pd.dealloc({ cascade }), device memory', scene: () => scenes.domain(), accesses: all },
  {
    title: 'pd.dealloc({ cascade }), by queue pairs in it',
    scene: () => scenes.domain(),
    accesses: unheld,
    remote: true,
  },
  {
    title: 'device.close({ cascade })',
    scene: () => scenes.device((device) => device.close({ cascade: true }), 'shared'),
    accesses: all,
  },
  {
    title: 'device.detach({ cascade }), page list',
    scene: () => scenes.device((device) => device.detach({ cascade: true }), 'list'),
    accesses: all,
  },
  { title: 'the end of the worker that registered the memory', scene: () => scenes.worker(), accesses: all },
];

const columns = ['call', 'access', 'rounds', 'late', 'most late bytes', 'thrown'];
const rows: (string | number)[][] = [columns, columns.map(() => '---')];

function conclude(call: string, by: string, counts: Counts): void {
  const { rounds, late, mostBytes, moved, thrown } = counts;
  if (reportMs) {
    const errors = Object.entries(thrown).map(([error, times]) => `${times}x ${error}`);
    rows.push([call, by, rounds, late, mostBytes, errors.join('; ')]);
    return;
  }
  expect(`${late} of ${rounds} rounds late, at most ${mostBytes} bytes`).toBe(
    `0 of ${rounds} rounds late, at most 0 bytes`,
  );
  expect(thrown).toEqual({});
  expect(moved).toBeGreaterThan(0); // Bytes moved before the call, so the access was really tried.
}

afterAll(() => {
  if (reportMs) process.stdout.write(rows.map((row) => `| ${row.join(' | ')} |\n`).join(''));
});

/** One worker serves all tests, because it starts slowly. It is replaced after a failed round. */
let copying: Copier | undefined;
afterAll(() => copying?.close());

async function play(scene: Scene, by: Access, remote: boolean, duration: number): Promise<Counts> {
  copying ??= new Copier();
  try {
    return await playRounds(copying, scene, by, remote, duration);
  } catch (error) {
    await copying.close();
    copying = undefined;
    throw error;
  } finally {
    await scene.close();
  }
}

const durationOf = ({ name }: Access): number => (name === 'atomics' ? ATOMICS_DURATION : DURATION);

describe.each(calls.filter(({ exists = true }) => exists || !reportMs))(
  'after $title',
  ({ title, scene, accesses, remote = false }) => {
    test.each([...accesses])('no byte moves by %s', async (by, how) => {
      conclude(title, by, await play(scene(), how, remote, durationOf(how)));
    });
  },
);

describe.each([
  { title: 'dereg() by a worker', force: false, accesses: unheld },
  { title: 'dereg({ force }) by a worker', force: true, accesses: held },
])('after $title', ({ title, force, accesses }) => {
  test.each([...accesses])('no byte moves by %s of the main thread', async (by, how) => {
    conclude(title, by, await playReversedRounds(how, false, force, durationOf(how)));
  });
});
