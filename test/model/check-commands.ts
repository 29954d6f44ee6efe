// Generates the operations that check, consume and query. Inputs without one documented answer are omitted; README.md lists them.

import { hex } from './numbers';
import { isStale, type Region, type Sge } from './region';
import { getDmaMr, mapMrSg, mapPhysFmr, regUserMr } from './region-commands';
import { modulo, reachable, type Scene } from './scene';
import type { Operation } from './trace-types';

export function lkeyOk(scene: Scene): Operation {
  const { dice, history } = scene;
  if (nothingToCheck(scene)) return somethingToCheck(scene);
  const { region, key, span, pdId } = request(scene, 'base');
  const last = dice.rarely(4) ? localSge(scene) : undefined;
  return {
    op: 'lkey_ok',
    id: history.fresh('s'),
    pd: pdId,
    sge: { addr: hex(span.address), length: span.length, lkey: hex(key) },
    acc: localAccess(scene, region),
    last: last === undefined ? null : nameOfLocalSge(scene, last),
  };
}

/**
 * Checks the bytes directly after `last`, or nearly so: some checks may coalesce, and others must not although they look
 * adjacent.
 */
export function lkeyOkNext(scene: Scene): Operation {
  const { dice, history } = scene;
  const last = localSge(scene);
  if (last === undefined) return lkeyOk(scene);
  const { region } = last;
  const address = modulo(
    dice.choose(
      [10, () => last.address + last.sgeLength],
      [3, () => last.position + last.length],
      [1, () => last.address + last.length],
      [1, () => last.address],
      [1, () => last.address + last.sgeLength + dice.pick(1n, -1n)],
    ),
  );
  return {
    op: 'lkey_ok',
    id: history.fresh('s'),
    pd: scene.pdId(region.kind === 'dma' ? kernelPd(scene) : region.pd),
    sge: {
      addr: hex(address),
      length: scene.lengthFrom(
        address - region.base,
        spaceOf(scene, region),
        region.segmentSize,
        region.offset,
      ),
      lkey: hex(scene.key(region)),
    },
    acc: localAccess(scene, region),
    last: dice.rarely(12) ? null : nameOfLocalSge(scene, last),
  };
}

export function rkeyOk(scene: Scene): Operation {
  const { dice, history } = scene;
  if (nothingToCheck(scene)) return somethingToCheck(scene);
  const { region, key, span, qpId } = request(scene, 'iova');
  const acc = dice.choose(
    [8, () => (region === undefined || region.access === 0 ? 4 : region.access)],
    [4, () => dice.pick(1, 2, 4, 8, 16)],
    [2, () => scene.access()],
    [1, () => 0],
  );
  return {
    op: 'rkey_ok',
    id: history.fresh('s'),
    qp: qpId,
    len: span.length,
    vaddr: hex(span.address),
    rkey: hex(key),
    acc,
  };
}

function nothingToCheck({ dice, session }: Scene): boolean {
  return ![...session.table.slots.values()].some(reachable) && !dice.rarely(5);
}

function somethingToCheck(scene: Scene): Operation {
  return scene.dice.choose(
    [2, () => regUserMr(scene)],
    [3, () => mapMrSg(scene)],
    [3, () => mapPhysFmr(scene)],
    [2, () => getDmaMr(scene)],
  );
}

/** Chooses the requester, region and range of a check. Key 0 stands for the DMA region and its memory. */
function request(scene: Scene, space: 'base' | 'iova') {
  const { dice, session } = scene;
  const keyed = [...session.table.slots.values()];
  const keyZero = dice.rarely(session.published === undefined ? 20 : 4);
  const region = keyZero ? undefined : scene.mapped(keyed);
  if (region === undefined) {
    const pd = kernelPd(scene);
    return {
      region: session.published,
      key: 0,
      span: scene.spanOfDma(),
      pdId: scene.pdId(pd),
      qpId: scene.qpId(pd),
    };
  }
  return {
    region,
    key: scene.key(region),
    // Rarely uses an address of the other address space.
    span: scene.spanOf(
      region,
      dice.rarely(24) ? (space === 'base' ? region.iova : region.base) : region[space],
    ),
    pdId: scene.pdId(region.pd),
    qpId: scene.qpId(region.pd),
  };
}

