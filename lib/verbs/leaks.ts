/**
 * Telling about regions that nobody has ended: when their device is collected, and when the process (or worker) ends.
 */
import { type CreationStacks } from './creation-stacks';
import { throwOnError } from '../internal/errors';
import { native, type NativeDevice } from '../internal/native';
import { regionsOfRows, type RegionResource } from './resources';

type Leaked = Pick<RegionResource, 'id' | 'kind' | 'lkey' | 'iova' | 'length' | 'refs' | 'stack'>;

/** Where the objects of devices that are watched were created, by device and context. Holds no device. */
const watched = new Map<string, CreationStacks | undefined>();
let listening = false;
let ending = false;

const keyOf = (device: number, context: number): string => `${device} ${context}`;

/** From now on tell about this device's regions. */
export function watchForLeaks(device: NativeDevice, stacks: CreationStacks | undefined): void {
  throwOnError('new Device({ reportLeaks })', device.reportLeaks(true));
  watched.set(keyOf(device.number(), device.context()), stacks);
  if (listening) return;
  listening = true;
  native.onLeak((number, context, rows) => {
    const key = keyOf(number, context);
    const createdAt = watched.get(key);
    watched.delete(key);
    const leaked = regionsOfRows(rows).map((region) => {
      const stack = createdAt?.of('region', region.id);
      return stack === undefined ? region : { ...region, stack };
    });
    if (!leaked.length) return;
    // emitWarning tells in the next turn, and at the end there is none.
    if (ending) process.emit('warning', warning('The process ended', leaked));
    else process.emitWarning(warning('A device was garbage-collected', leaked));
  });
  process.on('exit', () => {
    ending = true;
    native.tellLeaks();
  });
}

/** The device was closed, or left, in the regular way. */
export function stopWatching(device: NativeDevice): void {
  if (watched.delete(keyOf(device.number(), device.context()))) device.reportLeaks(false);
}

const MOST_TOLD = 10;

function warning(what: string, leaked: readonly Leaked[]): Error {
  const regions = leaked.length === 1 ? '1 memory region' : `${leaked.length} memory regions`;
  const lines = leaked.slice(0, MOST_TOLD).map(({ id: number, kind, lkey, iova, length, refs, stack }) => {
    const key = `0x${lkey.toString(16)}`;
    const line = `  ${kind} region ${number}: key ${key}, ${length} bytes at 0x${iova.toString(16)}, ${refs} references`;
    return stack === undefined ? line : `${line}, created\n${stack}`;
  });
  const more = leaked.length > MOST_TOLD ? `\n  and ${leaked.length - MOST_TOLD} more` : '';
  const error = new Error(`${what} with ${regions} still registered:\n${lines.join('\n')}${more}`);
  error.name = 'RdmavtLeakWarning';
  error.stack = `${error.name}: ${error.message}`;
  return Object.assign(error, { code: 'RDMAVT_LEAK' });
}
