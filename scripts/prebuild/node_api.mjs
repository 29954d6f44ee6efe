// Node-API: its headers, and its functions by version.
import { createRequire } from 'node:module';

/** The version that every supported Node has, and that binding.gyp asks for. */
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
