// What two peers must do with each other, whichever of them is soft-RoCE. Each case can be run over each link, in both roles, over
// IPv4 and IPv6. It says what both sides see: completions, memory, states, and the packets on the wire.
import { setTimeout as sleep } from 'node:timers/promises';
import { BthOpcode } from '../../lib/internal/layout';
import { playMixedRequests } from './mixed-requests';
import { numbersFrom } from './numbers';
import { ALL_RIGHTS, Nak, type PeerRegion, type PeerRequest, Right } from './peer';
import type { Scene } from './scene';
import type { RocePacket } from './packets';

export interface Case {
  readonly title: string;
  readonly run: (scene: Scene) => Promise<void>;
}

const SEED = 3;
const SIZES = [0, 1, 7, 64, 1024, 1025, 5000, 65_536] as const;
const PAGE = 4096;
const MIB = 1 << 20;

const is =
  (...opcodes: readonly number[]) =>
  ({ opcode }: RocePacket): boolean =>
    opcodes.includes(opcode);
const isAcknowledge = is(BthOpcode.RcAcknowledge);

/** How many packets with the opcode were on the wire. */
function count(scene: Scene, opcode: BthOpcode): number {
  return scene.packets().filter((packet) => packet.opcode === (opcode as number)).length;
}

/** Syndromes of the acknowledge packets on the wire that refuse. */
function naks(scene: Scene): number[] {
  return scene
    .packets()
    .filter(({ opcode, syndrome }) => opcode === (BthOpcode.RcAcknowledge as number) && syndrome >= 0x60)
    .map(({ syndrome }) => syndrome);
}

/** Waits until the beginning of a region is of the pattern, at most 10 s. */
async function written(region: PeerRegion, length: number): Promise<void> {
  const end = performance.now() + 10_000;
  while ((await region.differs(SEED, 0, length)) >= 0 && performance.now() < end) await sleep(1);
}

const succeeded = (id: number) => expect.objectContaining({ id, status: 'SUCCESS' });
const failed = (id: number, status: string) => expect.objectContaining({ id, status });

/** A request of `length` bytes from the beginning of one region to the beginning of the other. */
function request(
  operation: PeerRequest['operation'],
  own: PeerRegion,
  target: PeerRegion | undefined,
  length: number,
  rest: Partial<PeerRequest> = {},
): PeerRequest {
  return {
    id: 1,
    operation,
    region: own,
    length,
    ...(target && { address: target.address, rkey: target.rkey }),
    ...rest,
  };
}

/* --- what is allowed --- */

function writes(length: number): Case {
  return {
    title: `WRITE of ${length} bytes`,
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(length + 16);
      await own.fill(SEED);
      await asking.post(request('write', own, target, length));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(await target.differs(SEED, 0, length)).toBe(-1);
      expect(await target.word(length)).toBe(0n); // nothing behind the range
      expect(naks(scene)).toEqual([]);
    },
  };
}

function reads(length: number): Case {
  return {
    title: `READ of ${length} bytes`,
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(length + 16);
      await target.fill(SEED);
      await asking.post(request('read', own, target, length));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(await own.differs(SEED, 0, length)).toBe(-1);
      expect(await own.word(length)).toBe(0n);
      expect(naks(scene)).toEqual([]);
    },
  };
}

function sends(length: number): Case {
  return {
    title: `SEND of ${length} bytes`,
    async run(scene) {
      const { asking, answering } = await scene.connect();
      const { own, target } = await scene.regions(length + 16);
      await own.fill(SEED);
      await answering.receive(8, target, 0, length + 8);
      await asking.post(request('send', own, undefined, length));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(await answering.completions(1)).toEqual([{ id: 8, status: 'SUCCESS', length }]);
      expect(await target.differs(SEED, 0, length)).toBe(-1);
      expect(await target.word(length)).toBe(0n);
    },
  };
}

