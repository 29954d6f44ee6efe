/**
 * What an inspector reads of a device, as rows of numbers: turning each object of a device into a JavaScript object ten times a
 * second would cost too much, so only the rows that have changed become objects.
 */
import { Errno, rdmaError } from '../internal/errors';
import {
  CqRow,
  Detached,
  QpRow,
  RegionRow,
  ResourceKind,
  SrqRow,
  ContextRow,
  PdRow,
  AhRow,
  DmaRow,
  MemoryRow,
  WindowRow,
} from '../internal/layout';
import { type NativeDevice } from '../internal/native';
import { liveState, memoryKindName, regionKindName } from '../internal/region-kind';
import { qpStateName, qpTypeName } from '../internal/verbs-names';
import { countersOf } from '../verbs/counters';
import {
  type CompletionQueueView,
  type CountersView,
  type DeviceView,
  type Lists,
  type QueuePairView,
  type RegionView,
  type SharedReceiveQueueView,
  type Totals,
  type WindowView,
} from './protocol';

export const WORDS_PER_FIELD = 2;
const HALF = 2 ** 32;

/** Rows of one kind of objects: 64-bit fields, as pairs of 32-bit words, the low one first. */
export interface Rows {
  readonly words: Uint32Array;
  /** Words of one row. */
  readonly width: number;
  readonly count: number;
}

/** Returns a field of a row as a number; fields are below 2^53, except addresses. */
export function numberAt({ words, width }: Rows, row: number, field: number): number {
  const at = row * width + field * WORDS_PER_FIELD;
  return (words[at] ?? 0) + (words[at + 1] ?? 0) * HALF;
}

/** Returns a field of a row as a hex string. */
export function hexAt({ words, width }: Rows, row: number, field: number): string {
  const at = row * width + field * WORDS_PER_FIELD;
  const [low = 0, high = 0] = [words[at], words[at + 1]];
  return high === 0 ? `0x${low.toString(16)}` : `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`;
}

/** The rows of an object's list, its id and, if it has one, its key; and how one becomes an object. */
export interface ListKind<T> {
  readonly id: number;
  readonly key?: number;
  /** A field that is not 0 if the key is not in the key table. */
  readonly withoutKey?: number;
  readonly view: (rows: Rows, row: number) => T;
  /** A field that changes far more often than the others, and how an object is told of which nothing else has changed. */
  readonly frequent?: {
    readonly field: number;
    readonly view: (rows: Rows, row: number) => Partial<T> & { id: number };
  };
}

/** One look at a device. */
export interface Report {
  readonly lists: { readonly [K in keyof Lists]: Rows };
  readonly totals: Totals;
  readonly counters: CountersView;
  readonly keys: { readonly used: number; readonly max: number };
  /** The memory of the rows, all of it, if a later look may write there. */
  readonly memory?: readonly BigUint64Array[];
}

/** Where an inspector looks. */
export interface ReportSource {
  readonly device: Omit<DeviceView, 'intervalMs'>;
  readonly kinds: { readonly [K in keyof Lists]: ListKind<Lists[K][number]> };
  /** Returns whether the device is open. */
  isOpen(): boolean;
  /**
   * Returns undefined once the device is closed. May throw `ENOMEM`.
   *
   * @param old - a report that nobody reads any more: its memory is used again, because fresh memory for many objects costs more
   *   than to read them
   */
  read(old?: Report): Report | undefined;
}

function regionView(rows: Rows, row: number): RegionView {
  const at = (field: number): number => numberAt(rows, row, field);
  const memory = memoryKindName(at(RegionRow.MemoryKind));
  const detached = at(RegionRow.Detached);
  return {
    id: at(RegionRow.Id),
    pd: at(RegionRow.Pd),
    context: at(RegionRow.Context),
    kind: regionKindName(at(RegionRow.Kind)),
    key: hexAt(rows, row, RegionRow.Key),
    access: at(RegionRow.Access),
    refs: at(RegionRow.Refs),
    start: hexAt(rows, row, RegionRow.Start),
    iova: hexAt(rows, row, RegionRow.Iova),
    length: at(RegionRow.Length),
    segments: at(RegionRow.Segments),
    maxSegments: at(RegionRow.MaxSegments),
    state: liveState(at(RegionRow.HalfDead) !== 0, at(RegionRow.Valid) !== 0),
    ...(memory !== undefined && {
      memory: {
        kind: memory,
        buffer: at(RegionRow.Buffer),
        offset: at(RegionRow.Offset),
        detached: detached === (Detached.Unknown as number) ? null : detached === (Detached.Yes as number),
      },
    }),
  };
}

function windowView(rows: Rows, row: number): WindowView {
  const at = (field: number): number => numberAt(rows, row, field);
  const isLease = at(WindowRow.Lease) !== 0;
  const qp = at(WindowRow.Qp);
  return {
    id: at(WindowRow.Id),
    kind: isLease ? 'LEASE' : 'WINDOW',
    region: at(WindowRow.Region),
    pd: at(WindowRow.Pd),
    key: hexAt(rows, row, WindowRow.Key),
    access: at(WindowRow.Access),
    iova: hexAt(rows, row, WindowRow.Address),
    length: at(WindowRow.Length),
    ...(qp !== 0 && { qp }),
    ...(isLease && { msLeft: at(WindowRow.MsLeft) }),
  };
}

