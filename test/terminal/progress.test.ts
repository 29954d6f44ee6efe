import { Writable } from 'node:stream';

import { Progress } from '../../lib/terminal/progress';

function terminal(isTTY: boolean) {
  const written: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      written.push(chunk.toString());
      done();
    },
  });
  return Object.assign(stream, { isTTY, written });
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

it('shows nothing in the first second, and then limits the rate of updates', () => {
  const tty = terminal(true);
  const progress = new Progress(tty, '-', {});
  progress.update(1, 10);
  jest.advanceTimersByTime(1100);
  progress.update(2, 20);
  progress.update(3, 30);
  jest.advanceTimersByTime(250);
  progress.update(4, 40);
  progress.clear();
  expect(tty.written).toEqual([
    '\r\u001b[2m2 operations\u001b[0m\u001b[K',
    '\r\u001b[2m4 operations\u001b[0m\u001b[K',
    '\r\u001b[K',
  ]);
});

it('shows the share of a file', () => {
  const tty = terminal(true);
  const progress = new Progress(tty, __filename, {});
  jest.advanceTimersByTime(1100);
  progress.update(2, 0);
  expect(tty.written.join('')).toContain('2 operations, 0 %');
});

it.each([{ NO_COLOR: '1' }, { TERM: 'dumb' }])('writes no escape sequences with %j', (environment) => {
  const tty = terminal(true);
  const progress = new Progress(tty, '-', environment);
  jest.advanceTimersByTime(1100);
  progress.update(1234, 0);
  progress.clear();
  expect(tty.written).toEqual(['\r1234 operations', `\r${' '.repeat(15)}\r`]);
});

it('writes nothing without a terminal', () => {
  const file = terminal(false);
  const progress = new Progress(file, __filename, {});
  jest.advanceTimersByTime(5000);
  progress.update(1, 1);
  progress.clear();
  expect(file.written).toEqual([]);
});
