/** An answer: an acknowledgement, a NAK, or a READ response. */
import { WireRow } from '../internal/layout';
import { get } from './reading';
import type { Rows } from './rows';

/** The fields of an answer that are compared with requests; {@link WireRow} describes them. */
export interface Answer {
  opcode: number;
  psn: number;
  syndrome: number;
  msn: number;
  original: number;
  originalHigh: number;
  payload: number;
  packet: number;
  seconds: number;
  nanoseconds: number;
}

/** Returns an answer for {@link readAnswer} to fill in. */
export function emptyAnswer(): Answer {
  return {
    opcode: 0,
    psn: 0,
    syndrome: 0,
    msn: 0,
    original: 0,
    originalHigh: 0,
    payload: 0,
    packet: 0,
    seconds: 0,
    nanoseconds: 0,
  };
}

/** Reads the answer of the row that begins at word `at`. Fills in one that exists, so that no packet costs an allocation. */
export function readAnswer({ words, doubles }: Rows, at: number, answer: Answer): void {
  answer.opcode = get(words, at + WireRow.Opcode);
  answer.psn = get(words, at + WireRow.Psn);
  answer.syndrome = get(words, at + WireRow.Syndrome);
  answer.msn = get(words, at + WireRow.Msn);
  answer.original = get(words, at + WireRow.OriginalValue);
  answer.originalHigh = get(words, at + WireRow.OriginalValue + 1);
  answer.payload = get(words, at + WireRow.PayloadLength);
  answer.packet = get(doubles, (at + WireRow.Number) >> 1);
  answer.seconds = get(doubles, (at + WireRow.Seconds) >> 1);
  answer.nanoseconds = get(words, at + WireRow.Nanoseconds);
}
