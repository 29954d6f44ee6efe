// Every verb and every cause: what its error contains. No two failures have the same message.
import { constants } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ErrorCause, RdmaError } from '../../lib';
import { causeTexts } from '../../lib/internal/cause-texts';
import { Errno } from '../../lib/internal/errors';
import { busyFailures } from '../support/failures/busy';
import { cacheFailures } from '../support/failures/cache';
import { endpointFailures } from '../support/failures/endpoint';
import { errorOf, type Failure } from '../support/failures/failure';
import { goneFailures } from '../support/failures/gone';
import { invalidFailures, viewFailures } from '../support/failures/invalid';
import { packedFailures } from '../support/failures/packed';
import { refusals } from '../support/failures/refused';
import { verbsFailures } from '../support/failures/verbs';
import { windowFailures } from '../support/failures/windows';
import { open, scene } from '../support/scene';

const viewsAreShort = constants.MAX_LENGTH < 2 ** 40;
const failures: (Failure & { reason?: string })[] = [
  ...goneFailures,
  ...busyFailures,
  ...cacheFailures,
  ...invalidFailures,
  ...verbsFailures,
  ...packedFailures,
  ...endpointFailures,
  ...(viewsAreShort ? viewFailures : []),
  ...windowFailures,
  ...refusals,
];

const titleOf = ({ method, detail, reason }: Failure & { reason?: string }): string => {
  const { cause, argument, value, counts } = detail;
  const about = argument === undefined ? '' : ` of ${argument}${value === undefined ? '' : ` ${value}`}`;
  const kinds = counts === undefined ? '' : ` of ${Object.keys(counts).join(', ')}`;
  return `${method}: ${cause}${reason ? ` ${reason}` : ''}${about}${kinds}`;
};

/** Returns the index that the error of a posting must have: none if no single work request is at fault. */
const indexOf = ({ detail: { index } }: Failure): { index?: number } =>
  index === undefined ? {} : { index };

const messages = new Map<string, string>();

