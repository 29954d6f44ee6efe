// The remote target of a long request that another thread carries out: the call that takes it back waits for the
// present step only. After the call no byte moves, and the request fails.
import { type Completion, type MemoryRegion, type QueuePair } from '../../lib';
import { open } from '../support/scene';
import { connectedWith } from '../support/verbs-peers';
import { type Peer } from '../support/workers';

const BYTES = 64 << 20;
const CHUNK = 1 << 20;
const LIVE = 0x11;
const POISON = 0xd7;
const ATTEMPTS = 20;

/** Lets the worker write to the target from the local bytes, or read from it into them. Resolves to what became of it. */
const request = (peer: Peer, opcode: string, target: MemoryRegion, local: SharedArrayBuffer) =>
  peer.run(
    (w, what, remoteAddr, rkey, buffer) => {
      const mr = w.pd.regUserMr(buffer, { access: 15 });
      const sges = [{ addr: mr.start, length: buffer.byteLength, lkey: mr.lkey }];
      w.qp.postSend({ opcode: what, wrId: 1, signaled: true, sges, remoteAddr, rkey });
      const [wc] = w.cq.poll(1) as Completion[];
      mr.dereg();
      return { status: wc?.status, reason: wc?.reason };
    },
    opcode,
    target.iova,
    target.rkey,
    local,
  );

/** Fills memory from its end, because the request reaches the end last. */
function poison(bytes: Uint8Array): void {
  for (let at = BYTES - CHUNK; at >= 0; at -= CHUNK) bytes.fill(POISON, at, at + CHUNK);
}

const endings: [string, (mr: MemoryRegion, qp: QueuePair<'RC'>) => void, string][] = [
  ['dereg', (mr) => mr.dereg(), 'Revoked'],
  ['invalidateRkey', (mr, qp) => qp.invalidateRkey(mr.rkey), 'Invalidated'],
];

describe.each(['RDMA_WRITE', 'RDMA_READ'])('in the middle of an %s of another thread', (opcode) => {
  test.each(endings)('%s succeeds, and the request fails at its next step', async (_, end, reason) => {
    const device = open();
    const local = new SharedArrayBuffer(BYTES);
    const bytes = new Uint8Array(new SharedArrayBuffer(BYTES));
    const [from, to] =
      opcode === 'RDMA_WRITE' ? [new Uint8Array(local), bytes] : [bytes, new Uint8Array(local)];
    for (let attempt = 1; ; attempt++) {
      const { own, peer } = await connectedWith(device);
      from.fill(LIVE);
      to.fill(0);
      const mr = own.pd.regUserMr(bytes, { access: 15 });
      const outcome = request(peer, opcode, mr, local);
      while (Atomics.load(to, 0) === 0);
      end(mr, own.qp);
      poison(bytes);
      const { status, reason: why } = await outcome;
      // No byte was written after the call, and none was read.
      expect(Buffer.from(bytes.buffer).equals(Buffer.alloc(BYTES, POISON))).toBe(true);
      expect(Buffer.from(local).includes(POISON)).toBe(false);
      if (status === 'REM_ACCESS_ERR') {
        expect(why).toBe(reason);
        break;
      }
      expect(status).toBe('SUCCESS'); // the request was complete before the call
      expect(attempt).toBeLessThan(ATTEMPTS);
      await peer.worker.terminate();
    }
  });
});
