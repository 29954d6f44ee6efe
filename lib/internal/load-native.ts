/**
 * Finding and loading the add-on, and saying what to do where there is none. node-gyp-build decides what fits; the rest of this
 * file runs only when nothing did.
 */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { addonsDisabledError } from './addons-disabled';
import { findPackageRoot } from './package-root';
import { readReportHeader } from './process-report';

/** What node-gyp-build exports: `resolve` only finds the file. */
interface NodeGypBuild {
  readonly resolve: (folder: string) => string;
}

const NAME = 'rdmavt';

/**
 * Thrown by `require('rdmavt')` and `import 'rdmavt'` where no binary fits the machine, or the one that fits does not load. Its
 * message says how to build one.
 */
export interface MissingBinaryError extends Error {
  readonly code: 'ERR_RDMAVT_NO_BINARY';
  /** As `process.platform` has it. */
  readonly platform: string;
  /** As `process.arch` has it. */
  readonly arch: string;
  /** The C library that this Node.js runs on; Linux only: `'glibc 2.36'`, `'musl'`. */
  readonly libc: string | undefined;
  /** The version of Node.js: `'v20.20.2'`. */
  readonly node: string;
  /** Where a binary was looked for. */
  readonly lookedFor: readonly string[];
  /** The command that builds one from source; undefined in a bundle, which has no sources. */
  readonly buildCommand: string | undefined;
  /** Why the binary that was found does not load; undefined if none was found. */
  readonly cause: unknown;
}

/**
 * Loads the add-on.
 *
 * @param folder - of the compiled module that asks: in `dist`, or a bundle's
 * @throws MissingBinaryError, or AddonsDisabledError
 */
export function loadNative(folder: string): unknown {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- CommonJS, without types
  const { resolve } = require('node-gyp-build') as NodeGypBuild;
  const installed = findPackageRoot(folder);
  // A bundle brings its binaries beside itself: what lies in the folder above it is somebody else's.
  const named = process.env.RDMAVT_PREBUILD ?? '';
  const home = named !== '' ? named : (installed ?? folder);
  let file: string | undefined;
  try {
    file = resolve(home);
    // Not `require(file)`: webpack and Rollup put a function of their own in its place, which knows only what is in the bundle.
    return createRequire(file)(file) as unknown;
  } catch (error) {
    throw (
      addonsDisabledError(home, error) ??
      missingBinary(home, installed && join(installed, 'dist'), file, error)
    );
  }
}

/**
 * @param dist - undefined in a bundle
 * @param file - what was found and does not load
 */
function missingBinary(
  home: string,
  dist: string | undefined,
  file: string | undefined,
  cause: unknown,
): MissingBinaryError {
  const { platform, arch, version: node } = process;
  const libc = platform === 'linux' ? runningLibc() : undefined;
  const tuple = `${platform}-${arch}`;
  const buildCommand = dist && `node "${join(dist, 'cli.js')}" build`;
  const lookedFor = [
    ...(process.env.PREBUILDS_ONLY ? [] : [join(home, 'build', 'Release', '*.node')]),
    join(home, 'prebuilds', tuple, '*.node'),
    join(dirname(process.execPath), 'prebuilds', tuple, '*.node'),
  ];

  const machine = [tuple, libc, `Node.js ${node}`].filter((part) => part !== undefined).join(', ');
  const lines =
    file === undefined
      ? [
          `${NAME}: there is no binary for this machine (${machine}).`,
          'Looked for:',
          ...lookedFor.map((path) => `  ${path}${others(path)}`),
          // node-gyp-build takes these for the machine's own.
          ...['npm_config_platform', 'npm_config_arch', 'LIBC'].flatMap((name) =>
            process.env[name] ? [`  as asked for by the environment: ${name}=${process.env[name]}`] : [],
          ),
        ]
      : [
          `${NAME}: the binary does not load on this machine (${machine}).`,
          `  ${file}`,
          `  ${cause instanceof Error ? cause.message : String(cause)}`,
        ];
  lines.push(
    ...(buildCommand === undefined
      ? [
          `This program is a bundle: put the folder prebuilds of the package ${NAME} beside it, in`,
          `  ${home}`,
        ]
      : [
          'To build it from source (Python 3, make and a C and C++ compiler are needed):',
          `  ${buildCommand}`,
        ]),
  );

  const error = new Error(lines.join('\n'));
  const code: MissingBinaryError['code'] = 'ERR_RDMAVT_NO_BINARY';
  const fields = { code, platform, arch, libc, node, lookedFor, buildCommand };
  // node-gyp-build's own words for finding nothing add nothing to these.
  return Object.assign(error, fields, { cause: file === undefined ? undefined : cause });
}

/** What lies where a binary was looked for: binaries of another C library, say. */
function others(pattern: string): string {
  const folder = dirname(pattern);
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return files.length ? ` (there is ${files.join(', ')})` : '';
}

/** Only glibc tells its version to the report. */
function runningLibc(): string | undefined {
  const header = readReportHeader();
  if (header === undefined) return undefined;
  return header.glibcVersionRuntime === undefined ? 'musl' : `glibc ${header.glibcVersionRuntime}`;
}
