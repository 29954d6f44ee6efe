// Generates programs that consist almost only of local checks that name each other as `last`: correctly, incorrectly, and after
// checks that were refused.
import * as fc from 'fast-check';

import { Model } from './model';
import type { Answer, Operation } from './trace-types';

const PAGE = 4096;
const DMA = 0x10_0000;
const PAGES = 8;

const hex = (value: number | bigint): `0x${string}` => `0x${value.toString(16)}`;

/**
 * The first and last address of the region `list`, whose bytes begin and end inside a page; in between, segments end at page
 * edges.
 */
const LIST = { start: DMA + 100, end: DMA + PAGES * PAGE - 100 };
/** The pages of the region `turned`: out of order, and one of them twice. */
const TURNED = [1, 0, 2, 3, 3, 5, 4, 7];

const pagesAt = (pages: readonly number[]) => pages.map((page) => hex(DMA + page * PAGE));

/**
 * The regions of the scene: key 0; `fmr`, whose pages lie at the addresses that it maps them to; `turned`, where only some pages
 * do; `list`, which begins and ends inside a page; and `user`, a user region, in which checks never coalesce.
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

/** Returns the keys of the regions in the scene, which depend on the key table alone. */
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

/** An offset from an edge: exactly at it, or one byte before or after. */
type By = -1 | 0 | 1;

interface Step {
  /** 'same' is the key of the previous step: only checks of one region can coalesce. */
  readonly key: Key | 'same';
  /** The start: the end of the accepted check that was `after` checks ago, or an edge. */
  readonly at: { readonly after: number } | { readonly edge: Edge; readonly by: By };
  /** A number of bytes, or the distance to an edge, where 0 is the first edge after the start. */
  readonly length: number | { readonly edges: number; readonly by: By };
  /**
   * The element that the check names as `last`. 'newest' is the element that the latest accepted check created or extended. A
   * number n is the element that the check n steps earlier created, if it created one; 0 is none.
   */
  readonly last: number | 'newest';
  readonly acc: number;
  readonly pd: 'pd' | 'pd2';
  readonly then?: 'put' | 'refs' | 'rkey' | undefined;
}

/** The number of the page that begins at the edge, or an end of the region `list`. */
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
  last: fc.oneof(
    { weight: 3, arbitrary: fc.constant('newest' as const) },
    fc.constantFrom(0, 0, 1, 1, 2, 3, 6),
  ),
  acc: mostly(0, 1, 2),
  pd: fc.oneof({ weight: 30, arbitrary: fc.constant('pd' as const) }, fc.constant('pd2' as const)),
  then: fc.option(fc.constantFrom('put', 'refs', 'rkey'), { freq: 12, nil: undefined }),
});

/** Generates the first value most of the time. */
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

/**
 * Returns the number of bytes from `addr` to the page edge after `edges` other edges, but not past the end of the region `list`.
 */
function lengthTo(addr: number, edges: number): number {
  const page = DMA + (Math.floor((addr - DMA) / PAGE) + 1 + edges) * PAGE;
  return (addr < LIST.end ? Math.min(page, edges ? LIST.end : page) : page) - addr;
}

export const chainArb: fc.Arbitrary<Operation[]> = fc
  .array(stepArb, { maxLength: 60, size: 'max' })
  .map((steps) => {
    const program: Operation[] = [];
    const model = new Model();
    const add = (op: Operation): Answer => {
      program.push(op);
      return model.play(op);
    };
    scene.forEach(add);
    /** The end addresses of the accepted checks. */
    const ends: number[] = [];
    let newest: string | null = null;
    let usual: Key = 'fmr';
    for (const [i, { key, at, length: wanted, last: named, acc, pd, then }] of steps.entries()) {
      const addr = 'edge' in at ? addressOf(at.edge) + at.by : (ends.at(-at.after) ?? DMA);
      const length =
        typeof wanted === 'number' ? wanted : Math.max(0, lengthTo(addr, wanted.edges) + wanted.by);
      if (key !== 'same') usual = key;
      const lkey = keyOf(usual);
      const last: string | null =
        named === 'newest' ? newest : named === 0 || named > i ? null : `s${i - named}`;
      const id = `s${i}`;
      const answer = add({ op: 'lkey_ok', id, pd, sge: { addr: hex(addr), length, lkey }, acc, last });
      if ('ret' in answer) {
        ends.push(addr + length);
        newest = answer.ret === 0 ? last : id;
      } else if ('skipped' in answer && named === 'newest') {
        newest = null; // the newest element was put
      }
      if (then === 'put') add({ op: 'put_sge', sge: `s${Math.max(0, i - 1)}` });
      if (then === 'refs') add({ op: 'refs', mr: 'fmr' });
      if (then === 'rkey') {
        add({ op: 'rkey_ok', id: `r${i}`, qp: 'qp', len: length, vaddr: hex(addr), rkey: lkey, acc });
      }
    }
    // At the end, report what each element holds, including elements that were never created.
    for (const i of steps.keys()) {
      program.push({ op: 'walk', sges: [`s${i}`], steps: [0], release: false });
      program.push({ op: 'put_sge', sge: `s${i}` });
    }
    for (const mr of ['fmr', 'turned', 'list', 'dma']) program.push({ op: 'refs', mr });
    program.push({ op: 'exit' });
    return program;
  });
