/** The types of queue pairs that this package supports. */
import { type QpTypeName } from '../internal/verbs-names';

/**
 * Type of a queue pair (`enum ib_qp_type`).
 *
 * - `'RC'`: reliable connected; every opcode, with retries for peers that have no receive
 * - `'UC'`: unreliable connected; sends and writes. A message that the peer cannot take is dropped
 * - `'UD'`: datagrams of up to 4,096 bytes to any UD queue pair of the device
 * - `'CHECK'`: this package's own: only checks remote accesses and has no queues
 */
export type QpType = Extract<QpTypeName, 'CHECK' | 'RC' | 'UC' | 'UD'>;
