/** Publishes data path refusals on the channel `rdmavt:refused`: accesses to the bytes of accepted elements that were refused. */
import { unusable } from './cause-words';
import { fieldLong, fieldNumber } from './command';
import { describeElement, type Holder } from './element';
import { SgeField } from './layout';
import { type Method, operationOf } from './methods';
import { type DataPathReason, dataPathReason } from './reasons';
import { isWatched, publishRefusal } from './refused-channel';
import { bytes, hex } from './words';

function explain(reason: DataPathReason, method: string, what: string): string {
  return `${reason}: ${method} cannot access ${what} because ${unusable[reason]}.`;
}

/**
 * Publishes the refused access to one element. Call this after reading the answer of the native call: subscribers may make other
 * native calls.
 *
 * @param answer - of the native call; nothing is published unless it is a reason
 * @param device - number of the element's device in this process
 */
export function reportElementRefused(method: Method, answer: number, holder: Holder, device: number): void {
  if (answer <= 0 || !isWatched()) return;
  const reason = dataPathReason(answer);
  const described = describeElement(holder) === 0;
  const address = described ? fieldLong(SgeField.Request) : undefined;
  const length = described ? fieldNumber(SgeField.SgeLength) : undefined;
  const access = described ? fieldNumber(SgeField.Rights) : undefined;
  const remote = described ? fieldNumber(SgeField.Remote) !== 0 : undefined;
  publishRefusal({
    reason,
    method,
    operation: operationOf(method),
    device,
    count: 1,
    address,
    length,
    access,
    remote,
    explain: () =>
      explain(
        reason,
        method,
        described
          ? `the element of ${bytes(length ?? 0)} at ${remote === true ? 'remote' : 'local'} address ${hex(address ?? 0n)}`
          : 'the element',
      ),
  });
}

/**
 * Publishes the refused access of a walk, which stops at the first element that it cannot access.
 *
 * @param device - number of the device of its elements in this process
 */
export function reportWalkRefused(method: Method, reason: number, device: number): void {
  if (reason <= 0 || !isWatched()) return;
  const name = dataPathReason(reason);
  publishRefusal({
    reason: name,
    method,
    operation: operationOf(method),
    device,
    count: 1,
    explain: () => explain(name, method, 'an element of the walk'),
  });
}
