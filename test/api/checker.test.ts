// Single checks through a checker give the same answers as the checks that return objects.
import * as fc from 'fast-check';
import { Checker, lkey } from '../../lib';
import { native } from '../../lib/internal/native';
import { accessArb, elementArb, everyKind, single } from '../support/batches';
import { outOfRange, rdma, wrongType } from '../support/answers';
import { scene, TOP } from '../support/scene';

const numberOf = (reason: string | undefined): number =>
  reason === undefined ? 0 : native.reasonNames.indexOf(reason);

test.each(['local', 'remote'])('%s checks of random elements agree with check', (side) => {
  const kinds = everyKind();
  const checker = side === 'local' ? kinds.pd : kinds.qp;
  const block = checker.checker();
  fc.assert(
    fc.property(elementArb(kinds), accessArb(side), (element, access) => {
      const [address, length, key] = element;
      const { reason } = single(checker, element, access);
      for (const form of address < 2n ** 53n ? [address, Number(address)] : [address]) {
        expect(block.refusal(form, length, lkey(key), access)).toBe(numberOf(reason));
        expect(block.reason).toBe(reason);
      }
    }),
    { numRuns: 5000 },
  );
});

test('addresses of every size work as numbers and as bigints', () => {
  const { pd } = scene({ keyPolicy: 'sequential' });
  const bytes = Buffer.alloc(16);
  const starts = [
    0n,
    1n,
    2n ** 31n,
    2n ** 32n - 8n,
    2n ** 32n,
    2n ** 52n,
    2n ** 53n - 16n,
    2n ** 63n,
    TOP - 8192n,
  ];
  const block = pd.checker();
  for (const start of starts) {
    const { lkey: key } = pd.regUserMr(bytes, { start, iova: start });
    const forms = start < 2n ** 53n - 16n ? [start, Number(start)] : [start];
    for (const form of forms) {
      const plus = (n: number): any => (typeof form === 'number' ? form + n : form + BigInt(n));
      expect(block.refusal(form, 16, key, 0)).toBe(0);
      expect(block.refusal(plus(15), 1, key, 0)).toBe(0);
      expect(block.refusal(plus(1), 16, key, 0)).not.toBe(0);
      expect(block.refusal(plus(17), 0, key, 0)).not.toBe(0);
      if (start > 0n) expect(block.refusal(plus(-1), 1, key, 0)).not.toBe(0);
    }
  }
  expect(block.refusal(Number.MAX_SAFE_INTEGER, 0, lkey(0x77), 0)).toBe(numberOf('StaleKey'));
  expect(block.refusal(-0, 0, lkey(0x77), 0)).toBe(numberOf('StaleKey'));
});

test('invalid arguments leave the previous answer unchanged', () => {
  const { pd } = scene();
  const { start, lkey: key } = pd.regUserMr(Buffer.alloc(8));
  const block = pd.checker();
  expect(block.refusal(start, 9, key, 0)).not.toBe(0);
  const { reason } = block;
  const check = block.refusal.bind(block) as (...args: unknown[]) => unknown;
  for (const address of [-1, -1n, 0.5, NaN, Infinity, 2 ** 53, TOP]) {
    expect(() => check(address, 8, key, 0)).toThrow(outOfRange('address'));
  }
  for (const bad of [-1, 0.5, NaN, 2 ** 32]) {
    expect(() => check(start, bad, key, 0)).toThrow(outOfRange('length'));
    expect(() => check(start, 8, bad, 0)).toThrow(outOfRange('key'));
    expect(() => check(start, 8, key, bad)).toThrow(outOfRange('access'));
  }
  for (const bad of ['1', undefined, null, {}, [8]]) {
    expect(() => check(bad, 8, key, 0)).toThrow(wrongType('address'));
    expect(() => check(start, bad, key, 0)).toThrow(wrongType('length'));
    expect(() => check(start, 8, bad, 0)).toThrow(wrongType('key'));
    expect(() => check(start, 8, key, bad)).toThrow(wrongType('access'));
  }
  expect(block.reason).toBe(reason);
  expect(block.refusal(start, 8, key, 0)).toBe(0);
  expect(block.reason).toBeUndefined();
});

test('checkers are created by open parents only, and end with their parents', () => {
  const { pd, qp } = scene();
  expect(() => new (Checker as any)()).toThrow(TypeError);
  const [local, remote] = [pd.checker(), qp.checker()];
  expect(() => (local.refusal as any).call({}, 0, 0, 0, 0)).toThrow(TypeError);
  qp.destroy();
  expect(remote.refusal(0, 0, lkey(1), 4)).toBe(numberOf('Closed'));
  expect(remote.reason).toBe('Closed');
  expect(() => qp.checker()).toThrow(rdma('EBADF'));
  pd.dealloc();
  expect(local.refusal(0, 0, lkey(0), 0)).toBe(numberOf('Closed'));
  expect(local.reason).toBe('Closed');
  expect(() => pd.checker()).toThrow(rdma('EBADF'));
});

test('a checker keeps no reference', () => {
  const { pd } = scene();
  const mr = pd.regUserMr(Buffer.alloc(8), { start: 0n });
  const { refs, lkey: key } = mr;
  const block = pd.checker();
  for (let i = 0; i < 1000; i++) block.refusal(0, 8, key, 0);
  expect(mr.refs).toBe(refs);
  mr.dereg();
  expect(block.refusal(0, 8, key, 0)).toBe(numberOf('Revoked'));
});
