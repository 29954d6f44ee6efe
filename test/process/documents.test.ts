// The README and the guide: every program is run, every shell command is run as far as a test can, and every relative link of the
// project's documents must lead to an existing file and heading.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  codeBlocksIn,
  commandsIn,
  namedIn,
  programsIn,
  promisedOutput,
  runDocumented,
} from '../support/documented-programs';
import { anchorsIn, relativeLinksIn } from '../support/markdown-links';

const root = join(__dirname, '..', '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** The Markdown files of a folder and of the folders below it, by their path in the repository. */
function markdownIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => `${folder}/${file.replaceAll('\\', '/')}`)
    .sort();
}

const GUIDE = 'docs/guide';
/** Chapters about what only Linux has. */
const OF_LINUX = [`${GUIDE}/endpoints.md`];
const MOST_README_LINES = 150;
const MOST_FIRST_PROGRAM_LINES = 15;

const chapters = markdownIn(GUIDE);
const runnable = ['README.md', ...chapters];
const linked = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'RELEASING.md', 'SECURITY.md'],
  ...markdownIn('docs'),
  ...markdownIn('examples'),
];
const manifest = JSON.parse(read('package.json')) as {
  name: string;
  repository: { url: string };
  scripts: Record<string, string>;
};

let folder: string;
beforeAll(() => {
  // Inside the package: see runDocumented.
  mkdirSync(join(root, 'build'), { recursive: true });
  folder = mkdtempSync(join(root, 'build', 'documents-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Runs a command line of a document, with its files in the folder of this test. */
function runCommand(command: string): { status: number | null; stderr: string } {
  // Bundlers bundle app.mjs; everything else names files of the repository.
  const bundles = command.startsWith('npx esbuild ');
  if (bundles)
    writeFileSync(join(folder, 'app.mjs'), "import { Access } from 'rdmavt';\nconsole.log(Access);\n");
  const here = command
    .replaceAll('npx rdmavt bench', 'npx rdmavt bench --smoke') // a full run takes minutes
    .replaceAll('npx rdmavt', `"${process.execPath}" dist/cli.js`)
    .replaceAll('npx esbuild', `"${join(root, 'node_modules', '.bin', 'esbuild')}" --log-level=warning`)
    .replace(/^node /, `"${process.execPath}" `);
  const cwd = bundles ? folder : root;
  const { status, stderr } = spawnSync(here, { cwd, shell: true, encoding: 'utf8', timeout: 60_000 });
  return { status, stderr };
}

describe.each(runnable)('%s', (file) => {
  const markdown = read(file);
  const programs = programsIn(markdown);
  const commands = commandsIn(markdown);

  it('has only code blocks that are run here: js and sh', () => {
    const languages = new Set(codeBlocksIn(markdown).map(({ language }) => language));
    expect([...languages].filter((language) => language !== 'js' && language !== 'sh')).toEqual([]);
  });

  it('names only files and scripts that exist', () => {
    const { paths, scripts } = namedIn(markdown);
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    expect(scripts.filter((name) => !(name in manifest.scripts))).toEqual([]);
  });

  const isRun = process.platform === 'linux' || !OF_LINUX.includes(file);
  if (programs.length > 0 && isRun) {
    it.each(programs.map(({ line, text }) => [line, text] as const))(
      'the program at line %i prints what its comments say',
      (line, text) => {
        const promised = promisedOutput(text);
        expect(promised.length).toBeGreaterThan(0);
        const name = `${basename(file, '.md')}-${String(line)}`;
        expect(runDocumented(text, folder, name)).toEqual({ status: 0, stderr: '', lines: promised });
      },
    );
  }

  if (commands.length > 0) {
    it.each(commands)('the command `%s` works', (command) => {
      const [program, verb, argument = ''] = command.split(' ');
      if (command === 'npm cit') {
        expect(manifest.scripts).toHaveProperty('test'); // this test itself is part of npm cit
      } else if (program === 'npm' && verb === 'run') {
        expect(manifest.scripts).toHaveProperty(argument); // not run: it installs packages here, or takes too long
      } else if (program === 'npm' && verb === 'install') {
        expect([manifest.name, manifest.repository.url]).toContain(argument); // not run: it needs the network
      } else if (command === 'npx rdmavt build') {
        expect(runCommand('npx rdmavt build --help')).toEqual({ status: 0, stderr: '' }); // a build would replace the binary
      } else {
        expect(runCommand(command)).toEqual({ status: 0, stderr: '' });
      }
    });
  }
});

describe('README.md', () => {
  it(`has at most ${String(MOST_README_LINES)} lines`, () => {
    expect(read('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(MOST_README_LINES);
  });

  it(`begins with a program of at most ${String(MOST_FIRST_PROGRAM_LINES)} lines`, () => {
    const [first] = programsIn(read('README.md'));
    const lines = (first?.text ?? '').split('\n').filter((line) => line.trim() !== '');
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.length).toBeLessThanOrEqual(MOST_FIRST_PROGRAM_LINES);
  });
});

test('the index of the guide links every chapter', () => {
  const targets = relativeLinksIn(read(`${GUIDE}/README.md`)).map(({ path }) => path);
  const files = chapters.map((file) => basename(file)).filter((name) => name !== 'README.md');
  expect(files.filter((name) => !targets.includes(name))).toEqual([]);
});

test.each(linked)('every relative link of %s leads to a file, and to a heading in it', (file) => {
  const broken = relativeLinksIn(read(file)).filter(({ path, anchor }) => {
    const target = path === '' ? join(root, file) : join(root, dirname(file), path);
    if (!existsSync(target)) return true;
    if (anchor === '') return false;
    return !statSync(target).isFile() || !anchorsIn(readFileSync(target, 'utf8')).has(anchor);
  });
  expect(broken).toEqual([]);
});
