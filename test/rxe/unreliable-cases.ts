// What two peers must do with each other over UC and UD, as cases.ts over RC.
import { setTimeout as sleep } from 'node:timers/promises';
import { BthOpcode } from '../../lib/internal/layout';
import type { Case } from './cases';
import { DATAGRAM_BYTES, GRH_BYTES, type PeerRegion, type PeerRequest, Right } from './peer';
import type { Scene } from './scene';

const SEED = 5;
const SIZES = [0, 1, 1024, 1025, 5000, 65_536] as const;
const DATAGRAMS = [0, 1, 7, 1024, DATAGRAM_BYTES] as const;
const QKEY = 0x1234567;

const ucOpcodes = new Set<number>(
  Object.values(BthOpcode).filter((code) => typeof code === 'number' && code >> 5 === 1) as number[],
);
const succeeded = (id: number) => expect.objectContaining({ id, status: 'SUCCESS' });

function request(
  operation: PeerRequest['operation'],
  own: PeerRegion,
  target: PeerRegion | undefined,
  length: number,
  rest: Partial<PeerRequest> = {},
): PeerRequest {
  const remote = target && { address: target.address, rkey: target.rkey };
  return { id: 1, operation, region: own, length, ...remote, ...rest };
}

/** Waits until a range is of the pattern, at most 10 s. */
async function written(region: PeerRegion, length: number): Promise<void> {
  const end = performance.now() + 10_000;
  while ((await region.differs(SEED, 0, length)) >= 0 && performance.now() < end) await sleep(1);
  expect(await region.differs(SEED, 0, length)).toBe(-1);
}

/** Nothing but requests was on the wire. */
function expectNoAnswer(scene: Scene): void {
  for (const { opcode } of scene.packets()) expect(ucOpcodes).toContain(opcode);
}

/* --- UC --- */

function sends(length: number): Case {
  return {
    title: `UC: SEND of ${length} bytes`,
    async run(scene) {
      const { asking, answering } = await scene.connect({ service: 'uc' });
      const { own, target } = await scene.regions(length + 16);
      await own.fill(SEED);
      await answering.receive(8, target, 0, length + 8);
      await asking.post(request('send', own, undefined, length));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(await answering.completions(1)).toEqual([{ id: 8, status: 'SUCCESS', length }]);
      expect(await target.differs(SEED, 0, length)).toBe(-1);
      expect(await target.word(length)).toBe(0n);
      expectNoAnswer(scene);
    },
  };
}

function writes(length: number): Case {
  return {
    title: `UC: WRITE of ${length} bytes, and one with immediate`,
    async run(scene) {
      const { asking, answering } = await scene.connect({ service: 'uc' });
      const { own, target } = await scene.regions(length + 16);
      await own.fill(SEED);
      await asking.post(request('write', own, target, length));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      await written(target, length);
      await own.fill(SEED + 1);
      await answering.receive(9, target, 0, 0);
      await asking.post(request('write_imm', own, target, length, { immediate: 0xabcd_ef01 }));
      expect(await answering.completions(1)).toEqual([
        { id: 9, status: 'SUCCESS', length, immediate: 0xabcd_ef01 },
      ]);
      expect(await target.differs(SEED + 1, 0, length)).toBe(-1);
      expect(await target.word(length)).toBe(0n);
      expectNoAnswer(scene);
    },
  };
}

const uc: readonly Case[] = [
  ...SIZES.map(sends),
  ...SIZES.map(writes),
  ...(['first', 'middle', 'last'] as const).map((which, after): Case => ({
    title: `UC: a SEND whose ${which} packet is lost is lost, and the next ones arrive`,
    async run(scene) {
      const { asking, answering } = await scene.connect({ service: 'uc' });
      const { own, target } = await scene.regions(4096);
      await own.fill(SEED);
      scene.requests({ does: 'lose', picks: () => true, after });
      for (const id of [8, 9]) await answering.receive(id, target, 0, 4096);
      await asking.post(request('send', own, undefined, 3 * 1024));
      await asking.post(request('send', own, undefined, 2000, { id: 2 }));
      await asking.post(request('send', own, undefined, 2500, { id: 3 }));
      expect(await asking.completions(3)).toEqual([succeeded(1), succeeded(2), succeeded(3)]);
      const lengths = which !== 'first' && scene.responder.losesNextMessage ? [2500] : [2000, 2500];
      expect(await answering.completions(lengths.length)).toEqual(
        lengths.map((length, i) => ({ id: 8 + i, status: 'SUCCESS', length })),
      );
      expect(await target.differs(SEED, 0, 2500)).toBe(-1);
      expectNoAnswer(scene);
    },
  })),
  {
    title: 'UC: a WRITE that is refused is dropped, and the next one arrives',
    async run(scene) {
      const { asking, answering } = await scene.connect({ service: 'uc' });
      const { own, target } = await scene.regions(4096);
      const closed = await scene.responder.region(4096, Right.LocalWrite);
      await own.fill(SEED);
      await asking.post(request('write', own, closed, 2000));
      await asking.post(request('write', own, target, 2000, { id: 2, rkey: target.rkey ^ 0x5a_5000 }));
      await asking.post(request('write', own, target, 2000, { id: 3 }));
      expect(await asking.completions(3)).toEqual([succeeded(1), succeeded(2), succeeded(3)]);
      await written(target, 2000);
      expect(await closed.word(0)).toBe(0n);
      expect([await asking.state(), await answering.state()]).toEqual(['RTS', 'RTS']);
      expectNoAnswer(scene);
    },
  },
  {
    title: 'UC: a SEND without a receive is dropped, and the next one arrives',
    async run(scene) {
      const { asking, answering } = await scene.connect({ service: 'uc' });
      const { own, target } = await scene.regions(4096);
      await own.fill(SEED);
      await asking.post(request('send', own, undefined, 2000));
      await asking.post(request('write', own, target, 2000, { id: 2 }));
      expect(await asking.completions(2)).toEqual([succeeded(1), succeeded(2)]);
      await written(target, 2000); // what was sent in front of it has arrived, too
      await answering.receive(8, target, 0, 4096);
      await asking.post(request('send', own, undefined, 1500, { id: 3 }));
      expect(await answering.completions(1)).toEqual([{ id: 8, status: 'SUCCESS', length: 1500 }]);
      expect(await answering.state()).toBe('RTS');
      expectNoAnswer(scene);
    },
  },
];

