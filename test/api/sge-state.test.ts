import { Access, type MemoryRegion, type ProtectionDomain, type Sge, SgeState } from '../../lib';
import { accepted, outOfRange, rdma } from '../support/answers';
import { DMA, dmaPages, open, PAGE, PAGE_N, scene } from '../support/scene';

const { LocalWrite } = Access;

interface Source {
  pd: ProtectionDomain;
  mr: MemoryRegion;
  memory: Buffer;
  /** Returns an SGE over the bytes [from, from + length) of the memory. */
  element: (from: number, length: number, access?: number) => Sge;
}

/** Creates user memory of three pages whose byte i holds i / 16. */
function source(): Source {
  const pd = open().allocPd();
  const memory = Buffer.from(Uint8Array.from({ length: 3 * PAGE }, (_, i) => i / 16));
  const mr = pd.regUserMr(memory, { access: LocalWrite });
  const element = (from: number, length: number, access = LocalWrite): Sge =>
    accepted(pd.acquire({ addr: mr.start + BigInt(from), length, lkey: mr.lkey }, access));
  return { pd, mr, memory, element };
}

/** Returns the number of elements and bytes that a walk has left. */
const left = (state: SgeState): [number, number] => [state.remaining, state.totalLength];

describe('a walk', () => {
  test('starts with all bytes of all SGEs', () => {
    const { element } = source();
    const state = new SgeState([element(100, 50), element(0, 0), element(200, PAGE)]);
    expect(left(state)).toEqual([3, 50 + PAGE]);
    expect(state.nextLength(1000)).toBe(50);
    expect(state.nextLength(20)).toBe(20);
    expect(state.nextLength(0)).toBe(0);
  });

  test('continues inside an SGE, across its segments, and into the next SGE', () => {
    const { element } = source();
    const state = new SgeState([element(PAGE - 10, 30), element(0, 5)]);
    expect(state.nextLength(100)).toBe(10);
    state.update(4);
    expect(state.nextLength(100)).toBe(6);
    state.update(6);
    expect(left(state)).toEqual([2, 25]);
    expect(state.nextLength(100)).toBe(20);
    state.update(20);
    expect(left(state)).toEqual([1, 5]);
    state.update(5);
    expect(left(state)).toEqual([0, 0]);
    expect(state.nextLength(100)).toBe(0);
  });

  test('skips empty SGEs', () => {
    const { element } = source();
    const state = new SgeState([element(0, 0), element(0, 0), element(7, 3)]);
    expect(state.nextLength(100)).toBe(3);
    state.update(3);
    expect(left(state)).toEqual([0, 0]);
  });

  test('update does not go beyond the current SGE', () => {
    const { element } = source();
    const state = new SgeState([element(0, 10), element(20, 10)]);
    expect(() => state.update(11)).toThrow(rdma('EINVAL', 'update_sge'));
    expect(left(state)).toEqual([2, 20]);
    state.update(0);
    expect(left(state)).toEqual([2, 20]);
  });

  test('skip crosses any number of SGEs, but not the end', () => {
    const { element } = source();
    const state = new SgeState([element(0, 10), element(20, 10), element(40, 10)]);
    state.skip(25);
    expect(left(state)).toEqual([1, 5]);
    expect(() => state.skip(6)).toThrow(rdma('EINVAL', 'skip_sge'));
    expect(() => state.skip(Number.MAX_SAFE_INTEGER)).toThrow(rdma('EINVAL', 'skip_sge'));
    expect(left(state)).toEqual([1, 5]);
    state.skip(5);
    expect(left(state)).toEqual([0, 0]);
    state.skip(0);
  });

  test('leaves the SGEs themselves unchanged', () => {
    const { element } = source();
    const sge = element(100, PAGE);
    const before = { at: sge.at, segmentLength: sge.segmentLength, length: sge.length };
    new SgeState([sge]).skip(PAGE);
    expect(sge).toMatchObject(before);
    expect(new SgeState([sge]).totalLength).toBe(PAGE);
  });
});

