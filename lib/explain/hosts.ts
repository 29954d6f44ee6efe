/** The addresses that packets come from and go to, by number, with their texts. */
import { formatAddress } from '../internal/host-text';
import { get } from './reading';

/** Most addresses that are told apart. Packets of further ones are counted, not analysed. */
const MOST_HOSTS = 4096;

/** Addresses by number, in the order in which they were first seen. */
export class Hosts {
  readonly #texts: string[] = [];
  readonly #byText = new Map<string, number>();

  /** Returns the number of the address at `words[at]`; -1 if there are too many. Called once for each flow, not for each packet. */
  number(words: Uint32Array, at: number): number {
    const text = formatAddress(
      [get(words, at), get(words, at + 1), get(words, at + 2), get(words, at + 3)],
      0,
    );
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    if (this.#texts.length === MOST_HOSTS) return -1;
    this.#byText.set(text, this.#texts.length);
    return this.#texts.push(text) - 1;
  }

  text(host: number): string {
    return this.#texts[host] ?? '?';
  }
}
