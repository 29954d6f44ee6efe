/**
 * Telling about regions that nobody has ended: when their device is collected, and when the process (or worker) ends.
 */
import { type CreationStacks } from './creation-stacks';
import { check } from './errors';
import { native, type NativeDevice } from './native';
import { type RegionRegistry } from './region-registry';
import { regionsOfRows, type RegionResource, resourcesOf } from './resources';

type Leaked = Pick<RegionResource, 'number' | 'kind' | 'lkey' | 'iova' | 'length' | 'refs' | 'stack'>;

interface Watched {
  /** Not strongly: that would be what keeps it from being collected. */
  native: WeakRef<NativeDevice>;
  registry: WeakRef<RegionRegistry>;
  stacks: CreationStacks | undefined;
}

/** By the device's number. */
const watched = new Map<number, Watched>();
let listening = false;

/** From now on tell about this device's regions. */
export function watchForLeaks(
  device: NativeDevice,
  registry: RegionRegistry,
  stacks: CreationStacks | undefined,
): void {
  check('report_leaks', device.reportLeaks(true));
  watched.set(device.number(), {
    native: new WeakRef(device),
    registry: new WeakRef(registry),
    stacks,
  });
  if (listening) return;
  listening = true;
  native.onLeak((number, rows) => {
    const stacksOf = watched.get(number)?.stacks;
    watched.delete(number);
    const leaked = regionsOfRows(rows).map((region) => {
      const stack = stacksOf?.of('region', region.number);
      return stack === undefined ? region : { ...region, stack };
    });
    if (leaked.length) process.emitWarning(warning('A device was garbage-collected', leaked));
  });
  process.on('exit', () => {
    for (const entry of watched.values()) {
      const device_ = entry.native.deref();
      const registry_ = entry.registry.deref();
      if (!device_ || !registry_ || device_.live() < 0) continue;
      const leaked = resourcesOf(device_, registry_, entry.stacks).regions.filter(({ own }) => own);
      // emitWarning would tell in the next turn, and there is none.
      if (leaked.length) process.emit('warning', warning('The process ended', leaked));
    }
  });
}

/** The device was closed, or left, in the regular way. */
export function stopWatching(device: NativeDevice): void {
  if (watched.delete(device.number())) device.reportLeaks(false);
}

const MOST_TOLD = 10;

function warning(what: string, leaked: readonly Leaked[]): Error {
  const regions = leaked.length === 1 ? 'a live memory region' : `${leaked.length} live memory regions`;
  const lines = leaked.slice(0, MOST_TOLD).map(({ number, kind, lkey, iova, length, refs, stack }) => {
    const key = `0x${lkey.toString(16)}`;
    const line = `  ${kind} region ${number}: key ${key}, ${length} bytes at 0x${iova.toString(16)}, ${refs} references`;
    return stack === undefined ? line : `${line}, created\n${stack}`;
  });
  if (leaked.length > MOST_TOLD) lines.push(`  and ${leaked.length - MOST_TOLD} more`);
  const error = new Error(`${what} with ${regions}:\n${lines.join('\n')}`);
  error.name = 'RdmavtLeakWarning';
  error.stack = `${error.name}: ${error.message}`;
  return Object.assign(error, { code: 'RDMAVT_LEAK' });
}