describe('references', () => {
  test('are kept without the option put', () => {
    const { element, mr } = source();
    const state = new SgeState([element(0, 10), element(0, 10)]);
    state.skip(20);
    expect(mr.refs).toBe(4);
  });

  test('are released with the option put as each SGE is used up', () => {
    const { element, mr } = source();
    const [one, two] = [element(0, 10), element(0, 10)];
    const state = new SgeState([one, two]);
    state.update(9, { put: true });
    expect(mr.refs).toBe(4);
    state.update(1, { put: true });
    expect(mr.refs).toBe(3);
    expect(() => one.at).toThrow(rdma('EBADF'));
    state.skip(10, { put: true });
    expect(mr.refs).toBe(2);
    one.put();
    two.put();
    expect(mr.refs).toBe(2);
  });

  test('are released by put() for every remaining SGE', () => {
    const { element, mr } = source();
    const [one, two, three] = [element(0, 10), element(0, 10), element(0, 10)];
    const state = new SgeState([one, two, three]);
    state.skip(15);
    state.put();
    expect(mr.refs).toBe(3); // the walk consumed the first SGE without putting it
    expect(one.length).toBe(10);
    expect(() => three.length).toThrow(rdma('EBADF'));
    expect(left(state)).toEqual([0, 0]);
    state.put();
  });

  test('are released at the end of a `using` block', () => {
    const { element, mr } = source();
    {
      using _state = new SgeState([element(0, 10), element(0, 10)]);
    }
    expect(mr.refs).toBe(2);
  });

  test('that were released elsewhere make the walk refuse', () => {
    const { element } = source();
    const sge = element(0, 10);
    const state = new SgeState([sge]);
    sge.put();
    expect(() => state.copyOut(Buffer.alloc(1))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
    expect(() => state.walk([1])).toThrow(rdma('EACCES', 'walk', 'RegionRevoked'));
  });
});

describe('hasLkey', () => {
  test('looks at the remaining SGEs only', () => {
    const { element, pd, mr } = source();
    const other = pd.regUserMr(Buffer.alloc(8));
    const second = accepted(pd.acquire({ addr: other.start, length: 8, lkey: other.lkey }, 0));
    const state = new SgeState([element(0, 8), second]);
    expect(state.hasLkey(mr.lkey)).toBe(true);
    expect(state.hasLkey(other.rkey)).toBe(true);
    state.skip(8);
    expect(state.hasLkey(mr.lkey)).toBe(false);
    expect(state.hasLkey(other.lkey)).toBe(true);
  });

  test('finds a half-dead region by its former key', () => {
    const { element, mr } = source();
    const key = mr.lkey;
    const state = new SgeState([element(0, 8)]);
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    expect(state.hasLkey(key)).toBe(true);
  });
});

describe('copies', () => {
  test('fill the SGEs one after the other', () => {
    const { element, memory } = source();
    const state = new SgeState([element(10, 4), element(PAGE - 2, 4), element(0, 4)]);
    expect(state.copyIn(Buffer.from('abcdef'))).toBe(6);
    expect(memory.toString('latin1', 10, 14)).toBe('abcd');
    expect(memory.toString('latin1', PAGE - 2, PAGE)).toBe('ef');
    expect(left(state)).toEqual([2, 6]);
    expect(state.copyIn(Buffer.from('ghijkl'), { ordered: true })).toBe(6);
    expect(memory.toString('latin1', PAGE - 2, PAGE + 2)).toBe('efgh');
    expect(memory.toString('latin1', 0, 4)).toBe('ijkl');
    expect(left(state)).toEqual([0, 0]);
  });

  test('read the SGEs one after the other', () => {
    const { element, memory } = source();
    const state = new SgeState([element(100, PAGE, 0), element(PAGE + 500, PAGE, 0)]);
    const target = Buffer.alloc(PAGE + 10);
    expect(state.copyOut(target)).toBe(PAGE + 10);
    expect(target.subarray(0, PAGE)).toEqual(memory.subarray(100, 100 + PAGE));
    expect(target.subarray(PAGE)).toEqual(memory.subarray(PAGE + 500, PAGE + 510));
    expect(left(state)).toEqual([1, PAGE - 10]);
  });

  test('with put release the SGEs that they use up', () => {
    const { element, mr } = source();
    const state = new SgeState([element(0, 8), element(8, 8), element(16, 8)]);
    state.copyIn(Buffer.alloc(12), { put: true });
    expect(mr.refs).toBe(4);
    state.copyOut(Buffer.alloc(12), { put: true });
    expect(mr.refs).toBe(2);
  });

  test('longer than the walk throw a RangeError and move nothing', () => {
    const { element, memory } = source();
    const before = Buffer.from(memory);
    const state = new SgeState([element(0, 8)]);
    expect(() => state.copyIn(Buffer.alloc(9, 0xff))).toThrow(outOfRange('1 too large'));
    expect(() => state.copyOut(Buffer.alloc(9))).toThrow(outOfRange('1 too large'));
    expect(memory).toEqual(before);
    expect(left(state)).toEqual([1, 8]);
  });

  test('of zero bytes succeed, also at the end', () => {
    const { element } = source();
    const state = new SgeState([element(0, 8)]);
    state.skip(8);
    expect(state.copyIn(Buffer.alloc(0))).toBe(0);
    expect(state.copyOut(Buffer.alloc(0))).toBe(0);
  });

  test('move nothing if a later SGE lacks the right', () => {
    const { element, memory } = source();
    const before = Buffer.from(memory);
    const state = new SgeState([element(0, 8), element(8, 8, 0)]);
    expect(() => state.copyIn(Buffer.alloc(9, 0xff))).toThrow(rdma('EACCES', 'copy_sge', 'AccessDenied'));
    expect(memory).toEqual(before);
    expect(left(state)).toEqual([2, 16]);
    // A copy that does not reach the SGE without the right succeeds.
    expect(state.copyIn(Buffer.alloc(8, 0xff))).toBe(8);
  });

  test('with put reject a duplicate SGE with EINVAL and move nothing', () => {
    const { element, mr, memory } = source();
    const before = Buffer.from(memory);
    const sge = element(0, 8);
    const state = new SgeState([sge, sge]);
    expect(() => state.copyIn(Buffer.alloc(16, 0xff), { put: true })).toThrow(rdma('EINVAL', 'copy_sge'));
    expect(() => state.copyOut(Buffer.alloc(16), { put: true })).toThrow(rdma('EINVAL', 'copy_sge_out'));
    expect(memory).toEqual(before);
    expect(mr.refs).toBe(3);
    expect(state.copyOut(Buffer.alloc(16))).toBe(16);
  });
});

describe('walk', () => {
  test('returns the fragments of each step', () => {
    const { element, mr } = source();
    const state = new SgeState([element(PAGE - 10, 30), element(5, 7)]);
    expect(state.walk([4, 0, 20, 13])).toEqual([
      [{ region: mr, at: BigInt(PAGE - 10), length: 4 }],
      [],
      [
        { region: mr, at: BigInt(PAGE - 6), length: 6 },
        { region: mr, at: BigInt(PAGE), length: 14 },
      ],
      [
        { region: mr, at: BigInt(PAGE + 14), length: 6 },
        { region: mr, at: 5n, length: 7 },
      ],
    ]);
    expect(left(state)).toEqual([0, 0]);
  });

  test('continues where the previous walk stopped', () => {
    const { element } = source();
    const state = new SgeState([element(0, 10)]);
    state.walk(Uint32Array.of(4));
    expect(state.walk([6])).toMatchObject([[{ at: 4n, length: 6 }]]);
    expect(state.walk([])).toEqual([]);
  });

  test('returns DMA addresses for all regions except user memory', () => {
    const { device, pd } = scene({ trusted: true });
    dmaPages(device, 3);
    using region = pd.getDmaMr();
    const fmr = pd.allocFmr({ maxPages: 2 });
    fmr.mapPhys([DMA + 2n * PAGE_N, DMA], 0);
    const state = new SgeState([
      accepted(pd.acquire({ addr: PAGE - 1, length: 2, lkey: fmr.lkey }, 0)),
      accepted(pd.acquire({ addr: DMA, length: 3 * PAGE, lkey: region.lkey }, 0)),
    ]);
    expect(state.walk([2 + 3 * PAGE], { put: true })).toEqual([
      [
        { region: fmr, at: DMA + 3n * PAGE_N - 1n, length: 1 },
        { region: fmr, at: DMA, length: 1 },
        { region, at: DMA, length: 3 * PAGE },
      ],
    ]);
  });

  test('past the end fails with EINVAL and releases nothing', () => {
    const { element, mr } = source();
    const state = new SgeState([element(0, 10)]);
    expect(() => state.walk([10, 1], { put: true })).toThrow(rdma('EINVAL', 'walk'));
    expect(() => state.walk(Array.from({ length: 3 }, () => 0xffffffff))).toThrow(rdma('EINVAL', 'walk'));
    expect(left(state)).toEqual([1, 10]);
    expect(mr.refs).toBe(3);
  });

  test('skips empty SGEs', () => {
    const { element } = source();
    const state = new SgeState([element(3, 0), element(4, 1), element(5, 0)]);
    expect(state.walk([1])).toMatchObject([[{ at: 4n, length: 1 }]]);
  });

  test('with put rejects a duplicate SGE with EINVAL, because it has only one reference', () => {
    const { element, mr } = source();
    const sge = element(0, 10);
    const state = new SgeState([sge, sge]);
    expect(() => state.walk([20], { put: true })).toThrow(rdma('EINVAL', 'walk'));
    expect(mr.refs).toBe(3);
    expect(state.walk([20])).toMatchObject([
      [
        { at: 0n, length: 10 },
        { at: 0n, length: 10 },
      ],
    ]);
  });

  test('refuses SGEs of an older mapping', () => {
    const { device, pd } = scene();
    dmaPages(device, 1);
    const fmr = pd.allocFmr({ maxPages: 1 });
    fmr.mapPhys([DMA], 0);
    const state = new SgeState([accepted(pd.acquire({ addr: 0, length: 8, lkey: fmr.lkey }, 0))]);
    fmr.unmap();
    expect(() => state.walk([8])).toThrow(rdma('EACCES', 'walk', 'Remapped'));
    expect(left(state)).toEqual([1, 8]);
  });
});

describe('the constructor', () => {
  test('takes 1 to 255 SGEs', () => {
    const { element } = source();
    const many = Array.from({ length: 256 }, () => element(0, 1));
    expect(() => new SgeState([])).toThrow(rdma('EINVAL', 'sge_state'));
    expect(() => new SgeState(many)).toThrow(rdma('EINVAL', 'sge_state'));
    expect(left(new SgeState(many.slice(1)))).toEqual([255, 255]);
  });

  test('rejects an SGE that was put with EBADF', () => {
    const { element } = source();
    const sge = element(0, 1);
    sge.put();
    expect(() => new SgeState([element(0, 1), sge])).toThrow(rdma('EBADF', 'sge_state'));
  });

  test('rejects SGEs of two devices with EINVAL', () => {
    expect(() => new SgeState([source().element(0, 1), source().element(0, 1)])).toThrow(
      rdma('EINVAL', 'sge_state'),
    );
  });
});
