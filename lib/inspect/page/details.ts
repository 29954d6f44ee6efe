/** The details of the selected region, and of the refusal that led to it. */
import { type LiveState } from '../apply-tick';
import { type MissedBy } from '../missed-region';
import { type RefusalView, type RegionView } from '../protocol';
import { countWords, rightNames, windowWords } from '../view-words';
import { byId, make } from './elements';

const BY_WORDS: Readonly<Record<MissedBy, string>> = {
  key: 'It named this region by its key.',
  'old-key': 'Its key differs from that of this region in the low byte only.',
  address: 'Its key names no region; this one is at its address.',
  nearest: 'Its key names no region, and none is at its address; this one is the nearest.',
};

/** Shows a region; with a refusal, what that has to do with it. */
export function showDetails(
  state: LiveState,
  id: number | undefined,
  refusal?: { readonly view: RefusalView; readonly by: MissedBy | undefined },
): void {
  const box = byId('details');
  const region = id === undefined ? undefined : state.regions.get(id);
  box.dataset.region = region === undefined ? '' : String(region.id);
  const parts: Node[] = [];
  if (refusal !== undefined) {
    parts.push(
      make(
        'p',
        { class: 'refused' },
        make('strong', {}, `Refusal ${refusal.view.n}: `),
        refusal.view.text,
        ' ',
        refusal.by === undefined ? '' : make('em', {}, BY_WORDS[refusal.by]),
      ),
    );
  }
  if (region === undefined) {
    const hint = 'Select a region on the map (arrow keys, Enter), or a refusal.';
    parts.push(make('p', {}, refusal === undefined ? hint : 'The map shows no region for it.'));
  } else {
    parts.push(
      make('h3', {}, `${region.kind} region ${region.id}`),
      factsOf(region),
      ...windowsOf(state, region),
    );
  }
  box.replaceChildren(...parts);
}

function factsOf(region: RegionView): HTMLElement {
  const { pd, context, key, access, refs, start, iova, length, segments, maxSegments, state, memory } =
    region;
  const detached = memory?.detached === true ? ', detached' : '';
  const facts: [string, string][] = [
    ['Key (lkey, rkey)', state === 'HalfDead' ? `${key} (revoked)` : key],
    ['Rights', rightNames(access)],
    [
      'State',
      { Valid: 'valid', Invalid: 'key invalidated', HalfDead: 'half-dead: references are held' }[state],
    ],
    ['Remote address (iova)', iova],
    ['Local address (start)', start],
    ['Length', `${countWords(length)} bytes`],
    ['Domain', String(pd)],
    ['References', String(refs)],
    [
      'Memory',
      memory === undefined ? 'none' : `${memory.kind} ${memory.buffer} at ${memory.offset}${detached}`,
    ],
    ['Segments', maxSegments === 0 ? String(segments) : `${segments} of ${maxSegments}`],
    ['Context', String(context)],
  ];
  return make('dl', {}, ...facts.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]));
}

function windowsOf(state: LiveState, region: RegionView): Node[] {
  const windows = [...state.windows.values()].filter((window) => window.region === region.id);
  if (windows.length === 0) return [];
  const items = windows.map((window) => make('li', {}, `${windowWords(window)}, key ${window.key}`));
  return [make('h4', {}, 'Memory windows and leases'), make('ul', {}, ...items)];
}
