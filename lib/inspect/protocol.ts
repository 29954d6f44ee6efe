/**
 * What the server of an inspector sends to those who look: one {@link InspectState} when they come, then {@link InspectTick}s with
 * what has changed. The page, `rdmavt inspect` and the server share these types; nothing here runs.
 *
 * Addresses and keys are hex strings: JSON has no 64-bit numbers.
 */

/** Format of the messages; another number if a reader of the present one could not read them. */
export const INSPECT_FORMAT = 'rdmavt-inspect-1';

/** Names of the events of the stream. */
export const STATE_EVENT = 'state';
export const TICK_EVENT = 'tick';
export const END_EVENT = 'end';

/** Each list of objects that has an id. */
export interface ObjectView {
  id: number;
}

export interface RegionView extends ObjectView {
  pd: number;
  context: number;
  kind: string;
  key: string;
  /** Access bits. */
  access: number;
  refs: number;
  /** Address of the first byte in local checks. */
  start: string;
  /** Address of the first byte in remote checks. */
  iova: string;
  length: number;
  segments: number;
  maxSegments: number;
  state: 'Valid' | 'Invalid' | 'HalfDead';
  /** Absent if the region has no memory of its own. */
  memory?: { kind: string; buffer: number; offset: number; detached: boolean | null };
}

/** A part of a region with a key and rights of its own: a memory window, or a lease. */
export interface WindowView extends ObjectView {
  kind: 'WINDOW' | 'LEASE';
  /** `id` of the region; 0: the window is not bound. */
  region: number;
  pd: number;
  key: string;
  access: number;
  /** Address of the first byte in remote checks. */
  iova: string;
  length: number;
  /** `id` of the queue pair whose peer alone may use it. */
  qp?: number;
  /** Of a lease: milliseconds until it expires; 0: it has expired. */
  msLeft?: number;
}

export interface QueuePairView extends ObjectView {
  pd: number;
  context: number;
  /** Absent, as all that follow, if the queue pair was created for checks only. */
  type?: string;
  qpn?: number;
  state?: string;
  sends?: number;
  receives?: number;
  peer?: number;
  sendCq?: number;
  recvCq?: number;
  srq?: number;
}

export interface CompletionQueueView extends ObjectView {
  cqe: number;
  held: number;
  users: number;
  broken: boolean;
}

export interface SharedReceiveQueueView extends ObjectView {
  pd: number;
  maxWr: number;
  held: number;
  limit: number;
  users: number;
}

/** The lists of objects of a state. */
export interface Lists {
  regions: RegionView[];
  windows: WindowView[];
  queuePairs: QueuePairView[];
  completionQueues: CompletionQueueView[];
  sharedReceiveQueues: SharedReceiveQueueView[];
}

/** How many objects of each kind there are, including those that the lists leave out. */
export interface Totals {
  contexts: number;
  pds: number;
  regions: number;
  windows: number;
  queuePairs: number;
  completionQueues: number;
  sharedReceiveQueues: number;
  addressHandles: number;
  mappings: number;
  memories: number;
}

export interface CountersView {
  accepted: number;
  refused: number;
  bytesCopied: number;
  /** Refusals by reason. */
  reasons: Record<string, number>;
  /** Completions by status, and `lost`; null if the inspected object may not see them. */
  completions: Record<string, number> | null;
}

/** The occupied slots of the key table. */
export interface KeysView {
  used: number;
  max: number;
  /** Slots of each cell of the grid. */
  perCell: number;
  /** Number of occupied slots in each cell. */
  cells: number[];
}

export interface RefusalView {
  /** Counts the refusals that were sent, from 1. */
  n: number;
  /** Milliseconds since 1970. */
  time: number;
  reason: string;
  method: string;
  operation: string;
  /** How many accesses the call refused. */
  count: number;
  address?: string;
  length?: number;
  key?: string;
  access?: number;
  remote?: boolean;
  pd?: number;
  qp?: number;
  peer?: string;
  /** The explanation. */
  text: string;
}

export interface DeviceView {
  /** Number of the device in its process. */
  id: number;
  context: number;
  pid: number;
  /** 0: the main thread. */
  thread: number;
  keyTableBits: number;
  /** `id` of the domain that the inspected object is restricted to; 0: it sees everything. */
  onlyPd: number;
  /** Time between two ticks, in milliseconds, unless they would take too much of the thread. */
  intervalMs: number;
}

/** All that there is to see. */
export interface InspectState extends Lists {
  /** {@link INSPECT_FORMAT} of the server. */
  format: string;
  /** Milliseconds since 1970. */
  time: number;
  device: DeviceView;
  totals: Totals;
  counters: CountersView;
  keys: KeysView;
  /** The newest refusals, oldest first. */
  refusals: RefusalView[];
  /** Refusals of which only the number was noted, because there were too many at once. */
  unexplained: number;
}

/** The changes of one list: objects that are new or have changed, and the ids of those that are gone. */
export interface ListChange<T extends ObjectView> {
  /** In whole, or with the properties that have changed. */
  set?: (T | (Partial<T> & ObjectView))[];
  gone?: number[];
}

/** What has changed since the state or tick before. */
export interface InspectTick {
  time: number;
  lists?: { [K in keyof Lists]?: ListChange<Lists[K][number]> };
  totals?: Totals;
  counters?: CountersView;
  /** `cells`: pairs of an index and the number of occupied slots. */
  keys?: { used: number; cells: number[] };
  /** New refusals. */
  refusals?: RefusalView[];
  unexplained?: number;
}

/** Why the stream has ended. */
export interface InspectEnd {
  why: 'closed' | 'device-closed';
}
