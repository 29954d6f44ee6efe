/** How the page and `rdmavt inspect` name things: one vocabulary for both. */
import { type RegionView, type WindowView } from './protocol';

/** Access bits (`IB_ACCESS_*`), their letters, and their names. */
export const rights = [
  { bit: 1, letter: 'w', name: 'local write' },
  { bit: 4, letter: 'R', name: 'remote read' },
  { bit: 2, letter: 'W', name: 'remote write' },
  { bit: 8, letter: 'A', name: 'remote atomic' },
  { bit: 16, letter: 'B', name: 'bind windows' },
] as const;

/** What a region may be used for, by its strongest right: it decides the color and the pattern. */
export const strengths = [
  { name: 'local read only', letters: '', bits: 0 },
  { name: 'local write', letters: 'w', bits: 1 },
  { name: 'remote read', letters: 'R', bits: 4 },
  { name: 'remote write', letters: 'W', bits: 2 },
  { name: 'remote atomic', letters: 'A', bits: 8 },
] as const;

/** Returns the index in {@link strengths}. */
export function strengthOf(access: number): number {
  for (let i = strengths.length - 1; i > 0; i--) if (access & (strengths[i]?.bits ?? 0)) return i;
  return 0;
}

/** Returns the letters of rights, `wRW`; `r` (local read) if there is none. */
export function lettersOf(access: number): string {
  return rights.map(({ bit, letter }) => (access & bit ? letter : '')).join('') || 'r';
}

export function rightNames(access: number): string {
  const names = rights.filter(({ bit }) => access & bit).map(({ name }) => name);
  return names.length === 0 ? 'local read only' : names.join(', ');
}

const STATE_WORDS = { Valid: '', Invalid: ', key invalidated', HalfDead: ', half-dead' } as const;

export function regionWords(region: RegionView, address: 'iova' | 'start'): string {
  const { id, kind, length, access, state } = region;
  const where = length === 0 ? 'maps nothing' : `${sizeWords(length)} at ${region[address]}`;
  return `${kind} region ${id}: ${where}, ${rightNames(access)}${STATE_WORDS[state]}`;
}

export function windowWords({ id, kind, region, iova, length, access, qp, msLeft }: WindowView): string {
  const name = kind === 'LEASE' ? `lease ${id}` : `window ${id}`;
  if (region === 0) return `${name}: not bound`;
  const who = qp === undefined ? '' : `, for the peer of queue pair ${qp}`;
  const left =
    msLeft === undefined
      ? ''
      : msLeft === 0
        ? ', expired'
        : `, ${countWords(Math.ceil(msLeft / 1000))} s left`;
  return `${name}: ${sizeWords(length)} at ${iova}, ${rightNames(access)}${who}${left}`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

/** Formats a number of bytes: `4 KiB`, `1.5 MiB`. */
export function sizeWords(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toFixed(value < 10 ? 2 : 1))} ${UNITS[unit] ?? ''}`;
}

/** Formats a count: `1,234,567`. */
export function countWords(count: number): string {
  return Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}
