// Programs of little else than local checks that name each other: rightly, wrongly, and after what was never accepted.
import * as fc from 'fast-check';

import { Model } from './model';
import type { Operation } from './trace-types';

const PAGE = 4096;
const DMA = 0x10_0000;
const PAGES = 8;

const hex = (value: number | bigint): `0x${string}` => `0x${value.toString(16)}`;

/** As they are registered; they follow one another in DMA memory, but the segments' edges are at its pages only. */
const LIST = { start: DMA + 100, end: DMA + PAGES * PAGE - 100 };
/** Pages that do not follow one another, of which some come twice. */
const TURNED = [1, 0, 2, 3, 3, 5, 4, 7];

const pagesAt = (pages: readonly number[]) => pages.map((page) => hex(DMA + page * PAGE));

/**
 * Key 0, a list of pages at its own address, one in another order, a list that begins and ends inside a page, and a user region that no
 * check coalesces in.
 */
const scene: Operation[] = [
  { op: 'init', lkey_table_bits: 4, dma_pages: PAGES, dma_base: hex(DMA) },
  { op: 'alloc_pd', id: 'pd', user: false },
  { op: 'alloc_pd', id: 'pd2', user: false },
  { op: 'create_qp', id: 'qp', pd: 'pd' },
  { op: 'get_dma_mr', id: 'dma', pd: 'pd', access: 1 },
  { op: 'alloc_fmr', id: 'fmr', pd: 'pd', access: 1, max_pages: PAGES, max_maps: 1, page_shift: 12 },
  { op: 'map_phys_fmr', fmr: 'fmr', pages: pagesAt([...TURNED.keys()]), iova: hex(DMA) },
  { op: 'alloc_fmr', id: 'turned', pd: 'pd', access: 1, max_pages: PAGES, max_maps: 1, page_shift: 12 },
  { op: 'map_phys_fmr', fmr: 'turned', pages: pagesAt(TURNED), iova: hex(DMA) },
  { op: 'alloc_mr', id: 'list', pd: 'pd', type: 'mem_reg', max_num_sg: PAGES },
  {
    op: 'map_mr_sg',
    mr: 'list',
    sg: [{ addr: hex(LIST.start), length: LIST.end - LIST.start }],
    sg_offset: null,
    page_size: 4096,
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

/** The keys of the scene, which depend on the table alone. */
function keysOfScene(): ReadonlyMap<string, `0x${string}`> {
  const model = new Model();
  const keys = new Map<string, `0x${string}`>();
  for (const op of scene) {
    const answer = model.play(op);
    if ('id' in op && 'lkey' in answer) keys.set(op.id, answer.lkey);
  }
  return keys;
}

type Key = 'zero' | 'fmr' | 'turned' | 'list' | 'user' | 'none';

/** Exactly there, or one byte before or after. */
type By = -1 | 0 | 1;

interface Step {
  /** That of the step before, most of the time: only then may they become one. */
  readonly key: Key | 'same';
  /** Where it begins: at the end of the step so many before, or at an edge. */
  readonly at: { readonly after: number } | { readonly edge: Edge; readonly by: By };
  /** So many bytes; or where it ends: at an edge from its address on. */
  readonly length: number | { readonly edges: number; readonly by: By };
  /** Names the check so many before (0: none), or whatever the one before it names. */
  readonly back: number | 'same';
  readonly acc: number;
  readonly pd: 'pd' | 'pd2';
  readonly then?: 'put' | 'refs' | 'rkey' | undefined;
}

/** Of a page, or of the region that begins and ends inside one. */
type Edge = number | keyof typeof LIST;

const edgeArb: fc.Arbitrary<Edge> = fc.oneof(
  { weight: 6, arbitrary: fc.nat(PAGES) },
  fc.constantFrom('start', 'end'),
);
const byArb: fc.Arbitrary<By> = fc.constantFrom(0, 0, -1, 1);

const stepArb: fc.Arbitrary<Step> = fc.record({
  key: fc.oneof(
    { weight: 6, arbitrary: fc.constant('same' as const) },
    mostly<Key>('zero', 'fmr', 'list', 'turned', 'fmr', 'list', 'turned', 'user', 'none'),
    fc.constantFrom<Key[]>('fmr', 'list', 'turned'),
  ),
  at: fc.oneof(
    { weight: 6, arbitrary: fc.record({ after: mostly(1, 2, 3) }) },
    fc.record({ edge: edgeArb, by: byArb }),
  ),
  length: fc.oneof(
    { weight: 3, arbitrary: fc.record({ edges: mostly(0, 1, 2, PAGES), by: byArb }) },
    { weight: 2, arbitrary: fc.constantFrom(0, 1, 16, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE) },
    fc.nat(PAGE),
  ),
  back: fc.constantFrom<(number | 'same')[]>(0, 1, 1, 1, 'same', 'same', 'same', 2, 3, 6),
  acc: mostly(0, 1, 2),
  pd: fc.oneof({ weight: 30, arbitrary: fc.constant('pd' as const) }, fc.constant('pd2' as const)),
  then: fc.option(fc.constantFrom('put', 'refs', 'rkey'), { freq: 12, nil: undefined }),
});

/** The first one most of the time. */
function mostly<T>(usual: T, ...others: T[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, fc.constantFrom(usual, ...others));
}

const keys = keysOfScene();

function keyOf(key: Key): `0x${string}` {
  return key === 'zero' ? '0x0' : (keys.get(key) ?? '0x77');
}

function addressOf(edge: Edge): number {
  return typeof edge === 'number' ? DMA + edge * PAGE : LIST[edge];
}

/** The bytes from `addr` to an edge behind it: of a page, or the end of the list if that is nearer. */
function lengthTo(addr: number, edges: number): number {
  const page = DMA + (Math.floor((addr - DMA) / PAGE) + 1 + edges) * PAGE;
  return (addr < LIST.end ? Math.min(page, edges ? LIST.end : page) : page) - addr;
}

export const chainArb: fc.Arbitrary<Operation[]> = fc
  .array(stepArb, { maxLength: 60, size: 'max' })
  .map((steps) => {
    const program = [...scene];
    const ends: number[] = [];
    let last: string | null = null;
    let usual: Key = 'fmr';
    for (const [i, { key, at, length: wanted, back, acc, pd, then }] of steps.entries()) {
      const addr = 'edge' in at ? addressOf(at.edge) + at.by : (ends.at(-at.after) ?? DMA);
      const length =
        typeof wanted === 'number' ? wanted : Math.max(0, lengthTo(addr, wanted.edges) + wanted.by);
      if (key !== 'same') usual = key;
      const named = keyOf(usual);
      ends.push(addr + length);
      if (back !== 'same') last = back === 0 || back > i ? null : `s${i - back}`;
      program.push({
        op: 'lkey_ok',
        id: `s${i}`,
        pd,
        sge: { addr: hex(addr), length, lkey: named },
        acc,
        last,
      });
      if (then === 'put') program.push({ op: 'put_sge', sge: `s${Math.max(0, i - 1)}` });
      if (then === 'refs') program.push({ op: 'refs', mr: 'fmr' });
      if (then === 'rkey') {
        const vaddr = hex(addr);
        program.push({ op: 'rkey_ok', id: `r${i}`, qp: 'qp', len: length, vaddr, rkey: named, acc });
      }
    }
    // What each of them holds in the end, whatever became of it.
    for (const i of steps.keys()) {
      program.push({ op: 'walk', sges: [`s${i}`], steps: [0], release: false });
      program.push({ op: 'put_sge', sge: `s${i}` });
    }
    for (const mr of ['fmr', 'turned', 'list', 'dma']) program.push({ op: 'refs', mr });
    program.push({ op: 'exit' });
    return program;
  });
