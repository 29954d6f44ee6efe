/** Makes text from a file, or a name, safe to print as a part of one line. */

/** Replaces characters that would break the line or control the terminal with `?`. */
export function toPrintable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?');
}