const allowed: readonly Case[] = [
  ...SIZES.map(writes),
  ...SIZES.map(reads),
  ...SIZES.map(sends),
  {
    title: 'WRITE with immediate takes a receive, whose memory it leaves alone',
    async run(scene) {
      const { asking, answering } = await scene.connect();
      const { own, target } = await scene.regions(PAGE);
      await own.fill(SEED);
      await answering.receive(8, target, 3000, 64);
      await answering.receive(9, target, 3000, 0);
      const immediate = { immediate: 0xcafe_0001 };
      await asking.post(request('write_imm', own, target, 2000, immediate));
      await asking.post(request('write_imm', own, target, 0, { id: 2, immediate: 7 }));
      expect(await asking.completions(2)).toEqual([succeeded(1), succeeded(2)]);
      expect(await answering.completions(2)).toEqual([
        { id: 8, status: 'SUCCESS', length: 2000, immediate: 0xcafe_0001 },
        { id: 9, status: 'SUCCESS', length: 0, immediate: 7 },
      ]);
      expect(await target.differs(SEED, 0, 2000)).toBe(-1);
      expect(await target.word(3000)).toBe(0n);
    },
  },
  {
    title: 'SEND with immediate',
    async run(scene) {
      const { asking, answering } = await scene.connect();
      const { own, target } = await scene.regions(PAGE);
      await own.fill(SEED);
      await answering.receive(8, target, 0, PAGE);
      await asking.post(request('send_imm', own, undefined, 3000, { immediate: 0xffff_ffff }));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(await answering.completions(1)).toEqual([
        { id: 8, status: 'SUCCESS', length: 3000, immediate: 0xffff_ffff },
      ]);
      expect(await target.differs(SEED, 0, 3000)).toBe(-1);
    },
  },
  {
    title: 'SEND with invalidate ends a key: it is refused afterwards',
    async run(scene) {
      const { asking, answering } = await scene.connect();
      const { own, target } = await scene.regions(PAGE);
      const receives = await scene.responder.region(PAGE);
      const window = await scene.responder.window(answering, target);
      await own.fill(SEED);
      await answering.receive(8, receives, 0, 64);
      const through = { address: window.address, rkey: window.rkey };
      await asking.post(request('write', own, target, 100, through));
      await asking.post(request('send_inv', own, undefined, 16, { id: 2, invalidate: window.rkey }));
      expect(await asking.completions(2)).toEqual([succeeded(1), succeeded(2)]);
      expect(await answering.completions(1)).toEqual([
        { id: 8, status: 'SUCCESS', length: 16, invalidated: window.rkey },
      ]);
      expect(await target.differs(SEED, 0, 100)).toBe(-1);
      await own.fill(SEED + 1);
      await asking.post(request('write', own, target, 100, { ...through, id: 3 }));
      expect(await asking.completions(1)).toEqual([failed(3, 'REM_ACCESS_ERR')]);
      expect(await target.differs(SEED, 0, 100)).toBe(-1);
      expect(naks(scene)).toEqual([Nak.RemoteAccess]);
    },
  },
  {
    title: 'compare and swap, once with the expected value and once without',
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(64);
      await target.setWord(8, 77n);
      const at = { address: target.address + 8n };
      await asking.post(request('cas', own, target, 8, { ...at, compare: 77n, swap: 99n }));
      await asking.post(request('cas', own, target, 8, { ...at, id: 2, offset: 8, compare: 5n, swap: 6n }));
      expect(await asking.completions(2)).toEqual([succeeded(1), succeeded(2)]);
      expect([await own.word(0), await own.word(8)]).toEqual([77n, 99n]);
      expect([await target.word(0), await target.word(8), await target.word(16)]).toEqual([0n, 99n, 0n]);
    },
  },
  {
    title: 'fetch and add, also past 2^64',
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(64);
      await target.setWord(16, 2n ** 64n - 1n);
      for (const id of [1, 2, 3]) {
        const rest = { id, offset: 8 * id, address: target.address + 16n, add: 2n };
        await asking.post(request('faa', own, target, 8, rest));
      }
      expect(await asking.completions(3)).toEqual([succeeded(1), succeeded(2), succeeded(3)]);
      expect([await own.word(8), await own.word(16), await own.word(24)]).toEqual([2n ** 64n - 1n, 1n, 3n]);
      expect(await target.word(16)).toBe(5n);
    },
  },
  ...([256, 4096] as const).map((mtu): Case => ({
    title: `WRITE, READ and SEND of 65,536 bytes with a path MTU of ${mtu}`,
    async run(scene) {
      const { asking, answering } = await scene.connect({ both: { mtu } });
      const { own, target } = await scene.regions(65_536);
      const [back, receives] = [await scene.requester.region(65_536), await scene.responder.region(65_536)];
      await own.fill(SEED);
      await answering.receive(8, receives, 0, 65_536);
      await asking.post(request('write', own, target, 65_536));
      await asking.post(request('read', back, target, 65_536, { id: 2 }));
      await asking.post(request('send', own, undefined, 65_536, { id: 3 }));
      expect(await asking.completions(3)).toEqual([succeeded(1), succeeded(2), succeeded(3)]);
      expect(await target.differs(SEED)).toBe(-1);
      expect(await back.differs(SEED)).toBe(-1);
      expect(await receives.differs(SEED)).toBe(-1);
      const lengths = scene.packets().map(({ payload }) => payload.length);
      expect(Math.max(...lengths)).toBe(mtu);
    },
  })),
  ...([256, 4096] as const).map((mtu): Case => ({
    title: `WRITE and READ of 1 MiB with a path MTU of ${mtu}`,
    async run(scene) {
      const { asking } = await scene.connect({ both: { mtu } });
      const { own, target } = await scene.regions(MIB);
      const back = await scene.requester.region(MIB);
      await own.fill(SEED);
      await asking.post(request('write', own, target, MIB));
      await asking.post(request('read', back, target, MIB, { id: 2 }));
      expect(await asking.completions(2)).toEqual([succeeded(1), succeeded(2)]);
      expect(await target.differs(SEED)).toBe(-1);
      expect(await back.differs(SEED)).toBe(-1);
    },
  })),
  {
    title: 'both ask each other at the same time',
    async run(scene) {
      const { asking, answering } = await scene.connect();
      const { own, target } = await scene.regions(65_536);
      // From the first half of each region to the second half of the other: seven WRITEs, and a SEND behind them.
      const HALF = 32_768;
      const SENT_AT = 7 * PAGE;
      await own.fill(SEED, 0, HALF);
      await target.fill(SEED + 1, 0, HALF);
      await asking.receive(100, own, HALF + SENT_AT, 64);
      await answering.receive(100, target, HALF + SENT_AT, 64);
      const ids = Array.from({ length: 8 }, (_, id) => id);
      for (const id of ids) {
        const offset = PAGE * id;
        const rest = (to: PeerRegion) => ({ id, offset, address: to.address + BigInt(HALF + offset) });
        const [operation, length] = offset === SENT_AT ? (['send', 64] as const) : (['write', PAGE] as const);
        await asking.post(request(operation, own, target, length, rest(target)));
        await answering.post(request(operation, target, own, length, rest(own)));
      }
      for (const pair of [asking, answering]) {
        const found = await pair.completions(9);
        expect(found.filter(({ id }) => id < 100)).toEqual(ids.map(succeeded));
        expect(found.filter(({ id }) => id === 100)).toEqual([{ id: 100, status: 'SUCCESS', length: 64 }]);
      }
      expect(await target.differs(SEED, HALF, SENT_AT + 64)).toBe(-1);
      expect(await own.differs(SEED + 1, HALF, SENT_AT + 64)).toBe(-1);
      expect(naks(scene)).toEqual([]);
    },
  },
  {
    title: '60 requests that are posted at once',
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(65_536);
      const back = await scene.requester.region(65_536);
      await own.fill(SEED);
      const ids = Array.from({ length: 60 }, (_, id) => id);
      for (const id of ids) {
        // Pairs of a WRITE and a READ of the same place.
        const offset = 1024 * (id >> 1);
        const rest = { id, offset, address: target.address + BigInt(offset) };
        const [operation, region] = id % 2 ? (['read', back] as const) : (['write', own] as const);
        await asking.post(request(operation, region, target, 1024, rest));
      }
      expect(await asking.completions(60)).toEqual(ids.map(succeeded));
      expect(await target.differs(SEED, 0, 30 * 1024)).toBe(-1);
      expect(await back.differs(SEED, 0, 30 * 1024)).toBe(-1);
    },
  },
  {
    title: 'a WRITE and a READ of 0 bytes with a key that does not exist',
    async run(scene) {
      const { asking } = await scene.connect();
      const { own } = await scene.regions(64);
      const nowhere = { address: 1n, rkey: 0x6300 };
      await asking.post(request('write', own, undefined, 0, nowhere));
      await asking.post(request('read', own, undefined, 0, { ...nowhere, id: 2 }));
      expect(await asking.completions(2)).toEqual([succeeded(1), succeeded(2)]);
    },
  },
];

