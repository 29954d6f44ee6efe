// One engine for all threads: who carries out work requests, who is woken by their completions, and whose timers run.
import { type Completion } from '../../lib';
import { native } from '../../lib/internal/native';
import { lineOf } from '../support/queue-pairs';
import { open } from '../support/scene';
import { connectedWith, type OwnEnd, whileAnotherRuns } from '../support/verbs-peers';
import { type Scope } from '../support/workers';

const turn = async (): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve));
};
const sleep = async (ms: number): Promise<void> => {
  await new Promise((resolve) => setTimeout(resolve, ms));
};

/** Polls until the queue has given the number of completions, and returns them. */
async function completions({ cq }: Pick<OwnEnd, 'cq'>, count: number): Promise<Completion[]> {
  const found: Completion[] = [];
  const end = Date.now() + 10_000;
  while (found.length < count && Date.now() < end) {
    found.push(...cq.poll(1000));
    await turn();
  }
  return found;
}

describe('while another thread runs the engine', () => {
  test('posting returns at once, and that thread carries out what was posted, in order', async () => {
    const device = open();
    const { own, there } = await connectedWith(device);
    const bytes = new Uint8Array(there.bytes);
    own.bytes.fill(9);
    const atOnce = await whileAnotherRuns(device, () => {
      for (let list = 0; list < 4; list++) {
        own.qp.postSend(
          Array.from({ length: 50 }, (_, i) => ({
            opcode: 'RDMA_WRITE' as const,
            wrId: list * 50 + i,
            signaled: true,
            sges: [own.sge(0, 8)],
            remoteAddr: there.iova + BigInt(8 * (list * 50 + i)),
            rkey: there.rkey,
          })),
        );
      }
      return [own.cq.length, own.qp.query().sends, bytes[0]];
    });
    expect(atOnce).toEqual([0, 200, 0]);
    const found = await completions(own, 200);
    expect(found.map(({ wrId }) => wrId)).toEqual(Array.from({ length: 200 }, (_, i) => i));
    expect(found.every(({ ok }) => ok)).toBe(true);
    expect(bytes.subarray(0, 1600).every((byte) => byte === 9)).toBe(true);
  });

  test('receives complete in the order of posting, and sends in theirs', async () => {
    const device = open();
    const { own, peer } = await connectedWith(device);
    await peer.run((w) => {
      for (let i = 0; i < 100; i++) w.qp.postRecv({ wrId: i, sges: [w.sge(8 * i, 8)] });
    });
    await whileAnotherRuns(device, () => {
      for (let i = 0; i < 100; i++) {
        own.qp.postSend({
          opcode: 'SEND_WITH_IMM',
          wrId: i,
          signaled: true,
          imm: 1000 + i,
          sges: [own.sge(0, 8)],
        });
      }
    });
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    expect((await completions(own, 100)).map(({ wrId }) => wrId)).toEqual(numbers);
    expect(await peer.run((w) => w.cq.poll(1000).map((wc: Completion) => [wc.wrId, wc.imm]))).toEqual(
      numbers.map((i) => [i, 1000 + i]),
    );
  });

  test('a promise settles, and an iteration goes on', async () => {
    const device = open();
    const { own, there } = await connectedWith(device);
    const sent = await whileAnotherRuns(device, () => [
      own.qp.write(own.sge(0, 8), { remoteAddr: there.iova, rkey: there.rkey }),
    ]);
    expect((await Promise.all(sent)).map(lineOf).join()).toMatch(/RDMA_WRITE SUCCESS$/);
    await whileAnotherRuns(device, () => {
      for (let wrId = 0; wrId < 3; wrId++)
        own.qp.postSend({ opcode: 'RDMA_WRITE', wrId, signaled: true, remoteAddr: 0, rkey: 0 as never });
    });
    const seen: unknown[] = [];
    for await (const { wrId } of own.cq) if (seen.push(wrId) === 3) break;
    expect(seen).toEqual([0, 1, 2]);
  });
});

