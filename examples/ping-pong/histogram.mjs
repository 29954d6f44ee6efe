// Turns measured times into text: a histogram whose buckets grow by a factor, and percentiles.

/** Width of the longest bar in characters. */
const BAR = 50;

/**
 * Lower bounds of the buckets in microseconds: two for each power of two. Times below the first bound are in the first bucket.
 */
const BOUNDS = Array.from({ length: 48 }, (_, i) => 2 ** (i >> 1) * (i % 2 === 0 ? 0.25 : 0.375));

/**
 * Formats a time with two or three digits.
 *
 * @param {number} us microseconds
 */
export function time(us) {
  const [value, unit] = us < 1000 ? [us, 'us'] : us < 1e6 ? [us / 1000, 'ms'] : [us / 1e6, 's'];
  return `${value < 10 ? Number(value.toPrecision(2)) : Math.round(value)} ${unit}`;
}

/**
 * Returns the time that `percent` percent of the round trips did not exceed.
 *
 * @param {Float64Array} sorted times in ascending order, at least one
 * @param {number} percent
 */
export function percentile(sorted, percent) {
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? NaN;
}

/**
 * Returns one line per bucket, from the first bucket with a time to the last one: bounds, count, and a bar whose length is
 * proportional to the count.
 *
 * @param {Float64Array} times in microseconds
 */
export function histogram(times) {
  const counts = BOUNDS.map(() => 0);
  for (const us of times) {
    let bucket = BOUNDS.length - 1;
    while (bucket > 0 && us < (BOUNDS[bucket] ?? 0)) bucket--;
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }
  const used = counts.flatMap((count, bucket) => (count > 0 ? [bucket] : []));
  const first = used[0] ?? 0;
  const last = used.at(-1) ?? 0;
  const most = Math.max(...counts);
  const rows = counts.slice(first, last + 1).map((count, i) => ({
    from: time(BOUNDS[first + i] ?? NaN),
    to: time(BOUNDS[first + i + 1] ?? Infinity),
    count: count.toLocaleString('en'),
    bar: '#'.repeat(Math.ceil((BAR * count) / most)),
  }));
  const width = (/** @type {'from' | 'to' | 'count'} */ column) =>
    Math.max(...rows.map((row) => row[column].length));
  const [from, to, count] = [width('from'), width('to'), width('count')];
  return rows.map((row) =>
    `${row.from.padStart(from)} to ${row.to.padStart(to)}  ${row.count.padStart(count)}  ${row.bar}`.trimEnd(),
  );
}