/* --- what is refused --- */

interface Refusal {
  readonly title: string;
  readonly operation: PeerRequest['operation'];
  readonly length: number;
  /** Rights of the responder's region; default: all. */
  readonly rights?: number;
  /** Rights of its queue pair; default: all. */
  readonly pairRights?: number;
  readonly changed?: (target: PeerRegion) => Partial<PeerRequest>;
  /** Whether the region is deregistered first. */
  readonly isGone?: boolean;
  readonly status: 'REM_ACCESS_ERR' | 'REM_INV_REQ_ERR';
}

const wrongKey = (mask: number) => (target: PeerRegion) => ({ rkey: (target.rkey ^ mask) >>> 0 });
const at = (offset: bigint) => (target: PeerRegion) => ({ address: target.address + offset });

const refusals: readonly Refusal[] = [
  ...(['write', 'read', 'faa', 'cas'] as const).flatMap((operation): Refusal[] => {
    const common = { operation, length: 8, status: 'REM_ACCESS_ERR' } as const;
    const name = { write: 'WRITE', read: 'READ', faa: 'fetch and add', cas: 'compare and swap' }[operation];
    const right = operation === 'write' ? Right.RemoteWrite : operation === 'read' ? Right.RemoteRead : 8;
    return [
      { ...common, title: `${name} with a key that does not exist`, changed: wrongKey(0x5a_5000) },
      { ...common, title: `${name} with a stale key, whose low byte differs`, changed: wrongKey(1) },
      { ...common, title: `${name} with the key of a region that is gone`, isGone: true },
      { ...common, title: `${name} without the region's right`, rights: ALL_RIGHTS & ~right },
      {
        ...common,
        title: `${name} without the queue pair's right`,
        pairRights: ALL_RIGHTS & ~right,
        status: 'REM_INV_REQ_ERR',
      },
      { ...common, title: `${name} in front of the region`, changed: at(-8n) },
      { ...common, title: `${name} behind the region`, changed: at(BigInt(PAGE)) },
    ];
  }),
  {
    title: 'WRITE that leaves the region by one byte',
    operation: 'write',
    length: 17,
    changed: at(BigInt(PAGE - 16)),
    status: 'REM_ACCESS_ERR',
  },
  {
    title: 'WRITE whose third packet leaves the region: nothing is written',
    operation: 'write',
    length: 3000,
    changed: at(BigInt(PAGE - 2500)),
    status: 'REM_ACCESS_ERR',
  },
  {
    title: 'READ that leaves the region',
    operation: 'read',
    length: PAGE + 1,
    status: 'REM_ACCESS_ERR',
  },
  {
    title: 'WRITE to an address that wraps at 2^64',
    operation: 'write',
    length: 64,
    changed: () => ({ address: 2n ** 64n - 32n }),
    status: 'REM_ACCESS_ERR',
  },
];

