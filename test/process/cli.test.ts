// The command line outside its commands: help, version, and the messages for wrong usage.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandFile, rdmavt } from '../support/command-line';

const root = join(__dirname, '..', '..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

describe('help', () => {
  const commands = ['bench', 'build', 'explain', 'help', 'inspect', 'replay', 'serve'];

  it.each([[['--help']], [['-h']], [['help']], [['help', 'help']], [['help', '--help']]])(
    '%j lists the commands',
    (args) => {
      const { status, stdout, stderr } = rdmavt(args);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toMatch(/^Usage: rdmavt COMMAND/);
      const listed = Array.from(stdout.matchAll(/^ {2}([a-z]+) /gm), ([, name]) => name);
      expect(listed).toEqual(commands);
    },
  );

  it.each(['bench', 'build', 'explain', 'replay', 'serve'])(
    'of %s is the same for every way to request it',
    (command) => {
      const asked = rdmavt([command, '--help']);
      expect(asked).toMatchObject({ status: 0, stderr: '' });
      expect(asked.stdout).toMatch(new RegExp(`^Usage: rdmavt ${command}\\b`));
      for (const args of [
        [command, '-h'],
        ['help', command],
        ['--help', command],
        ['-h', command],
      ]) {
        expect(rdmavt(args)).toEqual(asked);
      }
    },
  );

  it('of replay describes its options, input and exit statuses', () => {
    const { stdout } = rdmavt(['replay', '--help']);
    for (const word of ['--expect FILE', 'Exit status', 'standard input', 'CR LF', 'gzip'])
      expect(stdout).toContain(word);
  });
});

it.each(['--version', '-v'])('%s prints the version of the package', (flag) => {
  expect(rdmavt([flag])).toEqual({ status: 0, stdout: `${manifest.version}\n`, stderr: '' });
});

describe('wrong usage', () => {
  it.each<[args: string[], message: string, help: string]>([
    [[], 'a command is required', 'rdmavt --help'],
    [['--wrong'], "unknown option '--wrong'", 'rdmavt --help'],
    [['-v', 'replay'], "unexpected argument 'replay'", 'rdmavt --help'],
    [['help', 'replay', 'x'], "unexpected argument 'x'", 'rdmavt --help'],
    [['help', '--wrong'], "unknown option '--wrong'", 'rdmavt --help'],
    [['replay'], 'a trace is required', 'rdmavt replay --help'],
    [['replay', 'a', 'b'], "unexpected argument 'b'", 'rdmavt replay --help'],
    [['replay', 'a', '--wrong'], "unknown option '--wrong'", 'rdmavt replay --help'],
    [['replay', 'a', '--batch'], "unknown option '--batch'", 'rdmavt replay --help'],
    [['replay', 'a', '--expect'], "option '--expect <value>' argument missing", 'rdmavt replay --help'],
    [
      ['replay', '-', '--expect', '-'],
      'standard input cannot be both the trace and the expected answers',
      'rdmavt replay --help',
    ],
    [['explain'], 'a capture is required', 'rdmavt explain --help'],
    [['explain', 'a', 'b'], "unexpected argument 'b'", 'rdmavt explain --help'],
    [['explain', 'a', '--only', 'all'], "--only takes 'refused', not 'all'", 'rdmavt explain --help'],
    [
      ['explain', 'a', '--key', 'x'],
      "--key takes a number up to 0xffffffff, not 'x'",
      'rdmavt explain --help',
    ],
    [
      ['explain', 'a', '--key', '0x1ffffffff'],
      "--key takes a number up to 0xffffffff, not '0x1ffffffff'",
      'rdmavt explain --help',
    ],
    [
      ['explain', 'a', '--qp', '16777216'],
      "--qp takes a number up to 0xffffff, not '16777216'",
      'rdmavt explain --help',
    ],
    [
      ['explain', '-', '--regions', '-'],
      'standard input cannot be both the capture and the regions',
      'rdmavt explain --help',
    ],
    [['build', 'x'], "unexpected argument 'x'", 'rdmavt build --help'],
    [['build', '--wrong'], "unknown option '--wrong'", 'rdmavt build --help'],
    [['bench', 'x'], "unexpected argument 'x'", 'rdmavt bench --help'],
  ])('%j gets one line that names the right help, and status 2', (args, message, help) => {
    expect(rdmavt(args)).toEqual({ status: 2, stdout: '', stderr: `rdmavt: ${message} (see ${help})\n` });
  });

  it.each([
    ['play', "unknown command 'play', did you mean 'replay'?"],
    ['repaly', "unknown command 'repaly', did you mean 'replay'?"],
    ['rep', "unknown command 'rep', did you mean 'replay'?"],
    ['biuld', "unknown command 'biuld', did you mean 'build'?"],
    ['benchmark', "unknown command 'benchmark'"],
    ['hlep', "unknown command 'hlep', did you mean 'help'?"],
    ['x', "unknown command 'x'"],
    ['trace.ops.ndjson', "unknown command 'trace.ops.ndjson'"],
  ])('%s suggests the nearest command if one is similar', (command, message) => {
    const answer = { status: 2, stdout: '', stderr: `rdmavt: ${message} (see rdmavt --help)\n` };
    expect(rdmavt([command])).toEqual(answer);
    expect(rdmavt(['help', command])).toEqual(answer);
  });
});

it('the first line names the interpreter', () => {
  expect(readFileSync(commandFile, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
});
