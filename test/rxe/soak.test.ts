// Connections that come and go between soft-RoCE and an endpoint for minutes, over a network that loses one packet in a hundred, while
// memory is taken back and registered anew. RDMAVT_RXE_SOAK is for how many seconds; default 60.
import { setTimeout as sleep } from 'node:timers/promises';
import { describeIf } from '../support/conditions';
import { collect } from '../support/garbage';
import { EndpointPeer } from './endpoint-peer';
import { playMixedRequests } from './mixed-requests';
import { numbersFrom } from './numbers';
import type { PeerRegion } from './peer';
import { type Connected, Scene } from './scene';
import { BOOT_LIMIT_MS, Session, whyNot } from './session';

const SOAK_MS = Number(process.env.RDMAVT_RXE_SOAK ?? 60) * 1000;
const SEED = Number(process.env.RDMAVT_RXE_SEED ?? 19);
const LOST = 0.01;
/**
 * For the connection whose memory is taken back: with 7, soft-RoCE never gives up, but it must if the NAK of a queue pair that has
 * failed is lost. The other connections need 7, because soft-RoCE does not begin to count anew when a part of a message was acknowledged.
 */
const GIVES_UP = { retryCount: 6 };
const CONNECTIONS = 3;
const REQUESTS = 16;
const SLOT = 16_384;
const REVOKED_LENGTH = 200_000;
/** What memory may grow between a third of the time and the end. In ten minutes some thousand connections come and go. */
const MOST_GROWTH = { heap: 2 << 20, resident: 64 << 20 };

const told = { rounds: 0, connections: 0, requests: 0, lost: 0, revoked: 0, refused: 0 };

const because = whyNot('sockets');

describeIf(because === undefined, because ?? '')('connections over a bad network', () => {
  let session: Session | undefined; // not there if the guest does not boot
  let endpoint: EndpointPeer | undefined;
  beforeAll(async () => {
    session = await Session.open();
    endpoint = EndpointPeer.bySockets(await session.openTap());
  }, BOOT_LIMIT_MS);
  afterAll(async () => {
    await endpoint?.close();
    await session?.close();
  });

  test(
    `come and go for ${SOAK_MS / 1000} s: nothing is lost, nothing stays behind`,
    async () => {
      const random = numbersFrom(SEED);
      const end = performance.now() + SOAK_MS;
      const middle = end - (2 / 3) * SOAK_MS;
      let before: Memory | undefined;
      for (; performance.now() < end; told.rounds++) {
        await playRound(session!, endpoint!, random);
        expect(endpoint!.device.resources()).toMatchObject({ queuePairs: [], regions: [] });
        if (before === undefined && performance.now() > middle) before = await memory();
      }
      const { malformed, wrongSource, tooLong, unsent } = endpoint!.endpoints.ipv4.counters();
      expect({ malformed, wrongSource, tooLong, unsent }).toEqual({
        malformed: 0,
        wrongSource: 0,
        tooLong: 0,
        unsent: 0,
      });
      const after = await memory();
      const grown = { heap: after.heap - before!.heap, resident: after.resident - before!.resident };
      console.log(`soak: ${JSON.stringify({ ...told, grown })}`);
      expect(grown.heap).toBeLessThan(MOST_GROWTH.heap);
      expect(grown.resident).toBeLessThan(MOST_GROWTH.resident);
      expect(told.lost).toBeGreaterThan(told.rounds);
      expect(told.refused).toBeGreaterThan(0);
    },
    SOAK_MS + 120_000,
  );
});

type Memory = typeof MOST_GROWTH;

async function memory(): Promise<Memory> {
  await collect(() => false);
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, resident: rss };
}

/** Some connections do requests of every kind at once; memory that one of them writes to is taken back meanwhile. */
async function playRound(session: Session, endpoint: EndpointPeer, random: () => number): Promise<void> {
  const guest = session.guest('sockets');
  const asksGuest = random() < 0.5;
  const scene = new Scene(
    {
      requester: asksGuest ? guest : endpoint,
      responder: asksGuest ? endpoint : guest,
      wire: session.machine.socketWire,
      requestsTowards: asksGuest ? 'host' : 'guest',
    },
    random() < 0.5 ? 'ipv4' : 'ipv6',
  );
  try {
    const loses = { does: 'lose', picks: () => random() < LOST, times: Infinity } as const;
    const rules = [scene.requests(loses), scene.answers(loses)];
    const work: Promise<void>[] = [];
    for (let i = 0; i < CONNECTIONS; i++)
      work.push(playMixedRequests(scene, await scene.connect(), random, REQUESTS, SLOT));
    work.push(playRevocation(scene, await scene.connect({ both: GIVES_UP }), random));
    await Promise.all(work);
    told.connections += CONNECTIONS + 1;
    told.requests += CONNECTIONS * REQUESTS;
    told.lost += rules.reduce((sum, { treated }) => sum + treated, 0);
  } catch (error) {
    if (error instanceof Error)
      error.message += `\n\nround ${told.rounds}, ${scene.requester.title} asks: ${scene.story()}`;
    throw error;
  } finally {
    await scene.end();
  }
}

/** A WRITE whose target is taken back at some moment: it is done, or refused, and moves no byte afterwards. */
async function playRevocation(scene: Scene, { asking }: Connected, random: () => number): Promise<void> {
  const { own, target } = await scene.regions(REVOKED_LENGTH);
  const seed = 1 + Math.floor(random() * 200);
  await own.fill(seed);
  const { address, rkey, length } = target;
  await asking.post({ id: 1, operation: 'write', region: own, length, address, rkey });
  await sleep(random() * 12);
  await target.deregister();
  const seen = bytesOf(target);
  const [{ status } = { status: undefined }] = await asking.completions(1);
  // RETRY_EXC_ERR: the NAK was lost, and the responder, in ERR by then, answers nothing more.
  expect(['SUCCESS', 'REM_ACCESS_ERR', 'RETRY_EXC_ERR']).toContain(status);
  expect(bytesOf(target)).toEqual(seen);
  if (status === 'SUCCESS' && seen) expect(await target.differs(seed)).toBe(-1);
  if (status !== 'SUCCESS') {
    expect(await asking.state()).toBe('ERR');
    told.refused++;
  }
  told.revoked++;
}

/** A copy of a region's bytes; undefined in the guest, which gives none of a region that was taken back. */
function bytesOf(region: PeerRegion): Buffer | undefined {
  const { bytes } = region as { bytes?: Buffer };
  return bytes && Buffer.from(bytes);
}
