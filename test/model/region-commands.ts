// Generates the operations that create, map, register and release regions: one function for each kind of command, given the
// current state of the program. Inputs without one documented answer are omitted; README.md lists them.

import { hex, MAX_I32, PAGE, pageDown, pageUp } from './numbers';
import type { Region } from './region';
import { clamp, least, modulo, type Scene } from './scene';
import type { Operation, SgElement } from './trace-types';

const MIB = 1n << 20n;

export function allocPd({ dice, history }: Scene): Operation {
  return { op: 'alloc_pd', id: history.fresh('pd'), user: dice.rarely(2) };
}

export function createQp(scene: Scene): Operation {
  return { op: 'create_qp', id: scene.history.fresh('qp'), pd: scene.pdId() };
}

export function regUserMr(scene: Scene): Operation {
  const { dice } = scene;
  let length = dice.choose(
    [6, () => PAGE * (1n + dice.bytes(4))],
    [6, () => 1n + dice.bytes(20_000)],
    [1, () => MIB - dice.bytes(2)],
    [1, () => 0n],
    [1, () => dice.pick((1n << 64n) - 1n, (1n << 64n) - PAGE, 1n << 63n)],
  );
  const start = dice.choose(
    [6, () => PAGE * (16n + dice.bytes(1 << 20))],
    [6, () => 0x10000n + dice.bytes(2 ** 32)],
    [2, () => scene.dmaAddress()],
    [1, () => dice.belowBig(1n << 64n)],
    [1, () => scene.hostileAddress(length)],
  );
  // A valid range needs real memory, so it must be short.
  if (length > MIB && start + length <= (1n << 64n) - PAGE) length = MIB;
  const virtAddr = dice.choose(
    [4, () => start],
    [2, () => dice.belowBig(1n << 64n)],
    [2, () => scene.hostileAddress(length)],
  );
  return {
    op: 'reg_user_mr',
    id: scene.history.fresh('mr'),
    pd: scene.pdId(),
    start: hex(start),
    length: hex(length),
    virt_addr: hex(virtAddr),
    access: scene.access(),
  };
}

export function getDmaMr(scene: Scene): Operation {
  const { dice, history, session } = scene;
  const kernel = [...session.pds.values()].filter(({ user }) => !user);
  return {
    op: 'get_dma_mr',
    id: history.fresh('d'),
    pd: scene.pdId(dice.recent(kernel)),
    access: scene.access(),
  };
}

export function allocMr(scene: Scene): Operation {
  const { dice } = scene;
  return {
    op: 'alloc_mr',
    id: scene.history.fresh('am'),
    pd: scene.pdId(),
    type: dice.rarely(24) ? dice.pick('sg_gaps', 'dm', 'user', 'dma', 'integrity') : 'mem_reg',
    max_num_sg: dice.choose(
      [12, () => dice.pick(4, 1, 2, 3, 8, 16, 64, 257, 512)],
      [1, () => 0],
      [1, () => dice.pick(MAX_I32 + 1, 0xffffff01, 0xffffffff)],
    ),
  };
}

export function mapMrSg(scene: Scene): Operation {
  const { dice } = scene;
  const wrongKind = dice.rarely(24);
  const all = wrongKind ? scene.regions('user', 'dma', 'fmr') : scene.regions('mem_reg');
  const living = all.filter(({ halfDead }) => !halfDead);
  const region = dice.recent(living.length > 0 && !dice.rarely(12) ? living : all);
  if (region === undefined) return allocMr(scene);
  const sg = sgList(scene, region);
  const first = sg[0]?.length ?? 0;
  return {
    op: 'map_mr_sg',
    mr: scene.name(region.id),
    sg,
    sg_offset: dice.choose<number | null>(
      [8, () => null],
      [2, () => 0],
      [6, () => dice.below(first + 1)],
      [1, () => first],
      [1, () => first + 1],
    ),
    page_size: dice.rarely(40) ? dice.pick(8192, 65536, 0, 3000, 2048, 1) : 4096,
  };
}

/**
 * Generates a list of elements that usually fit together (docs/semantics.md section 5.3), with or without enough room for their
 * pages.
 */