function refused(refusal: Refusal): Case {
  const { title, operation, length, rights, pairRights, changed, isGone, status } = refusal;
  return {
    title: `refuses a ${title}`,
    async run(scene) {
      const { asking } = await scene.connect({ answering: { rights: pairRights ?? ALL_RIGHTS } });
      const own = await scene.requester.region(2 * PAGE);
      const target = await scene.responder.region(PAGE, rights);
      await own.fill(SEED);
      await target.fill(SEED + 1);
      if (isGone) await target.deregister();
      const operands = { compare: 0n, swap: 1n, add: 1n };
      await asking.post(request(operation, own, target, length, { ...operands, ...changed?.(target) }));
      expect(await asking.completions(1)).toEqual([failed(1, status)]);
      expect(await asking.state()).toBe('ERR');
      expect(naks(scene)).toEqual([status === 'REM_ACCESS_ERR' ? Nak.RemoteAccess : Nak.InvalidRequest]);
      // Neither the responder's memory has changed, nor the requester's.
      expect(await target.differs(SEED + 1)).toBe(-1);
      expect(await own.differs(SEED)).toBe(-1);
    },
  };
}

const refusedCases: readonly Case[] = [
  ...refusals.map(refused),
  {
    title: 'refuses a SEND that is longer than the receive, whose completion says so',
    async run(scene) {
      const { asking, answering } = await scene.connect();
      const { own, target } = await scene.regions(PAGE);
      await answering.receive(8, target, 0, 10);
      await asking.post(request('send', own, undefined, 20));
      const { requester, responder, syndrome } = scene.responder.tooLong;
      expect(await asking.completions(1)).toEqual([failed(1, requester)]);
      expect(await answering.completions(1)).toEqual([failed(8, responder)]);
      expect(naks(scene)).toEqual([syndrome]);
      expect(await target.word(0)).toBe(0n);
    },
  },
  {
    title: 'requests behind a refused one are flushed, and change nothing',
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(PAGE);
      await own.fill(SEED);
      await target.fill(SEED + 1);
      await asking.post(request('write', own, target, 16, wrongKey(1)(target)));
      // The refusal may arrive before this is posted; it is flushed then too.
      await asking.post(request('write', own, target, 16, { id: 2 }));
      expect(await asking.completions(2)).toEqual([failed(1, 'REM_ACCESS_ERR'), failed(2, 'WR_FLUSH_ERR')]);
      expect(await target.differs(SEED + 1)).toBe(-1);
    },
  },
  {
    title: 'a key that is revoked in the middle of a WRITE: what was written stays, the rest is refused',
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(65_536);
      await own.fill(SEED);
      const middle = scene.requests({ does: 'hold', picks: is(BthOpcode.RcWriteMiddle), after: 19 });
      // Packets behind the one that is held must not arrive before it.
      const behind = scene.requests({ does: 'lose', picks: () => middle.treated > 0, times: Infinity });
      await asking.post(request('write', own, target, 65_536));
      await middle.next();
      await written(target, 20 * 1024); // FIRST and 19 MIDDLE; some may be on their way from the wire
      await target.deregister();
      middle.release();
      expect(await asking.completions(1)).toEqual([failed(1, 'REM_ACCESS_ERR')]);
      expect(behind.treated).toBeGreaterThan(0);
      expect(naks(scene)).toEqual([Nak.RemoteAccess]);
      expect(await target.differs(SEED, 0, 20 * 1024)).toBe(-1);
      expect(await target.word(20 * 1024)).toBe(0n);
    },
  },
  {
    title: 'a key that is revoked in the middle of a READ: what was read stays, the rest is not answered',
    async run(scene) {
      const { refusesRepeatedRead } = scene.responder;
      // Linux takes a retry count of 7 for infinite.
      const { asking } = await scene.connect({ asking: { retryCount: refusesRepeatedRead ? 7 : 2 } });
      const { own, target } = await scene.regions(65_536);
      await target.fill(SEED);
      // The requester gets 20 responses, and asks for the rest when the key is gone.
      let taken = 0;
      let isGone = false;
      const rest = scene.answers({ does: 'lose', picks: () => !isGone && taken++ >= 20, times: Infinity });
      const again = scene.requests({
        does: 'hold',
        picks: ({ opcode }) => !isGone && opcode === (BthOpcode.RcReadRequest as number),
        after: 1,
        times: Infinity,
      });
      await asking.post(request('read', own, target, 65_536));
      await again.next();
      expect(rest.treated).toBeGreaterThan(0);
      await target.deregister();
      isGone = true;
      again.release();
      const status = refusesRepeatedRead ? scene.requester.brokenRead : 'RETRY_EXC_ERR';
      expect(await asking.completions(1)).toEqual([failed(1, status)]);
      expect(await asking.state()).toBe('ERR');
      expect(naks(scene)).toEqual(refusesRepeatedRead ? [Nak.RemoteAccess] : []);
      expect(await own.differs(SEED, 0, 20 * 1024)).toBe(-1); // FIRST and 19 MIDDLE
      expect(await own.word(20 * 1024)).toBe(0n);
    },
  },
];

