/** Creates the errors for a missing native binary and for a binary that does not match the package's JavaScript. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readReportHeader } from './process-report';

const NAME = 'rdmavt';

/**
 * Thrown by `require('rdmavt')` and `import 'rdmavt'` if no native binary fits the machine, or if the binary fails to load. The
 * message says how to build one.
 */
export interface MissingBinaryError extends Error {
  readonly code: 'ERR_RDMAVT_NO_BINARY';
  /** Value of `process.platform`. */
  readonly platform: string;
  /** Value of `process.arch`. */
  readonly arch: string;
  /** The C library of this Node.js process, on Linux only: `'glibc 2.36'`, `'musl'`. */
  readonly libc: string | undefined;
  /** The version of Node.js: `'v20.20.2'`. */
  readonly node: string;
  /** The paths that were searched for a binary. */
  readonly lookedFor: readonly string[];
  /** The command that builds a binary from source; undefined in a bundle, which has no sources. */
  readonly buildCommand: string | undefined;
  /** The error that loading the binary threw; undefined if no binary was found. */
  readonly cause: unknown;
}

/**
 * Thrown by `require('rdmavt')` and `import 'rdmavt'` if the native binary was built from other sources than the package's
 * JavaScript: the two would misread each other's data. The message says how to get a matching binary.
 */
export interface StaleBinaryError extends Error {
  readonly code: 'ERR_RDMAVT_STALE_BINARY';
  /** Path of the binary. */
  readonly file: string;
  /** Value of `process.platform`. */
  readonly platform: string;
  /** Value of `process.arch`. */
  readonly arch: string;
  /** The C library of this Node.js process, on Linux only: `'glibc 2.36'`, `'musl'`. */
  readonly libc: string | undefined;
  /** The version of Node.js: `'v20.20.2'`. */
  readonly node: string;
  /** The command that builds a new binary from source; undefined in a bundle, which has no sources. */
  readonly buildCommand: string | undefined;
}

/**
 * Creates the error for a binary that was not found or failed to load.
 *
 * @param home - the folder that was searched
 * @param dist - the package's `dist` folder; undefined in a bundle
 * @param file - the binary that failed to load; undefined if none was found
 * @param cause - the error of the search or of the load
 */
export function missingBinary(
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
          `${NAME}: no native binary found for this machine (${machine}).`,
          'Looked for:',
          ...lookedFor.map((path) => `  ${path}${others(path)}`),
          // node-gyp-build uses these variables instead of the machine's values.
          ...['npm_config_platform', 'npm_config_arch', 'LIBC'].flatMap((name) =>
            process.env[name] ? [`  because of the environment variable ${name}=${process.env[name]}`] : [],
          ),
        ]
      : [
          `${NAME}: the native binary failed to load on this machine (${machine}).`,
          `  ${file}`,
          `  ${cause instanceof Error ? cause.message : String(cause)}`,
        ];
  lines.push(
    ...(buildCommand === undefined
      ? [
          `This program is a bundle: copy the prebuilds folder of the ${NAME} package next to it, into`,
          `  ${home}`,
        ]
      : [
          'To build it from source (requires Python 3, make, and a C and a C++ compiler):',
          `  ${buildCommand}`,
        ]),
  );

  const error = new Error(lines.join('\n'));
  const code: MissingBinaryError['code'] = 'ERR_RDMAVT_NO_BINARY';
  const fields = { code, platform, arch, libc, node, lookedFor, buildCommand };
  // If no binary was found, node-gyp-build's error adds no information.
  return Object.assign(error, fields, { cause: file === undefined ? undefined : cause });
}

/**
 * Creates the error for a binary that does not match the package's JavaScript.
 *
 * @param file - the binary
 * @param home - the folder that was searched
 * @param installed - the package's folder; undefined in a bundle
 */
export function staleBinary(file: string, home: string, installed: string | undefined): StaleBinaryError {
  const { platform, arch, version: node } = process;
  const libc = platform === 'linux' ? runningLibc() : undefined;
  const named = process.env.RDMAVT_PREBUILD;
  let buildCommand: string | undefined;
  if (installed !== undefined) {
    // Only a source checkout has this file in the package's root.
    const checkout = existsSync(join(installed, 'binding.gyp'));
    buildCommand = checkout ? 'npm run build' : `node "${join(installed, 'dist', 'cli.js')}" build`;
  }

  const lines = [
    `${NAME}: the native binary was built from other sources than this package's JavaScript.`,
    `  ${file}`,
    ...(named ? [`  because of the environment variable RDMAVT_PREBUILD=${named}`] : []),
    ...(buildCommand === undefined
      ? [
          `This program is a bundle: copy the prebuilds folder of the ${NAME} version that it was built from`,
          'next to it, into',
          `  ${home}`,
        ]
      : [
          'To build a new one from source (requires Python 3, make, and a C and a C++ compiler):',
          `  ${buildCommand}`,
        ]),
  ];
  const code: StaleBinaryError['code'] = 'ERR_RDMAVT_STALE_BINARY';
  return Object.assign(new Error(lines.join('\n')), { code, file, platform, arch, libc, node, buildCommand });
}

/** Lists the files in a searched folder, for example binaries for another C library. */
function others(pattern: string): string {
  const folder = dirname(pattern);
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return files.length ? ` (found ${files.join(', ')})` : '';
}

/** Names the C library of this process. The diagnostic report has a version only for glibc. */
function runningLibc(): string | undefined {
  const header = readReportHeader();
  if (header === undefined) return undefined;
  return header.glibcVersionRuntime === undefined ? 'musl' : `glibc ${header.glibcVersionRuntime}`;
}
