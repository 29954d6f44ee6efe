/** Keeps a state up to date by the ticks that follow it: for the page and for `rdmavt inspect`. */
import {
  type InspectState,
  type InspectTick,
  type ListChange,
  type Lists,
  type ObjectView,
} from './protocol';

/** How many refusals a state keeps. */
export const MOST_REFUSALS = 200;

const LIST_NAMES = [
  'regions',
  'windows',
  'queuePairs',
  'completionQueues',
  'sharedReceiveQueues',
] as const satisfies readonly (keyof Lists)[];

/** A state whose lists are maps by id. */
export type LiveState = Omit<InspectState, keyof Lists> & {
  [K in keyof Lists]: Map<number, Lists[K][number]>;
};

/** Turns a state into one that {@link applyTick} can change. */
export function liveStateOf(state: InspectState): LiveState {
  const byId = <T extends ObjectView>(list: readonly T[]): Map<number, T> =>
    new Map(list.map((object) => [object.id, object]));
  return {
    ...state,
    regions: byId(state.regions),
    windows: byId(state.windows),
    queuePairs: byId(state.queuePairs),
    completionQueues: byId(state.completionQueues),
    sharedReceiveQueues: byId(state.sharedReceiveQueues),
  };
}

/** Changes a state as a tick says. Returns the names of the lists that have changed. */
export function applyTick(state: LiveState, tick: InspectTick): Set<keyof Lists> {
  const changed = new Set<keyof Lists>();
  state.time = tick.time;
  for (const name of LIST_NAMES) {
    const change = tick.lists?.[name];
    if (change === undefined) continue;
    changed.add(name);
    applyChange<ObjectView>(state[name], change);
  }
  if (tick.totals !== undefined) state.totals = tick.totals;
  if (tick.counters !== undefined) state.counters = tick.counters;
  if (tick.keys !== undefined) {
    state.keys.used = tick.keys.used;
    const { cells } = tick.keys;
    for (let i = 0; i + 1 < cells.length; i += 2) state.keys.cells[cells[i] ?? 0] = cells[i + 1] ?? 0;
  }
  if (tick.refusals !== undefined)
    state.refusals = [...state.refusals, ...tick.refusals].slice(-MOST_REFUSALS);
  if (tick.unexplained !== undefined) state.unexplained = tick.unexplained;
  return changed;
}

function applyChange<T extends ObjectView>(
  list: Map<number, T>,
  { set = [], gone = [] }: ListChange<T>,
): void {
  for (const id of gone) list.delete(id);
  for (const object of set) list.set(object.id, { ...list.get(object.id), ...object } as T);
}