/* --- a bad network --- */

const badNetwork: readonly Case[] = [
  ...(
    [
      ['the first packet', BthOpcode.RcWriteFirst, 0],
      ['a packet in the middle', BthOpcode.RcWriteMiddle, 2],
      ['the last packet', BthOpcode.RcWriteLast, 0],
    ] as const
  ).flatMap(([what, opcode, after]) =>
    (['lose', 'damage'] as const).map((does): Case => ({
      title: `WRITE of which ${what} is ${does === 'lose' ? 'lost' : 'damaged'}`,
      async run(scene) {
        const { asking } = await scene.connect();
        const { own, target } = await scene.regions(8000);
        await own.fill(SEED);
        const rule = scene.requests({ does, picks: is(opcode), after });
        await asking.post(request('write', own, target, 8000));
        expect(await asking.completions(1)).toEqual([succeeded(1)]);
        expect(rule.treated).toBe(1);
        expect(await target.differs(SEED)).toBe(-1);
        // The packet behind the missing one is answered once; the last packet has none behind it.
        expect(naks(scene)).toEqual(opcode === BthOpcode.RcWriteLast ? [] : [Nak.Sequence]);
        expect(scene.requestPackets).toBeGreaterThan(8);
      },
    })),
  ),
  {
    title: 'WRITE whose acknowledgement is lost twice is repeated',
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(64);
      await own.fill(SEED);
      const rule = scene.answers({ does: 'lose', picks: isAcknowledge, times: 2 });
      await asking.post(request('write', own, target, 64));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(rule.treated).toBe(2);
      expect(count(scene, BthOpcode.RcWriteOnly)).toBeGreaterThanOrEqual(3);
      expect(await target.differs(SEED)).toBe(-1);
    },
  },
  {
    title: 'SEND whose acknowledgement is lost takes one receive',
    async run(scene) {
      const { asking, answering } = await scene.connect();
      const { own, target } = await scene.regions(64);
      await own.fill(SEED);
      await answering.receive(8, target, 0, 64);
      await answering.receive(9, target, 0, 64);
      const rule = scene.answers({ does: 'lose', picks: isAcknowledge });
      await asking.post(request('send', own, undefined, 32));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(rule.treated).toBe(1);
      expect(scene.requestPackets).toBeGreaterThan(1);
      expect(await answering.completions(2, 50)).toEqual([{ id: 8, status: 'SUCCESS', length: 32 }]);
    },
  },
  {
    title: 'fetch and add whose answer is lost twice adds once',
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(64);
      await target.setWord(0, 40n);
      const rule = scene.answers({ does: 'lose', picks: is(BthOpcode.RcAtomicAcknowledge), times: 2 });
      await asking.post(request('faa', own, target, 8, { add: 2n }));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(rule.treated).toBe(2);
      expect(await own.word(0)).toBe(40n);
      expect(await target.word(0)).toBe(42n);
    },
  },
  ...(
    [
      ['the first response', BthOpcode.RcReadResponseFirst, 0],
      ['a response in the middle', BthOpcode.RcReadResponseMiddle, 2],
      ['the last response', BthOpcode.RcReadResponseLast, 0],
    ] as const
  ).map(([what, opcode, after]): Case => ({
    title: `READ of which ${what} is lost`,
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(8000);
      await target.fill(SEED);
      const rule = scene.answers({ does: 'lose', picks: is(opcode), after });
      await asking.post(request('read', own, target, 8000));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(rule.treated).toBe(1);
      expect(await own.differs(SEED)).toBe(-1);
      expect(count(scene, BthOpcode.RcReadRequest)).toBeGreaterThanOrEqual(2);
    },
  })),
  {
    title: 'READ whose request is lost',
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(3000);
      await target.fill(SEED);
      scene.requests({ does: 'lose', picks: is(BthOpcode.RcReadRequest) });
      await asking.post(request('read', own, target, 3000));
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(scene.requestPackets).toBeGreaterThan(1);
      expect(await own.differs(SEED)).toBe(-1);
    },
  },
  {
    title: 'packets that arrive twice are carried out once',
    async run(scene) {
      const { asking, answering } = await scene.connect();
      const { own, target } = await scene.regions(PAGE);
      const receives = await scene.responder.region(PAGE);
      await own.fill(SEED);
      await target.setWord(0, 40n);
      await answering.receive(8, receives, 0, 64);
      await answering.receive(9, receives, 64, 64);
      const rule = scene.requests({ does: 'repeat', picks: () => true, times: 3 });
      await asking.post(request('faa', await scene.requester.region(8), target, 8, { add: 2n }));
      await asking.post(request('send', own, undefined, 32, { id: 2 }));
      await asking.post(request('write', own, target, 64, { id: 3, address: target.address + 64n }));
      expect(await asking.completions(3)).toEqual([succeeded(1), succeeded(2), succeeded(3)]);
      expect(rule.treated).toBe(3);
      expect(await target.word(0)).toBe(42n);
      expect(await answering.completions(2, 50)).toEqual([{ id: 8, status: 'SUCCESS', length: 32 }]);
      expect(await target.differs(SEED, 64, 64)).toBe(-1);
    },
  },
  {
    title: 'a packet that arrives late: its successors are refused in sequence, and repeated',
    async run(scene) {
      const { asking } = await scene.connect();
      const { own, target } = await scene.regions(8000);
      await own.fill(SEED);
      const late = scene.requests({ does: 'hold', picks: is(BthOpcode.RcWriteMiddle), after: 2 });
      const refusals = scene.answers({ does: 'repeat', picks: isAcknowledge });
      await asking.post(request('write', own, target, 8000));
      await refusals.next();
      late.release();
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(await target.differs(SEED)).toBe(-1);
      expect(naks(scene)).toContain(Nak.Sequence);
    },
  },
  {
    title: 'a responder that nothing reaches: RETRY_EXC_ERR',
    async run(scene) {
      const { asking } = await scene.connect({ asking: { retryCount: 2 } });
      const { own, target } = await scene.regions(64);
      const rule = scene.requests({ does: 'lose', picks: () => true, times: Infinity });
      await asking.post(request('write', own, target, 64));
      expect(await asking.completions(1)).toEqual([failed(1, 'RETRY_EXC_ERR')]);
      expect(rule.treated).toBe(3);
      expect(await target.word(0)).toBe(0n);
      expect(await asking.state()).toBe('ERR');
    },
  },
  {
    title: 'a receiver that is not ready, and then is',
    async run(scene) {
      const { asking, answering } = await scene.connect({ answering: { minRnrTimer: 14 } });
      const { own, target } = await scene.regions(64);
      await own.fill(SEED);
      // An RNR NAK has passed before the receive is posted.
      const notReady = scene.answers({ does: 'repeat', picks: isAcknowledge });
      await asking.post(request('send', own, undefined, 64));
      await notReady.next();
      await answering.receive(8, target, 0, 64);
      expect(await asking.completions(1)).toEqual([succeeded(1)]);
      expect(await answering.completions(1)).toEqual([{ id: 8, status: 'SUCCESS', length: 64 }]);
      expect(await target.differs(SEED)).toBe(-1);
      expect(scene.packets().filter(({ syndrome }) => syndrome === 0x2e).length).toBeGreaterThan(0);
    },
  },
  {
    title: 'a receiver that is never ready: RNR_RETRY_EXC_ERR',
    async run(scene) {
      const { asking } = await scene.connect({ asking: { rnrRetry: 2 }, answering: { minRnrTimer: 1 } });
      const { own } = await scene.regions(64);
      await asking.post(request('send', own, undefined, 64));
      expect(await asking.completions(1)).toEqual([failed(1, 'RNR_RETRY_EXC_ERR')]);
      expect(scene.packets().filter(({ syndrome }) => syndrome === 0x21)).toHaveLength(3);
    },
  },
];

const SLOT = 8192;
const STORM = 96;
const STORM_SEED = 18;

/** Requests of every kind, while one packet in some dozens is lost, damaged or repeated. */
const storm: Case = {
  title: `${STORM} requests of every kind over a network that loses, damages and repeats packets`,
  async run(scene) {
    const random = numbersFrom(STORM_SEED);
    const connected = await scene.connect();
    const rules = [scene.requests, scene.answers].flatMap((apply) =>
      (['lose', 'damage', 'repeat'] as const).map((does) =>
        apply.call(scene, { does, picks: () => random() < 0.02, times: Infinity }),
      ),
    );
    await playMixedRequests(scene, connected, random, STORM, SLOT);
    expect(rules.reduce((sum, { treated }) => sum + treated, 0)).toBeGreaterThan(5); // of some 50
  },
};

export const cases: readonly Case[] = [...allowed, ...refusedCases, ...badNetwork, storm];
