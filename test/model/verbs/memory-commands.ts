// Generates the operations that create, map and release regions, and that fill and read memory.

import { hex, PAGE, pageDown } from '../numbers';
import type { ProtectionDomain } from '../region';
import type { Place, VerbsOperation } from './operations';
import type { Role, VerbsScene } from './scene';

export function regUserMr(scene: VerbsScene, meant?: { pd: ProtectionDomain; role: Role }): VerbsOperation {
  const { dice, history } = scene;
  const length = dice.choose(
    [6, () => 8000n],
    [6, () => 1n + dice.bytes(12_000)],
    [3, () => PAGE * (1n + dice.bytes(3))],
    [1, () => 0n],
  );
  const start = 0x10_0000n + dice.choose([4, () => PAGE * dice.bytes(4096)], [4, () => dice.bytes(2 ** 24)]);
  // The remote address of an atomic is a multiple of 8 exactly if its memory is (docs/deviations.md, V1).
  const far = BigInt.asUintN(62, dice.belowBig(1n << 62n)) & ~7n;
  const id = history.fresh();
  history.roles.set(String(id), meant?.role ?? dice.pick<Role>('source', 'target'));
  return {
    op: 'reg_user_mr',
    id,
    pd: scene.pdId(meant?.pd),
    start: hex(start),
    length: hex(length),
    virt_addr: hex(dice.choose([4, () => start], [2, () => far + (start % 8n)])),
    access: dice.choose([8, () => 15], [4, () => dice.pick(7, 5, 3, 1, 2, 0, 9)]),
  };
}

export function getDmaMr(scene: VerbsScene): VerbsOperation {
  const kernel = scene.pds().filter(({ user }) => !user);
  return {
    op: 'get_dma_mr',
    id: scene.history.fresh(),
    pd: scene.pdId(scene.dice.recent(kernel)),
    access: 0,
  };
}

export function allocMr(scene: VerbsScene): VerbsOperation {
  const { dice, history } = scene;
  const id = history.fresh();
  history.roles.set(String(id), dice.pick<Role>('target', 'source'));
  return {
    op: 'alloc_mr',
    id,
    pd: scene.pdId(),
    type: dice.rarely(30) ? 'sg_gaps' : 'mem_reg',
    max_num_sg: dice.pick(4, 2, 1, 8),
  };
}

/** Maps a region that no work request holds, to DMA memory of the region's role. */
export function mapMrSg(scene: VerbsScene): VerbsOperation {
  const { dice, history } = scene;
  const region = dice.recent(scene.regions().filter(({ kind, held }) => kind === 'mem_reg' && held === 0));
  if (region === undefined) return allocMr(scene);
  const { start, length } = scene.dmaSpan(history.roles.get(region.id) ?? 'source');
  const pages = Math.floor(length / 4096);
  const first = dice.below(pages);
  const count = Math.min(pages - first, Math.max(1, region.capacity));
  const into = dice.choose([3, () => 0], [2, () => dice.below(4000)]);
  const sg = Array.from({ length: 1 + dice.below(count) }, (_, i) => ({
    addr: hex(start + BigInt(first + i) * PAGE),
    length: 4096,
  }));
  const head = sg[0];
  if (head !== undefined && into > 0)
    Object.assign(head, { addr: hex(BigInt(head.addr) + BigInt(into)), length: 4096 - into });
  const tail = sg.at(-1);
  if (tail !== undefined && sg.length > 1 && dice.rarely(3)) tail.length = 1 + dice.below(4096);
  return { op: 'map_mr_sg', mr: scene.nameRegion(region), sg, sg_offset: null, page_size: 4096 };
}

/** Releases a region. A half-dead region is released again only if nothing holds it any more. */
export function deregMr(scene: VerbsScene): VerbsOperation | undefined {
  const { dice, session } = scene;
  const able = [...session.regions.regions.values()].filter(({ halfDead, held }) => !halfDead || held === 0);
  const held = able.filter((region) => region.held > 0);
  const region = dice.choose(
    [3, () => dice.recent(held) ?? dice.recent(able)],
    [2, () => held.find(({ kind }) => kind === 'dma') ?? dice.recent(able)],
    [2, () => able.find(({ halfDead }) => halfDead) ?? dice.recent(able)],
    [1, () => dice.recent(able)],
  );
  return region === undefined ? undefined : { op: 'dereg_mr', mr: scene.nameRegion(region) };
}

export function refs(scene: VerbsScene): VerbsOperation | undefined {
  const region = scene.dice.recent([...scene.session.regions.regions.values()]);
  return region === undefined ? undefined : { op: 'refs', mr: scene.nameRegion(region) };
}

export function mrState(scene: VerbsScene): VerbsOperation | undefined {
  const region = scene.dice.recent(scene.regions());
  return region === undefined ? undefined : { op: 'mr_state', mr: scene.nameRegion(region) };
}

export function fill(scene: VerbsScene): VerbsOperation | undefined {
  const span = place(scene);
  return span && { op: 'fill', ...span, seed: scene.dice.below(256) };
}

export function mem(scene: VerbsScene): VerbsOperation | undefined {
  const span = place(scene);
  return span && { op: 'mem', ...span };
}

function place(scene: VerbsScene): (Place & { length: number }) | undefined {
  const { dice, session } = scene;
  const mapped = scene.regions().filter(({ kind, length }) => kind !== 'dma' && length > 0n);
  const region = dice.rarely(5) ? undefined : dice.recent(mapped);
  if (region === undefined) {
    const { dmaStart, dmaEnd } = session.regions;
    const dma = pageDown(dmaStart + dice.belowBig(dmaEnd - dmaStart));
    return { dma: hex(dma), length: 1 + dice.below(4096) };
  }
  const offset = dice.choose([3, () => 0], [2, () => dice.below(Number(region.length))]);
  const rest = Number(region.length) - offset;
  const length = dice.choose([3, () => rest], [2, () => 1 + dice.below(Math.min(rest, 32))]);
  return { mr: scene.nameRegion(region), offset, length };
}
