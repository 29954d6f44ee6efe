/** The map of regions: a canvas in a box that scrolls, which is a list box for the keyboard and for screen readers. */
import { type LiveState } from '../apply-tick';
import { type RegionView, type WindowView } from '../protocol';
import { type Box, layOut, type Layout, type Placed } from '../region-layout';
import { lettersOf, regionWords, sizeWords, strengthOf } from '../view-words';
import { byId, contextOf, onNextFrame, setText } from './elements';
import { fillsOf } from './patterns';
import { type Palette, paletteNow } from './theme';

export type AddressKind = 'iova' | 'start';

/** An access that was refused, shown on the map. */
export interface Access {
  readonly start: bigint;
  readonly length: number;
}

/** Stands for the refused access; regions have positive ids. */
const ACCESS_ID = -1;
const LANE_HEIGHT = 20;
const ROW_GAP = 6;
const LABEL_HEIGHT = 13;
const MARGIN = 1;
const MOST_ZOOM = 2 ** 20;
/** Time between two layouts, in milliseconds: with many regions one takes some. */
const LAYOUT_MS = 250;

export class RegionMap {
  readonly #box = byId('map');
  readonly #canvas = byId('map-canvas') as HTMLCanvasElement;
  readonly #spacer = byId('map-spacer');
  readonly #option = byId('map-option');
  readonly #note = byId('map-note');
  readonly #domain = byId('map-domain') as HTMLSelectElement;
  readonly #kindSelect = byId('map-kind') as HTMLSelectElement;
  readonly #state: LiveState;
  readonly #chosen: (id: number | undefined, isEntered: boolean) => void;
  #layout: Layout = layOut([], 100, 1);
  #rowTops: number[] = [];
  #boxesByRow: Box[][] = [];
  #windows = new Map<number, WindowView[]>();
  #width = 0;
  #zoom = 1;
  #selected: number | undefined;
  #access: Access | undefined;
  #palette: Palette = paletteNow();
  #fills = fillsOf(this.#palette);
  #laidOutAt = 0;
  #isLayoutPlanned = false;
  readonly #draw = onNextFrame(() => this.#paint());

