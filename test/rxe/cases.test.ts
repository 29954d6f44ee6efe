// The cases with soft-RoCE on both sides: what Linux does is what the cases expect of an endpoint. The two devices of the guest
// reach each other through the tests, which lose packets and damage them.
import { describeIf } from '../support/conditions';
import { describeCases } from './run-cases';
import { BOOT_LIMIT_MS, Session, whyNot } from './session';
import { joinWires } from './wire';

const because = whyNot('frames');

describeIf(because === undefined, because ?? '')('soft-RoCE to soft-RoCE', () => {
  let session: Session | undefined; // not there if the guest does not boot
  beforeAll(async () => {
    session = await Session.open();
    joinWires(session.machine.framesWire, session.machine.socketWire);
  }, BOOT_LIMIT_MS);
  afterAll(async () => {
    await session?.close();
  });

  // Each device asks once, so that both directions of a wire carry requests.
  describeCases('ipv4', () => ({
    requester: session!.guest('frames'),
    responder: session!.guest('sockets'),
    wire: session!.machine.framesWire,
    requestsTowards: 'host',
  }));
  describeCases('ipv6', () => ({
    requester: session!.guest('sockets'),
    responder: session!.guest('frames'),
    wire: session!.machine.framesWire,
    requestsTowards: 'guest',
  }));
});
