/** Reports regions that were never deregistered: when their device is garbage-collected, and when the process or worker exits. */
import { type CreationStacks } from './creation-stacks';
import { throwOnError } from '../internal/errors';
import { native, type NativeDevice } from '../internal/native';
import { regionsOfRows, type RegionResource } from './resources';

type Leaked = Pick<RegionResource, 'id' | 'kind' | 'lkey' | 'iova' | 'length' | 'refs' | 'stack'>;

/**
 * Creation stacks of the watched devices, keyed by device and context number. Holds no reference to a device, which would keep
 * the device alive.
 */
const watched = new Map<string, CreationStacks | undefined>();
let listening = false;
let ending = false;

const keyOf = (device: number, context: number): string => `${device} ${context}`;

/**
 * Starts reporting the leaked regions of a device.
 *
 * @param stacks - creation stacks of the device's objects, if they are captured
 */
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
    // process.emitWarning emits in a later tick, which never comes while the process exits. Emit directly.
    if (ending) process.emit('warning', warning('The process ended', leaked));
    else process.emitWarning(warning('A device was garbage-collected', leaked));
  });
  process.on('exit', () => {
    ending = true;
    native.tellLeaks();
  });
}

/** Stops reporting the leaked regions of a device, because it was closed or detached normally. */
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
