// Advertisements, which describe a range of a region for a remote peer: `advertise`, the packed form, the text form, and parsing.
import {
  Access,
  type Advertisement,
  formatAdvertisement,
  packAdvertisement,
  parseAdvertisement,
  rkey,
} from '../../lib';
import { accepted, argumentError, outOfRange, rdma, refusal, wrongType } from '../support/answers';
import { ALL, DMA, dmaPages, PAGE, scene, TOP } from '../support/scene';

const READ = Access.RemoteRead;

describe('advertise', () => {
  test('describes the whole region or a range of it, and a peer reaches exactly those bytes', () => {
    const { pd, qp } = scene();
    const bytes = Buffer.from('0123456789abcdef');
    const mr = pd.regUserMr(bytes, { access: READ });
    expect(mr.advertise()).toEqual({ vaddr: mr.iova, length: 16, rkey: mr.rkey });
    expect(mr.advertise({ offset: 10 })).toEqual({ vaddr: mr.iova + 10n, length: 6, rkey: mr.rkey });
    const part = mr.advertise({ offset: 4, length: 3 });
    const target = Buffer.alloc(3);
    accepted(qp.acquire(parseAdvertisement(packAdvertisement(part)), READ)).copyTo(target);
    expect(target.toString()).toBe('456');
    expect(mr.advertise({ offset: 15, length: 1 })).toMatchObject({ length: 1 });
  });

  test('gives the remote address, not the local one, up to the last address of the address space', () => {
    const { pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(16), { start: 0x5000n, iova: TOP - 16n, access: READ });
    expect(mr.advertise({ offset: 15 })).toEqual({ vaddr: TOP - 1n, length: 1, rkey: mr.rkey });
    const whole = mr.advertise();
    expect(parseAdvertisement(formatAdvertisement(whole))).toEqual(whole);
    expect(qp.check(whole, READ)).toMatchObject({ ok: true });
  });

  test('rejects a range outside the region', () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(16), { access: READ });
    for (const options of [
      { offset: 16 },
      { offset: -1 },
      { offset: 0.5 },
      { length: 17 },
      { length: 0 },
      { offset: 8, length: 9 },
      { offset: 2 ** 53 },
      { length: Infinity },
    ]) {
      expect(() => mr.advertise(options)).toThrow(outOfRange('options.'));
    }
    for (const options of [{ offset: '1' }, { length: 1n }, 5, null]) {
      expect(() => mr.advertise(options as any)).toThrow(wrongType());
    }
  });

  test('rejects a region without any remote right with EACCES', () => {
    const { pd } = scene();
    for (const access of [0, Access.LocalWrite, Access.MwBind]) {
      const mr = pd.regUserMr(Buffer.alloc(8), { access });
      expect(() => mr.advertise()).toThrow(rdma('EACCES', 'advertise_mr'));
    }
    for (const access of [READ, Access.RemoteWrite | 1, Access.RemoteAtomic | 1]) {
      expect(pd.regUserMr(Buffer.alloc(8), { access }).advertise().length).toBe(8);
    }
  });

  test('rejects a region whose key no longer works', () => {
    const { pd, qp } = scene({ trusted: true });
    const [invalid, half, gone] = [0, 1, 2].map(() =>
      pd.regUserMr(Buffer.alloc(8), { access: READ }),
    ) as any[];
    qp.invalidateRkey(invalid.rkey);
    const sge = accepted(qp.acquire(half.advertise(), READ));
    expect(() => half.dereg()).toThrow(rdma('EBUSY'));
    gone.dereg();
    const dma = pd.getDmaMr({ access: ALL });
    expect(() => invalid.advertise()).toThrow(rdma('EINVAL', 'advertise_mr'));
    expect(() => half.advertise()).toThrow(rdma('EINVAL', 'advertise_mr'));
    expect(() => gone.advertise()).toThrow(rdma('EBADF', 'advertise_mr'));
    expect(() => dma.advertise()).toThrow(rdma('EINVAL', 'advertise_mr'));
    sge.put();
    dma.dereg();
  });

  test('describes what is mapped for regions over DMA addresses', () => {
    const { device, pd, qp } = scene();
    dmaPages(device, 2);
    const fmr = pd.allocFmr({ maxPages: 2, access: ALL });
    expect(() => fmr.advertise()).toThrow(rdma('EINVAL', 'advertise_mr'));
    fmr.mapPhys([DMA, DMA + 4096n], 0x9000n);
    expect(fmr.advertise({ offset: PAGE })).toEqual({ vaddr: 0xa000n, length: PAGE, rkey: fmr.rkey });
    expect(qp.check(fmr.advertise(), READ)).toMatchObject({ ok: true });
    const sg = pd.allocMr({ maxNumSg: 2 });
    sg.mapSg([{ addr: DMA, length: PAGE }]);
    expect(() => sg.advertise()).toThrow(rdma('EACCES', 'advertise_mr'));
    qp.fastRegMr(sg, { key: sg.rkey, access: READ, iova: 0x7000n });
    expect(sg.advertise()).toEqual({ vaddr: 0x7000n, length: PAGE, rkey: sg.rkey });
    // A failed fast registration stores the new iova, but checks still use the old one.
    expect(() =>
      qp.fastRegMr(sg, { key: rkey((sg.rkey ^ 0x100) >>> 0), access: READ, iova: 0xb000n }),
    ).toThrow(rdma('EINVAL'));
    expect(sg.iova).toBe(0xb000n);
    expect(qp.check(sg.advertise(), READ)).toMatchObject({ ok: true });
    expect(refusal(qp.check({ ...sg.advertise(), vaddr: sg.iova }, READ))).toBe('OutOfBounds');
  });
});

