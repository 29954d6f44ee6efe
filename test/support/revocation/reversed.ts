// Rounds with swapped roles: this thread moves bytes, and a worker ends the region.
import { once } from 'node:events';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import * as rdmavt from '../../../lib';
import { closeQuietly } from '../scene';
import * as copier from './copier.cjs';
import {
  type Access,
  type Counts,
  judge,
  newControl,
  noCounts,
  noteThrown,
  PRIVATE,
  PUBLIC,
  program,
  sink,
  wantsMore,
} from './rounds';

const { BYTES, Control, Phase } = copier;

/** Waits for a message of the other thread without returning to the event loop. */
function nextMessage(port: MessagePort, control: Int32Array): any {
  for (;;) {
    const received: { message: unknown } | undefined = receiveMessageOnPort(port);
    if (received) return received.message;
    Atomics.wait(control, Control.Filled, 2, 1); // Sleeps for 1 ms: the word is never 2.
  }
}

/** Plays rounds for `duration` ms: a worker registers the memory, and deregisters it while this thread moves bytes. */
export async function playReversedRounds(
  access: Access,
  remote: boolean,
  force: boolean,
  duration: number,
): Promise<Counts> {
  const device = new rdmavt.Device({ lkeyTableBits: 4 });
  const token = device.share();
  const pd = device.allocPd().id;
  const memory = new Uint8Array(new SharedArrayBuffer(BYTES));
  const control = newControl();
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(program, {
    workerData: {
      role: 'end',
      control,
      token,
      pd,
      memory: memory.buffer,
      port: port2,
      force,
      privateByte: PRIVATE,
    },
    transferList: [port2],
  });
  const counts = noCounts();
  try {
    await once(worker, 'online');
    const hands = new copier.Hands(rdmavt, { token, pd, sink });
    for (const begin = performance.now(); wantsMore(counts, begin, duration);) {
      control.fill(0);
      memory.fill(PUBLIC); // The previous round left its private bytes in the memory.
      copier.setPhase(control, Phase.Go);
      const target = nextMessage(port1, control) as Pick<copier.Job, 'address' | 'iova' | 'key'>;
      const job = { ...target, access: access.name, token, pd, remote, goesOn: false, sink };
      copier.copyUntilEnded(hands, job, control);
      if (Atomics.load(control, Control.Moved)) counts.moved++;
      const { error } = nextMessage(port1, control) as { error?: string };
      copier.waitForPhase(control, Phase.Done);
      if (error !== undefined) {
        noteThrown(counts, error);
      } else {
        judge(counts, memory, access.writes);
      }
    }
  } finally {
    port1.close();
    await worker.terminate();
    closeQuietly(device);
  }
  return counts;
}
