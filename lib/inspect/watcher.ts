/**
 * Looks at a device while somebody wants to know, and tells what has changed.
 *
 * While nobody does, there is no timer and no subscription, so that an inspector without a page costs the program nothing.
 */
import { clearTimeout, setTimeout } from 'node:timers';
import { changedCells, keyFill, slotsPerCell } from './key-fill';
import { changeOf } from './list-diff';
import { INSPECT_FORMAT, type InspectState, type InspectTick, type Lists } from './protocol';
import { RefusalLog } from './refusal-log';
import { type ListKind, type Report, type ReportSource, type Rows } from './report';

/**
 * How many objects of a list are sent, in the order of the device's own table. The others are in the totals, in the counters, and in
 * the grid of the key table. A browser that draws a million regions helps nobody.
 */
export const MOST_LISTED = 20_000;

/**
 * The pause after a look is at least this many times as long as the look took: an inspector takes about 5 % of the thread at most, whatever
 * the device holds and however much of it changes.
 */
const PAUSE_FACTOR = 20;

/** A tick without changes is sent after this time, so that whoever looks can tell that the program is alive. */
const HEARTBEAT_MS = 1000;

const listNames = [
  'regions',
  'windows',
  'queuePairs',
  'completionQueues',
  'sharedReceiveQueues',
] as const satisfies readonly (keyof Lists)[];

/** Receives what a {@link Watcher} sees. */
export interface Listener {
  tick(tick: InspectTick): void;
  /** The device is closed: nothing follows. */
  end(): void;
}

export interface WatcherOptions {
  readonly intervalMs: number;
  /** Whether the timer keeps the process alive. */
  readonly ref: boolean;
  /** Returns the time in milliseconds. Default: `performance.now()`. */
  readonly now?: () => number;
  /** Returns the processor time that the thread has used, in milliseconds. Default: as the system says. */
  readonly used?: () => number;
}

/** Newer versions of Node know the processor time of a thread. */
const { threadCpuUsage } = process as {
  threadCpuUsage?: () => NodeJS.CpuUsage;
};
const MICROSECONDS_PER_MILLISECOND = 1000;

/** Returns the processor time of this thread; where that is not known, of the process. */
function processorTime(): number {
  const { user, system } = threadCpuUsage === undefined ? process.cpuUsage() : threadCpuUsage.call(process);
  return (user + system) / MICROSECONDS_PER_MILLISECOND;
}

export class Watcher {
  readonly #source: ReportSource;
  readonly #options: WatcherOptions;
  readonly #listener: Listener;
  readonly #log: RefusalLog;
  readonly #now: () => number;
  readonly #used: () => number;
  #timer: NodeJS.Timeout | undefined;
  #isWatching = false;
  #last: Report | undefined;
  /** The report before the last one, whose memory the next one takes. */
  #old: Report | undefined;
  #cells: number[] = [];
  #countersText = '';
  #totalsText = '';
  #sentUnexplained = 0;
  #sentAt = 0;

  constructor(source: ReportSource, options: WatcherOptions, listener: Listener) {
    this.#source = source;
    this.#options = options;
    this.#listener = listener;
    this.#log = new RefusalLog(source.device.id);
    this.#now = options.now ?? (() => performance.now());
    this.#used = options.used ?? processorTime;
  }

  /**
   * Starts to look, unless it does already.
   *
   * @returns everything that there is; undefined if the device is closed
   * @throws RdmaError `ENOMEM`
   */
  start(): InspectState | undefined {
    if (!this.#isWatching) {
      const report = this.#source.read();
      if (report === undefined) return undefined;
      this.#isWatching = true;
      this.#log.start();
      this.#remember(report, this.#fillOf(report));
      this.#sentUnexplained = 0;
      this.#sentAt = this.#now();
      this.#plan(this.#options.intervalMs);
    }
    return this.state();
  }

  /** Stops to look: ends the timer and the subscription, and forgets all that was seen. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isWatching = false;
    this.#log.stop();
    this.#last = this.#old = undefined;
    this.#cells = [];
    this.#countersText = this.#totalsText = '';
  }

  /** Whether it looks. */
  get isWatching(): boolean {
    return this.#isWatching;
  }

