// Measures work requests posted in batches of 256 from a SendQueue, with one completion per batch, which is read from a ring. The
// program sets the local and the remote address of each work request. Compared with an empty native call per work request, with
// plain copies of the same bytes, and kind with kind.
import { BATCH, batches, copies, messages, openRings, verify } from './harness/batches.mjs';
import { PASS } from './harness/connection.mjs';
import { emptyCall } from './harness/empty-call.mjs';

/** What a pass of one-sided work requests finds: each was posted, and one of each batch completed. */
const ONE_SIDED = PASS + PASS / BATCH;

/** The same for messages: both sides have posted, each receive completed, and one send of each batch. */
const MESSAGES = 3 * PASS + PASS / BATCH;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'work-request-batches',
  title: 'Work requests in batches of 256, random over 1,024 places of one region',
  unit: 'ns/request',
  prepare() {
    const small = openRings(64);
    const large = openRings(4096);
    const contenders = {
      write: batches(small, 'RDMA_WRITE'),
      prefilled: batches(small, 'RDMA_WRITE', { prefilled: true }),
      read: batches(small, 'RDMA_READ'),
      send: messages(small),
      write4k: batches(large, 'RDMA_WRITE'),
      set: copies(large),
      empty: emptyCall(PASS),
    };
    verify(small, contenders.write, ONE_SIDED);
    verify(small, contenders.prefilled, ONE_SIDED);
    verify(small, contenders.read, ONE_SIDED);
    verify(small, contenders.send, MESSAGES);
    verify(large, contenders.write4k, ONE_SIDED);
    return {
      contenders,
      lines: [
        { name: 'work-request-batches', of: 'write', peer: 'empty', reach: 12 },
        { name: 'work-request-batches/prefilled', of: 'prefilled', peer: 'empty', reach: 12 },
        { name: 'work-request-batches/write-4k', of: 'write4k', peer: 'set', reach: 1.5 },
        { name: 'work-request-batches/read', of: 'read', peer: 'write', reach: 1.3 },
        { name: 'work-request-batches/send', of: 'send', peer: 'write', reach: 2 },
        { name: 'work-request-batches/peer-empty-call', of: 'empty' },
        { name: 'work-request-batches/peer-set-4k', of: 'set' },
      ],
      close() {
        small.close();
        large.close();
      },
    };
  },
};