function localAccess({ dice }: Scene, region: Region | undefined): number {
  const access = region?.access ?? 0;
  return dice.choose(
    [8, () => 0],
    [4, () => access],
    [4, () => (access & dice.below(32)) >>> 0],
    [3, () => dice.pick(1, 2, 4, 8, 16)],
    [1, () => dice.pick(31, 0x80000000, 0xffffffff)],
  );
}

function kernelPd({ dice, session }: Scene) {
  return dice.recent([...session.pds.values()].filter(({ user }) => !user));
}

function spaceOf({ session }: Scene, region: Region): bigint {
  return region.kind === 'dma' ? session.dmaEnd : region.length;
}

function localSge(scene: Scene): Sge | undefined {
  const all = scene.sges().filter(({ local }) => local);
  // SGEs that end with their first segment, and whose position equals the requested address.
  const mergeable = all.filter(
    (sge) =>
      sge.region.kind !== 'user' &&
      !sge.region.halfDead &&
      !isStale(sge) &&
      sge.position === sge.address &&
      sge.length === sge.sgeLength,
  );
  return scene.dice.recent(mergeable.length > 0 && !scene.dice.rarely(3) ? mergeable : all);
}

/** Returns the name of a local SGE. The format allows only SGEs of `lkey_ok` as `last` and defines no answer for others. */
function nameOfLocalSge(scene: Scene, last: Sge): string {
  const name = scene.name(last.id);
  return scene.session.sges.get(name)?.local === false ? last.id : name;
}

export function putSge(scene: Scene): Operation | undefined {
  const sge = scene.dice.recent(scene.sges());
  return sge === undefined ? undefined : { op: 'put_sge', sge: scene.name(sge.id) };
}

export function walk(scene: Scene): Operation | undefined {
  const { dice, session } = scene;
  const release = dice.rarely(2);
  const listed = sgesToWalk(scene, release);
  const sges = listed.map(({ id }) => id);
  if (sges[0] === undefined) return undefined;
  // A walk never reaches an empty SGE, so it is undefined whether a stale empty SGE matters.
  if (listed.some(isStale) && listed.some(({ sgeLength }) => sgeLength === 0n)) return undefined;

  const steps = stepsOver(scene, listed);
  const other = scene.name(sges[0]);
  if (!session.sges.has(other)) sges[0] = other;
  return { op: 'walk', sges, steps, release };
}

function sgesToWalk(scene: Scene, release: boolean): Sge[] {
  const { dice } = scene;
  let usable = scene.sges();
  // It is undefined whether a walk releases the reference of an SGE that it skips.
  if (release) usable = usable.filter(({ sgeLength }) => sgeLength > 0n);
  if (!dice.rarely(5)) usable = usable.filter((sge) => !isStale(sge));

  const listed: Sge[] = [];
  const twice = dice.rarely(release ? 24 : 4);
  for (let left = 1 + dice.choose([20, () => dice.below(5)], [1, () => dice.below(255)]); left > 0; left--) {
    const sge = dice.recent(usable);
    if (sge !== undefined && (twice || !listed.includes(sge))) listed.push(sge);
  }
  return listed;
}

function stepsOver({ dice }: Scene, listed: readonly Sge[]): number[] {
  let left = listed.reduce((sum, { sgeLength }) => sum + Number(sgeLength), 0);
  const firstSegment = Number(listed[0]?.length ?? 0n);
  const firstSge = Number(listed[0]?.sgeLength ?? 0n);
  const steps: number[] = [];
  for (let more = dice.below(10); more > 0; more--) {
    const step = dice.choose(
      [4, () => 1 + dice.below(5000)],
      [2, () => firstSegment],
      [2, () => firstSge],
      [2, () => 4096],
      [2, () => dice.pick(1, 7, 4095, 4097)],
      [2, () => 0],
    );
    steps.push(Math.min(step, left));
    left -= Math.min(step, left);
  }
  // Cover all bytes if an SGE is stale, because a walk may refuse a stale SGE only when it reaches that SGE.
  if (listed.some(isStale) || !dice.rarely(4)) steps.push(left);
  else if (dice.rarely(3)) steps.push(left + 1 + dice.below(5000));
  return steps;
}

export function refs(scene: Scene): Operation | undefined {
  const region = scene.dice.recent([...scene.session.regions.values()]);
  return region === undefined ? undefined : { op: 'refs', mr: scene.name(region.id) };
}
