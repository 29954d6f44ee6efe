// Rounds of: one thread moves bytes of a region, another ends it, makes the memory private, and looks whether bytes moved afterwards.
import { once } from 'node:events';
import { join } from 'node:path';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import * as copier from './copier.cjs';

const { BYTES, Control, Phase } = copier;
export const program = join(__dirname, 'copier.cjs');

/** What a program writes to its memory before it gives it to a region, and after the region has ended. */
export const PUBLIC = 0x11;
export const PRIVATE = 0xc3;

/** A step that takes longer hangs. ms */
const HANG = 30_000;
/** The longest time between the begin of the copies and the call, in ms: one or two copies. */
const LONGEST_SPIN = 0.25;

/** How bytes are moved: a name in copier.cjs, and what there is to say of it. */
export interface Access {
  name: string;
  /** The bytes of the region are written, not read. */
  writes: boolean;
  /** Over a held element: for calls that succeed in spite of it. */
  held: boolean;
}

/** A region that a round begins with. */
export interface Target {
  token: string;
  pd: number;
  /** Its first byte, for local and for remote accesses. */
  address: bigint;
  iova: bigint;
  key: number;
  /** Its bytes. */
  memory: Uint8Array;
}

/** Regions of one kind, and a call that ends them. */
export interface Scene {
  /** A region with bytes to move. */
  begin(): Target | Promise<Target>;
  /** The call. When it returns (or is resolved) no byte may move any more. */
  end(): unknown;
  /** After the round. */
  tidy?(): void;
  /** After all rounds. */
  close(): unknown;
  /** The key is not dead afterwards: it names other bytes. */
  goesOn?: boolean;
}

export interface Counts {
  rounds: number;
  /** Rounds in which bytes moved after the call had succeeded. */
  late: number;
  /** The most bytes of one round. */
  mostBytes: number;
  /** Rounds in which bytes had moved before. */
  moved: number;
  /** What calls threw, by message. */
  thrown: Record<string, number>;
}

export const noCounts = (): Counts => ({ rounds: 0, late: 0, mostBytes: 0, moved: 0, thrown: {} });

export const newControl = (): Int32Array =>
  new Int32Array(new SharedArrayBuffer(Control.Count * Int32Array.BYTES_PER_ELEMENT));

/** Where reading accesses put bytes. */
export const sink = new SharedArrayBuffer(BYTES);

/** Notes what one round came to. Bytes that were written late are not private; bytes that were read late are private ones in the sink. */
export function judge(counts: Counts, memory: Uint8Array, writes: boolean): void {
  const looked = writes ? memory : new Uint8Array(sink);
  const isLate = (byte: number): boolean => (byte === PRIVATE) !== writes;
  counts.rounds++;
  const bytes = Buffer.from(looked.buffer, looked.byteOffset, looked.byteLength);
  const isClean = writes ? bytes.equals(allPrivate) : !bytes.includes(PRIVATE);
  if (isClean) return;
  let late = 0;
  for (const byte of bytes) if (isLate(byte)) late++;
  counts.late++;
  counts.mostBytes = Math.max(counts.mostBytes, late);
  if (!writes) bytes.fill(0);
}

const allPrivate = Buffer.alloc(BYTES, PRIVATE);

/** The worker that copies. One for all rounds of a table: it takes long to start. */
export class Copier {
  readonly #control = newControl();
  readonly #port: MessagePort;
  readonly #worker: Worker;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#port.unref();
    this.#worker = new Worker(program, {
      workerData: { role: 'copy', control: this.#control, port: port2 },
      transferList: [port2],
    });
  }

  /** Begins to copy; returns when the worker does. */
  start(job: copier.Job): void {
    this.#control.fill(0);
    this.#port.postMessage(job);
    copier.setPhase(this.#control, Phase.Go);
    for (const until = performance.now() + HANG; performance.now() < until;) {
      const phase = Atomics.load(this.#control, Control.Phase);
      if (phase === Phase.Started) return;
      if (phase === Phase.Done) this.finish();
      Atomics.wait(this.#control, Control.Phase, phase, HANG);
    }
    throw new Error('the copier hangs before it begins');
  }

  /** The region has ended: no new copy begins. */
  stop(): void {
    Atomics.store(this.#control, Control.Ended, 1);
  }

  /** The memory is private. */
  filled(): void {
    Atomics.store(this.#control, Control.Filled, 1);
  }

  /** Waits until the worker has stopped. Returns how many of its calls moved bytes before the end. */
  finish(): number {
    if (!copier.waitForPhase(this.#control, Phase.Done, HANG)) throw new Error('the copier hangs');
    const problem: { message: string } | undefined = receiveMessageOnPort(this.#port);
    if (problem) throw new Error(`the copier: ${problem.message}`);
    return Atomics.load(this.#control, Control.Moved);
  }

  async close(): Promise<void> {
    this.#port.close();
    await this.#worker.terminate();
  }
}

/** One round after the other, for `duration` ms. The worker moves bytes, this thread ends the region. */
export async function playRounds(
  copying: Copier,
  scene: Scene,
  access: Access,
  remote: boolean,
  duration: number,
): Promise<Counts> {
  const counts = noCounts();
  const goesOn = scene.goesOn ?? false;
  for (const until = performance.now() + duration; counts.rounds === 0 || performance.now() < until;) {
    const { memory, ...target } = await scene.begin();
    memory.fill(PUBLIC);
    copying.start({ ...target, access: access.name, remote, goesOn, sink });
    copier.spin(Math.random() * LONGEST_SPIN);
    let thrown: unknown;
    try {
      const ending = scene.end();
      if (isThenable(ending)) await ending; // a turn later than need be, for calls that return when they are over
    } catch (error) {
      thrown = error;
    }
    copying.stop();
    memory.fill(PRIVATE);
    copying.filled();
    if (copying.finish() > 0) counts.moved++;
    if (thrown === undefined) {
      judge(counts, memory, access.writes);
    } else {
      noteThrown(counts, thrown);
    }
    scene.tidy?.();
  }
  return counts;
}

/** Not by `instanceof`: Jest and Node have each their own Promise. */
const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as PromiseLike<unknown> | undefined)?.then === 'function';

/** Notes a round whose call has failed. The region is alive then, so nothing was late. */
export function noteThrown(counts: Counts, thrown: unknown): void {
  const message = String(thrown);
  counts.rounds++;
  new Uint8Array(sink).fill(0);
  counts.thrown[message] = (counts.thrown[message] ?? 0) + 1;
}

/** Starts a worker of copier.cjs and waits for its first message. */
export async function startOwner(data: object): Promise<{ worker: Worker; message: Partial<Target> }> {
  const worker = new Worker(program, { workerData: data });
  const [message] = (await once(worker, 'message')) as [Partial<Target>];
  return { worker, message };
}