test.each(failures.map((failure) => [titleOf(failure), failure] as const))('%s', async (title, failure) => {
  const error = await errorOf(failure);
  expect(error).toBeInstanceOf(RdmaError);
  expect(Object.assign({}, error)).toEqual({
    code: failure.code,
    errno: -Errno[failure.code],
    operation: failure.operation,
    detail: failure.detail,
    ...(failure.reason ? { reason: failure.reason } : {}),
    ...(failure.posted === undefined ? {} : { posted: failure.posted, ...indexOf(failure) }),
  });
  expect(error.message.startsWith(`${failure.code}: ${failure.method}: `)).toBe(true);
  expect(error.message).not.toMatch(/undefined|NaN|\[object|something/);
  const twin = messages.get(error.message);
  expect(twin).toBeUndefined();
  messages.set(error.message, title);
});

test('each failure is provoked once, and all messages are different', () => {
  expect(new Set(failures.map(titleOf)).size).toBe(failures.length);
  expect(messages.size).toBe(failures.length);
});

/** Causes that no JavaScript program can provoke here, and why. The C tests cover those of the core. */
const unreachable: Partial<Record<ErrorCause, string>> = {
  NoMemory: 'needs a system without free memory; in C the allocator fails on demand',
  NoRandomNumbers: 'needs a system without random numbers',
  HeldTooOften: 'needs 2^32 - 1 held elements',
  WindowType: 'the classes have windows of type 2 only',
  WindowIsLease: 'a lease is an object of another class, which no work request takes',
  ReregRunning: 'needs another thread that re-registers the region at this moment',
  MappingGone: 'unmap ignores it; another thread would have to end the mapping during the call',
  NoExternalBuffers: 'this runtime allows external buffers',
  BufferTooLong: viewsAreShort
    ? 'needs more memory than a machine may reserve; see device-memory.test.ts'
    : 'no limit on this platform',
  ...(viewsAreShort ? {} : { ViewTooLong: 'views may be as long as any memory here' }),
  NoEngine: 'every device of this package has an engine; a program in C can open one without',
  ObjectKind: 'needs a native module above the core that adds object kinds; none does yet',
  ReleaseHook: 'same as ObjectKind',
  TooManyPages: 'needs a buffer of 16 TiB',
  AddressesUsedUp: 'needs 2^64 bytes of regions',
  DmaAddressesUsedUp: 'needs 2^64 bytes of mappings',
  NoBytes: 'rejected earlier with a RangeError',
  ListTooLong: 'needs a list of 2^31 elements',
  ListedNoRegion: 'the classes pass regions only',
  ...(process.platform === 'linux'
    ? { NoSockets: 'this operating system has them' }
    : Object.fromEntries(
        [
          ...['EndpointClosed', 'HostAddress', 'KeysForeseen', 'Socket', 'QpOnOtherDevice'],
          ...['QpNumberForeseen', 'AddressFamily', 'TooManyRefusals', 'WrAhUnreachable'],
          ...['ConnectionGone', 'ConnectionState', 'ConnectionRejected', 'ConnectionTimeout'],
          ...['ServiceInUse', 'QpConnected', 'TooManyConnections', 'PrivateData'],
        ].map((cause) => [cause, 'this operating system has no endpoints']),
      )),
  Argument: 'the classes check all arguments first; this is the second barrier',
};

test('every cause is either provoked or listed as unreachable', () => {
  const provoked = new Set(failures.map(({ detail }) => detail.cause));
  for (const cause of Object.keys(causeTexts) as ErrorCause[]) {
    expect([cause, provoked.has(cause) || cause in unreachable]).toEqual([cause, true]);
    expect([cause, provoked.has(cause) && cause in unreachable]).toEqual([cause, false]);
  }
});

test('the documentation lists exactly the existing causes', () => {
  const text = readFileSync(join(__dirname, '..', '..', 'docs', 'errors.md'), 'utf8');
  const documented = [...text.matchAll(/^\| `([A-Z]\w+)` \|/gm)].map(([, cause]) => cause);
  expect([...new Set(documented)].sort()).toEqual(Object.keys(causeTexts).sort());
});

describe('messages', () => {
  const messageOf = (use: () => unknown): string => {
    try {
      use();
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('it did not fail');
  };

  test('use the singular and plural of what they count', () => {
    const { device, pd } = scene();
    pd.regUserMr(Buffer.alloc(8));
    pd.regUserMr(Buffer.alloc(8));
    expect(messageOf(() => pd.dealloc())).toBe(
      'EBUSY: ProtectionDomain.dealloc: 1 queue pair and 2 regions still exist in this protection domain; close these objects first, or pass { cascade: true }',
    );
    pd.deregMany(device.resources().regions.map(({ region }) => region!));
    expect(messageOf(() => pd.dealloc())).toBe(
      'EBUSY: ProtectionDomain.dealloc: 1 queue pair still exists in this protection domain; close these objects first, or pass { cascade: true }',
    );
    device.dma.map(Buffer.alloc(8));
    expect(messageOf(() => device.close())).toBe(
      'EBUSY: Device.close: 1 protection domain, 1 queue pair and 1 DMA mapping still exist on this device; close these objects first, or pass { cascade: true }',
    );
  });

  test('state by how much a value is out of range', () => {
    const { pd } = scene();
    expect(messageOf(() => pd.regUserMr(Buffer.alloc(8), { iova: (1n << 64n) - 3n }))).toBe(
      'EINVAL: ProtectionDomain.regUserMr: iova 0xfffffffffffffffd is 5 bytes too high: the region would end above 2^64',
    );
  });

  test('state how many slots of a full key table are in use', () => {
    const { pd } = scene({ lkeyTableBits: 1 });
    pd.allocMr({ maxNumSg: 1 });
    pd.allocMr({ maxNumSg: 1 });
    expect(messageOf(() => pd.allocMr({ maxNumSg: 1 }))).toBe(
      'ENOMEM: ProtectionDomain.allocMr: the key table is full: 2 of 2 slots are in use; deregister regions or raise lkeyTableBits',
    );
  });
});

test('a domain counts its hundred thousand regions and its queue pairs exactly', () => {
  const { pd } = scene({ lkeyTableBits: 17 });
  const memory = Buffer.alloc(8);
  const regions = Array.from({ length: 100_000 }, () => pd.regUserMr(memory));
  for (let i = 0; i < 9; i++) pd.createQp();
  expect(() => pd.dealloc()).toThrow(
    expect.objectContaining({ detail: { cause: 'PdInUse', counts: { queuePairs: 10, regions: 100_000 } } }),
  );
  pd.deregMany(regions);
});

test('an ignored failure does not leak into the next error', () => {
  const { device, pd, qp } = scene();
  qp.destroy();
  qp.destroy(); // the second call ignores EBADF, which leaves no explanation behind
  pd.dealloc();
  pd.dealloc();
  expect(() => pd.regUserMr(Buffer.alloc(8))).toThrow(
    expect.objectContaining({ detail: { cause: 'PdGone' } }),
  );
  device.close();
  device.close();
  expect(() => device.allocPd()).toThrow(expect.objectContaining({ detail: { cause: 'DeviceClosed' } }));
});

test('the detail is frozen, and errors without an explanation have none', () => {
  const device = open();
  let error: any;
  try {
    device.importPd(5);
  } catch (caught) {
    error = caught;
  }
  expect(Object.isFrozen(error.detail)).toBe(true);
  const plain = new RdmaError('reg_user_mr', 'EINVAL');
  expect(plain.message).toBe('EINVAL: invalid argument, reg_user_mr');
  expect('detail' in plain).toBe(false);
});
