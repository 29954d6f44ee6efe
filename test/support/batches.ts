// Helpers shared by the tests of batches.
import * as fc from 'fast-check';
import { Access, lkey, type ProtectionDomain, type QueuePair, rkey, type CheckBatch } from '../../lib';
import { ALL, DMA, dmaPages, PAGE, PAGE_N, scene, TOP } from './scene';

/** Creates regions of every kind, such that elements can be accepted and refused for every reason that a check can have. */
export function everyKind(remoteKeyZero = true) {
  const { device, pd, qp } = scene({ trusted: true, remoteKeyZero });
  dmaPages(device, 4);
  const user = pd.regUserMr(Buffer.alloc(PAGE), { start: 0x1000n, iova: 0x9000n, access: ALL });
  const readOnly = pd.regUserMr(Buffer.alloc(64), { start: 0x2000n, iova: 0x2000n });
  const foreign = device.allocPd().regUserMr(Buffer.alloc(64), { start: 0x3000n, access: ALL });
  const gone = pd.regUserMr(Buffer.alloc(64), { start: 0x4000n, access: ALL });
  const goneKey = gone.lkey;
  gone.dereg();
  const sg = pd.allocMr({ maxNumSg: 4 });
  sg.mapSg([{ addr: DMA, length: PAGE }]);
  const fresh = pd.allocMr({ maxNumSg: 4 });
  fresh.mapSg([{ addr: DMA, length: PAGE }]);
  qp.fastRegMr(sg, { key: sg.rkey, access: ALL });
  qp.invalidateRkey(sg.rkey);
  const fmr = pd.allocFmr({ maxPages: 4, access: ALL });
  fmr.mapPhys([DMA, DMA + 2n * PAGE_N], 0x5000n);
  const dma = pd.getDmaMr();
  const leased = pd.regUserMr(Buffer.alloc(PAGE), { start: 0x6000n, iova: 0x6000n, access: ALL });
  const lease = (options: { expiresInMs?: number; access?: Access; qp?: QueuePair } = {}): number =>
    leased.advertise({ expiresInMs: 3_600_000, ...options }).rkey;
  const keys = {
    unbound: pd.allocMw().rkey as number,
    live: lease(),
    ofOther: lease({ qp: pd.createQp() }),
    readOnly: lease({ access: Access.RemoteRead }),
    expired: lease({ expiresInMs: 0 }), // last, because the next lease of the region would end it
  };
  return { device, pd, qp, user, readOnly, foreign, goneKey, sg, fmr, dma, keys };
}

export type Kinds = ReturnType<typeof everyKind>;
export type Element = [address: bigint, length: number, key: number];

export function fill(batch: CheckBatch, elements: readonly Element[]): void {
  for (const [i, [address, length, key]] of elements.entries()) batch.set(i, address, length, lkey(key));
}

/** Generates access masks for checks: any bits for a domain, one right for a remote peer. */
export const accessArb = (side: string): fc.Arbitrary<number> =>
  side === 'local' ? fc.nat(31) : fc.constantFrom(Access.RemoteRead, Access.RemoteWrite, Access.RemoteAtomic);

/** Returns the verdict of a single check in the form that batches use. */
export function single(
  checker: ProtectionDomain | QueuePair,
  [addr, length, key]: Element,
  access: number,
): { reason: string | undefined; place?: object } {
  const check =
    'invalidateRkey' in checker
      ? checker.check({ vaddr: addr, length, rkey: rkey(key) }, access)
      : checker.check({ addr, length, lkey: lkey(key) }, access);
  if (!check.ok) return { reason: check.reason };
  const { at, segmentLength, segment } = check;
  return { reason: undefined, place: { at, segmentLength, segment } };
}

export const placeIn = (batch: CheckBatch, i: number) => ({
  at: batch.positions[i],
  segmentLength: batch.segmentLengths[i],
  segment: batch.segments[i],
});

/** Generates elements near every interesting address of {@link everyKind}. */
export function elementArb(kinds: Kinds): fc.Arbitrary<Element> {
  const { user, readOnly, foreign, sg, fmr, goneKey, keys } = kinds;
  const pairs: [key: number, anchor: bigint][] = [
    [user.lkey, 0x1000n],
    [user.lkey, 0x9000n],
    [readOnly.lkey, 0x2000n],
    [foreign.lkey, 0x3000n],
    [goneKey, 0x4000n],
    [sg.lkey, DMA],
    [fmr.lkey, 0x5000n],
    [0, DMA],
    ...Object.values(keys).map((key): [number, bigint] => [key, 0x6000n]),
  ];
  // Offsets from the start of each region at which a segment or a region begins or ends. Every region ends at one of them.
  const edges = [0n, 64n, PAGE_N, 2n * PAGE_N, 3n * PAGE_N, 4n * PAGE_N];
  const edge = fc
    .tuple(fc.constantFrom(...edges), fc.constantFrom(0n, 0n, -1n, 1n))
    .map(([at, by]) => at + by);
  const lengths = fc.oneof(fc.constantFrom(0, 1, 8, 64, PAGE, 2 ** 32 - 1), fc.nat(2 * PAGE));
  const near = fc
    .record({
      pair: fc.constantFrom(...pairs),
      off: fc.oneof({ weight: 2, arbitrary: edge }, fc.bigInt(0n, 80n), fc.bigInt(-70n, 4n * PAGE_N)),
      length: lengths,
      end: fc.option(edge, { freq: 2 }),
      variant: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1),
    })
    // Choose the length such that the element ends there.
    .map(({ end, ...drawn }) => ({
      ...drawn,
      length: end !== null && end >= drawn.off ? Number(end - drawn.off) : drawn.length,
    }));
  const anywhere = fc.tuple(fc.bigInt(0n, TOP - 1n), fc.nat(0xffff_ffff), fc.nat(0xffff_ffff));
  return fc.oneof(
    {
      weight: 10,
      arbitrary: near.map(({ pair: [key, anchor], off, length, variant }): Element => [
        BigInt.asUintN(64, anchor + off),
        length,
        key + variant,
      ]),
    },
    anywhere,
  );
}
