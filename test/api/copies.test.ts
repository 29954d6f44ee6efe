import { Access, type Sge } from '../../lib';
import { accepted, outOfRange, rdma } from '../support/answers';
import { ALL, DMA, dmaPages, open, PAGE, PAGE_N, scene } from '../support/scene';

const { LocalWrite, RemoteWrite, RemoteRead } = Access;

/** Returns an SGE over all of `memory`, checked locally. */
function local(memory: Buffer, access = LocalWrite): Sge {
  const pd = open().allocPd();
  const mr = pd.regUserMr(memory, { access: LocalWrite });
  return accepted(pd.acquire({ addr: mr.start, length: memory.length, lkey: mr.lkey }, access));
}

/** Returns an SGE over all of `memory`, checked for a remote peer. */
function remote(memory: Buffer, access: number): Sge {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(memory, { access: ALL });
  return accepted(qp.acquire({ vaddr: mr.iova, length: memory.length, rkey: mr.rkey }, access));
}

describe('copyTo', () => {
  test('copies as much as the SGE has or the target holds', () => {
    const sge = local(Buffer.from('0123456789'));
    const small = Buffer.alloc(4);
    expect(sge.copyTo(small)).toBe(4);
    expect(small.toString()).toBe('0123');
    const big = Buffer.alloc(12, 'x');
    expect(sge.copyTo(big)).toBe(10);
    expect(big.toString()).toBe('0123456789xx');
  });

  test('starts at the given offset', () => {
    const sge = local(Buffer.from('0123456789'));
    const target = Buffer.alloc(12, 'x');
    expect(sge.copyTo(target, { offset: 7 })).toBe(3);
    expect(target.toString()).toBe('789xxxxxxxxx');
    expect(sge.copyTo(target, { offset: 10 })).toBe(0);
    expect(() => sge.copyTo(target, { offset: 11 })).toThrow(outOfRange('options.offset'));
  });

  test('returns 0 for an empty target', () => {
    expect(local(Buffer.from('0123')).copyTo(Buffer.alloc(0))).toBe(0);
  });

  test('fills exactly the bytes of the given view, of any type', () => {
    const sge = local(Buffer.from('0123456789'));
    const buffer = new ArrayBuffer(16);
    sge.copyTo(new DataView(buffer, 4, 4));
    sge.copyTo(new Uint16Array(buffer, 12, 1), { offset: 8 });
    expect(Buffer.from(buffer).toString('latin1')).toBe('\0\0\0\x000123\0\0\0\x0089\0\0');
    const shared = new SharedArrayBuffer(4);
    sge.copyTo(shared);
    expect(Buffer.from(shared).toString()).toBe('0123');
  });

  test('needs no right on a local SGE', () => {
    expect(local(Buffer.from('0123'), 0).copyTo(Buffer.alloc(4))).toBe(4);
  });

  test('needs RemoteRead on a remote SGE', () => {
    expect(remote(Buffer.alloc(4), RemoteRead).copyTo(Buffer.alloc(4))).toBe(4);
    for (const access of [RemoteWrite, Access.RemoteAtomic]) {
      const sge = remote(Buffer.alloc(4), access);
      expect(() => sge.copyTo(Buffer.alloc(4))).toThrow(rdma('EACCES', 'copy_sge_out', 'AccessDenied'));
    }
  });
});

describe('copyFrom', () => {
  test('writes all of the source at the given offset', () => {
    const memory = Buffer.from('0123456789');
    const sge = local(memory);
    expect(sge.copyFrom(Buffer.from('ab'))).toBe(2);
    expect(sge.copyFrom(Buffer.from('cd'), { offset: 8 })).toBe(2);
    expect(sge.copyFrom(Buffer.alloc(0), { offset: 10 })).toBe(0);
    expect(memory.toString()).toBe('ab234567cd');
  });

  test('rejects a source that is too long with a RangeError and writes nothing', () => {
    const memory = Buffer.from('0123456789');
    const sge = local(memory);
    expect(() => sge.copyFrom(Buffer.alloc(11))).toThrow(outOfRange('source.byteLength'));
    expect(() => sge.copyFrom(Buffer.alloc(3), { offset: 8 })).toThrow(outOfRange('<= 2'));
    expect(() => sge.copyFrom(Buffer.alloc(0), { offset: 11 })).toThrow(outOfRange('options.offset'));
    expect(memory.toString()).toBe('0123456789');
  });

  test('needs an SGE that was checked for writing', () => {
    const memory = Buffer.from('0123');
    const denied = rdma('EACCES', 'copy_sge', 'AccessDenied');
    expect(() => local(memory, 0).copyFrom(Buffer.from('ab'))).toThrow(denied);
    expect(() => remote(memory, RemoteRead).copyFrom(Buffer.from('ab'))).toThrow(denied);
    expect(() => remote(memory, Access.RemoteAtomic).copyFrom(Buffer.from('ab'))).toThrow(denied);
    expect(memory.toString()).toBe('0123');
    expect(remote(memory, RemoteWrite).copyFrom(Buffer.from('ab'))).toBe(2);
    expect(memory.toString()).toBe('ab23');
  });

  test('writes the same bytes with and without `ordered`', () => {
    for (let length = 0; length <= 40; length++) {
      const memory = Buffer.alloc(48);
      const source = Buffer.from(Uint8Array.from({ length }, (_, i) => i + 1));
      expect(local(memory).copyFrom(source, { offset: 3, ordered: true })).toBe(length);
      expect(memory.subarray(3, 3 + length)).toEqual(source);
      expect(memory.subarray(3 + length).every((byte) => byte === 0)).toBe(true);
    }
  });

  test('allows source and SGE to overlap in memory', () => {
    const memory = Buffer.from('0123456789');
    const sge = local(memory);
    sge.copyFrom(memory.subarray(0, 8), { offset: 2 });
    expect(memory.toString()).toBe('0101234567');
    sge.copyTo(memory.subarray(1), { offset: 3 });
    expect(memory.toString()).toBe('0123456767');
  });
});

