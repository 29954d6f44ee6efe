// Names of values for the journal. Inspecting a hostile value could run its code, so the code that creates a value labels it.

/** @type {WeakMap<object, string>} */
const labels = new WeakMap();

/**
 * Labels a value and returns it.
 *
 * @template T
 * @param {string} text
 * @param {T} value
 * @returns {T}
 */
export function label(text, value) {
  if ((typeof value === 'object' && value !== null) || typeof value === 'function') labels.set(value, text);
  return value;
}

/**
 * Returns a short description of a value, without running any code of the value.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function describe(value) {
  if (typeof value === 'bigint')
    return value > -(2n ** 70n) && value < 2n ** 70n ? `${value}n` : 'a huge bigint';
  if (typeof value === 'string')
    return JSON.stringify(value.length > 20 ? `${value.slice(0, 20)}...` : value);
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value === 'object' && value !== null) return labels.get(value) ?? 'an object';
  if (typeof value === 'function') return labels.get(value) ?? 'a function';
  return String(value);
}
