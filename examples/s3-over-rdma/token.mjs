// The token that a client sends in the header `x-rdma-token` of GET and PUT: where its bytes are, by which key, and which of its
// queue pairs leads there, as hex digits `address:length:rkey:qpn`.
import { formatAdvertisement, parseAdvertisement } from 'rdmavt';

/** A request that the store refuses, with the HTTP status that says so. */
export class Refusal extends Error {
  constructor(/** @type {number} */ status, /** @type {string} */ message) {
    super(message);
    this.status = status;
  }
}

/** Returns the token of memory that the queue pair with that number reaches. */
export function formatToken(/** @type {import('rdmavt').Advertisement} */ memory, /** @type {number} */ qpn) {
  return `${formatAdvertisement(memory)}:${qpn.toString(16).padStart(6, '0')}`;
}

/** Reads a token that a stranger may have written. Only the client's device can judge the key and the bounds. */
export function parseToken(/** @type {string} */ text) {
  const [, memory = '', qpn = ''] = /^(.*):([0-9a-f]{6})$/.exec(text) ?? [];
  try {
    return { ...parseAdvertisement(memory), qpn: parseInt(qpn, 16) };
  } catch (error) {
    throw new Refusal(400, `a token has the form address:length:rkey:qpn (${String(error)})`);
  }
}
