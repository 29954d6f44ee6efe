// Type-checks and runs every `@example` of the API documentation, and checks that every exported class has one.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { promisedOutput } from '../support/documented-programs';
import { examplesIn, runExample, typeErrorsOf } from '../support/tsdoc-examples';

const root = join(__dirname, '..', '..');
const index = readFileSync(join(root, 'lib', 'index.ts'), 'utf8');
const sources = ['lib/verbs', 'lib/internal', 'lib/inspect'].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((file) => file.endsWith('.ts'))
    .map((file) => `${folder}/${file}`),
);
const texts = new Map(
  ['lib/index.ts', ...sources].map((file) => [file, readFileSync(join(root, file), 'utf8')] as const),
);
const examples = [...texts].flatMap(([file, text]) =>
  examplesIn(text).map((example) => ({ ...example, file, where: `${file}:${String(example.line)}` })),
);

/** Names of the classes that lib/index.ts exports. */
function exportedClasses(): string[] {
  const exported = new Set(
    [...index.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names = '']) =>
      names.split(',').map((name) => name.trim().replace(/^type /, '')),
    ),
  );
  return [...texts.values()]
    .flatMap((text) => [...text.matchAll(/^export (?:abstract )?class (\w+)/gm)].map(([, name = '']) => name))
    .filter((name) => exported.has(name));
}

describe('the examples of the API documentation', () => {
  let folder: string;
  beforeAll(() => {
    mkdirSync(join(root, 'build'), { recursive: true });
    folder = mkdtempSync(join(root, 'build', 'examples-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it.each(exportedClasses())('include one for the class %s', (name) => {
    const shown = examples.some(({ className }) => className === name);
    expect(shown).toBe(true);
  });

  it('cover every @example tag', () => {
    const tags = [...texts.values()].flatMap((text) => text.match(/^ *\* @example\b/gm) ?? []);
    expect(examples).toHaveLength(tags.length);
    expect(examples.map(({ language }) => language)).toEqual(examples.map(() => 'ts'));
  });

  it('pass the type check', () => {
    const files = examples.map(({ text }, i) => {
      const file = join(folder, `example-${String(i)}.mts`);
      writeFileSync(file, text);
      return file;
    });
    expect(typeErrorsOf(files)).toEqual([]);
  });

  it.each(examples)('prints what it promises: $where', ({ file, line, text }) => {
    const promised = promisedOutput(text);
    expect(promised.length).toBeGreaterThan(0);
    expect(runExample(text, folder, `${file.replace(/\W/g, '-')}-${String(line)}`)).toEqual({
      status: 0,
      stderr: '',
      lines: promised,
    });
  });
});
