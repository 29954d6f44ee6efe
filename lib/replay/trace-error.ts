/**
 * A line that is not of the trace format, or an operation that cannot be played (no memory for it). The message is about
 * the line alone: whoever reads the file adds its name and the line's number.
 */
export class TraceError extends Error {
  override name = 'TraceError';
}

const SHOWN = 60;

/** Text from a file, fit for a message of one line: quoted, without control characters, not too long. */
export function quote(text: string): string {
  const cut = text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text;
  return `"${printable(cut)}"`;
}

/** Text from elsewhere without what would break the line or drive a terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?');
}
