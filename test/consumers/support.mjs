// Helpers shared by the consumer tests: an empty folder with the packed package installed, and commands that find no compiler.
//
// scripts/consumers.mjs packs the package before it runs the tests: $RDMAVT_TARBALL.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeOf, npmPackage } from '../../scripts/npm-tools.mjs';

export { nodeOf };

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {{ status: number | null, stdout: string, stderr: string }} Outcome */

export const root = fileURLToPath(new URL('../..', import.meta.url));
const programs = fileURLToPath(new URL('programs', import.meta.url));
const windows = process.platform === 'win32';

/** The packed package. Its folder is new in each run, so that no package manager's cache mistakes it for an older one. */
export const tarball = process.env.RDMAVT_TARBALL ?? '';
assert(existsSync(tarball), 'run by scripts/consumers.mjs, which packs the package first');

/** The registry of the npm that runs the tests. */
const registry = process.env.RDMAVT_REGISTRY ?? '';

/** The npm that belongs to the running `node`. */
const npmCli = npmOfPath();

/** The versions of the tools that are known to work. */
const versions = {
  npm11: 'npm@11.19.1',
  npm12: 'npm@12.2.0',
  pnpm10: 'pnpm@10.34.8',
  pnpm12: 'pnpm@12.21.0',
  yarn1: 'yarn@1.22.22',
  yarn4: '@yarnpkg/cli-dist@4.18.1',
  esbuild: 'esbuild@0.28.2',
  webpack: 'webpack@5.113.0',
  rollup: 'rollup@4.68.8',
  rollupCommonjs: '@rollup/plugin-commonjs@29.0.3',
  rollupNodeResolve: '@rollup/plugin-node-resolve@16.0.3',
  vite: 'vite@8.4.0',
  vitest: 'vitest@5.1.2',
  typescript5_4: 'typescript@5.4.5',
  typescript5_9: 'typescript@5.9.3',
  typescript6_0: 'typescript@6.0.3',
  typescript7_0: 'typescript@7.0.2',
  deno: `@deno/${process.platform}-${process.arch}${process.platform === 'linux' ? '-glibc' : ''}@2.9.6`,
  bun: `@oven/bun-${windows ? 'windows' : process.platform}-${process.arch === 'arm64' ? 'aarch64' : process.arch}@1.4.5`,
};

/** A separate folder for a test. */
export class Consumer {
  /** @param {string} folder */
  constructor(folder) {
    this.folder = folder;
    /** The environment of its commands. @type {NodeJS.ProcessEnv} */
    this.env = environment(folder);
  }

  /** @param {string[]} parts */
  path(...parts) {
    return join(this.folder, ...parts);
  }

  /**
   * @param {string} name
   * @param {string | object} content
   */
  write(name, content) {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), typeof content === 'string' ? content : JSON.stringify(content));
  }

  /**
   * Copies one of test/consumers/programs into the folder.
   * @param {string} name
   * @param {string} [as]
   */
  copyProgram(name, as = name) {
    mkdirSync(dirname(this.path(as)), { recursive: true });
    copyFileSync(join(programs, name), this.path(as));
  }

  /**
   * Runs a JavaScript program with the running node or `options.node`.
   * @param {string[]} args
   * @param {{ node?: string, env?: NodeJS.ProcessEnv, cwd?: string }} [options]
   * @returns {Outcome}
   */
  try(args, { node = process.execPath, env = {}, cwd = this.folder } = {}) {
    const { status, stdout, stderr, error } = spawnSync(node, args, {
      cwd,
      env: { ...this.env, ...env },
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    if (error) throw error;
    return { status, stdout, stderr: withoutSettings(stderr) };
  }

  /**
   * Runs a program that must succeed.
   * @param {string[]} args
   * @param {{ node?: string, env?: NodeJS.ProcessEnv, cwd?: string }} [options]
   */
  run(args, options) {
    const outcome = this.try(args, options);
    assert.equal(outcome.status, 0, `${args.join(' ')}\n${outcome.stdout}${outcome.stderr}`);
    return outcome;
  }

  /**
   * Runs a program that must print `good` and nothing else.
   * @param {string[]} args
   * @param {{ node?: string, env?: NodeJS.ProcessEnv, cwd?: string }} [options]
   */
  good(args, options) {
    assert.deepEqual(this.run(args, options), { status: 0, stdout: 'good\n', stderr: '' });
  }

  /** @param {string[]} args */
  npm(...args) {
    return this.run([npmCli, ...args]);
  }

  /** The folder of the package as `require` resolves it; not available with Plug'n'Play. */
  get installed() {
    return realpathSync(this.path('node_modules', 'rdmavt'));
  }
}

/**
 * Creates an empty folder that is removed after the test. It lies outside the checkout, whose node_modules it must not find.
 * @param {TestContext} t
 * @param {object} [manifest] of its package.json
 */
export function emptyConsumer(t, manifest = {}) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'rdmavt-consumer-')));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  const consumer = new Consumer(folder);
  consumer.write('package.json', {
    name: 'consumer',
    version: '1.0.0',
    private: true,
    license: 'MIT',
    ...manifest,
  });
  consumer.write('.npmrc', `registry=${registry}\n`);
  return consumer;
}

