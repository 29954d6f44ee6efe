import { rdmaError, RdmaError } from './errors';
import { REFUSED } from './layout';
import { dataPathReason } from './reasons';

/** The bytes that a data call moved; throws what it answered instead: an errno, or the reason of a refusal. */
export function data(operation: string, answer: number): number {
  if (answer >= 0) return answer;
  if (answer > REFUSED) throw rdmaError(operation, answer);
  throw new RdmaError(operation, 'EACCES', dataPathReason(REFUSED - answer));
}