  #plan(delay: number): void {
    this.#timer = setTimeout(() => {
      this.#look();
    }, delay);
    if (!this.#options.ref) this.#timer.unref();
  }

  #look(): void {
    const [begin, usedBefore] = [this.#now(), this.#used()];
    let isOpen = true;
    try {
      isOpen = this.#tell(begin);
    } catch {
      // No memory for a report: the next one may find some.
    }
    if (!isOpen) {
      this.stop();
      this.#listener.end();
      return;
    }
    if (!this.#isWatching) return; // the last one who looked has left meanwhile
    // While other programs have the processor, time passes that costs nothing; what other threads use in that time is not its cost.
    const passed = this.#now() - begin;
    const took = Math.min(passed, this.#used() - usedBefore);
    this.#plan(Math.max(this.#options.intervalMs - passed, took * PAUSE_FACTOR));
  }

  /** Tells what has changed. Returns false if the device is closed. */
  #tell(now: number): boolean {
    const [before, old] = [this.#last, this.#old];
    this.#old = undefined; // if the call fails, its memory may hold parts of two reports
    const report = this.#source.read(old);
    if (report === undefined) return false;
    if (before === undefined) return true;
    const tick: InspectTick = { time: Date.now() };
    let isNews = false;

    const lists: Record<string, unknown> = {};
    let keysChanged = false;
    let listsChanged = false;
    for (const name of listNames) {
      const kind = this.#source.kinds[name] as ListKind<Lists[typeof name][number]>;
      const found = changeOf(kind, before.lists[name], report.lists[name], MOST_LISTED);
      const isLong = report.lists[name].count > MOST_LISTED;
      // Objects that are not listed have keys too.
      if (found?.ofKeys === true || isLong) keysChanged ||= kind.key !== undefined;
      if (found === undefined) continue;
      lists[name] = found.change;
      listsChanged = true;
    }
    if (listsChanged) {
      tick.lists = lists;
      isNews = true;
    }

    const cells = keysChanged ? this.#fillOf(report) : this.#cells;
    const pairs = changedCells(this.#cells, cells);
    if (pairs.length > 0 || report.keys.used !== before.keys.used) {
      tick.keys = { used: report.keys.used, cells: pairs };
      isNews = true;
    }
    const [oldCounters, oldTotals] = [this.#countersText, this.#totalsText];
    this.#remember(report, cells);
    this.#old = before;
    if (this.#countersText !== oldCounters) {
      tick.counters = report.counters;
      isNews = true;
    }
    if (this.#totalsText !== oldTotals) {
      tick.totals = report.totals;
      isNews = true;
    }
    const refusals = this.#log.takeFresh();
    if (refusals.length > 0) {
      tick.refusals = refusals;
      isNews = true;
    }
    if (this.#log.unexplained !== this.#sentUnexplained) {
      tick.unexplained = this.#sentUnexplained = this.#log.unexplained;
      isNews = true;
    }
    if (!isNews && now - this.#sentAt < HEARTBEAT_MS) return true;
    this.#sentAt = now;
    this.#listener.tick(tick);
    return true;
  }

  #remember(report: Report, cells: number[]): void {
    this.#last = report;
    this.#cells = cells;
    this.#countersText = JSON.stringify(report.counters);
    this.#totalsText = JSON.stringify(report.totals);
  }

  #fillOf({ lists }: Report): number[] {
    const { kinds, device } = this.#source;
    return keyFill(
      device.keyTableBits,
      listNames.map((name) => [kinds[name], lists[name]] as const),
    );
  }

  /** Returns everything that there was at the last look; undefined if it does not look. */
  state(): InspectState | undefined {
    const report = this.#last;
    if (report === undefined) return undefined;
    const { kinds, device } = this.#source;
    return {
      format: INSPECT_FORMAT,
      time: Date.now(),
      device: { ...device, intervalMs: this.#options.intervalMs },
      totals: report.totals,
      counters: report.counters,
      keys: {
        ...report.keys,
        perCell: slotsPerCell(device.keyTableBits),
        cells: [...this.#cells],
      },
      refusals: [...this.#log.kept],
      unexplained: this.#sentUnexplained,
      regions: viewsOf(kinds.regions, report.lists.regions),
      windows: viewsOf(kinds.windows, report.lists.windows),
      queuePairs: viewsOf(kinds.queuePairs, report.lists.queuePairs),
      completionQueues: viewsOf(kinds.completionQueues, report.lists.completionQueues),
      sharedReceiveQueues: viewsOf(kinds.sharedReceiveQueues, report.lists.sharedReceiveQueues),
    };
  }
}

function viewsOf<T>(kind: ListKind<T>, rows: Rows): T[] {
  const views: T[] = [];
  const count = Math.min(rows.count, MOST_LISTED);
  for (let row = 0; row < count; row++) views.push(kind.view(rows, row));
  return views;
}
