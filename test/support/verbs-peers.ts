// Queue pairs whose peers belong to other threads, and a thread that keeps the engine busy.
import * as rdmavt from '../../lib';
import { Peer, type Scope } from './workers';

/** What a thread needs to know of a queue pair and its memory in another thread. */
export interface EndNames {
  qpn: number;
  iova: bigint;
  rkey: rdmavt.Rkey;
  bytes: SharedArrayBuffer;
}

/** Attributes of {@link connectEnd} beside the peer's number. */
export interface Path {
  rnrRetry?: number;
  /** Code of the time for which the peer lets this end wait when it has no receive. */
  minRnrTimer?: number;
}

/**
 * Creates in the scope: a domain `pd`, a completion queue `cq`, an RC queue pair `qp` that uses it, and registered memory `mr` over
 * the shared bytes `bytes`. Runs in any thread, so it uses nothing but its arguments.
 */
export function makeEnd(w: Scope, bytes: SharedArrayBuffer, depth: number): EndNames {
  w.bytes = new Uint8Array(bytes);
  w.pd = w.device.allocPd();
  w.cq = w.device.createCq(2 * depth);
  w.qp = w.pd.createQp({ type: 'RC', sendCq: w.cq, maxSendWr: depth, maxRecvWr: depth });
  w.mr = w.pd.regUserMr(bytes, { access: 15 });
  w.sge = (offset: number, length: number) => ({
    addr: (w.mr as rdmavt.MemoryRegion).start + BigInt(offset),
    length,
    lkey: w.mr.lkey,
  });
  return { qpn: w.qp.qpn, iova: w.mr.iova, rkey: w.mr.rkey, bytes };
}

/** Brings the scope's queue pair from RESET to RTS. */
export function connectEnd(w: Scope, destQpn: number, path: Path = {}): void {
  const { rnrRetry = 7, minRnrTimer = 12 } = path;
  w.qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 14 });
  w.qp.modify({
    state: 'RTR',
    av: { dlid: 1 },
    pathMtu: 4096,
    destQpn,
    rqPsn: 0,
    maxDestRdAtomic: 4,
    minRnrTimer,
  });
  w.qp.modify({ state: 'RTS', sqPsn: 0, timeout: 14, retryCnt: 7, rnrRetry, maxRdAtomic: 4 });
}

/** This thread's end. */
export interface OwnEnd {
  device: rdmavt.Device;
  pd: rdmavt.ProtectionDomain;
  cq: rdmavt.CompletionQueue;
  qp: rdmavt.QueuePair<'RC'>;
  mr: rdmavt.MemoryRegion;
  bytes: Uint8Array;
  sge: (offset: number, length: number) => rdmavt.LocalSge;
}

const LENGTH = 4096;
const DEPTH = 256;

/** A queue pair of this thread that is connected with one of a worker. The worker has its end in its scope. */
export async function connectedWith(
  device: rdmavt.Device,
  path: Path = {},
): Promise<{ own: OwnEnd; names: EndNames; peer: Peer; there: EndNames }> {
  const own: Scope = { ...rdmavt, device };
  const names = makeEnd(own, new SharedArrayBuffer(LENGTH), DEPTH);
  const peer = new Peer({ token: device.share() });
  const there = await peer.run(makeEnd, new SharedArrayBuffer(LENGTH), DEPTH);
  connectEnd(own, there.qpn, path);
  await peer.run(connectEnd, names.qpn, path);
  return { own: own as OwnEnd, names, peer, there };
}

/** How long a thread keeps the engine busy: the number of writes, and their length in bytes. */
const BUSY_WRITES = 24;
const BUSY_BYTES = 16 << 20;

/**
 * Calls a function while a worker runs the engine: what the function posts is carried out by that worker, after the function has
 * returned. Returns the function's result, when the worker has left the engine.
 *
 * @param endsRun - the function makes the worker leave the engine, so whether the worker runs it is tested before and not after
 */
export async function whileAnotherRuns<T>(
  device: rdmavt.Device,
  call: () => T,
  { endsRun = false } = {},
): Promise<T> {
  const runner = new Peer({ token: device.share() });
  const memory = new SharedArrayBuffer(2 * BUSY_BYTES);
  const flags = new Int32Array(new SharedArrayBuffer(4));
  await runner.run(makeEnd, memory, DEPTH);
  await runner.run((w) => {
    const other = w.pd.createQp({ type: 'RC', sendCq: w.cq });
    w.qp.connect(other, { access: 14 });
  });
  const target = new Uint8Array(memory, BUSY_BYTES, 1);
  const running = runner.run(
    (w, writes, length, done) => {
      w.bytes.fill(7, 0, length);
      const wr = {
        opcode: 'RDMA_WRITE',
        sges: [w.sge(0, length)],
        remoteAddr: (w.mr as rdmavt.MemoryRegion).iova + BigInt(length),
        rkey: w.mr.rkey,
      };
      w.qp.postSend(Array.from({ length: writes }, () => wr));
      Atomics.store(done, 0, 1);
    },
    BUSY_WRITES,
    BUSY_BYTES,
    flags,
  );
  while (Atomics.load(target, 0) === 0) Atomics.wait(flags, 0, 0, 1);
  const isRunning = () => Atomics.load(flags, 0) === 0;
  const began = isRunning();
  const result = call();
  const wasRunning = endsRun ? began : isRunning();
  await running;
  await runner.close();
  if (!wasRunning) throw new Error('the worker had left the engine already');
  return result;
}
