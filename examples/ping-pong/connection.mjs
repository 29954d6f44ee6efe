// Connects a queue pair with one of another thread. `qp.connect(peer)` needs both objects in one thread; across threads each side
// brings its own queue pair to RTS, as programs on two machines do.

/**
 * Brings a queue pair from RESET to RTS.
 *
 * @param {import('rdmavt').QueuePair<'RC'>} qp
 * @param {number} peer number of the other queue pair
 */
export function connect(qp, peer) {
  qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
  qp.modify({
    state: 'RTR',
    av: { dlid: 1 },
    pathMtu: 4096,
    destQpn: peer,
    rqPsn: 0,
    maxDestRdAtomic: 0,
    minRnrTimer: 1,
  });
  qp.modify({ state: 'RTS', sqPsn: 0, timeout: 14, retryCnt: 7, rnrRetry: 7, maxRdAtomic: 0 });
}
