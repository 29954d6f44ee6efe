import { findDifference } from '../../lib/replay/answer-sinks';

const sge = { mr: 'mr0', at: { byte: 3 }, length: 5, sge_length: 4, m: 0, n: 1 };

it.each<[expected: object, answer: object, path: string | undefined]>([
  [{ ret: 0 }, { ret: 0 }, undefined],
  [{ rkey: '0x100', lkey: '0x100', ret: 0 }, { ret: 0, lkey: '0x100', rkey: '0x100' }, undefined],
  [{ ret: 1, sge: { ...sge } }, { ret: 1, sge }, undefined],
  [{ ret: 1, sge: { ...sge, at: { byte: 4 } } }, { ret: 1, sge }, '.sge.at.byte'],
  [{ ret: 1, sge: { ...sge, at: { dma: '0x3' } } }, { ret: 1, sge }, '.sge.at.byte'],
  [{ ret: 1 }, { ret: 1, sge }, '.sge'],
  [{ ret: 1, sge }, { ret: 1 }, ''],
  [{ ret: 1, more: null }, { ret: 1 }, ''],
  [{ ret: '0' }, { ret: 0 }, '.ret'],
  [{ ret: null }, { ret: 0 }, '.ret'],
  [{ ret: 0 }, { err: 'EINVAL' }, '.err'],
  [{ fragments: [[], [{ len: 1 }]] }, { fragments: [[], [{ len: 1 }]] }, undefined],
  [{ fragments: [[], [{ len: 1 }]] }, { fragments: [[], [{ len: 2 }]] }, '.fragments[1][0].len'],
  [{ fragments: [[], []] }, { fragments: [[]] }, '.fragments'],
  [{ fragments: [[]] }, { fragments: [[], []] }, '.fragments[1]'],
  [{ fragments: { 0: [] } }, { fragments: [[]] }, '.fragments'],
  [{ any: true }, { ret: 1, sge }, undefined],
  [{ any: true, ret: 1 }, { ret: 1 }, ''],
  [{ any: false }, { ret: 1 }, '.ret'],
  [{ not_reached: true }, { skipped: true }, undefined],
  [{ not_reached: true }, { ret: 0 }, '.ret'],
  [{ skipped: true }, { skipped: true }, undefined],
  [JSON.parse('{"__proto__":{"ret":0}}') as object, { ret: 0 }, '.ret'],
])('compares %j with %j: %p', (expected, answer, path) => {
  expect(findDifference(expected, answer)).toBe(path);
});
