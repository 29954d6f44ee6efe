// The initramfs of the guest: modules, busybox and the programs of test/rxe/guest. And the programs of test/rxe/host, which run beside the
// tests.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NotHere, output } from './machine-needs.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const sources = join(root, 'test', 'rxe');
const directory = join(root, 'build', 'rxe');

const EXECUTABLE = 0o100755;
const FILE = 0o100644;
const FOLDER = 0o040755;

/** @typedef {{ path: string, mode: number, data?: Buffer }} Entry */

/**
 * Builds the initramfs and returns its file.
 * @param {string[]} modules files, in the order in which they are loaded
 */
export function buildInitramfs(modules) {
  const order = modules.map((file) => basename(file));
  const initramfs = archive([
    ...['bin', 'dev', 'modules', 'proc', 'sys', 'tmp'].map((path) => ({ path, mode: FOLDER })),
    { path: 'init', mode: EXECUTABLE, data: readFileSync(join(sources, 'guest', 'init')) },
    { path: 'bin/busybox', mode: EXECUTABLE, data: readFileSync(staticBusybox()) },
    { path: 'bin/rxe-link', mode: EXECUTABLE, data: readFileSync(compileForGuest('rxe-link', [])) },
    {
      path: 'bin/verbs-shell',
      mode: EXECUTABLE,
      // libibverbs loads its providers at run time, but for those that are linked statically.
      data: readFileSync(
        compileForGuest('verbs-shell', [
          '-DRDMA_STATIC_PROVIDERS=rxe',
          ...['-libverbs', '-lrxe-rdmav34', '-libverbs', '-lnl-route-3', '-lnl-3'],
        ]),
      ),
    },
    ...programs(),
    ...modules.map((file, i) => ({ path: `modules/${order[i]}`, mode: FILE, data: readFileSync(file) })),
    { path: 'modules/order', mode: FILE, data: Buffer.from(`${order.join('\n')}\n`) },
  ]);
  const file = join(directory, 'initramfs.cpio');
  writeFileSync(file, initramfs);
  return file;
}

/** Programs of Debian that run in the guest as they are. */
const PROGRAMS = [
  ...['ibv_rc_pingpong', 'ibv_uc_pingpong', 'ibv_ud_pingpong', 'rping', 'ucmatose'],
  ...['ib_write_bw', 'ib_write_lat', 'ib_read_bw', 'ib_read_lat'],
  ...['ib_send_bw', 'ib_send_lat', 'ib_atomic_bw', 'ib_atomic_lat'],
];
/** What programs load when they run: the C library ends threads with libgcc. */
const LOADED_LATER = 'libgcc_s.so.1';
const DRIVERS = '/etc/libibverbs.d';

/**
 * The programs, with the shared libraries that they need, and libibverbs' provider for soft-RoCE.
 * @returns {Entry[]}
 */
function programs() {
  const folder = dirname(output('sh', ['-c', 'ls /usr/lib/*/libibverbs/librxe-*.so']).trim());
  const [provider = ''] = output('sh', ['-c', `ls ${folder}/librxe-*.so`]).split('\n');
  const files = PROGRAMS.map((name) => output('which', [name]).trim());
  const needed = [...files, provider].flatMap((file) =>
    [...output('ldd', [file]).matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, library = '']) => library),
  );
  const libraries = needed.map(dirname).filter((path) => existsSync(join(path, LOADED_LATER)));
  const later = libraries.slice(0, 1).map((path) => join(path, LOADED_LATER));
  const all = [...new Set([...needed, ...later, provider, join(DRIVERS, 'rxe.driver')])];
  /** @type {Set<string>} */
  const folders = new Set();
  for (const file of all) for (let at = dirname(file); at !== '/'; at = dirname(at)) folders.add(at.slice(1));
  return [
    ...[...folders].sort().map((path) => ({ path, mode: FOLDER })),
    ...all.map((file) => ({ path: file.slice(1), mode: EXECUTABLE, data: readFileSync(file) })),
    ...files.map((file) => ({ path: `bin/${basename(file)}`, mode: EXECUTABLE, data: readFileSync(file) })),
  ];
}

/**
 * Compiles a program that runs beside the tests, and returns its file.
 * @param {string} name
 */
export function compileForHost(name) {
  return compile('host', name, []);
}

/**
 * @param {string} name
 * @param {string[]} options
 */
function compileForGuest(name, options) {
  // libnl warns of functions that need the C library's files at run time, which verbs do not call.
  return compile('guest', name, ['-static', ...options, '-Wl,--no-warnings']);
}

/**
 * @param {'guest' | 'host'} where
 * @param {string} name
 * @param {string[]} options
 */
function compile(where, name, options) {
  mkdirSync(directory, { recursive: true });
  const program = join(directory, name);
  const { status, stderr } = spawnSync(
    process.env.CC ?? 'gcc',
    [
      ...['-std=c11', '-D_GNU_SOURCE', '-O1', '-g', '-Wall', '-Wextra', '-Wshadow', '-Wformat=2'],
      ...['-Wstrict-prototypes', '-Wmissing-prototypes', '-Werror'],
      ...[join(sources, where, `${name}.c`), '-o', program, ...options],
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`test/rxe/${where}/${name}.c does not compile:\n${stderr}`);
  return program;
}

/** The guest has no shared libraries but those of `programs`. */
function staticBusybox() {
  const [found = ''] = output('which', ['busybox']).split('\n');
  const file = found && realpathSync(found);
  if (!file || /=>/.test(output('ldd', [file]))) throw new NotHere('needs the package busybox-static');
  return file;
}

/**
 * Returns an archive in cpio's format "newc", as the kernel's document "initramfs buffer format" describes it.
 * @param {Entry[]} entries
 */
function archive(entries) {
  /** @type {Buffer[]} */
  const parts = [];
  const pad = (/** @type {number} */ length) => Buffer.alloc((4 - (length % 4)) % 4);
  [...entries, { path: 'TRAILER!!!', mode: 0 }].forEach(({ path, mode, data = Buffer.alloc(0) }, i) => {
    const name = Buffer.from(`${path}\0`);
    const links = 1;
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    const fields = [i + 1, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length, 0];
    const header = Buffer.from(
      `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`,
    );
    parts.push(header, name, pad(header.length + name.length), data, pad(data.length));
  });
  return Buffer.concat(parts);
}
