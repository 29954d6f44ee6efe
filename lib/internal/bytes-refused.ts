/** What is told when the bytes of accepted elements cannot be used: a data path refusal, in the words of a message and in sentences. */
import { fieldLong, fieldNumber } from './command';
import { describeElement, type Holder } from './element';
import { SgeField } from './layout';
import { type DataPathReason, dataPathReason } from './reasons';
import { isWatched, publishRefusal } from './refused-channel';

const sentences: Readonly<Record<string, string>> = {
  AccessDenied: 'it was not proven for this use: an element keeps the rights that its check asked for',
  MemoryDetached: 'the registered buffer was transferred or replaced since its registration',
  MemoryShrunk: 'the registered buffer does not hold all registered bytes any more',
  Remapped: 'its region was mapped anew or unmapped since it was accepted',
  RegionRevoked: 'its region was ended by force, or with its domain, device or thread',
  OtherEnvironment: 'its bytes can only be used in the thread that has registered them',
};

function explain(reason: DataPathReason, method: string, what: string): string {
  return `${reason}: ${method} cannot use ${what}, because ${sentences[reason] ?? 'it was refused'}.`;
}

/**
 * Tells the subscribers of `rdmavt:refused` of a refused use of one element. Call it after the answer was read.
 *
 * @param answer - of the native call; nothing is told unless it is a reason
 */
export function reportElementRefused(
  method: string,
  operation: string,
  answer: number,
  holder: Holder,
): void {
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
    operation,
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
          ? `the element of ${length ?? 0} bytes at ${remote === true ? 'remote' : 'local'} address 0x${(address ?? 0n).toString(16)}`
          : 'the element',
      ),
  });
}

/** The same of a walk, which stops at one of its elements. */
export function reportWalkRefused(method: string, operation: string, reason: number): void {
  if (reason <= 0 || !isWatched()) return;
  const name = dataPathReason(reason);
  publishRefusal({
    reason: name,
    method,
    operation,
    count: 1,
    explain: () => explain(name, method, 'an element of the walk'),
  });
}
