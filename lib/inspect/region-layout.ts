/**
 * Where the page draws regions: an axis of addresses to one scale, in which long gaps are cut short, folded into rows like lines of
 * text. Pure computation, so that it can be tested without a browser.
 */

/** A range of addresses to be drawn. */
export interface Placed {
  readonly id: number;
  readonly start: bigint;
  /** Length in bytes; 0: it covers no addresses. */
  readonly length: number;
}

/** A part of a range in one row, in pixels. */
export interface Box {
  readonly id: number;
  readonly row: number;
  readonly lane: number;
  readonly x: number;
  readonly width: number;
  /** Whether the range begins, and ends, in this row. */
  readonly first: boolean;
  readonly last: boolean;
}

/** A gap that was cut short. */
export interface Gap {
  readonly row: number;
  readonly x: number;
  /** Its true length in bytes. */
  readonly bytes: bigint;
}

/** The address at the left end of a row; undefined if the row shows ranges without addresses. */
export interface Row {
  readonly address: bigint | undefined;
  /** Number of lanes: ranges that overlap lie in different ones. */
  readonly lanes: number;
}

export interface Layout {
  readonly rows: readonly Row[];
  readonly boxes: readonly Box[];
  readonly gaps: readonly Gap[];
  /** The ids in the order of addresses; those without addresses at the end. */
  readonly order: readonly number[];
  /** The scale. */
  readonly bytesPerPixel: number;
  /** How many ranges share their lane with another that they overlap, because all lanes were taken. */
  readonly crowded: number;
}

/** Width of a gap that was cut short, and of a range without addresses, in pixels. */
export const GAP_PIXELS = 28;
const UNPLACED_PIXELS = 18;
/** Narrower ranges could not be seen or clicked. */
export const LEAST_PIXELS = 2;
export const MOST_LANES = 6;
/** Gaps of at most this part of all drawn bytes are drawn to scale. */
const GAP_PART = 8;
const LEAST_GAP_BYTES = 4096n;
/** Rows that the default scale fills. */
const ROWS_AT_FIRST = 4;
/** More rows than this would exceed what a browser can scroll. */
const MOST_ROWS = 50_000;

interface Cluster {
  readonly start: bigint;
  end: bigint;
  /** Bytes between the cluster before and this one. */
  readonly gap: bigint;
  readonly members: { readonly item: Placed; lane: number }[];
}

/**
 * Lays out ranges.
 *
 * @param width - pixels of a row
 * @param zoom - 1: all ranges fit into a few rows; 2: twice as wide
 */
