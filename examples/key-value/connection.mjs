// Connects a queue pair with one of another thread. `qp.connect(peer)` needs both objects in one thread; across threads each side
// brings its own queue pair to RTS, as programs on two machines do.

/** How many reads a client may have outstanding. */
const READS = 16;

/**
 * Brings a queue pair to RTS, from any state. A refused request has put both ends of a connection into the error state, so both
 * sides call this again.
 *
 * @param {import('rdmavt').QueuePair<'RC'>} qp
 * @param {number} peer number of the other queue pair
 * @param {import('rdmavt').Access} access what the peer may do
 */
export function connect(qp, peer, access) {
  qp.modify({ state: 'RESET' });
  qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access });
  qp.modify({
    state: 'RTR',
    av: { dlid: 1 },
    pathMtu: 4096,
    destQpn: peer,
    rqPsn: 0,
    maxDestRdAtomic: READS,
    minRnrTimer: 12,
  });
  qp.modify({ state: 'RTS', sqPsn: 0, timeout: 14, retryCnt: 7, rnrRetry: 7, maxRdAtomic: READS });
}
