/** Comparing answers with what a file expects of them. */

/**
 * Where an answer differs from what is expected, as a path into it (`.sge.at.byte`; empty for the whole); `undefined` if it
 * does not. Every member must be there and equal, no others; their order does not matter. `{"any":true}` expects nothing in
 * particular, and `{"not_reached":true}` that the operation was skipped.
 */
export function differenceFrom(expected: object, answer: object): string | undefined {
  if (isMark(expected, 'any')) return undefined;
  return difference(isMark(expected, 'not_reached') ? { skipped: true } : expected, answer, '');
}

function isMark(expected: object, name: string): boolean {
  return Object.keys(expected).length === 1 && (expected as Record<string, unknown>)[name] === true;
}

/** Goes no deeper than the answer, which the player has made: a hostile expectation cannot exhaust the stack. */
function difference(expected: unknown, answer: unknown, path: string): string | undefined {
  if (expected === answer) return undefined;
  if (!isObject(expected) || !isObject(answer) || Array.isArray(expected) !== Array.isArray(answer))
    return path;
  for (const name of Object.keys(answer)) {
    const inside = Array.isArray(answer) ? `${path}[${name}]` : `${path}.${name}`;
    if (!Object.hasOwn(expected, name)) return inside;
    const found = difference(expected[name], answer[name], inside);
    if (found !== undefined) return found;
  }
  return Object.keys(expected).length === Object.keys(answer).length ? undefined : path;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
