/** The errors for a machine that no binary fits, and for a binary that does not fit the package: what was found, and what to do. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readReportHeader } from './process-report';

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
 * Thrown by `require('rdmavt')` and `import 'rdmavt'` where the binary that was found was built from other sources than the
 * package's JavaScript: the two would misread each other. Its message says where another one comes from.
 */
export interface StaleBinaryError extends Error {
  readonly code: 'ERR_RDMAVT_STALE_BINARY';
  /** The binary. */
  readonly file: string;
  /** As `process.platform` has it. */
  readonly platform: string;
  /** As `process.arch` has it. */
  readonly arch: string;
  /** The C library that this Node.js runs on; Linux only: `'glibc 2.36'`, `'musl'`. */
  readonly libc: string | undefined;
  /** The version of Node.js: `'v20.20.2'`. */
  readonly node: string;
  /** The command that builds a new one from source; undefined in a bundle, which has no sources. */
  readonly buildCommand: string | undefined;
}

/**
 * @param dist - undefined in a bundle
 * @param file - what was found and does not load
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

/**
 * @param file - the binary
 * @param home - where it was looked for
 * @param installed - the package; undefined in a bundle
 */
export function staleBinary(file: string, home: string, installed: string | undefined): StaleBinaryError {
  const { platform, arch, version: node } = process;
  const libc = platform === 'linux' ? runningLibc() : undefined;
  const named = process.env.RDMAVT_PREBUILD;
  let buildCommand: string | undefined;
  if (installed !== undefined) {
    // Only a checkout of the sources has this file there.
    const checkout = existsSync(join(installed, 'binding.gyp'));
    buildCommand = checkout ? 'npm run build' : `node "${join(installed, 'dist', 'cli.js')}" build`;
  }

  const lines = [
    `${NAME}: the binary was built from other sources than this package's JavaScript.`,
    `  ${file}`,
    ...(named ? [`  as asked for by the environment: RDMAVT_PREBUILD=${named}`] : []),
    ...(buildCommand === undefined
      ? [
          `This program is a bundle: put the folder prebuilds of the version of ${NAME} that it was made from`,
          'beside it, in',
          `  ${home}`,
        ]
      : [
          'To build a new one from source (Python 3, make and a C and C++ compiler are needed):',
          `  ${buildCommand}`,
        ]),
  ];
  const code: StaleBinaryError['code'] = 'ERR_RDMAVT_STALE_BINARY';
  return Object.assign(new Error(lines.join('\n')), { code, file, platform, arch, libc, node, buildCommand });
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
