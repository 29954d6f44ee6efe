/** The text of an address of the network. */

const GROUPS = 8;

/** Formats an address of four words; IPv4 is `::ffff:a.b.c.d` there. IPv6 as RFC 5952 says. */
export function formatAddress(words: ArrayLike<number>, at: number): string {
  const word = (index: number): number => words[at + index] ?? 0;
  if (word(0) === 0 && word(1) === 0 && word(2) === 0xffff) {
    const d = word(3);
    return `${d >>> 24}.${(d >> 16) & 255}.${(d >> 8) & 255}.${d & 255}`;
  }
  const group = (index: number): number => (word(index >> 1) >>> (index % 2 === 0 ? 16 : 0)) & 0xffff;
  const { begin, count } = longestZeros(group);
  if (count < 2) return textOfGroups(group, 0, GROUPS);
  return `${textOfGroups(group, 0, begin)}::${textOfGroups(group, begin + count, GROUPS)}`;
}

function textOfGroups(group: (index: number) => number, from: number, to: number): string {
  let text = '';
  for (let i = from; i < to; i++) text += `${i === from ? '' : ':'}${group(i).toString(16)}`;
  return text;
}

/** Finds the first longest run of zero groups, which RFC 5952 shortens to `::`. */
function longestZeros(group: (index: number) => number): { begin: number; count: number } {
  let longest = { begin: 0, count: 0 };
  let begin = 0;
  for (let i = 0; i < GROUPS; i++) {
    if (group(i) !== 0) begin = i + 1;
    else if (i + 1 - begin > longest.count) longest = { begin, count: i + 1 - begin };
  }
  return longest;
}
