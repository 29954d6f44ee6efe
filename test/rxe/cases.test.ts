// The cases with soft-RoCE on both sides: what Linux does is what the cases expect of an endpoint. The two devices of the guest reach each other
// through the tests, which lose packets and damage them.
import { describeIf } from '../support/conditions';
import { cases } from './cases';
import type { Family } from './peer';
import { type Pairing, Scene } from './scene';
import { BOOT_LIMIT_MS, Session, whyNot } from './session';
import { joinWires } from './wire';

const families: readonly Family[] = ['ipv4', 'ipv6'];

describeIf(whyNot('frames') === undefined, whyNot('frames') ?? '')('soft-RoCE to soft-RoCE', () => {
  let session: Session;
  let pairing: Pairing;
  beforeAll(async () => {
    session = await Session.open();
    const { framesWire, socketWire } = session.machine;
    joinWires(framesWire, socketWire);
    pairing = {
      title: 'soft-RoCE to soft-RoCE',
      requester: session.guest('frames'),
      responder: session.guest('sockets'),
      wire: framesWire,
      requestsTowards: 'host',
    };
  }, BOOT_LIMIT_MS);
  afterAll(async () => {
    await session.close();
  });

  describe.each(families)('over %s', (family) => {
    let scene: Scene;
    beforeEach(() => {
      scene = new Scene(pairing, family);
    });
    // Not at the end of the test, which a case that hangs does not reach.
    afterEach(async () => {
      await scene.end();
    });

    test.each(cases)('$title', async ({ run }) => {
      try {
        await run(scene);
      } catch (error) {
        if (error instanceof Error) error.message += `\n\n${scene.story()}`;
        throw error;
      }
    });
  });
});
