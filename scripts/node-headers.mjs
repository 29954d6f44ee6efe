// Tells node-gyp where to find Node's headers when a script runs without npm.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Returns an environment for node-gyp that makes it use the headers installed with Node, if there are any, instead of downloading
 * them. node-gyp requires the headers even for targets that do not use them. (npm sets this variable too, but a script may run
 * without npm.)
 *
 * @returns {Record<string, string>}
 */
export function nodeHeaders() {
  const prefix = join(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include', 'node', 'common.gypi')) ? { npm_config_nodedir: prefix } : {};
}
