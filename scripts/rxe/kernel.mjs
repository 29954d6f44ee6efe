// The guest's kernel: Debian's, downloaded once (70 MB), unpacked, and kept in a folder of the user's cache.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { NotHere, aptGet, mayInstall, output } from './machine-needs.mjs';

/** The package that depends on the newest kernel. */
const META_PACKAGE = 'linux-image-amd64';
/** Raise this when the content of a kernel's folder changes: folders with another number are not used. */
const FORMAT = 2;
/** Modules of the guest; their dependencies are found. crc32_generic is none of rdma_rxe's, but `rdma link add` fails without it. */
const MODULES = [
  'virtio_pci',
  'virtio_net',
  'virtio_console',
  'crc32_generic',
  'ib_uverbs',
  'rdma_rxe',
  'rdma_ucm',
];
/** What is unpacked of the package: the modules above, and what they may depend on. */
const UNPACKED = [
  './boot/vmlinuz-*',
  './lib/modules/*/modules.*',
  ...[
    'crypto',
    'drivers/char/virtio_console*',
    'drivers/infiniband',
    'drivers/net/net_failover*',
    'drivers/net/virtio_net*',
    'drivers/virtio',
    'fs/configfs',
    'lib',
    'net/core',
    'net/ipv4',
    'net/ipv6',
  ].map((part) => `./lib/modules/*/kernel/${part}`),
];
const DOWNLOAD_TIMEOUT_MS = 10 * 60_000;
/** A folder that a killed process has left is removed after this time. */
const ABANDONED_MS = 60 * 60_000;

/**
 * @typedef {object} Kernel
 * @property {string} name of the package
 * @property {string} image file for QEMU's -kernel
 * @property {string[]} modules files, in the order in which they must be loaded
 */

/** The folder of the cache. */
export function cacheFolder() {
  const { RDMAVT_RXE_CACHE, XDG_CACHE_HOME } = process.env;
  return RDMAVT_RXE_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'rdmavt', 'rxe');
}

/**
 * Returns the newest kernel of the cache; downloads one if there is none. So a cache that was made once needs no network, and its
 * kernel stays the same until the folder is removed.
 * @returns {Kernel}
 */
export function provideKernel() {
  const cache = cacheFolder();
  mkdirSync(cache, { recursive: true });
  removeAbandoned(cache);
  const prefix = `kernel-${FORMAT}-`;
  const newest = readdirSync(cache)
    .filter((name) => name.startsWith(prefix))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))[0];
  return kernelIn(newest ? join(cache, newest) : makeKernel(cache, prefix));
}

/**
 * @param {string} folder
 * @returns {Kernel}
 */
function kernelIn(folder) {
  const names = readFileSync(join(folder, 'order'), 'utf8').split('\n').filter(Boolean);
  return {
    name: readFileSync(join(folder, 'name'), 'utf8').trim(),
    image: join(folder, 'vmlinux'),
    modules: names.map((name) => join(folder, name)),
  };
}

/**
 * Makes the folder beside its place and renames it, so that a folder in place is whole, also if two processes make it at once.
 * @param {string} cache
 * @param {string} prefix
 */
function makeKernel(cache, prefix) {
  const part = mkdtempSync(join(cache, 'part-'));
  try {
    const { name, file } = downloadKernel(part);
    const root = join(part, 'root');
    const made = join(part, 'made');
    mkdirSync(root);
    mkdirSync(made);
    unpack(file, root);
    const version = name.slice('linux-image-'.length);
    collectModules(root, version, made);
    unwrapImage(join(root, 'boot', `vmlinuz-${version}`), join(made, 'vmlinux'));
    writeFileSync(join(made, 'name'), `${name}\n`);
    const place = join(cache, `${prefix}${version}`);
    try {
      renameSync(made, place);
    } catch (error) {
      if (!existsSync(join(place, 'name'))) throw error;
    }
    return place;
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

/** @param {string} cache */
function removeAbandoned(cache) {
  for (const name of readdirSync(cache)) {
    const path = join(cache, name);
    if (name.startsWith('part-') && Date.now() - statSync(path).mtimeMs > ABANDONED_MS) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

/** @param {string} folder */
function downloadKernel(folder) {
  for (const isUpdated of [false, true]) {
    // The lists may be missing, as in most container images, or name a file that the archive has replaced.
    if (isUpdated && mayInstall()) aptGet(['update']);
    const name = /Depends: (linux-image-\S+)/.exec(output('apt-cache', ['depends', META_PACKAGE]))?.[1];
    if (!name) continue;
    console.log(`rxe: downloading ${name}`);
    spawnSync('apt-get', ['-qq', 'download', name], {
      cwd: folder,
      stdio: 'ignore',
      timeout: DOWNLOAD_TIMEOUT_MS,
    });
    const file = readdirSync(folder).find((entry) => entry.endsWith('.deb'));
    if (file) return { name, file: join(folder, file) };
  }
  throw new NotHere(`cannot download the kernel that ${META_PACKAGE} depends on: apt-get update`);
}

/**
 * @param {string} file
 * @param {string} root
 */
function unpack(file, root) {
  const words = [...UNPACKED].map((pattern) => `'${pattern}'`).join(' ');
  run('sh', [
    '-c',
    `dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards --no-anchored --exclude='*.dtb' ${words}`,
    'unpack',
    file,
    root,
  ]);
}

/**
 * Copies the modules and their dependencies, uncompressed, and writes the order in which they are loaded.
 * @param {string} root
 * @param {string} version
 * @param {string} to
 */
function collectModules(root, version, to) {
  run('depmod', ['-b', root, version]);
  const files = MODULES.flatMap((name) => {
    const listed = output('modprobe', ['-d', root, '-S', version, '--show-depends', name]);
    const found = listed.split('\n').flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []);
    if (!found.length && !/^builtin /m.test(listed)) throw new Error(`the kernel has no module ${name}`);
    return found;
  });
  const order = [...new Set(files)].map((file) => {
    const name = basename(file).replace(/\.xz$/, '');
    if (file.endsWith('.xz')) writeFileSync(join(to, name), unxz(readFileSync(file)));
    else copyFileSync(file, join(to, name));
    return name;
  });
  writeFileSync(join(to, 'order'), `${order.join('\n')}\n`);
}

/**
 * Takes the kernel out of its bzImage, so that the guest's emulated processor need not do it. Keeps the bzImage if it is packed in
 * another way than by xz.
 *
 * The header is that of the kernel's document "The Linux/x86 Boot Protocol": setup_sects, payload_offset, payload_length.
 * @param {string} file
 * @param {string} to
 */
function unwrapImage(file, to) {
  const image = readFileSync(file);
  const setup = (image.readUInt8(0x1f1) + 1) * 512;
  const start = setup + image.readUInt32LE(0x248);
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c));
  const kernel = unxz(payload);
  writeFileSync(to, kernel.subarray(1, 4).toString('latin1') === 'ELF' ? kernel : image);
}

/** @param {Buffer} packed may have bytes behind its end, as the kernel has */
function unxz(packed) {
  const { stdout } = spawnSync('xz', ['-dc', '--single-stream'], { input: packed, maxBuffer: 1 << 28 });
  return stdout;
}

/**
 * @param {string} command
 * @param {string[]} args
 */
function run(command, args) {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ended with status ${status}: ${stderr}`);
}
