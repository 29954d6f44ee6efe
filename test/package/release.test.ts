// The hooks of `npm version` and `npm publish`, in a small repository with the package's own scripts.
import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const root = join(__dirname, '..', '..');
const binaries = [
  'linux-x64/rdmavt.glibc.node',
  'linux-x64/rdmavt.musl.node',
  'linux-arm64/rdmavt.glibc.node',
  'linux-arm64/rdmavt.musl.node',
  'win32-x64/rdmavt.node',
  'win32-arm64/rdmavt.node',
  'darwin-x64/rdmavt.node',
  'darwin-arm64/rdmavt.node',
].map((file) => `prebuilds/${file}`);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rdmavt-release-'));
  mkdirSync(join(folder, 'scripts'));
  for (const name of ['release-check.mjs', 'release-changelog.mjs', 'prebuild']) {
    cpSync(join(root, 'scripts', name), join(folder, 'scripts', name), { recursive: true });
  }
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const hooks = ['preversion', 'version', 'postversion'];
  const scripts = Object.fromEntries(hooks.map((name) => [name, manifest.scripts[name]]));
  write('package.json', `${JSON.stringify({ name: 'rdmavt', version: '1.2.3', scripts }, null, 2)}\n`);
  write(
    'CHANGELOG.md',
    '# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## [1.2.3] - 2020-01-01\n',
  );
  write('.gitignore', 'prebuilds/\n');
  for (const file of binaries) write(file, '');
  succeed('git', 'init', '--quiet');
  commit();
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function write(file: string, content: string) {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), content);
}

function run(command: string, ...args: string[]) {
  const identity = { name: 'nobody', email: 'nobody@example.invalid' };
  // Remove the npm settings of the outer run: under `npm test --silent` the inner npm would print nothing.
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: folder,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    env: {
      ...Object.fromEntries(inherited),
      // Ignore the git configuration of the user, such as signing and hooks.
      GIT_CONFIG_GLOBAL: join(folder, 'none'),
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: identity.name,
      GIT_AUTHOR_EMAIL: identity.email,
      GIT_COMMITTER_NAME: identity.name,
      GIT_COMMITTER_EMAIL: identity.email,
    },
  });
  return { status, stdout, output: `${stdout}${stderr}` };
}

function succeed(command: string, ...args: string[]): string {
  const { status, stdout, output } = run(command, ...args);
  if (status !== 0) throw new Error(output);
  return stdout.trimEnd();
}

function commit() {
  succeed('git', 'add', '--all');
  succeed('git', 'commit', '--quiet', '--message', 'a commit');
}

/** Returns the version, the number of commits and the tags, which a refusal must not change. */
const state = () => [
  (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version,
  succeed('git', 'rev-list', '--count', 'HEAD'),
  succeed('git', 'tag'),
];

test('npm version creates the changelog section, the commit and the tag, and the result may be published', () => {
  succeed('npm', 'version', 'minor');
  expect(state()).toEqual(['1.3.0', '2', 'v1.3.0']);
  expect(succeed('git', 'status', '--porcelain')).toBe('');
  const day = new Date().toISOString().slice(0, 10);
  expect(readFileSync(join(folder, 'CHANGELOG.md'), 'utf8')).toBe(
    `# Changelog\n\n## [Unreleased]\n\n## [1.3.0] - ${day}\n\n### Added\n\n- A thing.\n\n## [1.2.3] - 2020-01-01\n`,
  );
  expect(succeed(process.execPath, 'scripts/release-check.mjs', 'publish')).toBe('release: ready to publish');
});

describe('npm version fails', () => {
  const refused = (why: RegExp | string) => {
    const before = state();
    const { status, output } = run('npm', 'version', 'patch');
    expect(status).not.toBe(0);
    expect(output).toMatch(why);
    expect(state()).toEqual(before);
  };

  test('if the tree is dirty', () => {
    appendFileSync(join(folder, 'CHANGELOG.md'), '\n');
    refused(/not clean/); // npm itself refuses a dirty tree
    const { status, output } = run(process.execPath, 'scripts/release-check.mjs', 'version');
    expect([status, output]).toEqual([1, 'release: the tree is dirty:\n   M CHANGELOG.md\n']);
  });

  test('if there are untracked files', () => {
    write('notes.txt', '');
    refused(/the tree is dirty:\n +\?\? notes\.txt/);
  });

  test('if a prebuilt binary is missing', () => {
    rmSync(join(folder, 'prebuilds', 'linux-x64', 'rdmavt.musl.node'));
    refused('prebuilt binaries are missing:\n  prebuilds/linux-x64/rdmavt.musl.node\n');
  });

  test('if all prebuilt binaries are missing', () => {
    rmSync(join(folder, 'prebuilds'), { recursive: true });
    const { status, output } = run(process.execPath, 'scripts/release-check.mjs', 'version');
    expect(status).toBe(1);
    for (const file of binaries) expect(output).toContain(`\n  ${file}\n`);
  });

  test('if the changelog has no entry', () => {
    write('CHANGELOG.md', '# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2020-01-01\n\n- Old.\n');
    commit();
    refused('CHANGELOG.md has nothing under [Unreleased]');
  });
});

describe('npm publish fails', () => {
  const refused = (why: string) => {
    const { status, output } = run(process.execPath, 'scripts/release-check.mjs', 'publish');
    expect(status).toBe(1);
    expect(output).toContain(why);
  };

  test('if the commit has no tag', () => {
    refused('this commit is not tagged v1.2.3');
  });

  test('if a commit follows the tag', () => {
    succeed('npm', 'version', 'patch');
    write('more.txt', '');
    commit();
    refused('this commit is not tagged v1.2.4');
  });

  test('if the changelog has no section for the version', () => {
    succeed('npm', 'version', 'patch', '--ignore-scripts');
    refused('CHANGELOG.md has no section [1.2.4]');
  });

  test('if the tree is dirty or a binary is missing', () => {
    succeed('npm', 'version', 'patch');
    write('notes.txt', '');
    rmSync(join(folder, 'prebuilds', 'darwin-arm64'), { recursive: true });
    refused('the tree is dirty');
    refused('  prebuilds/darwin-arm64/rdmavt.node');
  });
});
