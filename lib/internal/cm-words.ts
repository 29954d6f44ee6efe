/** The reasons for which a connection is rejected, as text. */

/** Reasons of a REJ (InfiniBand specification, "REJ reason codes"). */
const reasons: Readonly<Record<number, string>> = {
  1: 'no queue pair available',
  2: 'no end-to-end context available',
  3: 'no resources available',
  4: 'timeout',
  5: 'unsupported request',
  6: 'invalid communication id',
  7: 'invalid communication instance',
  8: 'invalid service id: nobody listens there',
  9: 'invalid transport service type',
  10: 'stale connection',
  11: 'RDC does not exist',
  12: 'primary remote port GID rejected',
  13: 'primary remote port LID rejected',
  14: 'invalid primary SL',
  15: 'invalid primary traffic class',
  16: 'invalid primary hop limit',
  17: 'invalid primary packet rate',
  18: 'alternate remote port GID rejected',
  19: 'alternate remote port LID rejected',
  20: 'invalid alternate SL',
  21: 'invalid alternate traffic class',
  22: 'invalid alternate hop limit',
  23: 'invalid alternate packet rate',
  24: 'port and CM redirection',
  25: 'port redirection',
  26: 'invalid path MTU',
  27: 'insufficient responder resources',
  28: 'rejected by the program',
  29: 'RNR retry count rejected',
  30: 'duplicate local communication id',
  31: 'unsupported CM class version',
  32: 'invalid flow label',
  33: 'invalid alternate flow label',
};

/** Returns what a reason of a REJ means. */
export function cmReason(reason: number): string {
  return reasons[reason] ?? 'unknown reason';
}