/**
 * Creates a folder into which npm has installed the package without running scripts.
 * @param {TestContext} t
 * @param {object} [manifest]
 */
export function installedConsumer(t, manifest) {
  const consumer = emptyConsumer(t, manifest);
  consumer.npm('install', '--ignore-scripts', '--no-audit', '--no-fund', tarball);
  return consumer;
}

/**
 * Returns the folder of a tool's package, which npm installs on first use. Fails if the tool cannot be installed.
 * @param {keyof typeof versions} name
 */
export function tool(name) {
  const spec = versions[name];
  const at = spec.lastIndexOf('@');
  return npmPackage(spec.slice(0, at), spec.slice(at + 1));
}

/**
 * Returns the environment without the settings of npm (which runs this program) and CI, and with a PATH without compilers.
 * @param {string} folder
 * @returns {NodeJS.ProcessEnv}
 */
function environment(folder) {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|RDMAVT_|NODE_TEST|NODE_OPTIONS|PREBUILDS_ONLY|CI$|INIT_CWD|FORCE_COLOR)/i.test(name),
  );
  return {
    ...Object.fromEntries(inherited),
    PATH: barePath(),
    NO_COLOR: '1',
    npm_config_update_notifier: 'false',
    // Caches and settings of the other package managers, separate for each test.
    XDG_CACHE_HOME: join(folder, '.cache'),
    XDG_DATA_HOME: join(folder, '.data'),
    YARN_CACHE_FOLDER: join(folder, '.cache', 'yarn'),
    YARN_GLOBAL_FOLDER: join(folder, '.cache', 'berry'),
    YARN_NPM_REGISTRY_SERVER: registry,
    YARN_ENABLE_TELEMETRY: '0',
    BUN_INSTALL_CACHE_DIR: join(folder, '.cache', 'bun'),
  };
}

/** @type {string | undefined} */
let bare;

/** Returns a PATH with Node, npm, and a shell in which npm runs scripts. */
function barePath() {
  if (windows)
    return [dirname(process.execPath), join(process.env.SystemRoot ?? '', 'System32')].join(delimiter);
  if (bare !== undefined) return bare;
  bare = mkdtempSync(join(tmpdir(), 'rdmavt-path-'));
  const folder = bare;
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  symlinkSync(process.execPath, join(bare, 'node'));
  symlinkSync('/bin/sh', join(bare, 'sh'));
  symlinkSync(npmCli, join(bare, 'npm'));
  symlinkSync(join(dirname(npmCli), 'npx-cli.js'), join(bare, 'npx'));
  return bare;
}

function npmOfPath() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const candidates = windows
    ? [join(dirname(process.execPath), 'node_modules', 'npm', 'bin', 'npm-cli.js')]
    : folders.map((folder) => join(folder, 'npm'));
  const found = candidates.find((file) => existsSync(file));
  assert(found, 'there is no npm');
  const file = realpathSync(found);
  assert.equal(basename(file), 'npm-cli.js');
  return file;
}

/**
 * Removes npm's warnings about unknown settings of this machine, which do not concern the package.
 * @param {string} stderr
 */
function withoutSettings(stderr) {
  return stderr.replaceAll(/^npm warn Unknown \w+ config .*\n/gm, '');
}
