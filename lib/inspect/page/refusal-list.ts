/** The refusals as they come: a list box, newest first. */
import { type LiveState, MOST_REFUSALS } from '../apply-tick';
import { type RefusalView } from '../protocol';
import { countWords } from '../view-words';
import { byId, make, setText } from './elements';

/** How often screen readers are told of new refusals, in milliseconds. */
const ANNOUNCE_MS = 5000;

export class RefusalList {
  readonly #list = byId('refusals');
  readonly #note = byId('refusals-note');
  readonly #live = byId('refusals-live');
  readonly #state: LiveState;
  readonly #chosen: (refusal: RefusalView) => void;
  #newest = 0;
  #unannounced = 0;
  #announcedAt = 0;

  constructor(state: LiveState, chosen: (refusal: RefusalView) => void) {
    this.#state = state;
    this.#chosen = chosen;
    this.#list.addEventListener('click', (event) => {
      const item = (event.target as Element).closest<HTMLElement>('[role=option]');
      if (item !== null) this.#choose(item);
    });
    this.#list.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** Starts anew, with another state: the server counts from 1 again if nobody has looked meanwhile. */
  reset(): void {
    this.#newest = 0;
    this.#list.replaceChildren();
    this.update();
  }

  update(): void {
    const fresh = this.#state.refusals.filter(({ n }) => n > this.#newest);
    for (const refusal of fresh) {
      this.#newest = refusal.n;
      this.#list.prepend(itemOf(refusal));
    }
    while (this.#list.childElementCount > MOST_REFUSALS) this.#list.lastElementChild?.remove();
    if (this.#list.querySelector('[tabindex="0"]') === null) {
      this.#list.firstElementChild?.setAttribute('tabindex', '0');
    }
    const { unexplained, refusals } = this.#state;
    setText(
      this.#note,
      refusals.length === 0 && unexplained === 0
        ? 'None since this page was opened.'
        : unexplained === 0
          ? ''
          : `${countWords(unexplained)} more came too fast to be explained; they are in the counts.`,
    );
    this.#announce(fresh.length);
  }

  #announce(more: number): void {
    this.#unannounced += more;
    const now = performance.now();
    if (this.#unannounced === 0 || now - this.#announcedAt < ANNOUNCE_MS) return;
    setText(this.#live, `${this.#unannounced} new refusals`);
    this.#unannounced = 0;
    this.#announcedAt = now;
  }

  #onKey(event: KeyboardEvent): void {
    const items = [...this.#list.children] as HTMLElement[];
    const at = items.findIndex((item) => item === document.activeElement);
    const to: Readonly<Record<string, number | undefined>> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + 10,
      PageUp: at - 10,
      Home: 0,
      End: items.length - 1,
    };
    const index = to[event.key];
    const item = index === undefined ? items[at] : items[Math.min(Math.max(index, 0), items.length - 1)];
    if (item === undefined) return;
    if (index !== undefined) this.#focus(item);
    else if (event.key === 'Enter' || event.key === ' ') this.#choose(item);
    else return;
    event.preventDefault();
  }

  #focus(item: HTMLElement): void {
    for (const other of this.#list.querySelectorAll('[tabindex="0"]')) other.setAttribute('tabindex', '-1');
    item.setAttribute('tabindex', '0');
    item.focus();
  }

  #choose(item: HTMLElement): void {
    for (const other of this.#list.querySelectorAll('[aria-selected=true]')) {
      other.setAttribute('aria-selected', 'false');
    }
    item.setAttribute('aria-selected', 'true');
    this.#focus(item);
    const refusal = this.#state.refusals.find(({ n }) => String(n) === item.dataset.n);
    if (refusal !== undefined) this.#chosen(refusal);
  }
}

function itemOf(refusal: RefusalView): HTMLElement {
  const { n, time, reason, method, count, operation, peer, text } = refusal;
  const at = new Date(time).toLocaleTimeString(undefined, { hour12: false });
  const times = count === 1 ? '' : ` ×${count}`;
  const from = peer === undefined ? '' : ` from ${peer}`;
  return make(
    'li',
    { role: 'option', tabindex: '-1', 'aria-selected': 'false', 'data-n': n },
    make('span', { class: 'reason' }, `${reason}${times}`),
    make('span', { class: 'what' }, ` ${method} (${operation})${from} `),
    make('time', { datetime: new Date(time).toISOString() }, at),
    make('span', { class: 'text' }, text),
  );
}
