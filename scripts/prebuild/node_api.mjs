// Node-API: the folder of its headers, and the names of its functions.
import { createRequire } from 'node:module';

/** The Node-API version that binding.gyp requests. Every supported Node has it. */
export const NODE_API_VERSION = 9;

/**
 * @type {{
 *   include_dir: string,
 *   symbols: Record<string, { js_native_api_symbols: string[], node_api_symbols: string[] }>,
 * }}
 */
const { include_dir, symbols } = createRequire(import.meta.url)('node-api-headers');

export const nodeApiHeaders = include_dir;

/** @type {Set<string>} */
export const nodeApiFunctions = new Set(
  Object.values(/** @type {Record<string, string[]>} */ (symbols[`v${NODE_API_VERSION}`])).flat(),
);
