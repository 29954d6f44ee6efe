/**
 * What the programs of perftest (version 6 of their exchange: perftest 4.5) say to their server over TCP. Each word waits for an answer:
 *
 * - the version: 16 bytes of text;
 * - the length of the buffer through which short messages go round, and of a cache line: 4 bytes each;
 * - the path MTU: the digit of its code, and a zero byte;
 * - the line of each queue pair ({@link parsePerftestLine}), which some programs say several times, to wait for each other;
 * - at the end of a bandwidth test, unless of SEND, its five results: 8 bytes each, two whole numbers and three of floating point;
 * - `done`.
 */
import { type PathMtu } from '../verbs/qp-attributes';
import { type ClientWords } from './client-words';
import { parsePerftestLine, PERFTEST_LINE_BYTES, type PerftestLine } from './perftest-line';

const VERSION_BYTES = 16;
const VERSION = /^(\d{1,3})\.\d{1,3}\0*$/;
const SERVED_VERSION = 6;
const MTU_BYTES = 2;
const MTUS = [256, 512, 1024, 2048, 4096] as const;
const RESULTS = 5;
const RESULT_BYTES = 8;
/** Enough to tell a line, a result and `done` from each other. */
const BEGINNING_BYTES = 2;
const DONE = Buffer.from('done\0');
/** What this end says of its own results: it has done nothing by itself. */
const NO_RESULT = new Uint8Array(RESULT_BYTES);

/** What a client says at first. */
export interface Greeting {
  readonly version: string;
  /** The path MTU that its port has, or that its user has chosen. */
  readonly mtu: PathMtu;
}

/** What a client has measured. */
export interface Results {
  readonly bytes: bigint;
  readonly iterations: bigint;
  /** MB/s, of 2^20 bytes. */
  readonly peak: number;
  readonly average: number;
  /** Million messages a second. */
  readonly rate: number;
}

/** What a client says after its greeting. */
export type Word =
  | { readonly kind: 'line'; readonly line: PerftestLine }
  | { readonly kind: 'results'; readonly results: Results }
  | { readonly kind: 'done' };

/**
 * Takes the greeting of a client, and answers it.
 *
 * @param mtu - path MTU of this end; the programs take the smaller one
 * @throws Error it is none
 */
export async function greet(words: ClientWords, mtu: PathMtu): Promise<Greeting> {
  const version = await words.need(VERSION_BYTES);
  const text = version.toString('latin1');
  const [, major] = VERSION.exec(text) ?? [];
  if (major === undefined) throw new Error('what the client says is not the version of a perftest');
  const shown = text.replaceAll('\0', '');
  if (Number(major) !== SERVED_VERSION)
    throw new Error(
      `it speaks version ${shown} of perftest's exchange; served is ${SERVED_VERSION}.x (perftest 4.5)`,
    );
  await words.say(version);
  // The lengths of buffers matter to those who send.
  for (let i = 0; i < 2; i++) await words.say(await words.need(4));
  const code = await words.need(MTU_BYTES);
  const theirs = code[1] === 0 ? MTUS[(code[0] ?? 0) - '1'.charCodeAt(0)] : undefined;
  if (theirs === undefined) throw new Error('what the client says is not the code of a path MTU');
  await words.say(Buffer.from(`${MTUS.indexOf(mtu) + 1}\0`));
  return { version: shown, mtu: theirs };
}

/**
 * Takes the next word of a client. Results are answered here.
 *
 * @returns the word; undefined if the client has gone
 * @throws Error it is none
 */
export async function nextWord(words: ClientWords): Promise<Word | undefined> {
  const beginning = await words.take(BEGINNING_BYTES);
  if (beginning === undefined) return undefined;
  const rest = async (length: number): Promise<Buffer> =>
    Buffer.concat([beginning, await words.need(length - BEGINNING_BYTES)]);
  // The first result is a length below 2^48; no line begins with a zero byte. A LID has no digit `o`.
  if (beginning[0] === 0) return { kind: 'results', results: await results(words, await rest(RESULT_BYTES)) };
  if (beginning.equals(DONE.subarray(0, BEGINNING_BYTES))) {
    if (!(await rest(DONE.length)).equals(DONE)) throw new Error("what the client says is not 'done'");
    return { kind: 'done' };
  }
  const line = parsePerftestLine(await rest(PERFTEST_LINE_BYTES));
  if (line === undefined) throw new Error('what the client says is not the line of a perftest');
  return { kind: 'line', line };
}

/** Says that this end is done, too. */
export async function sayDone(words: ClientWords): Promise<void> {
  await words.say(DONE);
}

async function results(words: ClientWords, first: Buffer): Promise<Results> {
  const all = [first];
  await words.say(NO_RESULT);
  while (all.length < RESULTS) {
    all.push(await words.need(RESULT_BYTES));
    await words.say(NO_RESULT);
  }
  const bytes = Buffer.concat(all);
  return {
    bytes: bytes.readBigUInt64BE(0),
    iterations: bytes.readBigUInt64BE(RESULT_BYTES),
    peak: bytes.readDoubleBE(2 * RESULT_BYTES),
    average: bytes.readDoubleBE(3 * RESULT_BYTES),
    rate: bytes.readDoubleBE(4 * RESULT_BYTES),
  };
}
