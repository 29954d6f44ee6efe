// The first-in, first-out list of lib/internal.
import { Device } from '../../lib';
import { Fifo } from '../../lib/internal/fifo';

interface Item {
  n: number;
}

function fill(list: Fifo<Item>, from: number, to: number): void {
  for (let n = from; n < to; n++) list.append({ n });
}

function drain(list: Fifo<Item>): number[] {
  const numbers: number[] = [];
  for (let item; (item = list.shift()) !== undefined;) numbers.push(item.n);
  return numbers;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('a first-in, first-out list', () => {
  test('returns items in the order in which they were appended, also after it was compacted', () => {
    const list = new Fifo<Item>();
    fill(list, 0, 5000);
    expect(list.length).toBe(5000);
    for (let n = 0; n < 4000; n++) expect([list.peek()?.n, list.shift()?.n]).toEqual([n, n]);
    fill(list, 5000, 5010);
    expect(list.length).toBe(1010);
    expect(drain(list)).toEqual(range(4000, 5010));
    expect([list.length, list.peek(), list.shift()]).toEqual([0, undefined, undefined]);
  });

  test('can be cleared and used again', () => {
    const list = new Fifo<Item>();
    fill(list, 0, 10);
    list.shift();
    list.clear();
    expect([list.length, list.peek()]).toEqual([0, undefined]);
    fill(list, 10, 12);
    expect(drain(list)).toEqual([10, 11]);
  });

  test('removes the items that a test selects, and keeps the order of both', () => {
    const list = new Fifo<Item>();
    fill(list, 0, 10);
    list.shift();
    const even = list.remove(({ n }) => n % 2 === 0);
    expect([drain(even), drain(list)]).toEqual([
      [2, 4, 6, 8],
      [1, 3, 5, 7, 9],
    ]);
  });
});

test('thousands of iterations that wait on a completion queue end when it is destroyed', async () => {
  const cq = new Device().createCq(16);
  const waits = Array.from({ length: 20_000 }, () => cq[Symbol.asyncIterator]().next());
  cq.destroy();
  expect((await Promise.all(waits)).every(({ done }) => done)).toBe(true);
});
