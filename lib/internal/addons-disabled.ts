/** Creates the error for a process that must not load native add-ons, and finds the option that disables them. */
import { join } from 'node:path';
import { readReportHeader } from './process-report';

/**
 * Thrown by `require('rdmavt')` and `import 'rdmavt'` if the process must not load native add-ons: with `--no-addons`, or with
 * the permission model but without `--allow-addons` (in Deno, without `--allow-ffi`). Building the add-on does not help.
 */
export interface AddonsDisabledError extends Error {
  readonly code: 'ERR_RDMAVT_ADDONS_DISABLED';
  /** Value of `process.version`. */
  readonly node: string;
  /**
   * The options that disable add-ons, each with the place where it is set: `'--no-addons in NODE_OPTIONS'`. Empty if the option
   * is not visible, for example in a configuration file or in a program that embeds Node.js.
   */
  readonly disabledBy: readonly string[];
}

const NO_ADDONS = '--no-addons';
const ALLOW_ADDONS = '--allow-addons';
/** The option that enables the permission model; the second name is for Node.js 20. */
const PERMISSION = ['--permission', '--experimental-permission'];

/** Code of the error that Node.js throws when add-ons are disabled. */
const DISABLED = 'ERR_DLOPEN_DISABLED';
/** Name of Deno's error for a missing permission, and the option that permits add-ons. */
const DENO_REFUSAL = 'NotCapable';
const DENO_OPTION = '--allow-ffi';

/**
 * Creates the error if add-ons are disabled in this process.
 *
 * @param folder - any existing folder, for a trial load
 * @param cause - the error that loading the add-on threw
 * @returns undefined if add-ons are enabled
 */
export function addonsDisabledError(folder: string, cause: unknown): AddonsDisabledError | undefined {
  const byDeno = cause instanceof Error && cause.name === DENO_REFUSAL;
  if (!byDeno && !areAddonsDisabled(folder)) return undefined;
  const disabledBy = byDeno ? [`Deno without ${DENO_OPTION}`] : findOptions();
  const { version: node } = process;
  const names = disabledBy.map((option) => option.split(' ')[0] ?? '');
  const lines = [
    `rdmavt: cannot load the native add-on: add-ons are disabled in this process (Node.js ${node}).`,
    disabledBy.length
      ? `Disabled by ${disabledBy.join(', ')}.`
      : `Disabled by an option that is not visible here: ${NO_ADDONS}, or ${PERMISSION[0]} without ${ALLOW_ADDONS}.`,
  ];
  if (names.includes(NO_ADDONS)) lines.push(`Start Node.js without ${NO_ADDONS}.`);
  if (names.some((name) => PERMISSION.includes(name))) {
    lines.push(`Add ${ALLOW_ADDONS} if this program may run native code.`);
  }
  if (byDeno) lines.push(`Start Deno with ${DENO_OPTION} if this program may run native code.`);
  const code: AddonsDisabledError['code'] = 'ERR_RDMAVT_ADDONS_DISABLED';
  return Object.assign(new Error(lines.join('\n')), { code, node, disabledBy });
}

/** Returns whether add-ons are disabled: Node.js reports that before it looks for the file. */
function areAddonsDisabled(folder: string): boolean {
  try {
    process.dlopen({ exports: {} }, join(folder, 'no-such-file.node'));
  } catch (error) {
    return (error as NodeJS.ErrnoException | undefined)?.code === DISABLED;
  }
  return false;
}

/** Returns the options that disable add-ons, each with its place. */
function findOptions(): string[] {
  const commandLine = readReportHeader()?.commandLine ?? process.execArgv;
  const places: readonly (readonly [string, readonly string[]])[] = [
    ['on the command line', commandLine],
    ['in NODE_OPTIONS', (process.env.NODE_OPTIONS ?? '').split(/\s+/)],
    // A worker thread inherits the options of the process, or has its own.
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

/** Normalizes an option as Node.js does: `--no_addons` means `--no-addons`, and NODE_OPTIONS allows quotes around an option. */
function normalizeOption(option: string): string {
  return option.replace(/^"(.*)"$/, '$1').replaceAll('_', '-');
}
