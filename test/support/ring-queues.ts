// Lets the completion queues of a native device have rings, and polls them as the class CompletionQueue does: from shared memory.
import { WcWord } from '../../lib/internal/layout';
import { type NativeCompletionQueue, type NativeDevice } from '../../lib/internal/native';
import { RingReader } from '../../lib/verbs/ring-reader';

/** The largest ring that is made: the memory of larger queues, which tests only try to create, is not allocated. */
const MOST_CQE = 1 << 16;

/**
 * From now on, the completion queues that are created with this native object have rings, and `poll` reads these without a native
 * call, except to learn that a queue is destroyed.
 *
 * @returns a function that returns how many rings were made and how many completions were read from them
 */
export function useRings(device: NativeDevice): () => { rings: number; read: number } {
  const createCq = device.createCq.bind(device);
  let rings = 0;
  let read = 0;
  const createRing: NativeDevice['createCq'] = (cqe, compVector, flags) => {
    const reader = cqe <= MOST_CQE ? new RingReader(cqe) : undefined;
    const cq = createCq(cqe, compVector, flags, reader?.bytes);
    if (typeof cq === 'number' || reader === undefined) return cq;
    rings++;
    const poll = cq.poll.bind(cq);
    const pollRing: NativeCompletionQueue['poll'] = (out, count) => {
      if (reader.isEnded) return poll(out, 0);
      let taken = 0;
      for (; taken < count; taken++) {
        const at = reader.advance();
        if (at < 0) break;
        out.set(reader.words.subarray(at, at + WcWord.Count), taken * WcWord.Count);
      }
      reader.release();
      read += taken;
      return taken;
    };
    Object.defineProperty(cq, 'poll', { value: pollRing });
    return cq;
  };
  // An assignment would fail, because the methods of native objects are read-only properties of their prototypes.
  Object.defineProperty(device, 'createCq', { value: createRing });
  return () => ({ rings, read });
}
