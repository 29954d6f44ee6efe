/** The command `rdmavt build`. */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { findPackageRoot } from '../internal/package-root';
import { parse, type Command } from './command';

const help = `Usage: rdmavt build

Builds the native module from the sources in the package, for machines without a matching
prebuilt binary. Requires Python 3, make, a C and a C++ compiler (on Windows: Visual Studio 2022
with C++), and npm, which downloads the build tools. The package uses the built module until it
is reinstalled.

Options:
  -h, --help     Show this help.

Exit status:
  0  The native module was built and can be loaded.
  1  The build failed; the output of the build tools is shown.
  2  The command line is invalid, or a directory cannot be written.
`;

/** The build tools. Their versions come from the package's devDependencies. */
const TOOLS = ['node-gyp', 'node-addon-api'] as const;

/** The folder of the installed package. */
const home = findPackageRoot(__dirname) ?? __dirname;

/** Runs `rdmavt build`. Must not load the native module, which may be missing. */
export const runBuild: Command = (args) => {
  const { values } = parse({ args, options: { help: { type: 'boolean', short: 'h' } } });
  if (values.help === true) {
    process.stdout.write(help);
    return Promise.resolve(0);
  }

  // Build outside the package's folder: make fails in paths with spaces, and the build tools must not remain in the package.
  const work = mkdtempSync(join(tmpdir(), 'rdmavt-build-'));
  try {
    return Promise.resolve(build(work) ? 0 : 1);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
};

function build(work: string): boolean {
  copyFileSync(join(home, 'dist', 'binding.gyp'), join(work, 'binding.gyp'));
  cpSync(join(home, 'dist', 'native'), join(work, 'native'), { recursive: true });
  writeFileSync(
    join(work, 'package.json'),
    JSON.stringify({ private: true, dependencies: readToolVersions() }),
  );

  const npm = 'npm install --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error';
  const nodeGyp = join(work, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  const compile = `"${process.execPath}" "${nodeGyp}" rebuild --release --loglevel warn`;
  const built = join(work, 'build', 'Release', 'rdmavt.node');
  // Load the module in another process: Windows cannot delete a loaded file.
  const load = `"${process.execPath}" --eval "require(process.argv[1])" "${built}"`;
  if (!runStep(`downloading ${TOOLS.join(' and ')}`, npm, work)) return false;
  if (!runStep('compiling', compile, work) || !runStep('loading', load, work)) return false;

  const place = join(home, 'build', 'Release', 'rdmavt.node');
  mkdirSync(dirname(place), { recursive: true });
  // Replace the old module by a rename: a running process may have it loaded.
  copyFileSync(built, `${place}.new`);
  renameSync(`${place}.new`, place);
  process.stdout.write(`${place}\n`);
  return true;
}

/** Reads the versions of the build tools from the package's package.json. */
function readToolVersions(): Record<string, string> {
  const manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  return Object.fromEntries(TOOLS.map((name) => [name, manifest.devDependencies[name] ?? 'latest']));
}

/** Runs a command. Shows its output only if it fails. Returns whether the command succeeded. */
function runStep(title: string, command: string, cwd: string): boolean {
  process.stderr.write(`${title} ...\n`);
  const { status, stdout, stderr } = spawnSync(command, {
    cwd,
    // npm is a script on Windows and needs a shell.
    shell: true,
    encoding: 'utf8',
    // With CI set, native/flags.gypi turns warnings into errors, which is only for developers of this package.
    env: { ...findNodeHeaders(), ...process.env, CI: '' },
    maxBuffer: 1 << 26,
  });
  if (status !== 0) process.stderr.write(`${stdout}${stderr}rdmavt: ${title} failed\n`);
  return status === 0;
}

/** Points node-gyp to the installed Node headers, if there are any; otherwise node-gyp downloads them. */
function findNodeHeaders(): NodeJS.ProcessEnv {
  const prefix = join(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include', 'node', 'common.gypi')) ? { npm_config_nodedir: prefix } : {};
}
