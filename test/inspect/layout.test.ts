// Where the page draws regions.
import {
  type Box,
  GAP_PIXELS,
  type Layout,
  layOut,
  LEAST_PIXELS,
  MOST_LANES,
  type Placed,
} from '../../lib/inspect/region-layout';

const WIDTH = 1000;
const at = (id: number, start: bigint | number, length: number): Placed => ({
  id,
  start: BigInt(start),
  length,
});
const partsOf = (layout: Layout, id: number): Box[] => layout.boxes.filter((box) => box.id === id);
const widthOf = (layout: Layout, id: number): number =>
  partsOf(layout, id).reduce((sum, { width }) => sum + width, 0);

test('nothing is laid out as nothing', () => {
  expect(layOut([], WIDTH, 1)).toMatchObject({ rows: [], boxes: [], gaps: [], order: [], crowded: 0 });
});

test('all lengths have one scale, also across rows and gaps', () => {
  const layout = layOut(
    [at(1, 0x1000, 4096), at(2, 0x10_0000_0000, 8192), at(3, 0x10_0000_2000, 2048)],
    WIDTH,
    1,
  );
  const { bytesPerPixel } = layout;
  for (const [id, length] of [
    [1, 4096],
    [2, 8192],
    [3, 2048],
  ] as const)
    expect(widthOf(layout, id)).toBeCloseTo(length / bytesPerPixel, 6);
  expect(layout.gaps).toHaveLength(1);
  expect(layout.gaps[0]!.bytes).toBe(0x10_0000_0000n - 0x2000n);
});

test('a short gap is drawn to scale, a long one has a fixed width', () => {
  const layout = layOut([at(1, 0, 100_000), at(2, 101_000, 100_000)], WIDTH, 1);
  expect(layout.gaps).toEqual([]);
  const [one, two] = [partsOf(layout, 1).at(-1)!, partsOf(layout, 2)[0]!];
  const position = (box: Box): number => box.row * WIDTH + box.x;
  expect(position(two) - (position(one) + one.width)).toBeCloseTo(1000 / layout.bytesPerPixel, 6);
  const long = layOut([at(1, 0, 4096), at(2, 2n ** 40n, 4096)], WIDTH, 1);
  const [end, begin] = [partsOf(long, 1).at(-1)!, partsOf(long, 2)[0]!];
  const gap = position(begin) - (position(end) + end.width);
  // The mark is not split between two rows, so up to its width may be free before it.
  expect(gap).toBeGreaterThanOrEqual(GAP_PIXELS - 1e-6);
  expect(gap).toBeLessThanOrEqual(2 * GAP_PIXELS + 1e-6);
});

test('a region that is longer than a row goes on in the next one', () => {
  const layout = layOut([at(7, 0x5000, 1 << 20)], WIDTH, 1);
  const parts = partsOf(layout, 7);
  expect(parts.length).toBeGreaterThan(1);
  parts.forEach((part, i) => {
    expect(part).toMatchObject({ row: i, x: 0, first: i === 0, last: i === parts.length - 1 });
  });
  expect(layout.rows[0]!.address).toBe(0x5000n);
  expect(layout.rows[1]!.address).toBe(0x5000n + BigInt(Math.round(WIDTH * layout.bytesPerPixel)));
});

test('regions that overlap lie in different lanes, and those that do not share one', () => {
  const layout = layOut([at(1, 0, 1000), at(2, 500, 1000), at(3, 1000, 1000)], WIDTH, 1);
  const lane = (id: number): number => partsOf(layout, id)[0]!.lane;
  expect([lane(1), lane(2), lane(3)]).toEqual([0, 1, 0]);
  expect(layout.rows.some(({ lanes }) => lanes === 2)).toBe(true);
  expect(layout.crowded).toBe(0);
});

