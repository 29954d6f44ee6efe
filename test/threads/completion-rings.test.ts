// Completion queues with rings whose completions other threads cause, and whose memory outlives the threads that use it.
import { Access, Device } from '../../lib';
import { Peer } from '../support/workers';

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A device with a queue pair that receives datagrams into a queue with a ring. */
function receiver(cqe: number) {
  const device = new Device();
  const pd = device.allocPd();
  const cq = device.createCq(cqe, { ring: true });
  const qp = pd.createQp({ type: 'UD', sendCq: cq, maxRecvWr: cqe, maxRecvSge: 1 });
  qp.activate({ qkey: 1 });
  const mr = pd.regUserMr(new Uint8Array(new SharedArrayBuffer(64)), { access: Access.LocalWrite });
  const recv = (wrId: number) => {
    qp.postRecv({ wrId, sges: [{ addr: mr.start, length: 64, lkey: mr.lkey }] });
  };
  return { device, pd, cq, ring: cq.ring, qp, recv };
}

test('completions that another thread causes arrive in order, whole and once', async () => {
  const MESSAGES = 20_000;
  // 64 receives, and the completion at which the cursor stands while its receive is posted again.
  const { device, cq, ring, qp, recv } = receiver(65);
  for (let i = 0; i < 64; i++) recv(i);
  const credits = new Int32Array(new SharedArrayBuffer(4)).fill(64);
  const peer = new Peer({ token: device.share(), credits });
  const sent = peer.run(
    async (w, remoteQpn, messages) => {
      const pd = w.device.allocPd();
      const sendCq = w.device.createCq(16, { ring: true });
      const from = pd.createQp({ type: 'UD', sendCq });
      from.activate({ qkey: 1 });
      const ah = pd.createAh();
      let lost = 0;
      for (let i = 0; i < messages;) {
        // A datagram without a receive is dropped, so wait until the receiver has answered.
        if (Atomics.load(w.data.credits, 0) <= i) {
          await w.turn();
          continue;
        }
        from.postSend({
          opcode: 'SEND_WITH_IMM',
          signaled: true,
          wrId: i,
          imm: i,
          ah,
          remoteQpn,
          remoteQkey: 1,
        });
        // Another thread may be carrying it out.
        while (!sendCq.ring.next()) await w.turn();
        if (sendCq.ring.wrIdNumber !== i || !sendCq.ring.ok) lost++;
        i++;
      }
      return lost;
    },
    qp.qpn,
    MESSAGES,
  );
  let seen = 0;
  const wrong: string[] = [];
  while (seen < MESSAGES) {
    if (!ring.next()) {
      await turn();
      continue;
    }
    if (!ring.ok || ring.imm !== seen || ring.wrIdNumber !== seen) {
      wrong.push(`${ring.wrIdNumber} ${ring.status} ${ring.imm} instead of ${seen}`);
    }
    seen++;
    recv(seen + 63);
    Atomics.store(credits, 0, seen + 64);
  }
  expect(await sent).toBe(0);
  expect([wrong.slice(0, 3), cq.length, cq.isBroken]).toEqual([[], 0, false]);
});

test('a thread that ends while others post to its queue takes the ring along', async () => {
  const ROUNDS = 12;
  const { device, pd, cq, ring } = receiver(64);
  const ah = pd.createAh();
  const from = pd.createQp({ type: 'UD', sendCq: cq, maxSendWr: 64 });
  from.activate({ qkey: 1 });
  for (let round = 0; round < ROUNDS; round++) {
    const peer = new Peer({ token: device.share() });
    const remoteQpn = await peer.run((w) => {
      w.cq = w.device.createCq(64, { ring: true });
      const to = w.device.allocPd().createQp({ type: 'UD', sendCq: w.cq, maxRecvWr: 64 });
      to.activate({ qkey: 1 });
      for (let i = 0; i < 64; i++) to.postRecv({ wrId: i });
      const answer = (): void => {
        while (w.cq.ring.next()) to.postRecv({ wrId: w.cq.ring.wrIdNumber });
        if (!w.isOver) setImmediate(answer);
      };
      answer();
      return to.qpn;
    });
    let completed = 0;
    const post = (): void => {
      from.postSend({ opcode: 'SEND', signaled: true, wrId: round, ah, remoteQpn, remoteQkey: 1 });
      while (ring.next()) if (ring.ok && ring.wrIdNumber === round) completed++;
    };
    for (let i = 0; i < 200 * (round % 3); i++) post();
    let isOver = false as boolean;
    const ended = (
      round % 2 === 0
        ? peer.worker.terminate()
        : peer.run((w) => void (w.isOver = true)).then(() => peer.close())
    ).then(() => (isOver = true));
    let posted = 200 * (round % 3);
    while (!isOver) {
      for (let i = 0; i < 50; i++, posted++) post();
      await turn();
    }
    await ended;
    while (completed < posted) {
      if (ring.next()) completed++;
      else await turn();
    }
    expect([completed, cq.isBroken]).toEqual([posted, false]);
  }
  expect(device.resources().completionQueues).toHaveLength(1);
}, 120_000);

test('a queue whose device another thread closes is refused from then on', async () => {
  const { device, cq, ring } = receiver(8);
  const peer = new Peer({ token: device.share() });
  await peer.run((w) => {
    w.device.close({ cascade: true });
  });
  expect(() => ring.next()).toThrow(
    expect.objectContaining({ code: 'EBADF', detail: { cause: 'DeviceClosed' } }),
  );
  expect(() => cq.poll()).toThrow(expect.objectContaining({ code: 'EBADF' }));
  expect(() => cq.length).toThrow(expect.objectContaining({ code: 'EBADF' }));
});
