/** The error for a process in which Node.js loads no add-on at all, and where it was told so. */
import { join } from 'node:path';
import { readReportHeader } from './process-report';

/**
 * Thrown by `require('rdmavt')` and `import 'rdmavt'` where Node.js is not allowed to load add-ons: by `--no-addons`, or by the
 * permission model without `--allow-addons` (in Deno, without `--allow-ffi`). No build helps there.
 */
export interface AddonsDisabledError extends Error {
  readonly code: 'ERR_RDMAVT_ADDONS_DISABLED';
  /** As `process.version` has it. */
  readonly node: string;
  /**
   * The options that disable them and where they stand: `'--no-addons in NODE_OPTIONS'`. Empty if that cannot be seen: an option
   * in a configuration file, or the choice of a program that embeds Node.js.
   */
  readonly disabledBy: readonly string[];
}

const NO_ADDONS = '--no-addons';
const ALLOW_ADDONS = '--allow-addons';
/** Node.js 20 has the second name. */
const PERMISSION = ['--permission', '--experimental-permission'];

/** Node.js loads no add-on for this reason. */
const DISABLED = 'ERR_DLOPEN_DISABLED';
/** The name of Deno's error for what it was not allowed, and the option that allows add-ons. */
const DENO_REFUSAL = 'NotCapable';
const DENO_OPTION = '--allow-ffi';

/**
 * @param folder - any
 * @param cause - what loading the add-on threw
 * @returns undefined if add-ons are allowed
 */
export function addonsDisabledError(folder: string, cause: unknown): AddonsDisabledError | undefined {
  const byDeno = cause instanceof Error && cause.name === DENO_REFUSAL;
  if (!byDeno && !areAddonsDisabled(folder)) return undefined;
  const disabledBy = byDeno ? [`Deno without ${DENO_OPTION}`] : findOptions();
  const { version: node } = process;
  const names = disabledBy.map((option) => option.split(' ')[0] ?? '');
  const lines = [
    `rdmavt: native add-ons are disabled in this process (Node.js ${node}), and rdmavt is one.`,
    disabledBy.length
      ? `Disabled by ${disabledBy.join(', ')}.`
      : `Disabled by an option that cannot be seen from here: ${NO_ADDONS}, or ${PERMISSION[0]} without ${ALLOW_ADDONS}.`,
  ];
  if (names.includes(NO_ADDONS)) lines.push(`Start Node.js without ${NO_ADDONS}.`);
  if (names.some((name) => PERMISSION.includes(name))) {
    lines.push(`Start Node.js with ${ALLOW_ADDONS} as well, if this program may run native code.`);
  }
  if (byDeno) lines.push(`Start Deno with ${DENO_OPTION}, if this program may run native code.`);
  const code: AddonsDisabledError['code'] = 'ERR_RDMAVT_ADDONS_DISABLED';
  return Object.assign(new Error(lines.join('\n')), { code, node, disabledBy });
}

/** Asks Node.js itself, which says so before it looks at the file. */
function areAddonsDisabled(folder: string): boolean {
  try {
    process.dlopen({ exports: {} }, join(folder, 'no-such-file.node'));
  } catch (error) {
    return (error as NodeJS.ErrnoException | undefined)?.code === DISABLED;
  }
  return false;
}

/** @returns the options that disable add-ons, with the place of each */
function findOptions(): string[] {
  const commandLine = readReportHeader()?.commandLine ?? process.execArgv;
  const places: readonly (readonly [string, readonly string[]])[] = [
    ['on the command line', commandLine],
    ['in NODE_OPTIONS', (process.env.NODE_OPTIONS ?? '').split(/\s+/)],
    // A worker thread is given those of the process, or others.
    ['in execArgv of this worker thread', process.execArgv.filter((option) => !commandLine.includes(option))],
  ];
  const found = places.flatMap(([place, options]) =>
    options.map(normalizeOption).map((option) => ({ place, option })),
  );
  const allowed = found.some(({ option }) => option === ALLOW_ADDONS);
  return found
    .filter(({ option }) => option === NO_ADDONS || (!allowed && PERMISSION.includes(option)))
    .map(({ place, option }) => `${option} ${place}`);
}

/** As Node.js takes options: `--no_addons` is `--no-addons`, and in NODE_OPTIONS an option may have quotes around it. */
function normalizeOption(option: string): string {
  return option.replace(/^"(.*)"$/, '$1').replaceAll('_', '-');
}
