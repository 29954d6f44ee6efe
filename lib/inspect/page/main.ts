/** The page of an inspector: takes what the server sends, and shows it. */
import { applyTick, type LiveState, liveStateOf } from '../apply-tick';
import { missedRegion } from '../missed-region';
import {
  END_EVENT,
  INSPECT_FORMAT,
  type InspectEnd,
  type InspectState,
  type InspectTick,
  type RefusalView,
  STATE_EVENT,
  TICK_EVENT,
} from '../protocol';
import { strengths } from '../view-words';
import { showDetails } from './details';
import { byId, contextOf, make, onNextFrame, setText } from './elements';
import { drawKeyGrid } from './key-grid';
import { fillsOf } from './patterns';
import { Rates } from './rates';
import { RefusalList } from './refusal-list';
import { RegionMap } from './region-map';
import { showCompletionQueues, showCounts, showQueuePairs, showSharedReceiveQueues } from './tables';
import { followTheme, paletteNow } from './theme';

/** Without a message for this time, in milliseconds, the program is busy or gone. */
const SILENCE_MS = 3000;
const RETRY_MS = 5000;

const EMPTY: InspectState = {
  format: INSPECT_FORMAT,
  time: 0,
  device: { id: 0, context: 0, pid: 0, thread: 0, keyTableBits: 1, onlyPd: 0, intervalMs: 100 },
  totals: {
    contexts: 0,
    pds: 0,
    regions: 0,
    windows: 0,
    queuePairs: 0,
    completionQueues: 0,
    sharedReceiveQueues: 0,
    addressHandles: 0,
    mappings: 0,
    memories: 0,
  },
  counters: { accepted: 0, refused: 0, bytesCopied: 0, reasons: {}, completions: null },
  keys: { used: 0, max: 0, perCell: 1, cells: [] },
  refusals: [],
  unexplained: 0,
  regions: [],
  windows: [],
  queuePairs: [],
  completionQueues: [],
  sharedReceiveQueues: [],
};

/** One object for as long as the page lives; its properties change. */
const state: LiveState = liveStateOf(EMPTY);
let heardAt = performance.now();
let status: 'connecting' | 'live' | 'silent' | 'lost' | 'ended' | 'full' = 'connecting';
let refusalShown: RefusalView | undefined;

const statusWords = {
  connecting: 'connecting …',
  live: 'live',
  silent: 'no news: the program is busy or stopped',
  lost: 'connection lost, trying again …',
  ended: 'ended: what you see is the last state',
  full: 'too many look already, trying again …',
} as const;

function setStatus(next: typeof status): void {
  status = next;
  const element = byId('status');
  element.dataset.status = next;
  setText(element, statusWords[next]);
}

const map = new RegionMap(state, (id, isEntered) => {
  refusalShown = undefined;
  showDetails(state, id);
  if (isEntered && id !== undefined) byId('details').focus();
});

const refusals = new RefusalList(state, (refusal) => {
  refusalShown = refusal;
  const missed = missedRegion(refusal, state.regions.values());
  const { address, length = 0, remote } = refusal;
  const kind = remote === true ? 'iova' : 'start';
  map.show(missed?.id, address === undefined ? undefined : { start: BigInt(address), length, kind });
  showDetails(state, missed?.id, { view: refusal, by: missed?.by });
  byId('map').scrollIntoView({ block: 'nearest' });
});

const rates = new Rates(() => state.counters);

let changedLists = new Set<string>();
let areCountsChanged = false;
let areKeysChanged = false;

const redraw = onNextFrame(() => {
  if (changedLists.has('regions') || changedLists.has('windows')) {
    map.regionsChanged();
    if (map.selected !== undefined && refusalShown === undefined) showDetails(state, map.selected);
  }
  if (changedLists.has('queuePairs')) showQueuePairs(state);
  if (changedLists.has('completionQueues')) showCompletionQueues(state);
  if (changedLists.has('sharedReceiveQueues')) showSharedReceiveQueues(state);
  if (areCountsChanged) showCounts(state);
  if (areKeysChanged) drawKeyGrid(state, paletteNow());
  changedLists = new Set();
  areCountsChanged = areKeysChanged = false;
});

function redrawAll(): void {
  changedLists = new Set(['regions', 'queuePairs', 'completionQueues', 'sharedReceiveQueues']);
  areCountsChanged = areKeysChanged = true;
  redraw();
}

function onState(next: InspectState): void {
  if (next.format !== INSPECT_FORMAT) {
    setStatus('ended');
    setText(byId('status'), 'the program has another version: load this page again');
    return;
  }
  Object.assign(state, liveStateOf(next));
  const { id, pid, thread, onlyPd } = next.device;
  const where = `device ${id} of process ${pid}${thread === 0 ? '' : `, thread ${thread}`}`;
  setText(byId('device'), where + (onlyPd === 0 ? '' : `, domain ${onlyPd} only`));
  document.title = `rdmavt: ${where}`;
  refusals.reset();
  rates.reset();
  redrawAll();
}

function onTick(tick: InspectTick): void {
  for (const name of applyTick(state, tick)) changedLists.add(name);
  if (tick.counters !== undefined || tick.totals !== undefined) areCountsChanged = true;
  if (tick.totals !== undefined)
    for (const name of ['queuePairs', 'completionQueues', 'sharedReceiveQueues']) changedLists.add(name);
  if (tick.keys !== undefined) areKeysChanged = true;
  if (tick.refusals !== undefined || tick.unexplained !== undefined) refusals.update();
  redraw();
}

function connect(): void {
  const source = new EventSource('events');
  const heard = (event: MessageEvent): unknown => {
    heardAt = performance.now();
    if (status !== 'live') setStatus('live');
    return JSON.parse(String(event.data)) as unknown;
  };
  source.addEventListener(STATE_EVENT, (event) => onState(heard(event) as InspectState));
  source.addEventListener(TICK_EVENT, (event) => onTick(heard(event) as InspectTick));
  source.addEventListener(END_EVENT, (event) => {
    const { why } = heard(event) as InspectEnd;
    source.close();
    setStatus('ended');
    if (why === 'device-closed')
      setText(byId('status'), 'the device is closed: what you see is the last state');
  });
  source.addEventListener('error', () => {
    if (status === 'ended') return;
    if (source.readyState !== EventSource.CLOSED) {
      setStatus('lost'); // the browser tries again
      return;
    }
    setStatus('full');
    setTimeout(connect, RETRY_MS);
  });
}

setInterval(() => {
  if (status === 'live' && performance.now() - heardAt > SILENCE_MS) setStatus('silent');
  else if (status === 'silent' && performance.now() - heardAt <= SILENCE_MS) setStatus('live');
}, 1000);

byId('details').addEventListener('keydown', (event) => {
  if (event.key === 'Escape') byId('map').focus();
});

function drawLegend(): void {
  const fills = fillsOf(paletteNow());
  byId('legend').replaceChildren(
    ...strengths.map(({ name, letters }, i) => {
      const swatch = make('canvas', { 'aria-hidden': 'true' });
      const context = contextOf(swatch, 26, 14);
      context.fillStyle = fills[i] ?? 'gray';
      context.fillRect(0, 0, 26, 14);
      return make('li', {}, swatch, ` ${name}${letters === '' ? ' (r)' : ` (${letters})`}`);
    }),
  );
}

new ResizeObserver(() => {
  areKeysChanged = true;
  redraw();
}).observe(byId('keys'));

followTheme(() => {
  drawLegend();
  map.themeChanged();
  rates.themeChanged(paletteNow());
  redrawAll();
});
showDetails(state, undefined);
connect();
