// The cases between soft-RoCE and an endpoint of this package: by frames and through UDP sockets, either of them asking.
import { describeIf } from '../support/conditions';
import { EndpointPeer } from './endpoint-peer';
import type { Family } from './peer';
import { describeCases } from './run-cases';
import { BOOT_LIMIT_MS, type LinkName, linkNames, Session, whyNot } from './session';

const families: readonly Family[] = ['ipv4', 'ipv6'];
const because = whyNot('frames');

describeIf(because === undefined, because ?? '')('soft-RoCE and an endpoint', () => {
  let session: Session | undefined; // not there if the guest does not boot
  beforeAll(async () => {
    session = await Session.open();
  }, BOOT_LIMIT_MS);
  afterAll(async () => {
    await session?.close();
  });

  describe.each(linkNames)('a link: %s', (name) => {
    const becauseLink = whyNot(name);
    describeIf(becauseLink === undefined, becauseLink ?? '')('with an endpoint', () => {
      let endpoint: EndpointPeer | undefined;
      beforeAll(async () => {
        endpoint = session && (await openEndpoint(session, name));
      });
      afterAll(async () => {
        await endpoint?.close();
      });

      describe('soft-RoCE asks', () => {
        for (const family of families)
          describeCases(family, () => ({
            requester: session!.guest(name),
            responder: endpoint!,
            wire: wireOf(session!, name),
            requestsTowards: 'host',
          }));
      });

      describe('the endpoint asks', () => {
        for (const family of families)
          describeCases(family, () => ({
            requester: endpoint!,
            responder: session!.guest(name),
            wire: wireOf(session!, name),
            requestsTowards: 'guest',
          }));
      });

      // The last of this group: behind all cases.
      test.each(families)(
        'has dropped no good packet of the guest, and sent all of its own: %s',
        (family) => {
          const { received, malformed, wrongSource, sent, tooLong, unsent } =
            endpoint!.endpoints[family].counters();
          expect(received).toBeGreaterThan(1000);
          expect(sent).toBeGreaterThan(1000);
          expect({ malformed, wrongSource, tooLong, unsent }).toEqual({
            malformed: 0,
            wrongSource: 0,
            tooLong: 0,
            unsent: 0,
          });
        },
      );
    });
  });
});

async function openEndpoint(session: Session, name: LinkName): Promise<EndpointPeer> {
  if (name === 'frames') return EndpointPeer.byFrames(session.packetLink());
  return EndpointPeer.bySockets(await session.openTap());
}

function wireOf({ machine }: Session, name: LinkName) {
  return name === 'frames' ? machine.framesWire : machine.socketWire;
}
