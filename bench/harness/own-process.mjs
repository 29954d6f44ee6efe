// Runs work in a separate process with an unused heap. The module that contains the work prints its figures as JSON.
import { spawnSync } from 'node:child_process';

/**
 * Runs a module in a new process, with access to `gc`, and returns the JSON it printed.
 *
 * @param {string} file path of the module
 * @param {readonly (string | number)[]} args
 */
export function runApart(file, args) {
  const given = [...process.execArgv, '--expose-gc', file, ...args.map(String)];
  const { status, stdout, error } = spawnSync(process.execPath, given, {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${file} ${args.join(' ')} failed with status ${String(status)}`);
  return JSON.parse(stdout);
}

/**
 * Returns one gauge per figure. One call of `ask` gives all figures of a round, whichever gauge is read first.
 *
 * @template {string} Key
 * @param {() => Record<NoInfer<Key>, number>} ask
 * @param {Record<Key, string>} labels
 * @returns {Record<Key, import('./rounds.mjs').Gauge>}
 */
export function gaugesOf(ask, labels) {
  const keys = /** @type {Key[]} */ (Object.keys(labels));
  const waiting = new Map(keys.map((key) => [key, /** @type {number[]} */ ([])]));
  /** @param {Key} key */
  const read = (key) => {
    if (!waiting.get(key)?.length) {
      const answer = ask();
      for (const each of keys) waiting.get(each)?.push(answer[each]);
    }
    return waiting.get(key)?.shift() ?? NaN;
  };
  const gauges = keys.map((key) => [key, { label: labels[key], read: () => read(key) }]);
  return /** @type {Record<Key, import('./rounds.mjs').Gauge>} */ (Object.fromEntries(gauges));
}