export function layOut(items: readonly Placed[], width: number, zoom: number): Layout {
  const placed = items.filter(({ length }) => length > 0);
  const unplaced = items.filter(({ length }) => length <= 0);
  placed.sort(
    (one, other) => compare(one.start, other.start) || other.length - one.length || one.id - other.id,
  );

  const clusters = clustersOf(placed);
  let crowded = 0;
  for (const cluster of clusters) crowded += giveLanes(cluster);

  let bytes = 0;
  for (const { start, end } of clusters) bytes += Number(end - start);
  const gapPixels = Math.max(0, clusters.length - 1) * GAP_PIXELS;
  const room = Math.max(width, ROWS_AT_FIRST * width * zoom - gapPixels);
  const mostRoom = MOST_ROWS * width;
  const bytesPerPixel = Math.max(bytes / Math.min(room, mostRoom), Number.MIN_VALUE) || 1;

  const boxes: Box[] = [];
  const gaps: Gap[] = [];
  const addresses: (bigint | undefined)[] = [];
  const lanes: number[] = [];
  const put = (id: number, from: number, to: number, lane: number): void => {
    const [first, last] = [Math.floor(from / width), Math.max(0, Math.ceil(to / width) - 1)];
    for (let row = first; row <= last; row++) {
      const x = Math.max(from - row * width, 0);
      const end = Math.min(to - row * width, width);
      boxes.push({ id, row, lane, x, width: end - x, first: row === first, last: row === last });
      lanes[row] = Math.max(lanes[row] ?? 0, lane + 1);
    }
  };

  let at = 0;
  for (const cluster of clusters) {
    if (cluster !== clusters[0]) {
      // A mark is never split between two rows.
      if (Math.floor(at / width) !== Math.floor((at + GAP_PIXELS) / width))
        at = Math.ceil(at / width) * width;
      gaps.push({ row: Math.floor(at / width), x: at % width, bytes: cluster.gap });
      at += GAP_PIXELS;
    }
    // A row that begins with a mark shows the address after it.
    if (at % width !== 0 && Math.floor(at / width) * width >= at - GAP_PIXELS)
      addresses[Math.floor(at / width)] ??= cluster.start;
    const length = Number(cluster.end - cluster.start);
    const end = at + Math.max(length / bytesPerPixel, LEAST_PIXELS);
    for (let row = Math.ceil(at / width); row * width < end; row++) {
      const offset = Math.round((row * width - at) * bytesPerPixel);
      addresses[row] = cluster.start + BigInt(Math.min(offset, length));
    }
    for (const { item, lane } of cluster.members) {
      const from = at + Number(item.start - cluster.start) / bytesPerPixel;
      put(item.id, from, Math.max(from + item.length / bytesPerPixel, from + LEAST_PIXELS), lane);
    }
    at = end;
  }

  if (unplaced.length > 0) {
    // In rows of their own, which have no addresses.
    at = Math.ceil(at / width) * width;
    const perRow = Math.max(1, Math.floor(width / UNPLACED_PIXELS));
    unplaced.forEach(({ id }, i) => {
      const from = at + Math.floor(i / perRow) * width + (i % perRow) * UNPLACED_PIXELS;
      put(id, from, from + UNPLACED_PIXELS - 2, 0);
    });
  }

  const rowCount = Math.max(lanes.length, ...(gaps.length > 0 ? [(gaps.at(-1)?.row ?? 0) + 1] : []));
  const rows = Array.from({ length: rowCount }, (_, row) => ({
    address: addresses[row],
    lanes: lanes[row] ?? 1,
  }));
  return {
    rows,
    boxes,
    gaps,
    order: [...placed, ...unplaced].map(({ id }) => id),
    bytesPerPixel,
    crowded,
  };
}

function compare(one: bigint, other: bigint): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Groups ranges with short gaps between them. */
function clustersOf(placed: readonly Placed[]): Cluster[] {
  let covered = 0n;
  let end = 0n;
  for (const { start, length } of placed) {
    const until = start + BigInt(length);
    if (until > end) covered += until - (start > end ? start : end);
    if (until > end) end = until;
  }
  const share = covered / BigInt(GAP_PART);
  const most = share > LEAST_GAP_BYTES ? share : LEAST_GAP_BYTES;
  const clusters: Cluster[] = [];
  for (const item of placed) {
    const until = item.start + BigInt(item.length);
    const cluster = clusters.at(-1);
    if (cluster === undefined || item.start - cluster.end > most) {
      const gap = item.start - (cluster?.end ?? 0n);
      clusters.push({ start: item.start, end: until, gap, members: [{ item, lane: 0 }] });
    } else {
      cluster.members.push({ item, lane: 0 });
      if (until > cluster.end) cluster.end = until;
    }
  }
  return clusters;
}

/** Gives overlapping ranges different lanes. Returns how many found no free one. */
function giveLanes({ members }: Cluster): number {
  const ends: bigint[] = [];
  let crowded = 0;
  for (const member of members) {
    const { start, length } = member.item;
    const until = start + BigInt(length);
    let lane = ends.findIndex((end) => end <= start);
    if (lane < 0 && ends.length < MOST_LANES) lane = ends.length;
    if (lane < 0) {
      lane = MOST_LANES - 1;
      crowded++;
    }
    const before = ends[lane];
    ends[lane] = before !== undefined && before > until ? before : until;
    member.lane = lane;
  }
  return crowded;
}
