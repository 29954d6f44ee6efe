// The chapter of the guide about captures: what it shows as output of a command is what the command prints.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { rdmavt } from '../support/command-line';

const root = join(__dirname, '..', '..');
const chapter = readFileSync(join(root, 'docs', 'guide', 'captures.md'), 'utf8');

/** The commands of the chapter that are followed by their output, which is indented by four spaces. */
const shown = [...chapter.matchAll(/^```sh\n(.+)\n```\n\n((?:(?: {4}.*)?\n)+)/gm)]
  .map(([, command = '', output = '']) => [command, output.trimEnd().replace(/^ {4}/gm, '')] as const)
  .filter(([, output]) => output !== '');

test('the chapter shows the output of four explanations, and the list of regions that two of them use', () => {
  expect(shown.map(([command]) => command.split(' ').slice(0, 3).join(' '))).toEqual(
    Array.from({ length: 4 }, () => 'npx rdmavt explain'),
  );
  const list = readFileSync(join(__dirname, 'regions-of-b.json'), 'utf8').trimEnd();
  expect(chapter).toContain(list.replace(/^/gm, '    '));
});

test.each(shown)('the output of `%s` is what it prints', (command, output) => {
  const [, , ...args] = command.split(' ');
  const { stdout, status } = rdmavt(args);
  expect(status).toBe(0);
  expect(stdout.trimEnd()).toBe(output);
});