function sgList(scene: Scene, region: Region): SgElement[] {
  const { dice } = scene;
  const count = dice.choose([20, () => 1 + dice.below(4)], [2, () => 5 + dice.below(20)], [1, () => 0]);
  const elements: SgElement[] = [];
  let end: bigint | undefined;
  while (elements.length < count) {
    const { addr, length } = dice.rarely(40) ? wrongElement(scene) : nextElement(scene, region, end);
    elements.push({ addr: hex(addr), length: clamp(length) });
    end = modulo(addr + length);
  }
  return elements;
}

function nextElement(scene: Scene, region: Region, previousEnd: bigint | undefined) {
  const { dice, session } = scene;
  const somePage = () => pageDown(scene.dmaAddress());
  const wanted =
    previousEnd === undefined
      ? dice.choose([3, () => session.dmaStart], [3, somePage], [4, () => scene.dmaAddress()])
      : dice.choose(
          [6, () => pageUp(previousEnd)],
          [6, () => previousEnd], // an element that continues in the same page
          [3, somePage],
          [1, () => scene.dmaAddress()],
        );
  const addr = session.insideDma(wanted, 1n) ? wanted : session.dmaStart;
  const rest = session.dmaEnd - addr;
  const length = dice.choose(
    [6, () => PAGE * (1n + dice.bytes(2))],
    [4, () => PAGE * (1n + dice.bytes(3)) - (addr % PAGE)],
    [3, () => 1n + dice.bytes(9000)],
    [2, () => BigInt(region.capacity) * PAGE - (addr % PAGE)], // an element that just fits
    [1, () => BigInt(region.capacity) * PAGE + 1n],
    [1, () => rest],
  );
  return { addr, length: least(length, rest) };
}

/** Returns an element that makes the whole list invalid. */
function wrongElement({ dice, session }: Scene) {
  const { dmaStart, dmaEnd } = session;
  const { addr, length } = dice.pick(
    { addr: dmaStart, length: 0n },
    { addr: dmaEnd - 1n, length: 2n },
    { addr: dmaStart - 1n, length: 2n },
    { addr: -PAGE, length: 2n * PAGE },
    { addr: dmaStart, length: dmaEnd - dmaStart + 1n },
  );
  return { addr: modulo(addr), length };
}

export function fastRegMr(scene: Scene): Operation {
  const { dice } = scene;
  const all = scene.regions('mem_reg', ...(dice.rarely(16) ? (['user', 'dma', 'fmr'] as const) : []));
  const region = scene.mapped(all);
  if (region === undefined) return allocMr(scene);
  const key = dice.rarely(16) ? scene.key(region) : ((region.key & ~0xff) | dice.below(256)) >>> 0;
  const op: Operation = {
    op: 'fast_reg_mr',
    qp: scene.qpId(region.pd),
    mr: scene.name(region.id),
    key: hex(key),
    access: scene.access(),
  };
  // The format defines an iova for regions of alloc_mr only.
  if (scene.session.regions.get(op.mr)?.kind !== 'mem_reg') return op;
  const iova = dice.choose<bigint | undefined>(
    [6, () => undefined],
    [2, () => region.base],
    [3, () => dice.belowBig(1n << 64n)],
    [3, () => scene.hostileAddress(region.length)],
  );
  return iova === undefined ? op : { ...op, iova: hex(iova) };
}

export function invalidateRkey(scene: Scene): Operation {
  const region = scene.dice.recent([...scene.session.table.slots.values()]);
  return { op: 'invalidate_rkey', qp: scene.qpId(region?.pd), rkey: hex(scene.key(region)) };
}

export function allocFmr(scene: Scene): Operation {
  const { dice } = scene;
  return {
    op: 'alloc_fmr',
    id: scene.history.fresh('f'),
    pd: scene.pdId(),
    access: scene.access(),
    max_pages: dice.choose(
      [12, () => dice.pick(4, 1, 2, 8, 16, 300)],
      [1, () => 0],
      [1, () => dice.pick(-1, -1000, -(2 ** 31), MAX_I32 + 1, 0xffffffff)],
    ),
    max_maps: dice.pick(1, 0, 32, 0xffffffff),
    page_shift: dice.choose(
      [10, () => 12],
      [6, () => dice.below(14)],
      [1, () => dice.below(31)],
      [1, () => dice.pick(30, 29, 24)], // Larger than DMA memory, and soon more than a 32-bit length.
      [1, () => dice.pick(31, 32, 63, 64, 255, 0xffffffff)],
    ),
  };
}

