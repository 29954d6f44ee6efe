/** The addresses that packets come from and go to, by number, with their texts. */
import { get } from './reading';

/** Most addresses that are told apart. Packets of further ones are counted, not analysed. */
const MOST_HOSTS = 4096;

/** Formats an address of four words; IPv4 is `::ffff:a.b.c.d` there. */
export function formatAddress(words: ArrayLike<number>, at: number): string {
  const [a = 0, b = 0, c = 0, d = 0] = [words[at], words[at + 1], words[at + 2], words[at + 3]];
  if (a === 0 && b === 0 && c === 0xffff)
    return `${d >>> 24}.${(d >> 16) & 255}.${(d >> 8) & 255}.${d & 255}`;
  const groups = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff, c >>> 16, c & 0xffff, d >>> 16, d & 0xffff];
  const texts = groups.map((group) => group.toString(16));
  const { begin, count } = longestZeros(groups);
  if (count < 2) return texts.join(':');
  return `${texts.slice(0, begin).join(':')}::${texts.slice(begin + count).join(':')}`;
}

/** Finds the first longest run of zero groups, which RFC 5952 shortens to `::`. */
function longestZeros(groups: readonly number[]): { begin: number; count: number } {
  let longest = { begin: 0, count: 0 };
  let begin = 0;
  for (const [i, group] of groups.entries()) {
    if (group !== 0) begin = i + 1;
    else if (i + 1 - begin > longest.count) longest = { begin, count: i + 1 - begin };
  }
  return longest;
}

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
