// The result lines of perftest and of the pingpong programs.

/** A row of perftest's table: the numbers of a line, which begins with the size and the iterations. */
export interface Row {
  readonly bytes: number;
  readonly iterations: number;
  /** Bandwidths in MB/s (peak, average) and million messages a second; or latencies in microseconds (least, greatest, ...). */
  readonly numbers: readonly number[];
}

/** Returns the rows of perftest's tables. */
export function rowsOf(stdout: string): Row[] {
  return [...stdout.matchAll(/^ *(\d+) +(\d+)((?:[ \t]+[\d.]+)+)[ \t]*$/gm)].map(
    ([, bytes, iterations, rest = '']) => ({
      bytes: Number(bytes),
      iterations: Number(iterations),
      numbers: rest.trim().split(/\s+/).map(Number),
    }),
  );
}

export interface PingPong {
  readonly bytes: number;
  readonly iterations: number;
  readonly microseconds: number;
}

/** Returns the result of a pingpong program, or undefined. */
export function pingPongOf(stdout: string): PingPong | undefined {
  const bytes = /^(\d+) bytes in [\d.]+ seconds = [\d.]+ Mbit\/sec$/m.exec(stdout)?.[1];
  const result = /^(\d+) iters in [\d.]+ seconds = ([\d.]+) usec\/iter$/m.exec(stdout);
  if (bytes === undefined || !result) return undefined;
  return { bytes: Number(bytes), iterations: Number(result[1]), microseconds: Number(result[2]) };
}