/* --- UD --- */

/** The last 8 bytes of the header in front of a datagram: over IPv4 both addresses, over IPv6 the end of the receiver's. */
function addressWord(scene: Scene): bigint {
  const [from, to] = [scene.requester, scene.responder].map((peer) => peer.addressOf(scene.family));
  const ipv4 = (text = ''): number[] => text.split('.').map(Number);
  const bytes =
    scene.family === 'ipv4'
      ? [...ipv4(from), ...ipv4(to)]
      : [0, 0, 0, 0, 0, 0, 0, parseInt(to?.split('::')[1] ?? '', 16)];
  return Buffer.from(bytes).readBigUInt64LE();
}

function datagrams(length: number): Case {
  return {
    title: `UD: a datagram of ${length} bytes, with immediate, behind its header`,
    async run(scene) {
      const { asking, answering } = await scene.datagrams(QKEY);
      const { own, target } = await scene.regions(GRH_BYTES + length + 16);
      await own.fill(SEED);
      await answering.receive(8, target, 0, GRH_BYTES + length + 8);
      const to = {
        address: scene.responder.addressOf(scene.family),
        number: answering.number,
        qkey: QKEY,
      };
      await asking.post(request('send_imm', own, undefined, length, { to, immediate: 0x1020_3040 }));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(await answering.completions(1)).toEqual([
        {
          id: 8,
          status: 'SUCCESS',
          length: GRH_BYTES + length,
          immediate: 0x1020_3040,
          from: asking.number,
        },
      ]);
      expect(await target.word(32)).toBe(addressWord(scene));
      expect(await target.differs(SEED, GRH_BYTES, length)).toBe(-1);
      expect(await target.word(GRH_BYTES + length)).toBe(0n);
      expect(scene.packets()).toHaveLength(1);
    },
  };
}

const ud: readonly Case[] = [
  ...DATAGRAMS.map(datagrams),
  {
    title: 'UD: datagrams to two queue pairs, and back',
    async run(scene) {
      const { asking, answering } = await scene.datagrams(QKEY);
      const other = await scene.responder.pair(scene.family, 'ud');
      await other.activate({ psn: 7, qkey: QKEY });
      const { own, target } = await scene.regions(4096);
      await own.fill(SEED);
      for (const [i, pair] of [answering, other].entries()) {
        const there = { address: scene.responder.addressOf(scene.family), number: pair.number, qkey: QKEY };
        const back = { address: scene.requester.addressOf(scene.family), number: asking.number, qkey: QKEY };
        await pair.receive(8, target, 0, 1000);
        await asking.post(request('send', own, undefined, 100 + i, { to: there }));
        expect(await asking.completions(1)).toEqual([succeeded(1)]);
        expect(await pair.completions(1)).toEqual([
          { id: 8, status: 'SUCCESS', length: GRH_BYTES + 100 + i, from: asking.number },
        ]);
        await asking.receive(9, own, 2000, 1000);
        await pair.post(request('send', target, undefined, 50 + i, { id: 2, to: back }));
        expect(await pair.completions(1)).toEqual([succeeded(2)]);
        expect(await asking.completions(1)).toEqual([
          { id: 9, status: 'SUCCESS', length: GRH_BYTES + 50 + i, from: pair.number },
        ]);
      }
    },
  },
  {
    title: 'UD: a wrong Q_Key and a missing receive drop a datagram, and the next one arrives',
    async run(scene) {
      const { asking, answering } = await scene.datagrams(QKEY);
      const { own, target } = await scene.regions(4096);
      const to = {
        address: scene.responder.addressOf(scene.family),
        number: answering.number,
        qkey: QKEY,
      };
      await own.fill(SEED);
      const other = await scene.responder.pair(scene.family, 'ud');
      await other.activate({ psn: 7, qkey: QKEY });
      await other.receive(7, target, 0, 1000);
      await asking.post(request('send', own, undefined, 10, { to }));
      await asking.post(request('send', own, undefined, 10, { to: { ...to, number: other.number } }));
      expect(await asking.completions(2)).toEqual([succeeded(1), succeeded(1)]);
      // What was sent in front of it has arrived, too.
      expect(await other.completions(1)).toEqual([expect.objectContaining({ id: 7, status: 'SUCCESS' })]);
      await answering.receive(8, target, 0, 1000);
      await asking.post(request('send', own, undefined, 20, { to: { ...to, qkey: QKEY + 1 } }));
      await asking.post(request('send', own, undefined, 30, { to }));
      expect(await asking.completions(2)).toEqual([succeeded(1), succeeded(1)]);
      expect(await answering.completions(1)).toEqual([
        { id: 8, status: 'SUCCESS', length: GRH_BYTES + 30, from: asking.number },
      ]);
      expect([await asking.state(), await answering.state()]).toEqual(['RTS', 'RTS']);
      expect(scene.packets()).toHaveLength(4);
    },
  },
];

export const unreliableCases: readonly Case[] = [...uc, ...ud];
