// The explanation that a refusal gives on request.
import { Access, type CheckedPlace, lkey, type Refused, rkey } from '../../lib';
import { outOfRange, rdma } from '../support/answers';
import { ALL, closeQuietly, DMA, dmaPages, otherVariant, PAGE, PAGE_N, scene, TOP } from '../support/scene';

const { LocalWrite, RemoteAtomic, RemoteRead, RemoteWrite } = Access;

function refused(check: CheckedPlace): Refused {
  if (check.ok) throw new Error('accepted');
  return check;
}

/** Creates two domains with a queue pair each, and a region with different local and remote addresses. */
function ready() {
  const all = scene({ keyPolicy: 'sequential' });
  const mr = all.pd.regUserMr(Buffer.alloc(64), {
    start: 0x1000n,
    iova: 0x9000n,
    access: LocalWrite | RemoteRead,
  });
  const remote = (vaddr: bigint | number, length: number, key: number = mr.rkey, access = RemoteRead) =>
    refused(all.qp.check({ vaddr, length, rkey: rkey(key) }, access));
  const local = (addr: bigint | number, length: number, key: number = mr.lkey, access = 0) =>
    refused(all.pd.check({ addr, length, lkey: lkey(key) }, access));
  return { ...all, mr, remote, local };
}

/** One mistake each: the explanation must describe this mistake and no other. */
const mistakes: Record<string, [make: () => Refused, reason: string, said: RegExp[]]> = {
  'a length that was not reduced by the offset': [
    () => ready().remote(0x9008n, 64),
    'OutOfBounds',
    [/ends 8 bytes past the last byte/, /0x9000 to 0x903f/, /not reduced.*byte 8 only 56 bytes/],
  ],
  'an access that ends one byte too far': [
    () => ready().remote(0x9000n, 65),
    'OutOfBounds',
    [/ends 1 byte past/, /64 bytes/],
  ],
  'an access that begins one byte too early': [
    () => ready().remote(0x8fffn, 2),
    'OutOfBounds',
    [/begins 1 byte before the first byte:/],
  ],
  'an access that exceeds the region at both ends': [
    () => ready().remote(0x8ff0n, 96),
    'OutOfBounds',
    [/begins 16 bytes before the first byte and ends 16 bytes past/],
  ],
  'an access entirely before the region': [
    () => ready().remote(0x8000n, 8),
    'OutOfBounds',
    [/All of it lies before.*4096 bytes too early/],
  ],
  'an access entirely past the region': [
    () => ready().remote(0x9050n, 8),
    'OutOfBounds',
    [/All of it lies past.*16 bytes past the end.*24/],
  ],
  'an access that passes 2^64': [() => ready().remote(TOP - 1n, 9), 'OutOfBounds', [/2\^64\) by 8 bytes/]],
  'a local address used in a remote check': [
    () => ready().remote(0x1010n, 8),
    'OutOfBounds',
    [/start and iova/, /0x1010 is the local address \(start\) of byte 16/, /0x9010/],
  ],
  'a remote address used in a local check': [
    () => ready().local(0x9010n, 8),
    'OutOfBounds',
    [/0x9010 is the remote address \(iova\) of byte 16/, /0x1010/],
  ],
  'an offset used as a remote address': [
    () => ready().remote(16, 8),
    'OutOfBounds',
    [/offset.*byte 16.*0x9010/],
  ],
  'an offset used as a local address': [
    () => ready().local(16, 8),
    'OutOfBounds',
    [/offset.*byte 16.*0x1010/],
  ],
  'the key of another region': [
    () => {
      const { pd, remote, mr } = ready();
      pd.regUserMr(Buffer.alloc(32), { start: 0x5000n, access: RemoteRead });
      return remote(0x5008n, 8, mr.rkey);
    },
    'OutOfBounds',
    [/key of another region was used: the address belongs to region 2 \(user memory, key 0x/],
  ],
  'an access that continues into the next region': [
    () => {
      const { pd, local, mr } = ready();
      pd.regUserMr(Buffer.alloc(32), { start: 0x1040n });
      return local(0x1030n, 32, mr.lkey);
    },
    'OutOfBounds',
    [/ends 16 bytes past/, /bytes past the end belong to region 2 .*an access must lie in one region/],
  ],
  'a region that maps nothing': [
    () => {
      const { pd, qp } = scene();
      const mr = pd.allocMr({ maxNumSg: 1 });
      qp.fastRegMr(mr, { key: mr.rkey, access: RemoteRead });
      return refused(qp.check({ vaddr: 0, length: 8, rkey: mr.rkey }, RemoteRead));
    },
    'OutOfBounds',
    [/\(a scatter-gather list, key 0x.*has nothing mapped: call mapSg first/],
  ],
  'a page list that maps nothing': [
    () => {
      const { pd } = scene();
      const fmr = pd.allocFmr({ maxPages: 1 });
      return refused(pd.check({ addr: 1, length: 8, lkey: fmr.lkey }, 0));
    },
    'OutOfBounds',
    [/\(a page list, key 0x.*has nothing mapped: call mapPhys first/],
  ],
  'a right that a peer lacks': [
    () => ready().remote(0x9000n, 8, undefined, RemoteAtomic),
    'AccessDenied',
    [/grants LocalWrite\|RemoteRead; RemoteAtomic is missing/, /A peer's atomic operation/],
  ],
  'a remote write to a region that grants only LocalWrite': [
    () => ready().remote(0x9000n, 8, undefined, RemoteWrite),
    'AccessDenied',
    [/RemoteWrite is missing/, /LocalWrite lets this program write; peers need RemoteWrite/],
  ],
  'a local access without the right': [
    () => {
      const { pd } = scene();
      const mr = pd.regUserMr(Buffer.alloc(8), { start: 0x1000n });
      return refused(pd.check({ addr: 0x1000n, length: 8, lkey: mr.lkey }, LocalWrite));
    },
    'AccessDenied',
    [/grants no rights; LocalWrite is missing\./],
  ],
  'a remote right requested in a local check': [
    () => ready().local(0x1000n, 8, undefined, RemoteWrite | LocalWrite),
    'AccessDenied',
    [/RemoteWrite is missing/, /Remote rights are for peers/],
  ],
  'a region without the right at the address of a region that grants it': [
    () => {
      const { pd, remote } = ready();
      pd.regUserMr(Buffer.alloc(64), { start: 0x9000n, access: ALL });
      return remote(0x9000n, 8, undefined, RemoteAtomic);
    },
    'AccessDenied',
    [/Region 2 .* has the same address and grants RemoteAtomic/],
  ],
  'the region of another domain': [
    () => {
      const { device, mr } = ready();
      const other = device.allocPd();
      return refused(other.check({ addr: 0x1000n, length: 8, lkey: mr.lkey }, 0));
    },
    'WrongPd',
    [/belongs to protection domain 1; the access was checked in protection domain 2\./],
  ],
  "a peer's request for a region of another domain": [
    () => {
      const { device, mr } = ready();
      const other = device.allocPd().createQp();
      return refused(other.check({ vaddr: 0x9000n, length: 8, rkey: mr.rkey }, RemoteRead));
    },
    'WrongPd',
    [/belongs to protection domain 1; queue pair 2 is in protection domain 2\./],
  ],
  'the key of another domain, with a region at the address': [
    () => {
      const { device, mr } = ready();
      const other = device.allocPd();
      other.regUserMr(Buffer.alloc(8), { start: 0x1000n });
      return refused(other.check({ addr: 0x1000n, length: 8, lkey: mr.lkey }, 0));
    },
    'WrongPd',
    [/Protection domain 2 has region 2/],
  ],
  'a key that was never assigned': [
    () => ready().remote(0x8, 8, 0xabcd_ef01),
    'NoSuchKey',
    [/slot in the key table is empty, and has never held a region/],
  ],
  'a key that was never assigned, with the address of a region': [
    () => ready().remote(0x9008n, 8, 0xabcd_ef01),
    'NoSuchKey',
    [/key of another region was used: the address belongs to region 1 .* remote addresses 0x9000/],
  ],
  'a key that was never assigned, with a local address in a remote check': [
    () => ready().remote(0x1008n, 8, 0xabcd_ef01),
    'NoSuchKey',
    [
      /Region 1 .* of the same domain has 0x1008 as a local address \(start\): both the key and the address may/,
    ],
  ],
  'an address of another domain': [
    () => {
      const { device } = ready();
      return refused(device.allocPd().check({ addr: 0x1008n, length: 8, lkey: lkey(0xabcd_ef01) }, 0));
    },
    'NoSuchKey',
    [/belongs to region 1 .* of protection domain 1, whose regions cannot be used here/],
  ],
  'a key whose bytes are in reverse order': [
    () => {
      const { pd, qp } = scene({ keyPolicy: 'sequential', lkeyTableBits: 23 });
      const mr = pd.regUserMr(Buffer.alloc(64), { access: RemoteRead });
      const wire = Buffer.alloc(4);
      wire.writeUInt32BE(mr.rkey);
      return refused(qp.check({ vaddr: mr.iova, length: 8, rkey: rkey(wire.readUInt32LE()) }, RemoteRead));
    },
    'NoSuchKey',
    [/key's bytes are in reverse order: 0x[0-9a-f]+ is the key of region 1/],
  ],
  'a key with another low byte than that of a deregistered region': [
    () => {
      const { pd, qp } = scene();
      const mr = pd.allocMr({ maxNumSg: 1 });
      const key = mr.rkey;
      mr.dereg();
      return refused(qp.check({ vaddr: 0, length: 8, rkey: otherVariant(key) }, RemoteRead));
    },
    'NoSuchKey',
    [/the last key in it was 0x/, /differ only in the low byte: fastRegMr had given/],
  ],
  'a region that was deregistered': [
    () => {
      const { mr, remote } = ready();
      const key = mr.rkey;
      mr.dereg();
      return remote(0x9000n, 8, key);
    },
    'Revoked',
    [/no longer exists: it was deregistered/],
  ],
  'a region that is half-dead': [
    () => {
      const { mr, pd, remote } = ready();
      const key = mr.rkey;
      for (let i = 0; i < 2; i++) pd.acquire({ addr: 0x1000n, length: 8, lkey: mr.lkey }, 0);
      expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
      return remote(0x9000n, 8, key);
    },
    'Revoked',
    [/Region 1 .* was released.*half-dead because 2 references are still held/],
  ],
  'a slot that was reused': [
    () => {
      const { device } = scene();
      closeQuietly(device);
      const all = scene({ keyPolicy: 'sequential', lkeyTableBits: 1 });
      const old = all.pd.regUserMr(Buffer.alloc(8));
      const key = old.lkey;
      old.dereg();
      for (let i = 0; i < 2; i++) all.pd.regUserMr(Buffer.alloc(8), { start: 0x1000n + BigInt(i * 64) });
      return refused(all.pd.check({ addr: 0x7000n, length: 8, lkey: key }, 0));
    },
    'StaleKey',
    [/slot of this key now holds region \d /, /its slot was reused/],
  ],
  'a key with an earlier low byte': [
    () => {
      const { pd, qp } = scene();
      const mr = pd.allocMr({ maxNumSg: 1 });
      const old = mr.rkey;
      qp.fastRegMr(mr, { key: otherVariant(old), access: RemoteRead });
      return refused(qp.check({ vaddr: 0, length: 8, rkey: old }, RemoteRead));
    },
    'StaleKey',
    [/only in the low byte: fastRegMr gave the region another key/],
  ],
  'a key that was invalidated': [
    () => {
      const { qp, mr, remote } = ready();
      qp.invalidateRkey(mr.rkey);
      return remote(0x9000n, 8);
    },
    'Invalidated',
    [/was invalidated \(invalidateRkey\)/, /stays invalid/],
  ],
  'a scatter-gather list whose key was invalidated': [
    () => {
      const { pd, qp } = scene();
      const mr = pd.allocMr({ maxNumSg: 1 });
      qp.invalidateRkey(mr.rkey);
      return refused(qp.check({ vaddr: 0, length: 8, rkey: mr.rkey }, RemoteRead));
    },
    'Invalidated',
    [/fastRegMr makes the region valid again/],
  ],
  'key 0 in an untrusted domain': [
    () => ready().local(DMA, 8, 0),
    'KeyZeroDenied',
    [/protection domain 1 is not trusted/, /left out or not yet filled in/],
  ],
  'key 0 from a peer': [
    () => {
      const { qp } = scene({ trusted: true });
      return refused(qp.check({ vaddr: DMA, length: 8, rkey: rkey(0) }, RemoteRead));
    },
    'KeyZeroDenied',
    [/not opened with remoteKeyZero: true/, /never sent an rkey/],
  ],
  'key 0 without a DMA region': [
    () => {
      const { pd } = scene({ trusted: true });
      return refused(pd.check({ addr: DMA, length: 8, lkey: lkey(0) }, 0));
    },
    'NoDmaRegion',
    [/call getDmaMr\(\) on a trusted domain/],
  ],
  'key 0 past the end of a mapping': [
    () => {
      const { device, pd } = scene({ trusted: true });
      dmaPages(device, 1);
      pd.getDmaMr();
      return refused(pd.check({ addr: DMA + PAGE_N - 4n, length: 8, lkey: lkey(0) }, 0));
    },
    'OutOfBounds',
    [/ends 4 bytes past the last byte\. The DMA mapping there is 0x100000 to 0x100fff/],
  ],
  'key 0 where nothing is mapped': [
    () => {
      const { device, pd } = scene({ trusted: true });
      dmaPages(device, 1);
      pd.getDmaMr();
      return refused(pd.check({ addr: 0x10n, length: 8, lkey: lkey(0) }, 0));
    },
    'Unmapped',
    [/nothing is mapped at 0x10: the next mapping is at 0x100000 to 0x100fff\./],
  ],
  'key 0 above all mappings': [
    () => {
      const { device, pd } = scene({ trusted: true });
      dmaPages(device, 1);
      pd.getDmaMr();
      return refused(pd.check({ addr: TOP - 8n, length: 8, lkey: lkey(0) }, 0));
    },
    'Unmapped',
    [/nothing is mapped above it\./],
  ],
  "key 0 with a region's address": [
    () => {
      const { pd } = scene({ trusted: true });
      pd.getDmaMr();
      pd.regUserMr(Buffer.alloc(64), { start: 0x1000n });
      return refused(pd.check({ addr: 0x1000n, length: 8, lkey: lkey(0) }, 0));
    },
    'Unmapped',
    [/Region 2 .* has this address: it is not a DMA address/],
  ],
  'an empty access at the end': [
    () => {
      const { pd } = scene();
      const mr = pd.regUserMr(Buffer.alloc(PAGE), { start: 0n });
      return refused(pd.check({ addr: PAGE_N, length: 0, lkey: mr.lkey }, 0));
    },
    'Unmapped',
    [/empty access at the very end of region 1/],
  ],
};

test.each(Object.entries(mistakes))('explains %s', (_, [make, reason, said]) => {
  const refusal = make();
  expect(refusal.reason).toBe(reason);
  const text = refusal.explain();
  expect(text.startsWith(`${reason}: `)).toBe(true);
  expect(text).not.toContain('has changed since');
  for (const part of said) expect(text).toMatch(part);
  expect(text).not.toMatch(/undefined|NaN|\[object| {2}/);
});

test('explains no two mistakes with the same text, ignoring numbers', () => {
  const texts = Object.entries(mistakes).map(([name, [make]]) => {
    const text = make().explain();
    return [text.replace(/0x[0-9a-f]+|\d+/g, 'N'), name] as const;
  });
  const seen = new Map<string, string>();
  for (const [text, name] of texts) {
    expect([name, seen.get(text)]).toEqual([name, undefined]);
    seen.set(text, name);
  }
});

describe('a refusal', () => {
  test('has only the keys ok, reason and code, and also returns the request', () => {
    const { remote, mr, qp } = ready();
    const refusal = remote(0x9008, 64);
    expect(refusal).toEqual({ ok: false, reason: 'OutOfBounds', code: 'EINVAL' });
    expect(Object.keys(refusal)).toEqual(['ok', 'reason', 'code']);
    expect(JSON.stringify(refusal)).toBe('{"ok":false,"reason":"OutOfBounds","code":"EINVAL"}');
    expect(refusal.request).toEqual({
      address: 0x9008n,
      length: 64,
      key: mr.rkey,
      access: RemoteRead,
      remote: true,
      pd: undefined,
      qp: qp.id,
    });
  });

  test('changes no counter and no reference count when it explains itself', () => {
    const { device, mr, remote } = ready();
    const refusal = remote(0x9008, 64);
    const before = [device.counters(), mr.refs];
    expect(refusal.explain()).toBe(refusal.explain());
    expect([device.counters(), mr.refs]).toEqual(before);
  });

  test('states that the region has changed since', () => {
    const { device, pd, qp, mr, remote } = ready();
    const late = remote(0x9008, 64);
    const key = mr.rkey;
    mr.dereg();
    expect(late.explain()).toMatch(
      /^OutOfBounds: .* has changed since: .*now be refused with Revoked\. The region/,
    );
    const fmr = pd.allocFmr({ maxPages: 4, access: ALL });
    const none = refused(qp.check({ vaddr: 0x7000n, length: 8, rkey: fmr.rkey }, RemoteRead));
    expect(none.explain()).toMatch(/has nothing mapped/);
    dmaPages(device, 2);
    fmr.mapPhys([DMA], 0x7000n);
    expect(none.explain()).toMatch(/has changed since: the same access would now be accepted\.$/);
    fmr.mapPhys([DMA], 0x8000n);
    expect(none.explain()).toMatch(
      /All of it lies before.*The content of the key's slot has changed since the refusal/,
    );
    expect(key).not.toBe(fmr.rkey);
  });

  test('explains itself after its queue pair, domain and device are closed', () => {
    const { device, remote, local, qp } = ready();
    const texts = [remote(0x9008, 64), local(0x1008, 64)];
    qp.destroy();
    expect(texts[0]!.explain()).toMatch(/Part of the access lay outside.*Queue pair 1 no longer exists/);
    closeQuietly(device);
    expect(texts[1]!.explain()).toMatch(/Protection domain 1 no longer exists/);
  });

  test('of acquire explains itself', () => {
    const { pd, qp, mr } = ready();
    const local = pd.acquire({ addr: 0x1000n, length: 65, lkey: mr.lkey }, 0);
    const remote = qp.acquire({ vaddr: 0x9000n, length: 65, rkey: mr.rkey }, RemoteRead);
    for (const check of [local, remote]) {
      expect(check).toEqual({ ok: false, reason: 'OutOfBounds', code: 'EINVAL' });
      expect((check as Refused).explain()).toMatch(/ends 1 byte past/);
    }
  });

  test('finds the matching region among many in a short time', () => {
    const { pd, remote } = ready();
    for (let i = 0; i < 20_000; i++) pd.regUserMr(new Uint8Array(8), { start: BigInt(i) * 4096n });
    const begin = performance.now();
    expect(remote(19_999n * 4096n, 8).explain()).toMatch(/address belongs to region 20001 /);
    expect(performance.now() - begin).toBeLessThan(2000);
  });
});

describe('a checker', () => {
  test('explains its last refusal', () => {
    const { qp, mr } = ready();
    const checker = qp.checker();
    expect(checker.explain()).toBeUndefined();
    checker.refusal(TOP - 1n, 2, mr.rkey, RemoteRead);
    expect(checker.explain()).toMatch(
      /^OutOfBounds: A peer's read \(RemoteRead\) of 2 bytes at remote address 0xffffffffffffffff/,
    );
    checker.refusal(0x9001, 64, mr.rkey, RemoteRead);
    expect(checker.explain()).toMatch(/0x9001.*ends 1 byte past.*from byte 1 only 63 bytes/);
    expect(() => checker.refusal(0x9001, -1, mr.rkey, RemoteRead)).toThrow(outOfRange('length'));
    expect(checker.explain()).toMatch(/0x9001/);
    checker.refusal(0x9001, 1, mr.rkey, RemoteRead);
    expect(checker.explain()).toBeUndefined();
  });
});

describe('a batch', () => {
  test('explains each element from its current fields', () => {
    const { pd, mr } = ready();
    const batch = pd.lkeyBatch(3);
    batch.set(0, 0x1000n, 8, mr.lkey);
    batch.set(1, 0x1000n, 65, mr.lkey);
    batch.check(2, 0);
    expect(batch.explain(0)).toMatch(
      /^Element 0 \(not refused by the last call\), .* would now be accepted, in region 1/,
    );
    expect(batch.explain(1)).toMatch(
      /^Element 1 \(refused by the last call: OutOfBounds\), .*ends 1 byte past/,
    );
    batch.set(1, 0x1000n, 64, mr.lkey);
    expect(batch.explain(1)).toMatch(/refused by the last call: OutOfBounds\), .*would now be accepted/);
    for (const bad of [-1, 3, 0.5]) expect(() => batch.explain(bad)).toThrow(outOfRange('index'));
  });

  test('explains a copy without the right to write although the check is accepted', () => {
    const { pd, mr } = ready();
    const batch = pd.lkeyBatch(1);
    batch.set(0, 0x1000n, 8, mr.lkey);
    expect(batch.scatter(Buffer.alloc(8), 1, 0)).toBe(0);
    expect(batch.explain(0)).toMatch(/the copy writes into this element.*neither LocalWrite nor RemoteWrite/);
  });

  test('keeps the first refused element of checkPacked', () => {
    const { pd, mr } = ready();
    const [other, batch] = [pd.lkeyBatch(8), pd.lkeyBatch(1)];
    for (let i = 0; i < 8; i++) other.set(i, 0x1000n, i < 5 ? 8 : 70 + i, mr.lkey);
    batch.checkPacked(other.words, 0);
    expect(batch.firstRefusal).toBe(5);
    expect(batch.explain(5)).toMatch(
      /Element 5 \(refused by the last call: OutOfBounds\).* of 75 bytes .*ends 11 bytes/,
    );
    expect(() => batch.explain(6)).toThrow(outOfRange('index'));
  });
});
