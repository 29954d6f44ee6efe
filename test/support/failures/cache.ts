// Failures of a registration cache.
import { type ErrnoName, type ErrorCause, type ErrorDetail, RegistrationCache } from '../../../lib';
import { open, scene } from '../scene';
import { failure, type Failure } from './failure';

const GET = 'RegistrationCache.get';

/** Describes a failure of a get. `prepare` returns the cache, and the memory and rights of the get. */
const ofGet = (
  code: ErrnoName,
  cause: ErrorCause,
  detail: Omit<ErrorDetail, 'cause'>,
  prepare: () => [cache: RegistrationCache, memory: any, access?: number],
): Failure =>
  failure(GET, 'reg_user_mr', code, cause, detail, () => {
    const [cache, memory, access = 0] = prepare();
    return () => cache.get(memory, access);
  });

function detached(): Uint8Array {
  const view = new Uint8Array(8);
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

function outOfBounds(): DataView {
  const buffer = new (ArrayBuffer as any)(16, { maxByteLength: 16 });
  const view = new DataView(buffer, 8, 8);
  buffer.resize(4);
  return view;
}

const newCache = (options = {}): RegistrationCache => new RegistrationCache(scene().pd, options);

/** Returns a use that was put. */
const putUse = () => {
  const use = newCache().get(new Uint8Array(8), 4);
  use.put();
  return use;
};

export const cacheFailures: Failure[] = [
  ofGet('EINVAL', 'EmptyMemory', { argument: 'memory' }, () => [newCache(), new Uint8Array(0)]),
  ofGet('EINVAL', 'MemoryDetached', { argument: 'memory' }, () => [newCache(), detached()]),
  ofGet('EINVAL', 'ViewOutOfBounds', { argument: 'memory' }, () => [newCache(), outOfBounds()]),
  ofGet('EINVAL', 'UnknownRights', { argument: 'access', value: 32, limit: 31 }, () => [
    newCache(),
    new Uint8Array(8),
    32,
  ]),
  ofGet('EINVAL', 'RightsNeedLocalWrite', { argument: 'access', value: 2 }, () => [
    newCache(),
    new Uint8Array(8),
    2,
  ]),
  ofGet('EINVAL', 'AboveMaxBytes', { argument: 'memory', value: 9, limit: 8 }, () => [
    newCache({ maxBytes: 8 }),
    new Uint8Array(9),
  ]),
  ofGet('ENOMEM', 'CacheRegionsInUse', { value: 1, limit: 1 }, () => {
    const cache = newCache({ maxRegions: 1 });
    cache.get(new Uint8Array(8), 0);
    return [cache, new Uint8Array(8)];
  }),
  ofGet('ENOMEM', 'CacheBytesInUse', { value: 8, limit: 15 }, () => {
    const cache = newCache({ maxBytes: 15 });
    cache.get(new Uint8Array(8), 0);
    return [cache, new Uint8Array(8)];
  }),
  ofGet('ENOMEM', 'TableFull', { value: 2, limit: 2 }, () => {
    const { pd } = scene({ lkeyTableBits: 1, keyPolicy: 'sequential' });
    pd.regUserMr(Buffer.alloc(8));
    pd.regUserMr(Buffer.alloc(8));
    return [new RegistrationCache(pd), new Uint8Array(8)];
  }),
  ofGet('EBADF', 'CacheClosed', {}, () => {
    const cache = newCache();
    cache.close();
    return [cache, new Uint8Array(8)];
  }),
  ofGet('EBADF', 'PdGone', {}, () => {
    const pd = open().allocPd();
    pd.dealloc();
    return [new RegistrationCache(pd), new Uint8Array(8)];
  }),
  failure('RegistrationCache.close', 'dereg_mr', 'EBUSY', 'CacheInUse', { value: 1 }, () => {
    const cache = newCache();
    cache.get(new Uint8Array(8), 0);
    return () => cache.close();
  }),
  ...(['region', 'start', 'iova', 'length', 'access', 'lkey', 'rkey'] as const).map((property) =>
    failure(`RegionUse.${property}`, 'query_mr', 'EBADF', 'UsePut', {}, () => {
      const use = putUse();
      return () => use[property];
    }),
  ),
  failure('RegionUse.advertise', 'query_mr', 'EBADF', 'UsePut', {}, () => {
    const use = putUse();
    return () => use.advertise();
  }),
  failure('RegionUse.advertise', 'query_mr', 'EACCES', 'NoRemoteRight', { value: 1 }, () => {
    const use = newCache().get(new Uint8Array(8), 1);
    return () => use.advertise();
  }),
  failure('RegionUse.advertise', 'query_mr', 'EBADF', 'RegionGone', {}, () => {
    const use = newCache().get(new Uint8Array(8), 4);
    use.region.dereg();
    return () => use.advertise();
  }),
];