describe('completions for another thread', () => {
  /**
   * Counts how often this thread is woken: each time it asks for the next event. Earlier test files of the same process have left
   * instances of the package that ask as well, so the calls are counted by their callback.
   */
  const countWakes = (): { readonly wakes: number } => {
    const spy = jest.spyOn(native, 'awaitEvents');
    return {
      get wakes() {
        const counts = new Map<unknown, number>();
        for (const [callback] of spy.mock.calls) counts.set(callback, (counts.get(callback) ?? 0) + 1);
        return Math.max(0, ...counts.values());
      },
    };
  };
  afterEach(() => {
    jest.restoreAllMocks();
  });

  test('wake it once for a batch, however many promises and queues the batch concerns', async () => {
    const device = open();
    const { own, peer } = await connectedWith(device);
    const second = await connectedWith(device);
    await turn();
    const counted = countWakes();
    for (let batch = 1; batch <= 5; batch++) {
      const before = counted.wakes;
      let turns = 0;
      const isOver = { yes: false };
      const resolvedIn: number[] = [];
      const note = (): void => {
        resolvedIn.push(turns);
      };
      const received = Array.from({ length: 50 }, () => [
        own.qp.recv(own.sge(0, 8)).then(note),
        second.own.qp.recv(second.own.sge(0, 8)).then(note),
      ]).flat();
      // The worker posts to both queue pairs while this thread does not look.
      const posted = new Int32Array(new SharedArrayBuffer(8));
      for (const one of [peer, second.peer]) {
        one.worker.postMessage({
          id: 0,
          source: `(w, posted) => {
            w.qp.postSend(Array.from({ length: 50 }, () => ({ opcode: 'SEND', sges: [w.sge(0, 8)] })));
            Atomics.add(posted, 0, 1);
            Atomics.notify(posted, 0);
          }`,
          args: [posted],
        });
      }
      for (let done; (done = Atomics.load(posted, 0)) < 2;)
        if (Atomics.wait(posted, 0, done, 10_000) === 'timed-out')
          throw new Error('the workers did not post');
      void (async () => {
        for (; !isOver.yes; turns++) await turn();
      })();
      await Promise.all(received);
      isOver.yes = true;
      expect(resolvedIn).toHaveLength(100);
      expect(new Set(resolvedIn).size).toBe(1);
      expect(counted.wakes - before).toBe(1);
    }
  });

  test("emit one 'completion' for each arming", async () => {
    const device = open();
    const { own, peer } = await connectedWith(device);
    let events = 0;
    own.cq.on('completion', () => events++);
    for (let i = 0; i < 200; i++) own.qp.postRecv({ wrId: i, sges: [own.sge(0, 8)] });
    const send = (count: number): Promise<void> =>
      peer.run((w, most) => {
        for (let i = 0; i < most; i++) w.qp.postSend({ opcode: 'SEND', sges: [w.sge(0, 8)] });
      }, count);
    await send(50); // the queue is not armed, so nothing is reported
    await sleep(20);
    expect(events).toBe(0);
    for (let round = 1; round <= 3; round++) {
      own.cq.poll(1000);
      expect(own.cq.arm()).toBe(false);
      await send(50);
      await sleep(20);
      expect(events).toBe(round);
    }
    expect(own.cq.poll(1000)).toHaveLength(50);
  });
});

describe('the RNR timer', () => {
  /** Lets the worker post a receive and block, so that its event loop does nothing more, until the promise has settled. */
  const receiveAndBlock = (block: Int32Array) =>
    [
      (w: Scope, flag: Int32Array): string => {
        const { qp, sge } = w as OwnEnd;
        qp.postRecv({ wrId: 5, sges: [sge(0, 8)] });
        Atomics.store(flag, 0, 1);
        Atomics.notify(flag, 0);
        return Atomics.wait(flag, 1, 0, 10_000);
      },
      block,
    ] as const;
  const release = (block: Int32Array): void => {
    Atomics.store(block, 1, 1);
    Atomics.notify(block, 1);
  };
  const path = { minRnrTimer: 20 }; // 10 ms

  test("is fired by the requester's thread, while the responder's is blocked", async () => {
    const device = open();
    const { own, peer } = await connectedWith(device, path);
    const sent = own.qp.send(own.sge(0, 8));
    await sleep(30);
    expect(own.cq.length).toBe(0);
    const block = new Int32Array(new SharedArrayBuffer(8));
    const blocked = peer.run(...receiveAndBlock(block));
    expect(lineOf(await sent)).toMatch(/SEND SUCCESS$/);
    release(block);
    expect(await blocked).toBe('ok');
  });

  test("is not fired by the responder's thread, while the requester's is blocked", async () => {
    const device = open();
    const { own, peer } = await connectedWith(device, path);
    const block = new Int32Array(new SharedArrayBuffer(8));
    const blocked = peer.run((w, flag) => {
      w.qp.postSend({ opcode: 'SEND', wrId: 1, signaled: true, sges: [w.sge(0, 8)] });
      Atomics.store(flag, 0, 1);
      return Atomics.wait(flag, 1, 0, 10_000);
    }, block);
    while (Atomics.load(block, 0) === 0) await turn();
    own.qp.postRecv({ wrId: 5, sges: [own.sge(0, 8)] });
    await sleep(60); // several times the time of the timer
    expect(own.cq.length).toBe(0);
    release(block);
    expect(await blocked).toBe('ok');
    expect((await completions(own, 1)).map(lineOf)).toEqual(['5 RECV SUCCESS']);
  });

  test("is the requester's, also if another thread found that there is no receive", async () => {
    const device = open();
    const { own, peer } = await connectedWith(device, path);
    const sent = await whileAnotherRuns(device, () => [own.qp.send(own.sge(0, 8))]);
    const block = new Int32Array(new SharedArrayBuffer(8));
    const blocked = peer.run(...receiveAndBlock(block));
    expect((await Promise.all(sent)).map(lineOf).join()).toMatch(/SEND SUCCESS$/);
    release(block);
    expect(await blocked).toBe('ok');
  });

  test('ends with the thread of the requester', async () => {
    const device = open();
    const { own, peer } = await connectedWith(device, path);
    await peer.run((w) => {
      w.qp.postSend({ opcode: 'SEND', sges: [w.sge(0, 8)] });
    });
    await peer.worker.terminate();
    own.qp.postRecv({ wrId: 5, sges: [own.sge(0, 8)] });
    await sleep(40);
    expect(device.fireTimers()).toEqual([]);
    expect([own.cq.length, own.qp.query().receives, own.mr.refs]).toEqual([0, 1, 2]);
    expect(device.resources().queuePairs).toHaveLength(1);
  });

  test('of a queue pair whose peer ends with its thread fails the request', async () => {
    const device = open();
    const { own, peer } = await connectedWith(device, path);
    // Awaited from here: the promise may be rejected before `terminate` is done.
    const refused = expect(own.qp.send(own.sge(0, 8))).rejects.toMatchObject({ status: 'RETRY_EXC_ERR' });
    await peer.worker.terminate();
    await refused;
    expect(own.mr.refs).toBe(2);
  });
});
