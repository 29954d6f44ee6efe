// The targets that prebuilt binaries are built for. All scripts in scripts/prebuild use this table.

/** @typedef {'linux' | 'win32' | 'darwin'} Platform as in process.platform */
/** @typedef {'x64' | 'arm64'} Arch as in process.arch */

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {Platform} platform
 * @property {Arch} arch
 * @property {'glibc' | 'musl'} [libc]
 * @property {'gcc' | 'zig'} toolchain
 * @property {string} triple the compiler's name of the target
 */

/** The oldest system versions that the binaries support, which are also the oldest that Node supports. */
export const floors = { glibc: '2.28', macos: '11.0' };

/** @type {Target[]} */
export const targets = [
  { platform: 'linux', arch: 'x64', libc: 'glibc', toolchain: 'gcc', triple: 'x86_64-linux-gnu' },
  { platform: 'linux', arch: 'arm64', libc: 'glibc', toolchain: 'gcc', triple: 'aarch64-linux-gnu' },
  { platform: 'linux', arch: 'x64', libc: 'musl', toolchain: 'zig', triple: 'x86_64-linux-musl' },
  { platform: 'linux', arch: 'arm64', libc: 'musl', toolchain: 'zig', triple: 'aarch64-linux-musl' },
  { platform: 'win32', arch: 'x64', toolchain: 'zig', triple: 'x86_64-windows-gnu' },
  { platform: 'win32', arch: 'arm64', toolchain: 'zig', triple: 'aarch64-windows-gnu' },
  { platform: 'darwin', arch: 'x64', toolchain: 'zig', triple: `x86_64-macos.${floors.macos}` },
  { platform: 'darwin', arch: 'arm64', toolchain: 'zig', triple: `aarch64-macos.${floors.macos}` },
].map((target) => /** @type {Target} */ ({ ...target, name: nameOf(target) }));

/**
 * Returns the path of the binary in the package. The layout is that of prebuildify, which node-gyp-build searches.
 * @param {Target} target
 */
export function pathOf({ platform, arch, libc }) {
  return `prebuilds/${platform}-${arch}/${['rdmavt', libc, 'node'].filter(Boolean).join('.')}`;
}

/** Returns the target of this name. Throws if there is none. @param {string} name */
export function targetNamed(name) {
  const target = targets.find((candidate) => candidate.name === name);
  if (!target) {
    throw new Error(`no target "${name}"; the targets are ${targets.map((known) => known.name).join(', ')}`);
  }
  return target;
}

/** @param {{ platform: string, arch: string, libc?: string }} target */
function nameOf({ platform, arch, libc }) {
  return [platform, arch, libc].filter(Boolean).join('-');
}
