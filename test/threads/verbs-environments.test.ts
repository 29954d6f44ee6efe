// Queue pairs whose peers belong to other threads: bytes that only one thread may touch, and threads and devices that end.
import { type Completion } from '../../lib';
import { lineOf, linesOf, memory } from '../support/queue-pairs';
import { open } from '../support/scene';
import { connectedWith, connectEnd, whileAnotherRuns } from '../support/verbs-peers';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('bytes of an ArrayBuffer of another thread', () => {
  test('are refused as the target of a write, the source of a read, and the target of an atomic', async () => {
    const device = open();
    const { own, peer } = await connectedWith(device);
    const plain = await peer.run((w) => {
      w.plain = new ArrayBuffer(64);
      const mr = w.pd.regUserMr(w.plain, { access: 15 });
      return { remoteAddr: mr.iova, rkey: mr.rkey };
    });
    const sges = [own.sge(0, 8)];
    const qpn = await peer.run((w) => w.qp.qpn);
    for (const opcode of ['RDMA_WRITE', 'RDMA_READ', 'ATOMIC_FETCH_AND_ADD'] as const) {
      own.bytes.fill(3);
      own.qp.postSend(
        opcode === 'ATOMIC_FETCH_AND_ADD'
          ? { opcode, wrId: 1, signaled: true, sges, ...plain, compareAdd: 1 }
          : { opcode, wrId: 1, signaled: true, sges, ...plain },
      );
      const found = own.cq.poll();
      expect(found.map(lineOf).join()).toMatch(/^1 \w+ REM_ACCESS_ERR OtherEnvironment$/);
      expect(found[0]?.explain()).toContain('thread');
      expect(own.bytes.every((byte) => byte === 3)).toBe(true);
      expect(await peer.run((w) => [...new Uint8Array(w.plain)].every((byte) => byte === 0))).toBe(true);
      // Bring both ends back.
      own.qp.modify({ state: 'RESET' });
      await peer.run((w) => {
        w.qp.modify({ state: 'RESET' });
        w.cq.poll(100);
      });
      connectEnd(own, qpn);
      await peer.run(connectEnd, own.qp.qpn);
    }
  });

  test('are refused as a receive', async () => {
    const device = open();
    const { own, peer } = await connectedWith(device);
    await peer.run((w) => {
      const mr = w.pd.regUserMr(new ArrayBuffer(64), { access: 15 });
      w.qp.postRecv({ wrId: 2, sges: [{ addr: mr.start, length: 64, lkey: mr.lkey }] });
    });
    own.qp.postSend({ opcode: 'SEND', wrId: 1, signaled: true, sges: [own.sge(0, 8)] });
    expect(linesOf(own.cq)).toEqual(['1 SEND REM_OP_ERR OtherEnvironment']);
    expect(
      await peer.run((w) => w.cq.poll().map((wc: Completion) => [wc.wrId, wc.status, wc.reason])),
    ).toEqual([[2, 'LOC_PROT_ERR', 'OtherEnvironment']]);
  });

  test('are refused in a work request that another thread carries out', async () => {
    const device = open();
    const { own, there } = await connectedWith(device);
    const plain = memory(own.pd, 64);
    await whileAnotherRuns(device, () => {
      own.qp.postSend({
        opcode: 'RDMA_WRITE',
        wrId: 1,
        signaled: true,
        sges: [plain.sge(0, 8)],
        remoteAddr: there.iova,
        rkey: there.rkey,
      });
    });
    expect(linesOf(own.cq)).toEqual(['1 RDMA_WRITE LOC_PROT_ERR OtherEnvironment']);
    expect(plain.mr.refs).toBe(2);
  });

  test('are used in work requests that their own thread carries out', async () => {
    const device = open();
    const { own, there } = await connectedWith(device);
    const plain = memory(own.pd, 'own bytes');
    own.qp.postSend({
      opcode: 'RDMA_WRITE',
      wrId: 1,
      signaled: true,
      sges: [plain.sge()],
      remoteAddr: there.iova,
      rkey: there.rkey,
    });
    expect(linesOf(own.cq)).toEqual(['1 RDMA_WRITE SUCCESS']);
    expect(Buffer.from(there.bytes).toString('latin1', 0, 9)).toBe('own bytes');
  });
});

