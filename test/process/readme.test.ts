// Every code block of the README is run: programs as written, shell lines as far as a test can run them.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');

interface Block {
  language: string;
  text: string;
  line: number;
}

function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  for (const match of markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)) {
    const line = markdown.slice(0, match.index).split('\n').length;
    blocks.push({ language: match[1] ?? '', text: match[2] ?? '', line });
  }
  return blocks;
}

/** What the program's comments promise: the text behind `//` on a line that prints. */
function promised(program: string): string[] {
  return program.split('\n').flatMap((line) => /^\s*console\.log\(.*\); \/\/ (.*)$/.exec(line)?.[1] ?? []);
}

const blocks = blocksOf(readFileSync(join(root, 'README.md'), 'utf8'));
const programs = blocks.filter(({ language }) => language === 'js');
const shells = blocks.filter(({ language }) => language === 'sh');

describe('the README', () => {
  let folder: string;
  beforeAll(() => {
    // Inside the package, so that `import ... from 'rdmavt'` finds it by its own name, as it would in node_modules.
    mkdirSync(join(root, 'build'), { recursive: true });
    folder = mkdtempSync(join(root, 'build', 'readme-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it('has only blocks that this test knows how to run', () => {
    expect(programs.length).toBeGreaterThan(0);
    expect(shells.length).toBeGreaterThan(0);
    expect(blocks).toHaveLength(programs.length + shells.length);
  });

  it('begins with a program of at most 15 lines', () => {
    const lines = (programs[0]?.text ?? '').split('\n').filter((line) => line.trim() !== '');
    expect(lines.length).toBeLessThanOrEqual(15);
  });

  it.each(programs.map((block) => [block.line, block.text] as const))(
    'the program at line %i prints what it says',
    (line, text) => {
      const expected = promised(text);
      expect(expected.length).toBeGreaterThan(0);
      const file = join(folder, `line-${String(line)}.mjs`);
      writeFileSync(file, text);
      const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8' });
      expect({ status, stderr, lines: stdout.trimEnd().split('\n') }).toEqual({
        status: 0,
        stderr: '',
        lines: expected,
      });
    },
  );

  it.each(
    shells.flatMap((block) =>
      block.text
        .split('\n')
        .map((text) => text.replace(/\s+#.*$/, '').trim())
        .filter((text) => text !== ''),
    ),
  )('the command `%s` works', (command) => {
    const scripts = (
      JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
    ).scripts;
    if (command === 'npm cit') {
      expect(scripts).toHaveProperty('test'); // this is it
    } else if (command.startsWith('npm run ')) {
      const [script = ''] = command.slice('npm run '.length).split(' ');
      expect(scripts).toHaveProperty(script); // would install into the tree that runs this, or take too long
    } else {
      const here = command
        .replaceAll('npx rdmavt bench', 'npx rdmavt bench --smoke') // the whole takes a minute
        .replaceAll('npx rdmavt', `"${process.execPath}" dist/cli.js`)
        .replaceAll(/> (\S+)/g, (_, file: string) => `> "${join(folder, file)}"`);
      const { status, stderr } = spawnSync(here, { cwd: root, shell: true, encoding: 'utf8' });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    }
  });
});
