/** Packets as the native reader gives them: a row of words for each, which {@link WireRow} describes. */
export interface Rows {
  readonly words: Uint32Array;
  readonly doubles: Float64Array;
  /** Returns the bytes of the payload that the capture has, of the row at word `at`. */
  payload(at: number): Uint8Array;
}