function queuePairView(rows: Rows, row: number): QueuePairView {
  const at = (field: number): number => numberAt(rows, row, field);
  const common = { id: at(QpRow.Serial), pd: at(QpRow.Pd), context: at(QpRow.Context) };
  const type = qpTypeName(at(QpRow.Type));
  if (type === undefined || type === 'CHECK') return common;
  const [peer, srq] = [at(QpRow.Peer), at(QpRow.Srq)];
  return {
    ...common,
    type,
    qpn: at(QpRow.Number),
    state: qpStateName(at(QpRow.State)) ?? '?',
    sends: at(QpRow.Sends),
    receives: at(QpRow.Receives),
    sendCq: at(QpRow.SendCq),
    recvCq: at(QpRow.RecvCq),
    ...(peer !== 0 && { peer }),
    ...(srq !== 0 && { srq }),
  };
}

function completionQueueView(rows: Rows, row: number): CompletionQueueView {
  const at = (field: number): number => numberAt(rows, row, field);
  return {
    id: at(CqRow.Serial),
    cqe: at(CqRow.Cqe),
    held: at(CqRow.Held),
    users: at(CqRow.Users),
    broken: at(CqRow.Broken) !== 0,
  };
}

function sharedReceiveQueueView(rows: Rows, row: number): SharedReceiveQueueView {
  const at = (field: number): number => numberAt(rows, row, field);
  return {
    id: at(SrqRow.Serial),
    pd: at(SrqRow.Pd),
    maxWr: at(SrqRow.MaxWr),
    held: at(SrqRow.Held),
    limit: at(SrqRow.Limit),
    users: at(SrqRow.Users),
  };
}

/** Asks the native module for arrays whose buffers have room for more rows, because the next report is to be written there. */
const NO_MEMORY: readonly BigUint64Array[] = [new BigUint64Array()];
const NO_ROWS: Rows = { words: new Uint32Array(), width: 1, count: 0 };

/** How a device's rows become objects. */
export const deviceKinds: ReportSource['kinds'] = {
  regions: {
    id: RegionRow.Id,
    key: RegionRow.Key,
    withoutKey: RegionRow.HalfDead,
    view: regionView,
    frequent: {
      field: RegionRow.Refs,
      view: (rows, row) => ({
        id: numberAt(rows, row, RegionRow.Id),
        refs: numberAt(rows, row, RegionRow.Refs),
      }),
    },
  },
  windows: {
    id: WindowRow.Id,
    key: WindowRow.Key,
    view: windowView,
    frequent: {
      field: WindowRow.MsLeft,
      view: (rows, row) => ({
        id: numberAt(rows, row, WindowRow.Id),
        msLeft: numberAt(rows, row, WindowRow.MsLeft),
      }),
    },
  },
  queuePairs: { id: QpRow.Serial, view: queuePairView },
  completionQueues: { id: CqRow.Serial, view: completionQueueView },
  sharedReceiveQueues: { id: SrqRow.Serial, view: sharedReceiveQueueView },
};

/** Returns a source that looks at a device. */
export function deviceSource(native: NativeDevice, thread: number): ReportSource {
  return {
    device: {
      id: native.number(),
      context: native.context(),
      pid: process.pid,
      thread,
      keyTableBits: native.bits(),
      onlyPd: native.onlyPd(),
    },
    kinds: deviceKinds,
    isOpen: () => native.live() === 0,
    read(old) {
      if (native.live() !== 0) return undefined;
      const all = native.resources(...(old?.memory ?? NO_MEMORY));
      // Another thread may have closed the device since the first test.
      if (all === -Errno.EBADF) return undefined;
      if (typeof all === 'number') throw rdmaError('Device.resources', all);
      const rows = (kind: ResourceKind, fields: number): Rows => {
        const numbers = all[kind];
        if (numbers === undefined) return NO_ROWS;
        const words = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length * WORDS_PER_FIELD);
        return { words, width: fields * WORDS_PER_FIELD, count: numbers.length / fields };
      };
      const lists = {
        regions: rows(ResourceKind.Mr, RegionRow.Fields),
        windows: rows(ResourceKind.Mw, WindowRow.Fields),
        queuePairs: rows(ResourceKind.Qp, QpRow.Fields),
        completionQueues: rows(ResourceKind.Cq, CqRow.Fields),
        sharedReceiveQueues: rows(ResourceKind.Srq, SrqRow.Fields),
      };
      const { accepted, refused, bytesCopied, reasons, completions } = countersOf(native, false);
      return {
        lists,
        totals: {
          contexts: rows(ResourceKind.Context, ContextRow.Fields).count,
          pds: rows(ResourceKind.Pd, PdRow.Fields).count,
          regions: lists.regions.count,
          windows: lists.windows.count,
          queuePairs: lists.queuePairs.count,
          completionQueues: lists.completionQueues.count,
          sharedReceiveQueues: lists.sharedReceiveQueues.count,
          addressHandles: rows(ResourceKind.Ah, AhRow.Fields).count,
          mappings: rows(ResourceKind.Dma, DmaRow.Fields).count,
          memories: rows(ResourceKind.Memory, MemoryRow.Fields).count,
        },
        counters: {
          accepted,
          refused,
          bytesCopied,
          reasons,
          completions: completions ? { ...completions } : null,
        },
        keys: native.keySlots(),
        memory: all.map(({ buffer }) => new BigUint64Array(buffer)),
      };
    },
  };
}
