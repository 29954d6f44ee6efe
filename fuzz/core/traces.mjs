// Translates the recorded traces into programs: each piece as recorded, and again with additional copies and
// batches, which the traces lack.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { Piece, Session } from './program.mjs';

const conformance = fileURLToPath(new URL('../../test/conformance', import.meta.url));
const PIECES_A_TRACE = 24;

/** @typedef {import('./program.mjs').Line} Line */

/**
 * @param {string} directory
 * @param {string} operations suffix of the files with operations
 * @param {string} answers suffix of the files with answers
 */
function* traces(directory, operations, answers) {
  for (const name of readdirSync(directory).sort()) {
    if (!name.endsWith(operations)) continue;
    /** @param {string} file @returns {Line[]} */
    const lines = (file) =>
      gunzipSync(readFileSync(join(directory, file)))
        .toString()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
    yield [lines(name), lines(name.slice(0, -operations.length) + answers)];
  }
}

/**
 * @param {Line[]} operations
 * @param {Line[]} answers
 * @param {boolean} seasoned
 */
function* pieces(operations, answers, seasoned) {
  let count = 0;
  /** @type {Session | undefined} */
  let session;
  /** @type {Piece | undefined} */
  let piece;
  for (const [i, line] of operations.entries()) {
    if (count === PIECES_A_TRACE) return;
    if (line.op === 'init') {
      if (piece) yield piece.bytes();
      session = new Session(line);
      piece = undefined;
    }
    if (!session) continue;
    if (!piece) {
      piece = new Piece(session, seasoned);
      piece.open();
      count++;
    }
    session.meet(line);
    piece.play(line);
    session.learn(line, answers[i] ?? {});
    if (piece.full) {
      yield piece.bytes();
      piece = undefined;
    }
  }
  if (piece) yield piece.bytes();
}

/** Yields all programs that come from traces. */
export function* fromTraces() {
  for (const [directory, end, answers] of /** @type {[string, string, string][]} */ ([
    ['hazards', '.ops.ndjson.gz', '.safe.ndjson.gz'],
    ['traces', '.ops.ndjson.gz', '.expected.ndjson.gz'],
  ]))
    for (const [lines = [], replies = []] of traces(join(conformance, directory), end, answers))
      for (const seasoned of [false, true]) yield* pieces(lines, replies, seasoned);
}
