// The machine itself, without an endpoint: its links in both directions, what the tests see of a packet, and what the guest says if
// nobody answers.
import { BthOpcode } from '../../lib/internal/layout';
import { describeIf } from '../support/conditions';
import { explainBytes } from '../explain/explained';
import { decodeCapture, decodePacket, type Decoded } from './decoded';
import type { Datagram, Link } from './link';
import { acknowledgement, ipPacket, ROCE_PORT } from './packets';
import { patternOf, type Family, type Peer } from './peer';
import { BOOT_LIMIT_MS, linkNames, Session, whyNot } from './session';

const families: readonly Family[] = ['ipv4', 'ipv6'];
/** Numbers of a queue pair that does not exist: nobody answers, or the test does. */
const NOBODY = { number: 0xabcde, psn: 0x1000 };
const PSN = 0xfffffe;

describeIf(whyNot('frames') === undefined, whyNot('frames') ?? '')('the machine', () => {
  let session: Session | undefined; // not there if the guest does not boot
  beforeAll(async () => {
    session = await Session.open();
  }, BOOT_LIMIT_MS);
  afterAll(async () => {
    await session?.close();
  });

  describe.each(linkNames)('a link: %s', (name) => {
    describeIf(whyNot(name) === undefined, whyNot(name) ?? '')('with a neighbour', () => {
      let link: Link;
      let guest: Peer;
      let seen: Datagram[];
      beforeEach(async () => {
        link = await session!.link(name);
        guest = session!.guest(name);
        seen = [];
        link.onDatagram = (datagram) => {
          seen.push(datagram);
        };
        link.wire.record();
      });
      afterEach(async () => {
        if (!session) return;
        link.wire.clear();
        await guest.reset();
        await link.close();
      });

      /** Posts a WRITE of 100 bytes to a queue pair that does not exist. */
      async function write(family: Family) {
        const region = await guest.region(4096);
        await region.fill(7);
        const pair = await guest.pair(family);
        const to = { address: link.place.host[family], ...NOBODY };
        await pair.connect(to, { psn: PSN, timeout: 14, retryCount: 2 });
        const request = { operation: 'write', region, offset: 0, length: 100 } as const;
        await pair.post({ ...request, id: 5, address: 0x1234_5678_9000n, rkey: 0x89ab_cdef });
        return pair;
      }

      /** What is on the wire of that WRITE. */
      const written = (packets: number): object[] =>
        Array.from({ length: packets }, () =>
          expect.objectContaining({
            fault: 'None',
            opcode: BthOpcode.RcWriteOnly,
            destQp: NOBODY.number,
            psn: PSN,
            address: 0x1234_5678_9000n,
            rkey: 0x89ab_cdef,
            length: 100,
            icrc: 'Good',
            payload: patternOf(100, 7),
          }),
        );

      /** A datagram of a socket as the codec sees it: without the IP header, of which the identification is found from the ICRC. */
      function decodeDatagram(family: Family, { address, port, payload }: Datagram): Decoded | undefined {
        const destination = link.place.host[family];
        return decodePacket(
          ipPacket({ source: address, destination, sourcePort: port, destinationPort: ROCE_PORT, payload }),
        );
      }

      test.each(families)(
        'a WRITE that nobody answers arrives, and ends with RETRY_EXC_ERR: %s',
        async (family) => {
          const pair = await write(family);
          expect(await pair.completions(1)).toEqual([
            { id: 5, status: 'RETRY_EXC_ERR', length: expect.any(Number) },
          ]);
          expect(await pair.state()).toBe('ERR');
          const packets = decodeCapture(link.wire.recorded());
          expect(packets).toEqual(written(3)); // and two retries
          expect(link.wire.packets.host).toBeGreaterThanOrEqual(3);

          expect(seen.map(({ address }) => address)).toEqual(Array(3).fill(link.place.guest[family]));
          const received = seen.map((datagram) => decodeDatagram(family, datagram));
          expect(received.map((packet) => packet?.payload)).toEqual(Array(3).fill(patternOf(100, 7)));
          expect(received.map((packet) => packet?.ipId)).toEqual(packets.map(({ ipId }) => ipId));
          expect(received.map((packet) => packet?.icrc)).toEqual(
            Array(3).fill(family === 'ipv4' ? 'OtherId' : 'Good'),
          );

          const { requests } = await explainBytes(link.wire.recorded());
          expect(requests).toEqual([
            expect.objectContaining({ opcode: 'RDMA_WRITE', outcome: 'NoAnswer', repeats: 2, length: 100 }),
          ]);
        },
      );

      test.each(families)(
        'the guest takes an acknowledgement that is sent by the link: %s',
        async (family) => {
          const pair = await write(family);
          await until(() => seen.length > 0);
          const [{ address, port } = { address: '', port: 0 }] = seen;
          const way = { source: link.place.host[family], destination: address, sourcePort: ROCE_PORT };
          const payload = acknowledgement(way, { destQp: pair.number, psn: PSN, syndrome: 0x1f, msn: 1 });
          expect(port).not.toBe(0);
          link.send({ address, port: ROCE_PORT, payload });
          expect(await pair.completions(1)).toEqual([
            { id: 5, status: 'SUCCESS', length: expect.any(Number) },
          ]);
          expect(await pair.state()).toBe('RTS');
          const { requests } = await explainBytes(link.wire.recorded());
          expect(requests).toEqual([expect.objectContaining({ outcome: 'Acknowledged' })]);
        },
      );

      test('the guest drops an acknowledgement with a wrong ICRC', async () => {
        const pair = await write('ipv4');
        await until(() => seen.length > 0);
        const { address } = seen[0]!;
        const way = { source: link.place.host.ipv4, destination: address, sourcePort: ROCE_PORT };
        const payload = acknowledgement(way, { destQp: pair.number, psn: PSN, syndrome: 0x1f, msn: 1 });
        payload[payload.length - 1]! ^= 0x10;
        link.send({ address, port: ROCE_PORT, payload });
        expect(await pair.completions(1)).toEqual([expect.objectContaining({ status: 'RETRY_EXC_ERR' })]);
      });
    });
  });
});

/** Waits for a condition, at most 10 s. */
async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(holds()).toBe(true);
}