export function mapPhysFmr(scene: Scene): Operation {
  const { dice } = scene;
  const all = scene.regions('fmr');
  // Prefer an FMR without held SGEs, because mapping a held one fails with EBUSY and tests nothing else.
  const free = all.filter(({ held, halfDead }) => held === 0 && !halfDead);
  const region = dice.recent(free.length > 0 && !dice.rarely(6) ? free : all);
  if (region === undefined) return allocFmr(scene);
  const pages = pageList(scene, region);
  const first = pages[0] ?? scene.dmaAddress();
  const length = BigInt(pages.length) * region.segmentSize;
  const iova = dice.choose(
    [6, () => first], // lets SGEs of the FMR coalesce
    [2, () => scene.dmaAddress()],
    [2, () => modulo(first + region.segmentSize)],
    [3, () => dice.belowBig(1n << 64n)],
    [2, () => scene.hostileAddress(length)],
  );
  return { op: 'map_phys_fmr', fmr: scene.name(region.id), pages: pages.map(hex), iova: hex(iova) };
}

function pageList(scene: Scene, { capacity, segmentSize }: Region): bigint[] {
  const { dice, session } = scene;
  const size = session.dmaEnd - session.dmaStart;
  const count = dice.choose(
    [6, () => 1 + dice.below(Math.max(capacity, 1))],
    [3, () => capacity],
    [1, () => capacity + 1],
    [1, () => 0],
  );
  const lastStart = size > segmentSize ? size - segmentSize : 0n;
  const slots = lastStart / segmentSize + 1n;
  const anywhere = () => session.dmaStart + dice.belowBig(lastStart + 1n);
  const aligned = () => session.dmaStart + dice.belowBig(slots) * segmentSize;
  const start = dice.choose([4, aligned], [1, anywhere]) - session.dmaStart;
  // Wrap around inside DMA memory.
  const row = (step: bigint) =>
    Array.from({ length: count }, (_, i) => {
      const offset = (start + BigInt(i) * step) % (slots * segmentSize);
      return session.dmaStart + least(offset, lastStart);
    });
  const pages = dice.choose(
    [6, () => row(segmentSize)], // consecutive pages of DMA memory
    [3, () => row(0n)], // the same page repeatedly
    [3, () => row(3n * segmentSize)],
    [3, () => Array.from({ length: count }, dice.rarely(3) ? anywhere : aligned)],
  );
  if (dice.rarely(24) && count > 0) {
    pages[dice.below(count)] = dice.pick(
      session.dmaEnd,
      session.dmaEnd - segmentSize + 1n,
      session.dmaStart - 1n,
      0n,
      -1n,
    );
  }
  return pages.map(modulo);
}

export function unmapFmr(scene: Scene): Operation {
  const { dice } = scene;
  const all = scene.regions('fmr');
  const living = all.filter((region) => !region.halfDead);
  const halfDead = all.filter((region) => region.halfDead);
  const fmrs: string[] = [];
  for (let left = dice.choose([8, () => 1], [2, () => 2 + dice.below(3)], [1, () => 0]); left > 0; left--) {
    const region = dice.recent(halfDead.length > 0 && dice.rarely(3) ? halfDead : living);
    if (region !== undefined) fmrs.push(scene.name(region.id));
  }
  return { op: 'unmap_fmr', fmrs };
}

export function release(scene: Scene): Operation | undefined {
  const { dice } = scene;
  const all = [...scene.session.regions.values()];
  const halfDead = all.filter((region) => region.halfDead);
  const held = all.filter((region) => region.held > 0);
  const region = dice.choose(
    [6, () => dice.recent(all)],
    [4, () => dice.recent(halfDead) ?? dice.recent(all)],
    [3, () => dice.recent(held) ?? dice.recent(all)],
  );
  if (region === undefined) return undefined;
  // Rarely use the operation for the wrong kind of region, which always fails.
  const asFmr = (region.kind === 'fmr') !== dice.rarely(40);
  const id = scene.name(region.id);
  return asFmr ? { op: 'dealloc_fmr', fmr: id } : { op: 'dereg_mr', mr: id };
}

/** Fills a small key table and requests one more region. */
export function fillTable(scene: Scene): Operation[] {
  const { table } = scene.session;
  const free = table.max - table.slots.size;
  if (free > 20) return [allocMr(scene)];
  const pd = scene.pdId();
  return Array.from({ length: free + 1 }, (): Operation => {
    const id = scene.history.fresh('am');
    return { op: 'alloc_mr', id, pd, type: 'mem_reg', max_num_sg: 1 };
  });
}
