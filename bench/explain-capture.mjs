// Measures how fast a capture of RoCEv2 traffic is explained, compared with a copy of its bytes. The command also formats a line for
// each request; the program here asks only for refused ones, of which there are none, or takes each request as an object.
import { strictEqual } from 'node:assert/strict';

import { explainCapture } from 'rdmavt';

import { captureOf } from './harness/capture.mjs';

/** Bytes that are given at once, as the command reads a file. */
const CHUNK = 2 ** 18;
/** Requests of a capture; each has two packets. */
const REQUESTS = 16_384;

/** @param {Buffer} capture */
async function* chunksOf(capture) {
  for (let at = 0; at < capture.length; at += CHUNK) yield capture.subarray(at, at + CHUNK);
}

/**
 * @param {Buffer} capture
 * @param {'refused' | undefined} only the requests to give; default: all
 */
async function explain(capture, only) {
  const explanation = explainCapture(chunksOf(capture), { only });
  let given = 0;
  for await (const { outcome } of explanation) given += outcome === 'Acknowledged' ? 1 : 0;
  strictEqual(given, only === undefined ? REQUESTS : 0);
  const { roce, acknowledged, icrcWrong, findings } = explanation.summary();
  strictEqual(acknowledged, REQUESTS);
  strictEqual(icrcWrong, 0);
  strictEqual(findings.length, 0);
  return roce;
}

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'explain-capture',
  title: 'Explaining a capture of requests and answers, each of one packet',
  unit: 'ns/packet',
  prepare() {
    const captures = {
      small: captureOf('write', REQUESTS, 64),
      reads: captureOf('read', REQUESTS, 64),
      large: captureOf('write', REQUESTS, 1024),
    };
    const target = Buffer.alloc(captures.large.length);
    /**
     * @param {string} label @param {Buffer} capture @param {'refused'} [only]
     * @returns {import('./harness/rounds.mjs').Work}
     */
    const explaining = (label, capture, only) => ({
      label,
      elements: 2 * REQUESTS,
      async run(passes) {
        let packets = 0;
        for (let i = 0; i < passes; i++) packets += await explain(capture, only);
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
        small: explaining('explainCapture, WRITEs of 64 bytes', captures.small, 'refused'),
        reads: explaining('explainCapture, READs of 64 bytes', captures.reads, 'refused'),
        objects: explaining('explainCapture, WRITEs of 64 bytes, an object for each', captures.small),
        large: explaining('explainCapture, WRITEs of 1 KiB', captures.large, 'refused'),
        copyLarge: copying('copy of the same bytes', captures.large),
      },
      lines: [
        // 100 MB of such a capture in a second
        { name: 'explain-capture/64', of: 'small', limit: 1_160 },
        { name: 'explain-capture/64-read', of: 'reads', limit: 1_160 },
        { name: 'explain-capture/64-objects', of: 'objects' },
        { name: 'explain-capture/1k', of: 'large', peer: 'copyLarge', reach: 20 },
      ],
      close: () => undefined,
    };
  },
};
