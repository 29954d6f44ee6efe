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

Builds the native module from the sources in the package, for machines that no prebuilt binary
fits. Needs Python 3, make and a C and C++ compiler (Windows: Visual Studio 2022 with C++), and
npm, which gets the build tools. It is used from then on, until the package is installed anew.

Options:
  -h, --help     Show this help.

Exit status:
  0  The native module was built and loads.
  1  It could not be built; what the tools said is shown.
  2  A wrong command line, or a folder that cannot be written.
`;

/** What compiles the add-on, in the versions that the package is developed with. */
const TOOLS = ['node-gyp', 'node-addon-api'] as const;

/** The package: what this file was installed with. */
const home = findPackageRoot(__dirname) ?? __dirname;

/** `rdmavt build`. Loads nothing of the package: it is for when that cannot be loaded. */
export const buildCommand: Command = (args) => {
  const { values } = parse({ args, options: { help: { type: 'boolean', short: 'h' } } });
  if (values.help === true) {
    process.stdout.write(help);
    return Promise.resolve(0);
  }

  // Not in the package: make cannot work below a folder with a space in its name, and node-addon-api is not to stay.
  const work = mkdtempSync(join(tmpdir(), 'rdmavt-build-'));
  try {
    return Promise.resolve(build(work) ? 0 : 1);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
};

function build(work: string): boolean {
  copyFileSync(join(home, 'dist', 'binding.gyp'), join(work, 'binding.gyp'));
  cpSync(join(home, 'native'), join(work, 'native'), { recursive: true });
  writeFileSync(join(work, 'package.json'), JSON.stringify({ private: true, dependencies: tools() }));

  const npm = 'npm install --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error';
  const nodeGyp = join(work, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  const compile = `"${process.execPath}" "${nodeGyp}" rebuild --release --loglevel warn`;
  const built = join(work, 'build', 'Release', 'rdmavt.node');
  // In a process of its own: Windows lets nobody remove what is loaded.
  const load = `"${process.execPath}" --eval "require(process.argv[1])" "${built}"`;
  if (!step(`getting ${TOOLS.join(' and ')}`, npm, work)) return false;
  if (!step('compiling', compile, work) || !step('loading', load, work)) return false;

  const place = join(home, 'build', 'Release', 'rdmavt.node');
  mkdirSync(dirname(place), { recursive: true });
  // Renamed into its place: a process may run what lies there.
  copyFileSync(built, `${place}.new`);
  renameSync(`${place}.new`, place);
  process.stdout.write(`${place}\n`);
  return true;
}

/** Versions by name, as package.json has them. */
function tools(): Record<string, string> {
  const manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  return Object.fromEntries(TOOLS.map((name) => [name, manifest.devDependencies[name] ?? 'latest']));
}

/** Runs a command quietly; if it fails, shows all that it said. */
function step(title: string, command: string, cwd: string): boolean {
  process.stderr.write(`${title} ...\n`);
  const { status, stdout, stderr } = spawnSync(command, {
    cwd,
    // npm is a script on Windows.
    shell: true,
    encoding: 'utf8',
    // CI would turn warnings into errors (native/flags.gypi), which is for those who develop this package.
    env: { ...nodeHeaders(), ...process.env, CI: '' },
    maxBuffer: 1 << 26,
  });
  if (status !== 0) process.stderr.write(`${stdout}${stderr}rdmavt: ${title} failed\n`);
  return status === 0;
}

/** node-gyp downloads Node's headers where it is not told that they are there. */
function nodeHeaders(): NodeJS.ProcessEnv {
  const prefix = join(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include', 'node', 'common.gypi')) ? { npm_config_nodedir: prefix } : {};
}
