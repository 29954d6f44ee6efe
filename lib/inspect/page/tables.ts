/** The tables of queue pairs and queues, and the counts by status and by reason. */
import { type LiveState } from '../apply-tick';
import { type CompletionQueueView, type QueuePairView, type SharedReceiveQueueView } from '../protocol';
import { countWords } from '../view-words';
import { byId, make, setText } from './elements';

/** Rows of a table; more would make the page slow and nobody reads them. */
const MOST_ROWS = 200;

type Cell = Node | string | number;

/** A bar with the number beside it, for levels. */
function level(value: number, most: number): HTMLElement {
  const meter = make('meter', { min: 0, max: Math.max(most, 1), value, 'aria-hidden': 'true' });
  return make(
    'span',
    { class: 'level' },
    meter,
    `${countWords(value)}${most > 0 ? ` of ${countWords(most)}` : ''}`,
  );
}

/** Fills a table. Only rows whose text has changed are replaced, so that a row that is read stays. */
function fill(id: string, rows: readonly (readonly Cell[])[], total: number): void {
  const table = byId(id) as HTMLTableElement;
  const body = table.tBodies[0] ?? table.createTBody();
  rows.forEach((cells, i) => {
    const row = make(
      'tr',
      {},
      ...cells.map((cell, column) =>
        column === 0 ? make('th', { scope: 'row' }, cell) : make('td', {}, cell),
      ),
    );
    const old = body.rows[i];
    if (old === undefined) body.append(row);
    else if (!old.isEqualNode(row)) old.replaceWith(row);
  });
  while (body.rows.length > rows.length) body.deleteRow(-1);
  const more = total - rows.length;
  setText(
    byId(`${id}-note`),
    total === 0 ? 'None.' : more > 0 ? `${countWords(more)} more are not listed.` : '',
  );
  table.hidden = total === 0;
}

/** The most work requests that each queue pair was seen to hold: its own capacity is not reported. */
const peaks = new Map<number, { sends: number; receives: number }>();

export function showQueuePairs(state: LiveState): void {
  const pairs = [...state.queuePairs.values()].slice(0, MOST_ROWS);
  for (const id of peaks.keys()) if (!state.queuePairs.has(id)) peaks.delete(id);
  fill('queue-pairs', pairs.map(rowOf), state.totals.queuePairs);
}

function rowOf({
  id,
  pd,
  type,
  qpn,
  state,
  sends = 0,
  receives = 0,
  peer,
  sendCq,
  recvCq,
  srq,
}: QueuePairView): Cell[] {
  if (type === undefined) return [id, 'checks only', '–', '–', '–', '–', '–', '–', pd];
  const before = peaks.get(id);
  const peak = {
    sends: Math.max(before?.sends ?? 0, sends),
    receives: Math.max(before?.receives ?? 0, receives),
  };
  peaks.set(id, peak);
  const cqs = sendCq === recvCq ? String(sendCq) : `${sendCq}, ${recvCq}`;
  return [
    id,
    type,
    String(qpn),
    make('span', { class: `state state-${state ?? ''}` }, state ?? '?'),
    peer === undefined ? '–' : String(peer),
    level(sends, peak.sends),
    srq === undefined ? level(receives, peak.receives) : `SRQ ${srq}`,
    cqs,
    pd,
  ];
}

export function showCompletionQueues(state: LiveState): void {
  const queues = [...state.completionQueues.values()].slice(0, MOST_ROWS);
  fill(
    'completion-queues',
    queues.map(({ id, cqe, held, users, broken }: CompletionQueueView) => [
      id,
      level(held, cqe),
      users,
      broken ? 'overflowed' : 'works',
    ]),
    state.totals.completionQueues,
  );
}

export function showSharedReceiveQueues(state: LiveState): void {
  const queues = [...state.sharedReceiveQueues.values()].slice(0, MOST_ROWS);
  fill(
    'shared-receive-queues',
    queues.map(({ id, pd, maxWr, held, limit, users }: SharedReceiveQueueView) => [
      id,
      level(held, maxWr),
      limit === 0 ? 'none' : limit,
      users,
      pd,
    ]),
    state.totals.sharedReceiveQueues,
  );
}

export function showCounts(state: LiveState): void {
  const { accepted, refused, bytesCopied, reasons, completions } = state.counters;
  fill('reasons', barsOf(reasons), Object.keys(reasons).length);
  const statuses =
    completions === null
      ? {}
      : Object.fromEntries(Object.entries(completions).filter(([, count]) => count > 0));
  fill('statuses', barsOf(statuses), Object.keys(statuses).length);
  if (completions === null)
    setText(byId('statuses-note'), 'Not visible to an object that is restricted to a domain.');
  const { totals } = state;
  const tiles: [string, string][] = [
    ['checks accepted', countWords(accepted)],
    ['checks refused', countWords(refused)],
    ['bytes copied', countWords(bytesCopied)],
    ['regions', countWords(totals.regions)],
    ['windows', countWords(totals.windows)],
    ['domains', countWords(totals.pds)],
    ['queue pairs', countWords(totals.queuePairs)],
    ['address handles', countWords(totals.addressHandles)],
    ['DMA mappings', countWords(totals.mappings)],
    ['device memories', countWords(totals.memories)],
    ['contexts', countWords(totals.contexts)],
  ];
  const box = byId('tiles');
  tiles.forEach(([name, value], i) => {
    const tile = box.children[i] ?? box.appendChild(make('div', {}, make('dd'), make('dt', {}, name)));
    setText(tile.firstElementChild as HTMLElement, value);
  });
}

function barsOf(counts: Readonly<Record<string, number>>): Cell[][] {
  const entries = Object.entries(counts).sort(([, one], [, other]) => other - one);
  const most = entries[0]?.[1] ?? 1;
  return entries.map(([name, count]) => [
    name,
    make('meter', { min: 0, max: most, value: count, 'aria-hidden': 'true' }),
    countWords(count),
  ]);
}
