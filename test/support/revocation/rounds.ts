// Rounds in which one thread moves bytes of a region while another thread ends the region, makes the memory private, and checks
// whether bytes move afterwards.
import { once } from 'node:events';
import { join } from 'node:path';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import * as copier from './copier.cjs';

const { BYTES, Control, Phase } = copier;
export const program = join(__dirname, 'copier.cjs');

/** The bytes that a program writes to its memory before it registers the memory, and after the region has ended. */
export const PUBLIC = 0x11;
export const PRIVATE = 0xc3;

/** A step that takes longer than this is considered hung, in ms. */
const HANG = 30_000;
/** The maximum time between the start of the copies and the call, in ms: one or two copies. */
const LONGEST_SPIN = 0.25;

/** A way to move bytes: the name of an access in copier.cjs, and its properties. */
export interface Access {
  name: string;
  /** Whether the access writes the bytes of the region, rather than reading them. */
  writes: boolean;
  /** Whether the access uses a held SGE. Such an access suits only calls that succeed while SGEs are held. */
  held: boolean;
}

/** The region with which a round starts. */
export interface Target {
  token: string;
  pd: number;
  /** The address of its first byte, for local and for remote accesses. */
  address: bigint;
  iova: bigint;
  key: number;
  /** The memory of the region. */
  memory: Uint8Array;
}

/** Regions of one kind, and a call that ends them. */
export interface Scene {
  /** Creates a region with bytes to move. */
  begin(): Target | Promise<Target>;
  /** Makes the call. After it returns or resolves, no byte may move any more. */
  end(): unknown;
  /** Cleans up after each round. */
  tidy?(): void;
  /** Cleans up after all rounds. */
  close(): unknown;
  /** Whether the key stays usable afterwards and names other bytes. */
  goesOn?: boolean;
}

export interface Counts {
  rounds: number;
  /** The number of rounds in which bytes moved after the call had succeeded. */
  late: number;
  /** The largest number of late bytes in one round. */
  mostBytes: number;
  /** The number of rounds in which bytes moved before the call. */
  moved: number;
  /** The number of errors that calls threw, by message. */
  thrown: Record<string, number>;
}

/**
 * Returns whether to play another round: the time (ms) is not over, or (on a busy machine) no byte has moved yet, so that nothing
 * was tested.
 */
export function wantsMore({ moved }: Counts, begin: number, duration: number): boolean {
  const spent = performance.now() - begin;
  return spent < duration || (moved === 0 && spent < HANG);
}

export const noCounts = (): Counts => ({ rounds: 0, late: 0, mostBytes: 0, moved: 0, thrown: {} });

export const newControl = (): Int32Array =>
  new Int32Array(new SharedArrayBuffer(Control.Count * Int32Array.BYTES_PER_ELEMENT));

/** The buffer into which reading accesses copy. */
export const sink = new SharedArrayBuffer(BYTES);

/**
 * Records the result of a round. Late writes leave bytes in the memory that are not private; late reads leave private bytes in
 * the sink.
 */
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

/** The worker that copies. It serves all rounds of a table, because it starts slowly. */
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

  /** Starts the copies, and returns when the worker has started them. */
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

  /** Signals that the region has ended, so that no new copy starts. */
  stop(): void {
    Atomics.store(this.#control, Control.Ended, 1);
  }

  /** Signals that the memory is private. */
  filled(): void {
    Atomics.store(this.#control, Control.Filled, 1);
  }

  /** Waits until the worker has stopped. Returns the number of its calls that moved bytes before the end. */
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

/** Plays rounds for `duration` ms: the worker moves bytes, and this thread ends the region. */
export async function playRounds(
  copying: Copier,
  scene: Scene,
  access: Access,
  remote: boolean,
  duration: number,
): Promise<Counts> {
  const counts = noCounts();
  const goesOn = scene.goesOn ?? false;
  for (const begin = performance.now(); wantsMore(counts, begin, duration);) {
    const { memory, ...target } = await scene.begin();
    memory.fill(PUBLIC);
    copying.start({ ...target, access: access.name, remote, goesOn, sink });
    copier.spin(Math.random() * LONGEST_SPIN);
    let thrown: unknown;
    try {
      const ending = scene.end();
      if (isThenable(ending)) await ending; // Await only promises: an await after a synchronous call would delay the check by a turn.
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

/** Detects promises without `instanceof`, because Jest and Node have separate Promise classes. */
const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as PromiseLike<unknown> | undefined)?.then === 'function';

/** Records a round whose call failed. The region is still open then, so no byte was late. */
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