  /** @param chosen - called when a region is selected; `isEntered`: by Enter or a click, to see its details */
  constructor(state: LiveState, chosen: (id: number | undefined, isEntered: boolean) => void) {
    this.#state = state;
    this.#chosen = chosen;
    this.#box.addEventListener('scroll', this.#draw);
    this.#box.addEventListener('keydown', (event) => this.#onKey(event));
    this.#box.addEventListener('click', (event) => this.#onClick(event));
    this.#box.addEventListener('mousemove', (event) => this.#onMove(event));
    this.#box.addEventListener('focus', this.#draw);
    this.#box.addEventListener('blur', this.#draw);
    byId('zoom-in').addEventListener('click', () => this.#zoomTo(this.#zoom * 2));
    byId('zoom-out').addEventListener('click', () => this.#zoomTo(this.#zoom / 2));
    this.#domain.addEventListener('change', () => this.relayout());
    this.#kindSelect.addEventListener('change', () => {
      this.#access = undefined;
      this.relayout();
    });
    new ResizeObserver(() => {
      if (this.#box.clientWidth !== this.#width) this.relayout();
    }).observe(this.#box);
  }

  get kind(): AddressKind {
    return this.#kindSelect.value === 'start' ? 'start' : 'iova';
  }

  /** The region that is selected. */
  get selected(): number | undefined {
    return this.#selected;
  }

  /** Lays out again, soon: for changes that come many times in a second. */
  regionsChanged(): void {
    if (this.#isLayoutPlanned) return;
    this.#isLayoutPlanned = true;
    const wait = Math.max(0, this.#laidOutAt + LAYOUT_MS - performance.now());
    setTimeout(() => {
      this.#isLayoutPlanned = false;
      this.relayout();
    }, wait);
  }

  themeChanged(): void {
    this.#palette = paletteNow();
    this.#fills = fillsOf(this.#palette);
    this.#draw();
  }

  /** Selects a region and scrolls to it; with an access, also shows where that went. */
  show(id: number | undefined, access?: Access & { readonly kind: AddressKind }): void {
    if (access !== undefined) this.#kindSelect.value = access.kind;
    this.#access = access;
    if (id !== undefined && this.#domain.value !== '') {
      const region = this.#state.regions.get(id);
      if (region !== undefined && String(region.pd) !== this.#domain.value) this.#domain.value = '';
    }
    this.#selected = id;
    this.relayout();
    this.#scrollTo(id ?? ACCESS_ID);
    this.#describe();
  }

  relayout(): void {
    this.#laidOutAt = performance.now();
    this.#fillDomains();
    this.#width = Math.max(this.#box.clientWidth, 100);
    const kind = this.kind;
    const domain = this.#domain.value;
    const items: Placed[] = [];
    let covered = 0;
    for (const region of this.#state.regions.values()) {
      if (domain !== '' && String(region.pd) !== domain) continue;
      // A DMA region has no bounds of its own.
      const length = region.kind === 'DMA' ? 0 : region.length;
      covered += length;
      items.push({ id: region.id, start: BigInt(region[kind]), length });
    }
    if (this.#access !== undefined) {
      // One that is far longer than all regions would leave them no room.
      const length = Math.min(Math.max(this.#access.length, 1), Math.max(covered, 4096));
      items.push({ id: ACCESS_ID, start: this.#access.start, length });
    }
    this.#windows = new Map();
    for (const window of this.#state.windows.values()) {
      const list = this.#windows.get(window.region);
      if (list === undefined) this.#windows.set(window.region, [window]);
      else list.push(window);
    }
    this.#layout = layOut(items, this.#width, this.#zoom);
    this.#boxesByRow = [];
    for (const box of this.#layout.boxes) (this.#boxesByRow[box.row] ??= []).push(box);
    let top = 0;
    this.#rowTops = this.#layout.rows.map(({ lanes }) => {
      const here = top;
      top += LABEL_HEIGHT + lanes * LANE_HEIGHT + ROW_GAP;
      return here;
    });
    this.#spacer.style.height = `${Math.max(top, 40)}px`;
    if (this.#selected !== undefined && !this.#state.regions.has(this.#selected)) {
      this.#selected = undefined;
      this.#chosen(undefined, false);
    }
    const { crowded, order, bytesPerPixel } = this.#layout;
    const shown = order.filter((id) => id > 0).length;
    const hidden = this.#state.totals.regions - this.#state.regions.size;
    setText(
      this.#note,
      `${shown} of ${this.#state.totals.regions} regions, ${sizeWords(bytesPerPixel)} per pixel` +
        (hidden > 0 ? `; ${hidden} are only counted` : '') +
        (crowded > 0 ? `; ${crowded} overlap more regions than there are lanes` : ''),
    );
    this.#describe();
    this.#draw();
  }

  #fillDomains(): void {
    const domains = [...new Set([...this.#state.regions.values()].map(({ pd }) => pd))].sort((a, b) => a - b);
    const wanted = ['', ...domains.map(String)];
    const select = this.#domain;
    if (wanted.join() === [...select.options].map(({ value }) => value).join()) return;
    const chosen = select.value;
    select.replaceChildren(
      ...wanted.map((value) => new Option(value === '' ? 'all domains' : `domain ${value}`, value)),
    );
    select.value = wanted.includes(chosen) ? chosen : '';
  }

  #zoomTo(zoom: number): void {
    const limited = Math.min(Math.max(zoom, 1), MOST_ZOOM);
    if (limited === this.#zoom) return;
    this.#zoom = limited;
    this.relayout();
    if (this.#selected !== undefined) this.#scrollTo(this.#selected);
  }

  #onKey(event: KeyboardEvent): void {
    const regions = this.#layout.order.filter((id) => id > 0);
    const at = this.#selected === undefined ? -1 : regions.indexOf(this.#selected);
    const steps: Readonly<Record<string, number | undefined>> = {
      ArrowRight: at + 1,
      ArrowLeft: at - 1,
      ArrowDown: this.#besideRow(regions, at, 1),
      ArrowUp: this.#besideRow(regions, at, -1),
      PageDown: at + 50,
      PageUp: at - 50,
      Home: 0,
      End: regions.length - 1,
    };
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === '+' || event.key === '=') this.#zoomTo(this.#zoom * 2);
    else if (event.key === '-') this.#zoomTo(this.#zoom / 2);
    else if (event.key === 'Enter' || event.key === ' ') this.#chosen(this.#selected, true);
    else {
      const to = steps[event.key];
      if (to === undefined || regions.length === 0) return;
      this.#select(regions[Math.min(Math.max(to, 0), regions.length - 1)], false);
    }
    event.preventDefault();
  }

  /** Returns the index of the region above or below, in the row before or after. */
  #besideRow(regions: readonly number[], at: number, step: 1 | -1): number {
    const selected = regions[at];
    const from = this.#layout.boxes.find(({ id }) => id === selected);
    if (from === undefined) return 0;
    for (let row = from.row + step; row >= 0 && row < this.#layout.rows.length; row += step) {
      let best: Box | undefined;
      for (const box of this.#boxesByRow[row] ?? []) {
        if (box.id <= 0 || box.id === selected) continue;
        if (best === undefined || Math.abs(box.x - from.x) < Math.abs(best.x - from.x)) best = box;
      }
      if (best !== undefined) return regions.indexOf(best.id);
    }
    return at + step;
  }

  #select(id: number | undefined, isEntered: boolean): void {
    if (id !== this.#selected) this.#access = undefined;
    this.#selected = id;
    if (id !== undefined) this.#scrollTo(id);
    this.#describe();
    this.#draw();
    this.#chosen(id, isEntered);
  }

  /** Tells the selected region to screen readers. */
  #describe(): void {
    const { order } = this.#layout;
    const region = this.#selected === undefined ? undefined : this.#state.regions.get(this.#selected);
    this.#option.setAttribute('aria-selected', String(region !== undefined));
    this.#option.setAttribute('aria-setsize', String(order.filter((id) => id > 0).length));
    this.#option.setAttribute('aria-posinset', String(region ? order.indexOf(region.id) + 1 : 0));
    setText(this.#option, region === undefined ? 'no region selected' : regionWords(region, this.kind));
    this.#box.dataset.selected = region === undefined ? '' : String(region.id);
  }

  #scrollTo(id: number): void {
    const box = this.#layout.boxes.find((one) => one.id === id);
    if (box === undefined) return;
    const top = this.#rowTops[box.row] ?? 0;
    const height = LABEL_HEIGHT + (this.#layout.rows[box.row]?.lanes ?? 1) * LANE_HEIGHT;
    const view = this.#box;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + height > view.scrollTop + view.clientHeight)
      view.scrollTop = top + height - view.clientHeight;
  }

  #boxAt(event: MouseEvent): Box | undefined {
    const { left, top } = this.#box.getBoundingClientRect();
    const x = event.clientX - left - this.#box.clientLeft;
    const y = event.clientY - top - this.#box.clientTop + this.#box.scrollTop;
    const row = this.#rowTops.findLastIndex((rowTop) => rowTop <= y);
    const lane = Math.floor((y - (this.#rowTops[row] ?? 0) - LABEL_HEIGHT) / LANE_HEIGHT);
    return this.#boxesByRow[row]?.findLast(
      (box) => box.id > 0 && box.lane === lane && x >= box.x - 1 && x <= box.x + box.width + 1,
    );
  }

  #onClick(event: MouseEvent): void {
    const box = this.#boxAt(event);
    if (box !== undefined) this.#select(box.id, true);
  }

  #onMove(event: MouseEvent): void {
    const box = this.#boxAt(event);
    const region = box && this.#state.regions.get(box.id);
    this.#box.title = region === undefined ? '' : regionWords(region, this.kind);
  }

  #paint(): void {
    const view = this.#box;
    const [width, height] = [view.clientWidth, view.clientHeight];
    const context = contextOf(this.#canvas, width, height);
    this.#canvas.style.marginBottom = `${-height}px`; // what gives the box its height begins at the same place
    context.clearRect(0, 0, width, height);
    const scroll = view.scrollTop;
    context.textBaseline = 'middle';
    const { rows } = this.#layout;
    for (let row = 0; row < rows.length; row++) {
      const top = (this.#rowTops[row] ?? 0) - scroll;
      const { address, lanes } = rows[row] ?? { address: undefined, lanes: 1 };
      if (top + LABEL_HEIGHT + lanes * LANE_HEIGHT < 0) continue;
      if (top > height) break;
      this.#paintRow(context, row, top, address);
    }
  }

  #paintRow(context: CanvasRenderingContext2D, row: number, top: number, address: bigint | undefined): void {
    const { muted } = this.#palette;
    context.font = '10px ui-monospace, monospace';
    context.fillStyle = muted;
    const label = address === undefined ? '' : `0x${address.toString(16)}`;
    const boxes = this.#boxesByRow[row] ?? [];
    const hasUnplaced = address === undefined && boxes.some(({ id }) => this.#isUnplaced(id));
    context.fillText(hasUnplaced ? 'without addresses:' : label, 0, top + LABEL_HEIGHT / 2);
    const labelWidth = label === '' ? 0 : context.measureText(label).width + 8;
    for (const box of boxes) this.#paintBox(context, box, top + LABEL_HEIGHT + box.lane * LANE_HEIGHT);
    for (const gap of this.#layout.gaps) {
      // Not over the address of the row.
      if (gap.row === row)
        this.#paintGap(context, gap.x, Math.max(gap.x + 1, labelWidth), top + LABEL_HEIGHT, gap.bytes);
    }
    // Over the others, which begin and end beside it.
    for (const box of boxes) {
      if (box.id === this.#selected) this.#outline(context, box, top + LABEL_HEIGHT + box.lane * LANE_HEIGHT);
    }
  }

  #isUnplaced(id: number): boolean {
    const region = this.#state.regions.get(id);
    return region !== undefined && (region.kind === 'DMA' || region.length === 0);
  }

  #paintBox(context: CanvasRenderingContext2D, box: Box, y: number): void {
    const height = LANE_HEIGHT - 2 * MARGIN;
    const { x, width } = box;
    const { text, surface, bad, line } = this.#palette;
    if (box.id === ACCESS_ID) {
      context.fillStyle = bad;
      context.globalAlpha = 0.35;
      context.fillRect(x, y + MARGIN, Math.max(width, 2), height);
      context.globalAlpha = 1;
      context.strokeStyle = bad;
      context.lineWidth = 2;
      context.setLineDash([4, 2]);
      context.strokeRect(x + 1, y + MARGIN + 1, Math.max(width - 2, 1), height - 2);
      context.setLineDash([]);
      this.#label(context, 'refused', x, y, width, surface, text);
      return;
    }
    const region = this.#state.regions.get(box.id);
    if (region === undefined) return;
    context.fillStyle = this.#fills[strengthOf(region.access)] ?? line;
    context.fillRect(x, y + MARGIN, width, height);
    if (width > 3) {
      context.strokeStyle = text;
      context.lineWidth = 1;
      // A key that does not work: a broken border.
      context.setLineDash(region.state === 'Valid' ? [] : [2, 2]);
      context.strokeRect(x + 0.5, y + MARGIN + 0.5, width - 1, height - 1);
      context.setLineDash([]);
    }
    if (this.kind === 'iova') this.#paintWindows(context, region, box, y);
    const state = region.state === 'Valid' ? '' : region.state === 'Invalid' ? ' invalid' : ' half-dead';
    this.#label(context, `${region.id} ${lettersOf(region.access)}${state}`, x, y, width, surface, text);
  }

  /** Draws the windows of a region into the lower part of its box. */
  #paintWindows(context: CanvasRenderingContext2D, region: RegionView, box: Box, y: number): void {
    const windows = this.#windows.get(region.id);
    if (windows === undefined || region.length === 0) return;
    const boxes = this.#layout.boxes.filter(({ id }) => id === region.id);
    const total = boxes.reduce((sum, { width }) => sum + width, 0);
    let before = 0;
    for (const one of boxes) if (one.row < box.row) before += one.width;
    for (const window of windows) {
      const offset = Number(BigInt(window.iova) - BigInt(region.iova));
      const from = (offset / region.length) * total - before;
      const to = ((offset + window.length) / region.length) * total - before;
      const [left, right] = [Math.max(from, 0), Math.min(to, box.width)];
      if (right <= left) continue;
      context.fillStyle = this.#fills[strengthOf(window.access)] ?? this.#palette.line;
      context.fillRect(box.x + left, y + LANE_HEIGHT - 8, Math.max(right - left, 2), 6);
      context.strokeStyle = this.#palette.text;
      context.lineWidth = 1;
      context.strokeRect(box.x + left + 0.5, y + LANE_HEIGHT - 7.5, Math.max(right - left - 1, 1), 5);
    }
  }

  #label(
    context: CanvasRenderingContext2D,
    label: string,
    x: number,
    y: number,
    width: number,
    background: string,
    color: string,
  ): void {
    if (width < 24) return;
    context.font = '11px system-ui, sans-serif';
    const measured = context.measureText(label).width;
    if (measured + 8 > width) return;
    context.fillStyle = background;
    context.globalAlpha = 0.85;
    context.fillRect(x + 3, y + 4, measured + 4, LANE_HEIGHT - 8);
    context.globalAlpha = 1;
    context.fillStyle = color;
    context.fillText(label, x + 5, y + LANE_HEIGHT / 2 + 0.5);
  }

  #paintGap(context: CanvasRenderingContext2D, x: number, labelX: number, y: number, bytes: bigint): void {
    const { muted } = this.#palette;
    context.strokeStyle = context.fillStyle = muted;
    context.lineWidth = 1;
    // Two broken strokes: the axis is cut here.
    for (const shift of [9, 15]) {
      context.beginPath();
      context.moveTo(x + shift + 3, y + 1);
      context.lineTo(x + shift - 3, y + LANE_HEIGHT - 1);
      context.stroke();
    }
    context.font = '8px system-ui, sans-serif';
    context.fillText(sizeWords(Number(bytes)), labelX, y - 5);
  }

  #outline(context: CanvasRenderingContext2D, box: Box, y: number): void {
    const hasFocus = document.activeElement === this.#box;
    context.strokeStyle = this.#palette.accent;
    context.lineWidth = hasFocus ? 4 : 3;
    context.strokeRect(box.x - 1, y, Math.max(box.width + 2, 5), LANE_HEIGHT);
  }
}
