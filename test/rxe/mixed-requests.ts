// Many requests of every kind on one connection, and the check that each was carried out once.
import type { Connected, Scene } from './scene';

const KINDS = ['write', 'read', 'send', 'faa'] as const;

/**
 * Posts requests of every kind, each with a place of its own in memory of both sides, and waits for them. Each must be carried out once,
 * whatever happened to its packets, and leave the bytes behind its place alone.
 *
 * @param count - how many requests
 * @param slot - bytes of a place
 */
export async function playMixedRequests(
  scene: Scene,
  { asking, answering }: Connected,
  random: () => number,
  count: number,
  slot: number,
): Promise<void> {
  const { own, target } = await scene.regions(count * slot);
  const olds = await scene.requester.region(8 * count);
  const counter = await scene.responder.region(8);
  const requests = Array.from({ length: count }, (_, id) => ({
    id,
    operation: KINDS[Math.floor(random() * KINDS.length)]!,
    length: 1 + Math.floor(random() * (slot - 16)),
    offset: id * slot,
  }));
  const sends = requests.filter(({ operation }) => operation === 'send');
  for (const { id, length, offset } of sends) await answering.receive(id, target, offset, length + 8);
  for (const { id, operation, length, offset } of requests) {
    if (operation === 'faa') {
      const { address, rkey } = counter;
      await asking.post({ id, operation, region: olds, offset: 8 * id, length: 8, address, rkey, add: 1n });
      continue;
    }
    await (operation === 'read' ? target : own).fill(id, offset, length);
    const address = target.address + BigInt(offset);
    await asking.post({ id, operation, region: own, offset, length, address, rkey: target.rkey });
  }
  expect(await asking.completions(count)).toEqual(
    requests.map(({ id }) => expect.objectContaining({ id, status: 'SUCCESS' })),
  );
  expect(await answering.completions(sends.length)).toEqual(
    sends.map(({ id, length }) => ({ id, status: 'SUCCESS', length })),
  );
  // None twice.
  expect(await asking.completions(1, 1)).toEqual([]);
  expect(await answering.completions(1, 1)).toEqual([]);
  let added = 0n;
  for (const { id, operation, length, offset } of requests) {
    if (operation === 'faa') {
      expect(await olds.word(8 * id)).toBe(added++);
      continue;
    }
    const to = operation === 'read' ? own : target;
    expect([id, await to.differs(id, offset, length)]).toEqual([id, -1]);
    expect([id, await to.word(offset + length)]).toEqual([id, 0n]);
  }
  expect(await counter.word(0)).toBe(added);
}
