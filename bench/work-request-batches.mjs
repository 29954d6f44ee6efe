// Measures work requests posted in batches of 256 from a SendQueue, with one completion per batch, which is read from a ring. The
// program sets the local and the remote address of each work request. Compared with an empty native call per work request, with
// plain copies of the same bytes; reads and messages with writes.
import { BATCH, batches, copies, messages, openRings, verify } from './harness/batches.mjs';
import { PASS } from './harness/connection.mjs';
import { emptyCall } from './harness/empty-call.mjs';

/** Result of a pass of one-sided work requests: each was posted, and one of each batch completed. */
const ONE_SIDED = PASS + PASS / BATCH;

/** The same for messages: both sides have posted, each receive completed, and one send of each batch. */
const MESSAGES = 3 * PASS + PASS / BATCH;

const KIB_4 = 4096;

/** Places of 4 KiB in a region of 64 MiB: more than the caches hold. */
const MANY_PLACES = 2 ** 14;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'work-request-batches',
  title: 'Work requests in batches of 256, random over 1,024 places of a region',
  unit: 'ns/request',
  prepare() {
    const small = openRings(64);
    const large = openRings(KIB_4);
    const vast = openRings(KIB_4, MANY_PLACES);
    const contenders = {
      write: batches(small, 'RDMA_WRITE'),
      prefilled: batches(small, 'RDMA_WRITE', { prefilled: true }),
      read: batches(small, 'RDMA_READ'),
      send: messages(small),
      write4k: batches(large, 'RDMA_WRITE'),
      set: copies(large),
      write64m: { ...batches(vast, 'RDMA_WRITE'), label: 'RDMA_WRITE of 4,096 bytes, over 64 MiB' },
      set64m: { ...copies(vast), label: 'Uint8Array.set of the same 4,096 bytes, over 64 MiB' },
      empty: emptyCall(PASS),
    };
    verify(small, contenders.write, ONE_SIDED);
    verify(small, contenders.prefilled, ONE_SIDED);
    verify(small, contenders.read, ONE_SIDED);
    verify(small, contenders.send, MESSAGES);
    verify(large, contenders.write4k, ONE_SIDED);
    verify(large, contenders.set, PASS * KIB_4);
    verify(vast, contenders.write64m, ONE_SIDED);
    verify(vast, contenders.set64m, PASS * KIB_4);
    return {
      contenders,
      lines: [
        { name: 'work-request-batches', of: 'write', peer: 'empty', reach: 12 },
        { name: 'work-request-batches/prefilled', of: 'prefilled', peer: 'empty', reach: 12 },
        { name: 'work-request-batches/write-4k', of: 'write4k', peer: 'set', reach: 1.5 },
        { name: 'work-request-batches/write-4k-64-mib', of: 'write64m', peer: 'set64m', reach: 1.5 },
        { name: 'work-request-batches/read', of: 'read', peer: 'write', reach: 1.3 },
        { name: 'work-request-batches/send', of: 'send', peer: 'write', reach: 2 },
        { name: 'work-request-batches/peer-empty-call', of: 'empty' },
        { name: 'work-request-batches/peer-set-4k', of: 'set' },
        { name: 'work-request-batches/peer-set-4k-64-mib', of: 'set64m' },
      ],
      close() {
        small.close();
        large.close();
        vast.close();
      },
    };
  },
};
