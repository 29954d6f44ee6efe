// Where node-gyp finds Node's headers when a script starts it by itself.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * For the environment of node-gyp, which insists on having the headers, whether they are used or not: it need not download them where
 * Node brings its own. (npm passes the setting along, but a script may be run without npm.)
 *
 * @returns {Record<string, string>}
 */
export function nodeHeaders() {
  const prefix = join(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include', 'node', 'common.gypi')) ? { npm_config_nodedir: prefix } : {};
}
