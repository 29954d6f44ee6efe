// Measures how fast a capture of RoCEv2 traffic is explained, compared with a copy of its bytes. The command also formats a line for
// each request; the program here asks only for refused ones, of which there are none.
import { strictEqual } from 'node:assert/strict';

import { explainCapture } from 'rdmavt';

import { captureOfWrites } from './harness/capture.mjs';

/** Bytes that are given at once, as the command reads a file. */
const CHUNK = 2 ** 18;
/** Requests of a capture; each has two packets. */
const REQUESTS = 16_384;

/** @param {Buffer} capture */
async function* chunksOf(capture) {
  for (let at = 0; at < capture.length; at += CHUNK) yield capture.subarray(at, at + CHUNK);
}

/** @param {Buffer} capture */
async function explain(capture) {
  const explanation = explainCapture(chunksOf(capture), { only: 'refused' });
  for await (const { packet } of explanation) throw new Error(`the request of packet ${packet} was refused`);
  const { roce, acknowledged, icrcWrong, findings } = explanation.summary();
  strictEqual(acknowledged, REQUESTS);
  strictEqual(icrcWrong, 0);
  strictEqual(findings.length, 0);
  return roce;
}

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'explain-capture',
  title: 'Explaining a capture of WRITEs, each in one packet, and their acknowledgements',
  unit: 'ns/packet',
  prepare() {
    const captures = { small: captureOfWrites(REQUESTS, 64), large: captureOfWrites(REQUESTS, 1024) };
    const target = Buffer.alloc(captures.large.length);
    /** @param {string} label @param {Buffer} capture @returns {import('./harness/rounds.mjs').Work} */
    const explaining = (label, capture) => ({
      label,
      elements: 2 * REQUESTS,
      async run(passes) {
        let packets = 0;
        for (let i = 0; i < passes; i++) packets += await explain(capture);
        return packets;
      },
    });
    /** @param {string} label @param {Buffer} capture @returns {import('./harness/rounds.mjs').Work} */
    const copying = (label, capture) => ({
      label,
      elements: 2 * REQUESTS,
      run(passes) {
        let packets = 0;
        for (let i = 0; i < passes; i++) {
          packets += capture.copy(target) === capture.length ? 2 * REQUESTS : 0;
        }
        return packets;
      },
    });
    return {
      contenders: {
        small: explaining('explainCapture, 64 bytes each', captures.small),
        large: explaining('explainCapture, 1 KiB each', captures.large),
        copyLarge: copying('copy of the same bytes', captures.large),
      },
      lines: [
        // 100 MB of such a capture in a second
        { name: 'explain-capture/64', of: 'small', limit: 1_160 },
        { name: 'explain-capture/1k', of: 'large', peer: 'copyLarge', reach: 20 },
      ],
      close: () => undefined,
    };
  },
};