describe('copies move the bytes of the SGE', () => {
  test('over a page list', () => {
    const { device, pd, qp } = scene();
    const { bytes } = dmaPages(device, 4);
    const fmr = pd.allocFmr({ maxPages: 3, access: ALL });
    fmr.mapPhys([DMA + 3n * PAGE_N, DMA + PAGE_N, DMA + 3n * PAGE_N], 0);
    const request = { vaddr: PAGE - 2, length: PAGE + 4, rkey: fmr.rkey };
    const sge = accepted(qp.acquire(request, RemoteRead));
    const target = Buffer.alloc(PAGE + 4);
    sge.copyTo(target);
    expect(target).toEqual(Buffer.concat([Buffer.alloc(2, 3), Buffer.alloc(PAGE, 1), Buffer.alloc(2, 3)]));
    accepted(qp.acquire(request, RemoteWrite)).copyFrom(Buffer.from('abcdef'));
    expect(bytes.toString('latin1', 4 * PAGE - 2)).toBe('ab');
    expect(bytes.toString('latin1', PAGE, PAGE + 4)).toBe('cdef');
  });

  test('over several DMA mappings', () => {
    const { device, pd } = scene();
    const one = dmaPages(device, 1);
    const two = dmaPages(device, 1, DMA + 16n * PAGE_N);
    two.bytes.fill(9);
    const mr = pd.allocMr({ maxNumSg: 2 });
    mr.mapSg([
      { addr: one.address, length: PAGE },
      { addr: two.address, length: PAGE },
    ]);
    const sge = accepted(pd.acquire({ addr: DMA + PAGE_N - 1n, length: 2, lkey: mr.lkey }, 0));
    const target = Buffer.alloc(2);
    sge.copyTo(target);
    expect([...target]).toEqual([0, 9]);
  });

  test('with key 0', () => {
    const { device, pd } = scene({ trusted: true });
    const { bytes } = dmaPages(device, 2);
    using region = pd.getDmaMr();
    const element = { addr: DMA + PAGE_N - 1n, length: 2, lkey: region.lkey };
    using sge = accepted(pd.acquire(element, LocalWrite));
    sge.copyFrom(Buffer.from('ab'));
    expect(bytes.toString('latin1', PAGE - 1, PAGE + 1)).toBe('ab');
  });

  test('when they are several MiB long', () => {
    const memory = Buffer.alloc(5 << 20);
    for (let i = 0; i < memory.length; i += 4) memory.writeUInt32LE(i, i);
    const original = Buffer.from(memory);
    const target = Buffer.alloc(memory.length);
    expect(local(memory).copyTo(target)).toBe(memory.length);
    expect(target.equals(original)).toBe(true);
    memory.fill(0);
    expect(local(memory).copyFrom(original, { ordered: true })).toBe(memory.length);
    expect(memory.equals(original)).toBe(true);
  });

  test('at random offsets and lengths', () => {
    const memory = Buffer.from(Uint8Array.from({ length: 3 * PAGE }, (_, i) => (i * 7) % 251));
    const pd = open().allocPd();
    const mr = pd.regUserMr(memory, { start: 0x1234, access: LocalWrite });
    for (let i = 0; i < 300; i++) {
      const from = Math.floor(Math.random() * memory.length);
      const length = Math.floor(Math.random() * (memory.length - from + 1));
      const offset = Math.floor(Math.random() * (length + 1));
      const check = pd.acquire({ addr: mr.start + BigInt(from), length, lkey: mr.lkey }, 0);
      using sge = accepted(check);
      const target = Buffer.alloc(length);
      expect(sge.copyTo(target, { offset })).toBe(length - offset);
      expect(target.subarray(0, length - offset).equals(memory.subarray(from + offset, from + length))).toBe(
        true,
      );
    }
  });
});

describe('an SGE that was put', () => {
  test('throws EBADF everywhere, and a second put is a no-op', () => {
    const sge = local(Buffer.alloc(8));
    sge.put();
    sge.put();
    sge[Symbol.dispose]();
    const properties = [
      'region',
      'at',
      'length',
      'segmentLength',
      'segment',
      'access',
      'remote',
      'address',
    ] as const;
    for (const property of properties) expect(() => sge[property]).toThrow(rdma('EBADF'));
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EBADF', 'copy_sge_out'));
    expect(() => sge.copyTo(Buffer.alloc(8), { offset: 99 })).toThrow(rdma('EBADF', 'copy_sge_out'));
    expect(() => sge.copyFrom(Buffer.alloc(8))).toThrow(rdma('EBADF', 'copy_sge'));
    expect(() => sge.copyFrom(Buffer.alloc(99))).toThrow(rdma('EBADF', 'copy_sge'));
    expect(() => sge.fetchAdd(1n)).toThrow(rdma('EBADF', 'fetch_add'));
    expect(() => sge.compareSwap(1n, 2n)).toThrow(rdma('EBADF', 'compare_swap'));
  });
});
