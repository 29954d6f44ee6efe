// A client: a worker thread that reads values by RDMA_READ from the offers that it has cached. Nobody tells it which values are
// deleted; it finds out when a read is refused. It checks every answer: the bytes of each read against the value that was stored,
// and each refusal against the state of the key.
import { parentPort, workerData } from 'node:worker_threads';

import { Access, CompletionError, Device } from 'rdmavt';

import { connect } from './connection.mjs';
import { State } from './store.mjs';
import { Checksum, PLACE, random, valueOf } from './values.mjs';

/** @typedef {import('./store.mjs').Offer} Offer */
/** @typedef {import('rdmavt').RemoteRequest} RemoteRequest */

/**
 * A refused request.
 *
 * @typedef {object} Refusal
 * @property {string} access what was tried
 * @property {string} status of the completion
 * @property {string} reason
 * @property {string} explanation
 * @property {RemoteRequest} request
 */

/**
 * @typedef {object} Task
 * @property {string} token of the store's device
 * @property {number} peer number of the store's queue pair
 * @property {number} index of the client
 * @property {number} seed
 * @property {number} reads
 * @property {number} reports how many times the client reports its progress
 * @property {Uint8Array} states one state per key
 * @property {Offer[]} offers
 * @property {RemoteRequest} foreign a range in another protection domain
 */

/** @type {Task} */
const { token, peer, index, seed, reads, reports, states, offers, foreign } = workerData;

/** @type {Refusal[]} */
const refusals = [];
/** @type {string[]} */
const violations = [];
let accepted = 0;

/**
 * Sends the store a message and returns its answer.
 *
 * @param {string} what
 * @param {object} [more]
 */
function ask(what, more = {}) {
  return new Promise((resolve) => {
    parentPort?.once('message', resolve);
    parentPort?.postMessage({ what, ...more });
  });
}

const device = Device.attach(token);
// A domain of its own: the store's queue pair decides which of the store's regions this client can reach.
const pd = device.allocPd();
const cq = device.createCq(16);
const qp = pd.createQp({ type: 'RC', sendCq: cq });
// The engine may copy in another thread, so the bytes are in shared memory.
const buffer = new Uint8Array(new SharedArrayBuffer(PLACE));
const mr = pd.regUserMr(buffer, { access: Access.LocalWrite });

async function reconnect() {
  connect(qp, peer, 0);
  await ask('connect', { qpn: qp.qpn });
}

/** @param {number} length in bytes */
const local = (length) => ({ addr: mr.start, length, lkey: mr.lkey });

/**
 * Carries out a request that may be refused. After a refusal, connects again.
 *
 * @param {string} access what is tried
 * @param {RemoteRequest} request
 * @param {() => Promise<unknown>} carryOut
 * @returns {Promise<Refusal | undefined>} undefined: it succeeded
 */
async function attempt(access, request, carryOut) {
  try {
    await carryOut();
    return undefined;
  } catch (error) {
    if (!(error instanceof CompletionError)) throw error;
    const { status, reason = '', completion } = error;
    const refusal = { access, status, reason, explanation: completion.explain(), request };
    await reconnect();
    return refusal;
  }
}

/**
 * Reads a value and checks the result.
 *
 * @param {Offer} offer
 * @returns {Promise<Uint8Array | undefined>} the bytes; undefined: the read was refused
 */
async function read({ key, vaddr, length, rkey }) {
  const request = { vaddr, length, rkey };
  buffer.fill(0);
  const before = Atomics.load(states, key);
  const refusal = await attempt('read a deleted value', request, () => qp.read(local(length), request));
  const after = Atomics.load(states, key);
  const bytes = buffer.slice(0, length);
  if (refusal) {
    refusals.push(refusal);
    if (after === State.LIVE)
      violations.push(`key ${key} is live, but the read was refused: ${refusal.explanation}`);
    if (bytes.some((byte) => byte !== 0)) violations.push(`the refused read of key ${key} has moved bytes`);
    return undefined;
  }
  accepted++;
  if (before === State.DELETED) violations.push(`key ${key} was read after it was deleted`);
  if (Buffer.compare(bytes, valueOf(seed, key)) !== 0)
    violations.push(`key ${key} was read with wrong bytes`);
  return bytes;
}

/** Reads values at random while the store deletes some of them. Forgets an offer when it is refused, as a cache would. */
async function readAtRandom() {
  const next = random(seed + index + 1);
  const known = [...offers];
  let reported = 0;
  for (let i = 1; i <= reads && known.length > 0; i++) {
    const at = next() % known.length;
    if (!(await read(/** @type {Offer} */ (known[at])))) known.splice(at, 1);
    for (; reported < Math.floor((i * reports) / reads); reported++)
      parentPort?.postMessage({ what: 'progress' });
  }
  return known;
}

/** Tries what the store does not permit, apart from deleted values. */
async function tryForbidden() {
  const [offer] = offers.filter(({ key }) => Atomics.load(states, key) === State.LIVE);
  if (!offer) throw new Error('no value is left');
  const { vaddr, length, rkey } = offer;
  const guessed = { vaddr, length, rkey: /** @type {import('rdmavt').Rkey} */ ((rkey ^ 0x5a5a5a00) >>> 0) };
  const tooFar = { vaddr: vaddr + 1n, length, rkey };
  /** @type {[access: string, expected: readonly string[], request: RemoteRequest, carryOut: () => Promise<unknown>][]} */
  const tried = [
    ['read past the end of a value', ['OutOfBounds'], tooFar, () => qp.read(local(length), tooFar)],
    // A guess may hit the slot of another region, but not its key.
    [
      'read with a guessed key',
      ['NoSuchKey', 'StaleKey', 'Revoked'],
      guessed,
      () => qp.read(local(length), guessed),
    ],
    ['read from another domain', ['WrongPd'], foreign, () => qp.read(local(foreign.length), foreign)],
    ['write to a value', ['QpAccess'], offer, () => qp.write(local(length), offer)],
  ];
  for (const [access, expected, request, carryOut] of tried) {
    const refusal = await attempt(access, request, carryOut);
    if (refusal) refusals.push(refusal);
    if (!refusal || !expected.includes(refusal.reason)) {
      violations.push(`${access}: ${refusal?.reason ?? 'accepted'} instead of ${expected.join(' or ')}`);
    }
  }
}

/**
 * Reads all values that the store has at the end, and returns their checksum.
 *
 * @param {Offer[]} final
 */
async function checksumOf(final) {
  const checksum = new Checksum();
  for (const offer of final) checksum.add(offer.key, (await read(offer)) ?? new Uint8Array());
  return checksum.text();
}

await reconnect();
const known = await readAtRandom();
/** @type {Offer[]} */
const final = await ask('done'); // the store has deleted what it deletes
// A deleted value that this client has not come upon since: it must be refused now.
for (const offer of known) await read(offer);
await tryForbidden();
const checksum = await checksumOf(final);
parentPort?.postMessage({ what: 'result', checksum, accepted, refusals, violations });
qp.destroy();
cq.destroy();
mr.dereg();
pd.dealloc();
device.detach();