const sample: Advertisement = { vaddr: 0x0102030405060708n, length: 0x0a0b0c0d, rkey: rkey(0xfedcba98) };

describe('the packed form', () => {
  test('is 16 bytes, big-endian: address, length, key', () => {
    expect(Buffer.from(packAdvertisement(sample)).toString('hex')).toBe('01020304050607080a0b0c0dfedcba98');
  });

  test('is parsed from any view of 16 bytes', () => {
    const packed = packAdvertisement(sample);
    const shared = new SharedArrayBuffer(32);
    new Uint8Array(shared).set(packed, 8);
    const inside = Buffer.alloc(40);
    inside.set(packed, 3);
    for (const bytes of [
      packed,
      packed.buffer,
      new DataView(packed.buffer),
      new Uint8Array(shared, 8, 16),
      inside.subarray(3, 19),
    ]) {
      expect(parseAdvertisement(bytes as Uint8Array)).toEqual(sample);
    }
  });

  test('rejects a length of 2^32', () => {
    const long = { ...sample, length: 2 ** 32 };
    expect(() => packAdvertisement(long)).toThrow(outOfRange('advertisement.length'));
    expect(() => formatAdvertisement(long)).toThrow(outOfRange('advertisement.length'));
    const most = { ...sample, length: 2 ** 32 - 1 };
    expect(parseAdvertisement(packAdvertisement(most))).toEqual(most);
  });

  test('rejects values that are not advertisements', () => {
    for (const use of [packAdvertisement, formatAdvertisement]) {
      for (const value of [undefined, null, 1, 'text', []])
        expect(() => use(value as any)).toThrow(wrongType());
      for (const change of [{ vaddr: '1' }, { length: 1n }, { rkey: undefined }]) {
        expect(() => use({ ...sample, ...change } as any)).toThrow(wrongType());
      }
      for (const change of [
        { vaddr: TOP },
        { vaddr: -1n },
        { length: 0 },
        { rkey: -1 },
        { vaddr: TOP - 1n, length: 2 },
      ]) {
        expect(() => use({ ...sample, ...change } as any)).toThrow(outOfRange('advertisement.'));
      }
    }
    expect(packAdvertisement({ ...sample, vaddr: 7 as any })).toHaveLength(16);
  });
});

describe('the text form', () => {
  test('is the three fields as hex digits', () => {
    expect(formatAdvertisement(sample)).toBe('0102030405060708:0a0b0c0d:fedcba98');
    expect(formatAdvertisement({ vaddr: 0n, length: 1, rkey: rkey(0) })).toBe(
      '0000000000000000:00000001:00000000',
    );
    expect(parseAdvertisement('0102030405060708:0A0B0C0D:fedcba98')).toEqual(sample);
  });

  test('rejects malformed text and impossible ranges', () => {
    const text = formatAdvertisement(sample);
    for (const wrong of [
      '',
      text.slice(1),
      `${text}0`,
      ` ${text}`,
      text.replace(':', ';'),
      text.replace('0', 'g'),
      `-${text.slice(1)}`,
      `${text}\n`,
      'x'.repeat(1e6),
    ]) {
      expect(() => parseAdvertisement(wrong)).toThrow(argumentError('ERR_INVALID_ARG_VALUE', 'message'));
    }
    expect(() => parseAdvertisement('ffffffffffffffff:00000002:00000001')).toThrow(outOfRange('length'));
    expect(() => parseAdvertisement('0000000000000000:00000000:00000001')).toThrow(outOfRange('length'));
  });
});

test('rejects bytes of another length, and values that are neither bytes nor text', () => {
  for (const length of [0, 15, 17, 32]) {
    expect(() => parseAdvertisement(new Uint8Array(length))).toThrow(outOfRange('message.byteLength'));
  }
  for (const value of [undefined, null, 1, 1n, {}, [1], () => 0, new Proxy(new Uint8Array(16), {})]) {
    expect(() => parseAdvertisement(value as any)).toThrow(wrongType('message'));
  }
  const gone = new Uint8Array(16);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  expect(() => parseAdvertisement(gone)).toThrow(rdma('EINVAL'));
});
