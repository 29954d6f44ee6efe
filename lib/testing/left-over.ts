/** What a test has left on a device. */
import {
  AddressHandle,
  CompletionQueue,
  type Device,
  DeviceMemory,
  DmaMapping,
  FastMemoryRegion,
  MemoryRegion,
  ProtectionDomain,
  QueuePair,
  SharedReceiveQueue,
} from '../index';

/** An object that still exists on a device. */
export interface LeftOver {
  /** The class of the object; `'Sge'` for held elements, which one entry describes together if they are alike. */
  readonly class:
    | 'ProtectionDomain'
    | 'QueuePair'
    | 'CompletionQueue'
    | 'SharedReceiveQueue'
    | 'AddressHandle'
    | 'MemoryRegion'
    | 'FastMemoryRegion'
    | 'DmaMapping'
    | 'DeviceMemory'
    | 'Sge';
  /** `id` of the object; for an element, of its region. */
  readonly id: number;
  /** One line about the object. */
  readonly text: string;
  /** Where it was created, if the device captures stacks. */
  readonly stack?: string;
}

/** Options of {@link leftOver}. */
export interface LeftOverOptions {
  /** Objects that may stay, for example the domain that all tests of a file use. */
  except?: readonly object[];
}

const classes = [
  ProtectionDomain,
  QueuePair,
  CompletionQueue,
  SharedReceiveQueue,
  AddressHandle,
  MemoryRegion,
  FastMemoryRegion,
  DmaMapping,
  DeviceMemory,
] as const;

/** Returns a name for an object that its entry has, too. */
function nameOf(object: object, index: number): string {
  const type = classes.find((one) => object instanceof one);
  if (type === undefined) {
    throw new TypeError(`options.except[${index}] is not an object of a device, such as a ProtectionDomain`);
  }
  return `${type.name} ${(object as InstanceType<typeof type>).id}`;
}

const plural = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;

/**
 * Returns what still exists on a device, in all threads: held elements first, because they keep regions from ending, then regions,
 * queue pairs, queues, address handles, mappings, device memory and domains.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 * import { leftOver } from 'rdmavt/testing';
 *
 * const device = new Device();
 * const pd = device.allocPd();
 * pd.regUserMr(new Uint8Array(64));
 * console.log(leftOver(device, { except: [pd] }).map(({ text }) => text)); // [ 'MemoryRegion #1: 64 bytes in domain #1' ]
 * ```
 *
 * @throws RdmaError `EBADF`: the device is closed; TypeError: an exception is not an object of a device
 */
export function leftOver(device: Device, options: LeftOverOptions = {}): LeftOver[] {
  const excepted = new Set((options.except ?? []).map(nameOf));
  const rows = device.resources();
  const found: LeftOver[] = [];
  const add = (
    type: LeftOver['class'],
    { id, stack }: { id: number; stack?: string | undefined },
    about: string,
  ): void => {
    if (excepted.has(`${type} ${id}`)) return;
    found.push({
      class: type,
      id,
      text: `${type} #${id}: ${about}`,
      ...(stack === undefined ? {} : { stack }),
    });
  };
  for (const { region, count, length, remote, batch, stack } of rows.elements) {
    const of = batch === undefined ? '' : ' of a batch';
    const side = remote ? 'a remote check' : 'a local check';
    const text = `Sge of region #${region}: ${plural(count, 'element')}${of} of ${plural(length, 'byte')}, accepted by ${side}, ${count === 1 ? 'is' : 'are'} held`;
    found.push({ class: 'Sge', id: region, text, ...(stack === undefined ? {} : { stack }) });
  }
  for (const row of rows.regions) {
    const state = row.state === 'Valid' ? '' : `, ${row.state}`;
    const kind = row.kind === 'USER' ? '' : `${row.kind}, `;
    const type = row.kind === 'FMR' ? 'FastMemoryRegion' : 'MemoryRegion';
    add(type, row, `${kind}${plural(row.length, 'byte')} in domain #${row.pd}${state}`);
  }
  for (const row of rows.queuePairs) {
    add(
      'QueuePair',
      row,
      `${row.type ?? 'for checks'}${row.state === undefined ? '' : `, ${row.state}`}, in domain #${row.pd}`,
    );
  }
  for (const row of rows.completionQueues)
    add('CompletionQueue', row, `${row.held} of ${row.cqe} entries used`);
  for (const row of rows.sharedReceiveQueues) add('SharedReceiveQueue', row, `in domain #${row.pd}`);
  for (const row of rows.addressHandles) add('AddressHandle', row, `in domain #${row.pd}`);
  for (const row of rows.mappings) {
    add('DmaMapping', row, `${plural(row.length, 'byte')} at 0x${row.address.toString(16)}`);
  }
  for (const row of rows.memories) add('DeviceMemory', row, plural(row.byteLength, 'byte'));
  for (const row of rows.pds) add('ProtectionDomain', row, `${plural(row.children, 'object')} in it`);
  return found;
}

/** Returns the entries as a list in a message, each with where it was created. */
export function listOf(left: readonly LeftOver[]): string {
  return left
    .map(({ text, stack }) => {
      const first = stack?.split('\n').find((line) => /^\s*at /.test(line));
      return first === undefined ? `  ${text}` : `  ${text}\n    created ${first.trim()}`;
    })
    .join('\n');
}

/** Thrown when a test has left something on its device. */
export class LeftOverError extends Error {
  /** What was left. */
  readonly left: readonly LeftOver[];

  constructor(left: readonly LeftOver[]) {
    super(`the test has left ${plural(left.length, 'object')} on the device:\n${listOf(left)}`);
    this.left = left;
  }

  static {
    Object.defineProperty(this.prototype, 'name', {
      value: 'LeftOverError',
      configurable: true,
      writable: true,
    });
  }
}
