import { Access, type MemoryRegion, type ProtectionDomain, type Sge, SgeState } from '../../lib';
import { accepted, outOfRange, rdma } from '../support/answers';
import { DMA, dmaPages, open, PAGE, PAGE_N, scene } from '../support/scene';

const { LocalWrite } = Access;

interface Source {
  pd: ProtectionDomain;
  mr: MemoryRegion;
  memory: Buffer;
  /** The bytes [from, from + length) of the memory as an element. */
  element: (from: number, length: number, access?: number) => Sge;
}

/** User memory of three pages whose byte i holds i / 16. */
function source(): Source {
  const pd = open().allocPd();
  const memory = Buffer.from(Uint8Array.from({ length: 3 * PAGE }, (_, i) => i / 16));
  const mr = pd.regUserMr(memory, { access: LocalWrite });
  const element = (from: number, length: number, access = LocalWrite): Sge =>
    accepted(pd.acquire({ addr: mr.start + BigInt(from), length, lkey: mr.lkey }, access));
  return { pd, mr, memory, element };
}

/** What is left of a walk. */
const left = (state: SgeState): [number, number] => [state.remaining, state.totalLength];

describe('a walk', () => {
  test('begins with all bytes of all elements', () => {
    const { element } = source();
    const state = new SgeState([element(100, 50), element(0, 0), element(200, PAGE)]);
    expect(left(state)).toEqual([3, 50 + PAGE]);
    expect(state.nextLength(1000)).toBe(50);
    expect(state.nextLength(20)).toBe(20);
    expect(state.nextLength(0)).toBe(0);
  });

  test('goes on inside an element, over its segments, and to the next one', () => {
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

  test('passes over empty elements', () => {
    const { element } = source();
    const state = new SgeState([element(0, 0), element(0, 0), element(7, 3)]);
    expect(state.nextLength(100)).toBe(3);
    state.update(3);
    expect(left(state)).toEqual([0, 0]);
  });

  test('update does not go beyond the current element', () => {
    const { element } = source();
    const state = new SgeState([element(0, 10), element(20, 10)]);
    expect(() => state.update(11)).toThrow(rdma('EINVAL', 'update_sge'));
    expect(left(state)).toEqual([2, 20]);
    state.update(0);
    expect(left(state)).toEqual([2, 20]);
  });

  test('skip goes over any number of elements, but not beyond the last', () => {
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

  test('leaves the elements as they were', () => {
    const { element } = source();
    const sge = element(100, PAGE);
    const before = { at: sge.at, segmentLength: sge.segmentLength, length: sge.length };
    new SgeState([sge]).skip(PAGE);
    expect(sge).toMatchObject(before);
    expect(new SgeState([sge]).totalLength).toBe(PAGE);
  });
});

describe('references', () => {
  test('stay without put', () => {
    const { element, mr } = source();
    const state = new SgeState([element(0, 10), element(0, 10)]);
    state.skip(20);
    expect(mr.refs).toBe(4);
  });

  test('go with put as each element is used up', () => {
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

  test('put gives back those of every element that is left', () => {
    const { element, mr } = source();
    const [one, two, three] = [element(0, 10), element(0, 10), element(0, 10)];
    const state = new SgeState([one, two, three]);
    state.skip(15);
    state.put();
    expect(mr.refs).toBe(3); // the first was consumed without put
    expect(one.length).toBe(10);
    expect(() => three.length).toThrow(rdma('EBADF'));
    expect(left(state)).toEqual([0, 0]);
    state.put();
  });

  test('using puts', () => {
    const { element, mr } = source();
    {
      using _state = new SgeState([element(0, 10), element(0, 10)]);
    }
    expect(mr.refs).toBe(2);
  });

  test('an element that is put elsewhere is refused, not used', () => {
    const { element } = source();
    const sge = element(0, 10);
    const state = new SgeState([sge]);
    sge.put();
    expect(() => state.copyOut(Buffer.alloc(1))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
    expect(() => state.walk([1])).toThrow(rdma('EACCES', 'walk', 'RegionRevoked'));
  });
});

describe('hasLkey', () => {
  test('looks at the elements that are left', () => {
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

  test('knows a half-dead region by the key it had', () => {
    const { element, mr } = source();
    const key = mr.lkey;
    const state = new SgeState([element(0, 8)]);
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    expect(state.hasLkey(key)).toBe(true);
  });
});

describe('copies', () => {
  test('fill the elements one after the other', () => {
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

  test('and read them', () => {
    const { element, memory } = source();
    const state = new SgeState([element(100, PAGE, 0), element(PAGE + 500, PAGE, 0)]);
    const target = Buffer.alloc(PAGE + 10);
    expect(state.copyOut(target)).toBe(PAGE + 10);
    expect(target.subarray(0, PAGE)).toEqual(memory.subarray(100, 100 + PAGE));
    expect(target.subarray(PAGE)).toEqual(memory.subarray(PAGE + 500, PAGE + 510));
    expect(left(state)).toEqual([1, PAGE - 10]);
  });

  test('put what they use up with put', () => {
    const { element, mr } = source();
    const state = new SgeState([element(0, 8), element(8, 8), element(16, 8)]);
    state.copyIn(Buffer.alloc(12), { put: true });
    expect(mr.refs).toBe(4);
    state.copyOut(Buffer.alloc(12), { put: true });
    expect(mr.refs).toBe(2);
  });

  test('of more than there is are a RangeError and move nothing', () => {
    const { element, memory } = source();
    const before = Buffer.from(memory);
    const state = new SgeState([element(0, 8)]);
    expect(() => state.copyIn(Buffer.alloc(9, 0xff))).toThrow(outOfRange('1 too large'));
    expect(() => state.copyOut(Buffer.alloc(9))).toThrow(outOfRange('1 too large'));
    expect(memory).toEqual(before);
    expect(left(state)).toEqual([1, 8]);
  });

  test('of nothing are good, also at the end', () => {
    const { element } = source();
    const state = new SgeState([element(0, 8)]);
    state.skip(8);
    expect(state.copyIn(Buffer.alloc(0))).toBe(0);
    expect(state.copyOut(Buffer.alloc(0))).toBe(0);
  });

  test('move nothing if a later element was not proven for it', () => {
    const { element, memory } = source();
    const before = Buffer.from(memory);
    const state = new SgeState([element(0, 8), element(8, 8, 0)]);
    expect(() => state.copyIn(Buffer.alloc(9, 0xff))).toThrow(rdma('EACCES', 'copy_sge', 'AccessDenied'));
    expect(memory).toEqual(before);
    expect(left(state)).toEqual([2, 16]);
    // What is not reached does not matter.
    expect(state.copyIn(Buffer.alloc(8, 0xff))).toBe(8);
  });

  test('with put refuse an element that stands in the list twice, and move nothing', () => {
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
  test('tells the fragments of each step', () => {
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

  test('goes on where it was', () => {
    const { element } = source();
    const state = new SgeState([element(0, 10)]);
    state.walk(Uint32Array.of(4));
    expect(state.walk([6])).toMatchObject([[{ at: 4n, length: 6 }]]);
    expect(state.walk([])).toEqual([]);
  });

  test('tells DMA addresses of everything but user memory', () => {
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

  test('past the end is EINVAL, tells nothing and releases nothing', () => {
    const { element, mr } = source();
    const state = new SgeState([element(0, 10)]);
    expect(() => state.walk([10, 1], { put: true })).toThrow(rdma('EINVAL', 'walk'));
    expect(() => state.walk(Array.from({ length: 3 }, () => 0xffffffff))).toThrow(rdma('EINVAL', 'walk'));
    expect(left(state)).toEqual([1, 10]);
    expect(mr.refs).toBe(3);
  });

  test('skips empty elements', () => {
    const { element } = source();
    const state = new SgeState([element(3, 0), element(4, 1), element(5, 0)]);
    expect(state.walk([1])).toMatchObject([[{ at: 4n, length: 1 }]]);
  });

  test('with put refuses an element that stands in the list twice; it has one reference', () => {
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

  test('refuses elements of an older mapping', () => {
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

describe('making one', () => {
  test('takes 1 to 255 elements', () => {
    const { element } = source();
    const many = Array.from({ length: 256 }, () => element(0, 1));
    expect(() => new SgeState([])).toThrow(rdma('EINVAL', 'sge_state'));
    expect(() => new SgeState(many)).toThrow(rdma('EINVAL', 'sge_state'));
    expect(left(new SgeState(many.slice(1)))).toEqual([255, 255]);
  });

  test('a put element is EBADF', () => {
    const { element } = source();
    const sge = element(0, 1);
    sge.put();
    expect(() => new SgeState([element(0, 1), sge])).toThrow(rdma('EBADF', 'sge_state'));
  });

  test('elements of two devices are EINVAL', () => {
    expect(() => new SgeState([source().element(0, 1), source().element(0, 1)])).toThrow(
      rdma('EINVAL', 'sge_state'),
    );
  });
});
