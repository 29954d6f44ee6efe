// Single requests, as a program creates them: one object per request. Shared by several benchmarks.
import { Access } from 'rdmavt';

/** Requests per pass. Each pass continues where the previous one ended. */
export const PASS = 1024;

/** Enough requests to access each of 65,536 regions. */
const RING = 65_536;

/**
 * Randomly drawn requests, remote or local. The addresses are bigints.
 *
 * @typedef {object} Requests
 * @property {number} count a multiple of {@link PASS}
 * @property {import('./peers.mjs').Numbers} addresses
 * @property {import('./peers.mjs').Numbers} lengths
 * @property {import('./peers.mjs').Numbers} keys
 */

/**
 * Draws requests for the regions of a world.
 *
 * @param {import('./world.mjs').World} world
 * @param {Parameters<import('./world.mjs').World['work']>[1] & { count?: number }} [options]
 * @returns {Requests}
 */
export function requestsOf(world, { count = RING, ...options } = {}) {
  const { addresses, lengths, keys } = world.work(count, options);
  return { count, addresses: Array.from(addresses, BigInt), lengths, keys };
}

/** @typedef {import('./rounds.mjs').Work} Work */

/**
 * Returns a contender that acquires and puts a peer's requests, one request per call.
 *
 * @param {import('./world.mjs').World} world
 * @param {string} where
 * @param {number} [pass] requests per pass
 */
export function acquireRemote(world, where, pass = PASS) {
  const { qp } = world;
  const { count, addresses, lengths, keys } = requestsOf(world);
  let i = 0;
  return {
    label: `qp.acquire({ ... }), sge.put(), ${where}`,
    elements: pass,
    turn: true,
    /** @param {number} passes */
    run(passes) {
      let accepted = 0;
      for (let left = passes * pass; left > 0; left--) {
        const request = { vaddr: addresses[i], length: lengths[i], rkey: keys[i] };
        const answer = qp.acquire(request, Access.RemoteWrite);
        if (answer.ok) {
          accepted++;
          answer.sge.put();
        }
        if (++i === count) i = 0;
      }
      return accepted;
    },
  };
}

/**
 * Returns a contender that acquires and puts local elements, one element per call.
 *
 * @param {import('./world.mjs').World} world
 * @param {string} where
 * @returns {Work}
 */
export function acquireLocal(world, where) {
  const { pd } = world;
  const { count, addresses, lengths, keys } = requestsOf(world);
  let i = 0;
  return {
    label: `pd.acquire({ ... }), sge.put(), ${where}`,
    elements: PASS,
    turn: true,
    run(passes) {
      let accepted = 0;
      for (let left = passes * PASS; left > 0; left--) {
        const element = { addr: addresses[i], length: lengths[i], lkey: keys[i] };
        const answer = pd.acquire(element, Access.LocalWrite);
        if (answer.ok) {
          accepted++;
          answer.sge.put();
        }
        if (++i === count) i = 0;
      }
      return accepted;
    },
  };
}
