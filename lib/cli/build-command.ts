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
fits. Needs Python 3, make, a C and a C++ compiler (Windows: Visual Studio 2022 with C++), and
npm, which downloads the build tools. The package uses the result until it is installed again.

Options:
  -h, --help     Show this help.

Exit status:
  0  The native module was built and loads.
  1  It could not be built; the output of the build tools is shown.
  2  The command line is wrong, or a folder cannot be written.
`;

/** The build tools, in the versions that the package is developed with. */
const TOOLS = ['node-gyp', 'node-addon-api'] as const;

/** The folder of the installed package. */
const home = findPackageRoot(__dirname) ?? __dirname;

/** `rdmavt build`. Must not load the native module, which may be missing. */
export const runBuild: Command = (args) => {
  const { values } = parse({ args, options: { help: { type: 'boolean', short: 'h' } } });
  if (values.help === true) {
    process.stdout.write(help);
    return Promise.resolve(0);
  }

  // Not in the package's folder: make fails below a folder with a space in its name, and the build tools must not stay there.
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
  writeFileSync(
    join(work, 'package.json'),
    JSON.stringify({ private: true, dependencies: readToolVersions() }),
  );

  const npm = 'npm install --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error';
  const nodeGyp = join(work, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  const compile = `"${process.execPath}" "${nodeGyp}" rebuild --release --loglevel warn`;
  const built = join(work, 'build', 'Release', 'rdmavt.node');
  // Load it in another process: Windows cannot remove a file that is loaded.
  const load = `"${process.execPath}" --eval "require(process.argv[1])" "${built}"`;
  if (!runStep(`downloading ${TOOLS.join(' and ')}`, npm, work)) return false;
  if (!runStep('compiling', compile, work) || !runStep('loading', load, work)) return false;

  const place = join(home, 'build', 'Release', 'rdmavt.node');
  mkdirSync(dirname(place), { recursive: true });
  // Rename it into place: a running process may have the old one loaded.
  copyFileSync(built, `${place}.new`);
  renameSync(`${place}.new`, place);
  process.stdout.write(`${place}\n`);
  return true;
}

/** Reads the versions of the build tools from package.json. */
function readToolVersions(): Record<string, string> {
  const manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  return Object.fromEntries(TOOLS.map((name) => [name, manifest.devDependencies[name] ?? 'latest']));
}

/** Runs a command without output; shows all of it if the command fails. Returns whether it succeeded. */
function runStep(title: string, command: string, cwd: string): boolean {
  process.stderr.write(`${title} ...\n`);
  const { status, stdout, stderr } = spawnSync(command, {
    cwd,
    // npm is a script on Windows.
    shell: true,
    encoding: 'utf8',
    // With CI set, native/flags.gypi turns warnings into errors. That is for developers of this package only.
    env: { ...findNodeHeaders(), ...process.env, CI: '' },
    maxBuffer: 1 << 26,
  });
  if (status !== 0) process.stderr.write(`${stdout}${stderr}rdmavt: ${title} failed\n`);
  return status === 0;
}

/** Points node-gyp to installed headers of Node, which it would download otherwise. */
function findNodeHeaders(): NodeJS.ProcessEnv {
  const prefix = join(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include', 'node', 'common.gypi')) ? { npm_config_nodedir: prefix } : {};
}