describe('a worker that ends', () => {
  test.each<[string, (w: any) => unknown]>([
    ['by itself', (w) => w.parentPort.close()],
    ['by process.exit', () => process.exit(0)],
    [
      'by an exception',
      () =>
        setImmediate(() => {
          throw new Error('on purpose');
        }),
    ],
    ['by detaching', (w) => w.device.detach({ cascade: true })],
    ['by termination', () => undefined],
  ])('%s destroys its queue pairs: peers get RETRY_EXC_ERR, and nothing stays held', async (how, end) => {
    const device = open();
    const { own, peer, there } = await connectedWith(device, { minRnrTimer: 1 });
    // The worker has a send that waits for a receive of this thread, and receives of its own.
    await peer.run((w, waits) => {
      w.qp.postSend({ opcode: 'SEND', sges: [w.sge(0, 8)] });
      w.qp.postRecv({ sges: [w.sge(0, 8)] });
      if (waits) w.pending = w.qp.recv(w.sge(0, 8)).catch(() => undefined);
    }, how !== 'by itself'); // a pending promise would keep the worker alive
    if (how === 'by detaching') {
      await peer.run(end);
    } else {
      if (how === 'by termination') void peer.worker.terminate();
      else peer.tell(end);
      await peer.ended;
    }
    expect(device.resources().queuePairs.map(({ qpn }) => qpn)).toEqual([own.qp.qpn]);
    expect(device.resources().contexts).toEqual([device.context]);
    own.qp.postRecv({ wrId: 2, sges: [own.sge(0, 8)] });
    own.qp.postSend({
      opcode: 'RDMA_WRITE',
      wrId: 1,
      sges: [own.sge(0, 8)],
      remoteAddr: there.iova,
      rkey: there.rkey,
    });
    expect(linesOf(own.cq)).toEqual(['1 RDMA_WRITE RETRY_EXC_ERR NoPeer', '2 RECV WR_FLUSH_ERR Flushed']);
    expect(own.mr.refs).toBe(2);
    own.mr.dereg();
  });

  test('in the middle of a long request of its peer stops the request', async () => {
    const device = open();
    const { own, peer } = await connectedWith(device);
    const large = new SharedArrayBuffer(64 << 20);
    const there = await peer.run((w, bytes) => {
      const mr = w.pd.regUserMr(bytes, { access: 15 });
      return { remoteAddr: mr.iova, rkey: mr.rkey };
    }, large);
    const source = own.pd.regUserMr(new SharedArrayBuffer(64 << 20), { access: 15 });
    let terminated: Promise<unknown> | undefined;
    for (let round = 0; round < 8; round++) {
      own.qp.postSend({
        opcode: 'RDMA_WRITE',
        wrId: round,
        signaled: true,
        sges: [{ addr: source.start, length: 64 << 20, lkey: source.lkey }],
        ...there,
      });
      if (round === 3) terminated = peer.worker.terminate();
      await turn();
    }
    await terminated;
    own.qp.modify({ state: 'ERR' });
    const statuses = own.cq.poll(100).map(({ status }) => status);
    expect(statuses).toHaveLength(8);
    expect(statuses.slice(0, 3)).toEqual(['SUCCESS', 'SUCCESS', 'SUCCESS']);
    expect(source.refs).toBe(2);
    source.dereg();
  });
});

describe('closing the device', () => {
  test('in one thread settles the promises and iterations of another', async () => {
    const device = open();
    const { peer } = await connectedWith(device);
    await peer.run((w) => {
      w.seen = [];
      const note = (name: string) => (error: { code: string }) => w.seen.push(`${name} ${error.code}`);
      w.waits = Promise.all([
        w.qp.recv(w.sge(0, 8)).catch(note('recv')),
        w.qp.send(w.sge(0, 8)).catch(note('send')), // waits for a receive
        (async () => {
          for await (const wc of w.device.createCq(4)) w.seen.push(wc.wrId);
          w.seen.push('iteration over');
        })(),
      ]);
    });
    device.close({ cascade: true });
    expect(
      await peer.run(async (w) => {
        await w.waits;
        return w.seen.sort();
      }),
    ).toEqual(['iteration over', 'recv EBADF', 'send EBADF']);
  });

  test('in a worker settles the promises and iterations of this thread', async () => {
    const device = open();
    const { own, peer } = await connectedWith(device);
    const codes: string[] = [];
    const noteCode = (error: unknown): void => {
      codes.push((error as { code: string }).code);
    };
    const waits = Promise.all([
      own.qp.recv(own.sge(0, 8)).catch(noteCode),
      own.qp.send(own.sge(0, 8)).catch(noteCode),
      (async () => {
        for await (const wc of device.createCq(4)) codes.push(String(wc.wrId));
        codes.push('over');
      })(),
    ]);
    await peer.run((w) => {
      w.device.close({ cascade: true });
    });
    await waits;
    expect(codes.sort()).toEqual(['EBADF', 'EBADF', 'over']);
  });

  test('while another thread runs the engine ends its work between two steps', async () => {
    const device = open();
    const { own } = await connectedWith(device);
    const close = () => {
      device.close({ cascade: true });
    };
    await whileAnotherRuns(device, close, { endsRun: true }).catch((error: unknown) => {
      // The worker's queue pairs ended while it used them.
      expect((error as Error).message).not.toMatch(/left the engine/);
    });
    expect(() => own.cq.poll()).toThrow(expect.objectContaining({ code: 'EBADF' }) as Error);
  });
});
