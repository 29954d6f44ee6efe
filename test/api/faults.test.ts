// Faults that a device makes on purpose.
import { Access, type CheckReason, Device, type DeviceFaults, type FaultName, RdmaError } from '../../lib';
import { argumentError, wrongType } from '../support/answers';
import { ends, linesOf, memory } from '../support/queue-pairs';
import { open } from '../support/scene';

const write = Access.LocalWrite;

/** A device with these faults, a domain, and a region of 4096 bytes. */
function scene(faults: DeviceFaults) {
  const device = open({ faults });
  const pd = device.allocPd();
  const mr = pd.regUserMr(Buffer.alloc(4096), { access: 15 });
  const asked = { addr: mr.start, length: 8, lkey: mr.lkey };
  return { device, pd, mr, asked };
}

/** The numbers of the checks, of `count`, that are refused with this reason. */
function refusedOf(count: number, faults: DeviceFaults, reason: CheckReason = 'Revoked'): number[] {
  const { device, pd, asked } = scene(faults);
  const refused: number[] = [];
  for (let i = 1; i <= count; i++) {
    const answer = pd.check(asked, write);
    if (!answer.ok) {
      expect(answer.reason).toBe(reason);
      refused.push(i);
    }
  }
  expect(device.faults()?.refuse).toEqual({ seen: count, made: refused.length });
  expect(device.counters()).toMatchObject({
    accepted: count - refused.length,
    reasons: refused.length > 0 ? { [reason]: refused.length } : {},
  });
  return refused;
}

describe('when a fault is made', () => {
  test('at the n-th occasion, and at each n-th', () => {
    expect(refusedOf(20, { seed: 1, refuse: { at: 3 } })).toEqual([3]);
    expect(refusedOf(20, { seed: 1, refuse: { every: 6 } })).toEqual([6, 12, 18]);
    expect(refusedOf(20, { seed: 1, refuse: { at: 7, every: 9 } })).toEqual([7, 9, 18]);
  });

  test('by probability: 0 never, 1 always, others about as often as asked', () => {
    expect(refusedOf(50, { seed: 1, refuse: 0 }).length).toBe(0);
    expect(refusedOf(50, { seed: 1, refuse: 1 }).length).toBe(50);
    for (const [probability, least, most] of [
      [0.5, 900, 1100],
      [0.01, 5, 45],
    ] as const) {
      const { length } = refusedOf(2000, { seed: 9, refuse: { probability } });
      expect(length).toBeGreaterThan(least);
      expect(length).toBeLessThan(most);
    }
  });

  test('the same seed gives the same run, another seed another one', () => {
    const of = (seed: number | bigint): number[] => refusedOf(300, { seed, refuse: 0.2 });
    expect(of(5)).toEqual(of(5n));
    expect(of(2n ** 64n - 1n)).toEqual(of(2n ** 64n - 1n));
    expect(of(5)).not.toEqual(of(6));
    expect(of(0)).not.toEqual(of(2n ** 63n));
  });

  test('the draws of one kind do not shift those of another', () => {
    expect(refusedOf(200, { seed: 5, refuse: 0.2, rnr: 0.5, flush: 0.5, slow: 1 })).toEqual(
      refusedOf(200, { seed: 5, refuse: 0.2 }),
    );
  });
});

test('a device without faults has no counters of faults', () => {
  const device = open({});
  expect(device.faults()).toBeUndefined();
  const other = open({ faults: { seed: 7 } });
  expect(other.faults()).toMatchObject({ seed: 7n, refuse: { seen: 0, made: 0 }, lost: { seen: 0, made: 0 } });
  other.close();
  expect(() => other.faults()).toThrow(RdmaError);
});
