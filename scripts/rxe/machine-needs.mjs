// What the machine needs for the tests against soft-RoCE: commands and a header, each with the Debian package that has it.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A reason for which the tests cannot run here: they are skipped, with this text. */
export class NotHere extends Error {}

/** Commands, and the packages that have them. */
const COMMANDS = new Map([
  ['qemu-system-x86_64', 'qemu-system-x86'],
  ['busybox', 'busybox-static'],
  ['xz', 'xz-utils'],
  ['depmod', 'kmod'],
  ['ip', 'iproute2'],
  ['unshare', 'util-linux'],
  ['setpriv', 'util-linux'],
  ['gcc', 'gcc'],
  ['rping', 'rdmacm-utils'],
  ['ibv_rc_pingpong', 'ibverbs-utils'],
  ['ib_write_bw', 'perftest'],
]);
/** Files that have no command, and the packages that have them. */
const FILES = new Map([
  ['/usr/include/infiniband/verbs.h', 'libibverbs-dev'],
  ['/etc/libibverbs.d/rxe.driver', 'ibverbs-providers'],
]);
/** `-netdev stream` with a descriptor exists since then. */
const QEMU_AT_LEAST = [7, 2];
/** Where Debian keeps commands for root, which the PATH of others may lack. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin'];
const INSTALL_TIMEOUT_MS = 10 * 60_000;

/**
 * Installs what is missing, if this process may, and throws {@link NotHere} if something is missing still.
 */
export function provideNeeds() {
  if (!isDebian()) throw new NotHere('needs Debian on x86-64');
  process.env.PATH = [process.env.PATH, ...SYSTEM_FOLDERS].join(delimiter);
  let missing = missingPackages();
  if (missing.length && mayInstall()) {
    console.log(`rxe: installing ${missing.join(' ')}`);
    aptGet(['update']);
    aptGet(['install', '-y', '--no-install-recommends', ...missing]);
    missing = missingPackages();
  }
  if (missing.length) throw new NotHere(`needs packages: apt-get install ${missing.join(' ')}`);
  const found = /version (\d+)\.(\d+)/.exec(output('qemu-system-x86_64', ['--version']));
  const [major, minor] = [Number(found?.[1]), Number(found?.[2])];
  const [leastMajor = 0, leastMinor = 0] = QEMU_AT_LEAST;
  if (!(major > leastMajor || (major === leastMajor && minor >= leastMinor))) {
    throw new NotHere(`needs QEMU ${QEMU_AT_LEAST.join('.')} or later, found ${found?.[0] ?? 'none'}`);
  }
}

/** Whether this process may install packages: as root, or by sudo without a password. */
export function mayInstall() {
  return asRoot() !== undefined && which('apt-get');
}

/**
 * Runs apt-get as root. Errors are printed, and found by the caller in what is missing afterwards.
 * @param {string[]} args
 */
export function aptGet(args) {
  const command = [
    ...(asRoot() ?? []),
    ...['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', '-o', 'DPkg::Lock::Timeout=300'],
    ...args,
  ];
  const { stderr } = spawnSync(command[0] ?? '', command.slice(1), {
    encoding: 'utf8',
    timeout: INSTALL_TIMEOUT_MS,
  });
  if (/^E:/m.test(stderr ?? '')) console.error(stderr);
}

/**
 * Returns the standard output of a command, empty if it does not run.
 * @param {string} command
 * @param {string[]} args
 */
export function output(command, args) {
  return spawnSync(command, args, { encoding: 'utf8' }).stdout ?? '';
}

/** Whether this is a system whose packages these are. */
export function isDebian() {
  return process.platform === 'linux' && process.arch === 'x64' && existsSync('/etc/debian_version');
}

/** Returns the names of the packages that are not installed. */
export function missingPackages() {
  const packages = [
    ...[...COMMANDS].filter(([command]) => !which(command)),
    ...[...FILES].filter(([file]) => !existsSync(file)),
  ].map(([, name]) => name);
  return [...new Set(packages)];
}

/** @returns {string[] | undefined} the words in front of a command that must run as root, undefined if it cannot */
function asRoot() {
  if (process.getuid?.() === 0) return [];
  const canSudo = spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0;
  return canSudo ? ['sudo', '-n'] : undefined;
}

/** @param {string} command */
function which(command) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...SYSTEM_FOLDERS];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return folder !== '';
    } catch {
      return false;
    }
  });
}
