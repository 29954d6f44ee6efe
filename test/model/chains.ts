// Programs of little else than local checks that name each other: rightly, wrongly, and after what was never accepted.
import * as fc from 'fast-check';

import type { Operation } from './trace-types';

const PAGE = 4096;
const DMA = 0x10_0000;
const PAGES = 8;

const hex = (value: number | bigint): `0x${string}` => `0x${value.toString(16)}`;

/** Key 0, a list of pages at its own address, and a user region that no check coalesces in. */
const scene: Operation[] = [
  { op: 'init', lkey_table_bits: 4, dma_pages: PAGES, dma_base: hex(DMA) },
  { op: 'alloc_pd', id: 'pd', user: false },
  { op: 'alloc_pd', id: 'pd2', user: false },
  { op: 'create_qp', id: 'qp', pd: 'pd' },
  { op: 'get_dma_mr', id: 'dma', pd: 'pd', access: 1 },
  { op: 'alloc_fmr', id: 'fmr', pd: 'pd', access: 1, max_pages: PAGES, max_maps: 1, page_shift: 12 },
  {
    op: 'map_phys_fmr',
    fmr: 'fmr',
    pages: Array.from({ length: PAGES }, (_, i) => hex(DMA + i * PAGE)),
    iova: hex(DMA),
  },
  {
    op: 'reg_user_mr',
    id: 'user',
    pd: 'pd',
    start: hex(DMA),
    length: hex(PAGES * PAGE),
    virt_addr: hex(DMA),
    access: 1,
  },
];

interface Step {
  readonly key: 'zero' | 'fmr' | 'user' | 'none';
  /** Where it begins: at the end of the step so many before, or at a page. */
  readonly at: { readonly after: number } | { readonly page: number };
  readonly length: number;
  /** Names the check so many before (0: none), or whatever the one before it names. */
  readonly back: number | 'same';
  readonly acc: number;
  readonly pd: 'pd' | 'pd2';
  readonly then?: 'put' | 'refs' | 'rkey' | undefined;
}

const stepArb: fc.Arbitrary<Step> = fc.record({
  key: mostly<Step['key']>('zero', 'fmr', 'user', 'none'),
  at: fc.oneof(
    { weight: 4, arbitrary: fc.record({ after: mostly(1, 2, 3) }) },
    fc.record({ page: fc.nat(PAGES) }),
  ),
  length: fc.oneof(fc.constantFrom(0, 1, 16, PAGE, 2 * PAGE), fc.nat(PAGE)),
  back: fc.constantFrom<(number | 'same')[]>(0, 1, 1, 1, 'same', 'same', 'same', 2, 3, 6),
  acc: mostly(0, 1, 2),
  pd: fc.oneof({ weight: 30, arbitrary: fc.constant('pd' as const) }, fc.constant('pd2' as const)),
  then: fc.option(fc.constantFrom('put', 'refs', 'rkey'), { freq: 12, nil: undefined }),
});

/** The first one most of the time. */
function mostly<T>(usual: T, ...others: T[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, fc.constantFrom(usual, ...others));
}

/** `keys`: of the regions `fmr` and `user`, which depend on the table alone. */
export function chainArb(keys: { fmr: string; user: string }): fc.Arbitrary<Operation[]> {
  return fc.array(stepArb, { maxLength: 60, size: 'max' }).map((steps) => {
    const program = [...scene];
    const ends: number[] = [];
    let last: string | null = null;
    const names: Record<Step['key'], string> = { zero: '0x0', none: '0x77', ...keys };
    for (const [i, { key, at, length, back, acc, pd, then }] of steps.entries()) {
      const addr = 'page' in at ? DMA + at.page * PAGE : (ends.at(-at.after) ?? DMA);
      ends.push(addr + length);
      if (back !== 'same') last = back === 0 || back > i ? null : `s${i - back}`;
      program.push({
        op: 'lkey_ok',
        id: `s${i}`,
        pd,
        sge: { addr: hex(addr), length, lkey: names[key] as `0x${string}` },
        acc,
        last,
      });
      if (then === 'put') program.push({ op: 'put_sge', sge: `s${Math.max(0, i - 1)}` });
      if (then === 'refs') program.push({ op: 'refs', mr: 'fmr' });
      if (then === 'rkey') {
        const rkey = names[key] as `0x${string}`;
        program.push({ op: 'rkey_ok', id: `r${i}`, qp: 'qp', len: length, vaddr: hex(addr), rkey, acc });
      }
    }
    // What each of them holds in the end, whatever became of it.
    for (const i of steps.keys()) {
      program.push({ op: 'walk', sges: [`s${i}`], steps: [0], release: false });
      program.push({ op: 'put_sge', sge: `s${i}` });
    }
    program.push({ op: 'refs', mr: 'fmr' }, { op: 'refs', mr: 'dma' }, { op: 'exit' });
    return program;
  });
}

export const chainScene: readonly Operation[] = scene;
