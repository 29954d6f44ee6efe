// Which region the page shows beside a refusal.
import { missedRegion } from '../../lib/inspect/missed-region';
import { type RefusalView, type RegionView } from '../../lib/inspect/protocol';

const region = (id: number, key: string, iova: string, start: string, length: number): RegionView => ({
  id,
  pd: 1,
  context: 1,
  kind: 'USER',
  key,
  access: 1,
  refs: 2,
  start,
  iova,
  length,
  segments: 1,
  maxSegments: 0,
  state: 'Valid',
});
const refusal = (part: Partial<RefusalView>): RefusalView => ({
  n: 1,
  time: 0,
  reason: 'OutOfBounds',
  method: 'm',
  operation: 'o',
  count: 1,
  text: '',
  ...part,
});
const regions = [
  region(1, '0xaabbcc01', '0x1000', '0x900000', 0x1000),
  region(2, '0x11223344', '0x9000', '0x100000', 0x1000),
  region(3, '0xffffffff', '0xffffffffffff0000', '0x200000', 0x1000),
];

test.each<[string, Partial<RefusalView>, unknown]>([
  [
    'the region with the key, wherever the address is',
    { key: '0x11223344', address: '0x1000', length: 8 },
    [2, 'key'],
  ],
  ['a key with its highest bit set', { key: '0xffffffff', address: '0x0', length: 8 }, [3, 'key']],
  ['another version of the key', { key: '0x11223345', address: '0x1000', length: 8 }, [2, 'old-key']],
  [
    'the region at a remote address',
    { key: '0x55000000', address: '0x1800', length: 8, remote: true },
    [1, 'address'],
  ],
  [
    'the region at a local address',
    { key: '0x55000000', address: '0x100800', length: 8, remote: false },
    [2, 'address'],
  ],
  [
    'an access that only ends in the region',
    { key: '0x55000000', address: '0xff8', length: 9, remote: true },
    [1, 'address'],
  ],
  [
    'an access that ends where a region begins',
    { key: '0x55000000', address: '0xff8', length: 8, remote: true },
    [1, 'nearest'],
  ],
  ['the nearest below', { key: '0x55000000', address: '0x3000', length: 8, remote: true }, [1, 'nearest']],
  ['the nearest above', { key: '0x55000000', address: '0x8f00', length: 8, remote: true }, [2, 'nearest']],
  [
    'the end of the address space',
    { key: '0x5', address: '0xfffffffffffffff8', length: 8, remote: true },
    [3, 'nearest'],
  ],
  ['key 0, which no region has', { key: '0x0', address: '0x9010', length: 4, remote: true }, [2, 'address']],
  ['an element without a key', { address: '0x9010', length: 4, remote: true }, [2, 'address']],
])('finds by %s', (_, part, expected) => {
  const missed = missedRegion(refusal(part), regions);
  expect(missed && [missed.id, missed.by]).toEqual(expected);
});

test('finds none for a refusal without an access, or without regions', () => {
  expect(missedRegion(refusal({}), regions)).toBeUndefined();
  expect(missedRegion(refusal({ key: '0x5', address: '0x0', length: 1 }), [])).toBeUndefined();
  expect(missedRegion(refusal({ key: '0x5' }), regions)).toBeUndefined();
  const empty = region(4, '0x1', '0x0', '0x0', 0);
  expect(missedRegion(refusal({ key: '0x500', address: '0x0', length: 1 }), [empty])).toBeUndefined();
});