test('more regions at one address than there are lanes share the last one, and are counted', () => {
  const items = Array.from({ length: 50 }, (_, i) => at(i + 1, 0, 4096));
  const layout = layOut(items, WIDTH, 1);
  expect(Math.max(...layout.rows.map(({ lanes }) => lanes))).toBe(MOST_LANES);
  expect(layout.crowded).toBe(50 - MOST_LANES);
  expect(new Set(layout.boxes.map(({ id }) => id)).size).toBe(50); // each can be selected
});

test('tiny regions can be seen', () => {
  const layout = layOut([at(1, 0, 1 << 30), at(2, 1 << 30, 1)], WIDTH, 1);
  expect(widthOf(layout, 2)).toBeGreaterThanOrEqual(LEAST_PIXELS);
});

test('zooming in makes everything wider', () => {
  const items = [at(1, 0, 10_000), at(2, 2 ** 33, 10_000)];
  const [one, four] = [layOut(items, WIDTH, 1), layOut(items, WIDTH, 4)];
  expect(widthOf(four, 1) / widthOf(one, 1)).toBeGreaterThan(3.9);
  expect(four.rows.length).toBeGreaterThan(one.rows.length);
});

test('regions without addresses have a row of their own, at the end', () => {
  const layout = layOut([at(1, 0, 0), at(2, 0x1000, 4096), at(3, 2n ** 63n, 0)], WIDTH, 1);
  expect(layout.order).toEqual([2, 1, 3]);
  const row = partsOf(layout, 1)[0]!.row;
  expect(row).toBe(partsOf(layout, 3)[0]!.row);
  expect(layout.rows[row]!.address).toBeUndefined();
  expect(row).toBe(layout.rows.length - 1);
});

test('addresses up to the end of the address space, and lengths up to 2^53, are laid out', () => {
  const layout = layOut(
    [at(1, 2n ** 64n - 4096n, 4096), at(2, 0, Number.MAX_SAFE_INTEGER), at(3, 8, 1)],
    333,
    1,
  );
  expect(layout.order).toEqual([2, 3, 1]);
  for (const { x, width } of layout.boxes) {
    expect(x).toBeGreaterThanOrEqual(0);
    expect(x + width).toBeLessThanOrEqual(333 + 1e-6);
  }
  expect(layout.rows.length).toBeLessThan(20);
});

test('random regions: every box is inside of its row, every region has one, and none in a lane of its own overlaps', () => {
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % below;
  for (let round = 0; round < 200; round++) {
    const width = 50 + random(1500);
    const items = Array.from({ length: random(40) }, (_, i) =>
      at(
        i + 1,
        random(3) === 0 ? random(1 << 30) * 4096 : random(200_000),
        random(4) === 0 ? 0 : 1 + random(100_000),
      ),
    );
    const layout = layOut(items, width, 2 ** random(6));
    expect([...layout.order].sort((a, b) => a - b)).toEqual(items.map(({ id }) => id));
    const drawn = new Set(layout.boxes.map(({ id }) => id));
    expect(drawn.size).toBe(items.length);
    for (const { row, x, width: w, lane } of layout.boxes) {
      expect(row).toBeLessThan(layout.rows.length);
      expect(lane).toBeLessThan(layout.rows[row]!.lanes);
      expect(x).toBeGreaterThanOrEqual(0);
      expect(x + w).toBeLessThanOrEqual(width + 1e-6);
    }
    const byId = new Map(items.map((item) => [item.id, item]));
    for (const one of layout.boxes) {
      for (const other of layout.boxes) {
        if (one.id >= other.id || one.lane !== other.lane || one.lane === MOST_LANES - 1) continue;
        const [a, b] = [byId.get(one.id)!, byId.get(other.id)!];
        if (a.length === 0 || b.length === 0) continue;
        const overlap = a.start < b.start + BigInt(b.length) && b.start < a.start + BigInt(a.length);
        expect([one.id, other.id, overlap]).toEqual([one.id, other.id, false]);
      }
    }
  }
});
