import { Access } from './access';
import {
  integer,
  invalidType,
  invalidValue,
  propertiesOf,
  type Unchecked,
  u32,
  u64,
} from '../internal/arguments';
import { fieldNumber, words } from '../internal/command';
import { construction } from '../internal/construction';
import { CommandWord, WindowField } from '../internal/layout';
import { native } from '../internal/native';
import { Lease } from './lease';
import { nativeQueuePairOf } from './qp-native';
import { type QueuePair } from './queue-pair';
import { leaseRegion, newWindowKey, queryWindow, readNewWindow } from '../internal/window-name';
import { optionsOf } from '../internal/options';
import { explainedError, rdmaError } from '../internal/errors';
import { type Method } from '../internal/methods';
import { type Rkey } from './keys';
import { bytesOf, byteLengthOf, type MemoryLike } from '../internal/memory-argument';
import { placeOfRegion } from '../internal/region-place';
import { type RegionName } from '../internal/region-name';
import { type RegionTable } from './region-registry';

const { deallocMw } = native;

/** Options of {@link Region.advertise}. */
export interface AdvertiseOptions {
  /** Offset of the advertised range from the start of the region, in bytes. Default 0. */
  offset?: number;
  /** Length of the advertised range in bytes, at least 1. Default: up to the end of the region. */
  length?: number;
}

/** Options of {@link Region.advertise} with which it makes a lease. */
export interface LeaseOptions extends AdvertiseOptions {
  /** The lease expires this many milliseconds from now. 0..2^53-1. */
  expiresInMs: number;
  /** The rights of the lease: remote rights that the region grants. Default: all remote rights of the region. */
  access?: Access;
  /** The only queue pair whose peer may use the lease. Default: every queue pair of the region's domain. */
  qp?: QueuePair;
}

/**
 * What a peer needs to read or write a range of memory: a {@link RemoteRequest} that covers the whole range. Created by
 * {@link Region.advertise}.
 */
export interface Advertisement {
  /** Remote address of the first byte. */
  vaddr: bigint;
  /** Length of the range in bytes, at least 1. */
  length: number;
  /** The rkey of the region. */
  rkey: Rkey;
}

/** Size of a packed advertisement in bytes. */
const PACKED_BYTES = 16;
const LENGTH_AT = 8;
const RKEY_AT = 12;
const VADDR_DIGITS = 16;
const WORD_DIGITS = 8;
const TEXT = /^[0-9a-f]{16}:[0-9a-f]{8}:[0-9a-f]{8}$/i;
const MOST_BYTES = 0xffffffff;

const REMOTE = Access.RemoteRead | Access.RemoteWrite | Access.RemoteAtomic;

/**
 * Implements {@link Region.advertise}.
 *
 * @param note - called with the id of a new lease. Not needed if `options` ask for none
 */
export function advertise(
  name: RegionName,
  table: RegionTable,
  method: Method,
  options: unknown,
  note: (id: number) => void = () => undefined,
): Advertisement {
  const given = optionsOf<LeaseOptions>(options, ['offset', 'length', 'expiresInMs', 'access', 'qp']);
  const { offset: givenOffset = 0, length: givenLength, expiresInMs } = given;
  const wanted = integer(givenOffset, 'options.offset', 0, Number.MAX_SAFE_INTEGER);
  const wantedLength =
    givenLength === undefined
      ? undefined
      : integer(givenLength, 'options.length', 1, Number.MAX_SAFE_INTEGER);
  if (expiresInMs === undefined) refuseTerms(given);
  const terms = expiresInMs === undefined ? undefined : termsOf(given);
  const place = placeOfRegion(name);
  if (typeof place === 'number') throw rdmaError(method, place);
  if (place.isDma) throw explainedError(method, 'EINVAL', 'DmaRegion');
  if (!place.works) throw explainedError(method, 'EINVAL', 'DeadKey', { value: BigInt(place.key) });
  if (place.length === 0) throw explainedError(method, 'EINVAL', 'NothingMapped');
  if (!(place.access & REMOTE))
    throw explainedError(method, 'EACCES', 'NoRemoteRight', { value: BigInt(place.access) });
  const offset = integer(wanted, 'options.offset', 0, place.length - 1);
  const rest = place.length - offset;
  const length = wantedLength === undefined ? rest : integer(wantedLength, 'options.length', 1, rest);
  const range = { vaddr: place.remoteAddress + BigInt(offset), length, rkey: table.rkeyOf(place.key) };
  return terms === undefined ? range : makeLease(name, method, range, terms, place.access & REMOTE, note);
}

/** The options that belong to a lease. */
interface Terms {
  readonly ms: number;
  readonly access: Access | undefined;
  readonly qp: number;
}

function refuseTerms({ access, qp }: Unchecked<LeaseOptions>): void {
  // Rights that silently did not hold would be worse than an error.
  if (access !== undefined) throw invalidValue('options.access', 'needs options.expiresInMs', access);
  if (qp !== undefined) throw invalidValue('options.qp', 'needs options.expiresInMs', qp);
}

function termsOf({ expiresInMs, access, qp }: Unchecked<LeaseOptions>): Terms {
  const found = qp === undefined ? undefined : nativeQueuePairOf(qp);
  if (qp !== undefined && found === undefined)
    throw invalidType('options.qp', 'an instance of QueuePair', qp);
  return {
    ms: integer(expiresInMs, 'options.expiresInMs', 0, Number.MAX_SAFE_INTEGER),
    access: access === undefined ? undefined : u32(access, 'options.access'),
    qp: found?.number() ?? 0,
  };
}

function makeLease(
  name: RegionName,
  method: Method,
  range: Advertisement,
  { ms, access, qp }: Terms,
  all: Access,
  note: (id: number) => void,
): Lease {
  const rights = access ?? all;
  const { checker } = name;
  const status = leaseRegion(name, { vaddr: range.vaddr, length: range.length, access: rights, ms, qp });
  try {
    if (status < 0) throw rdmaError(method, status);
    const window = readNewWindow(name.domain, checker);
    const rkey = newWindowKey() as Rkey;
    const found = queryWindow(window);
    if (found < 0) throw rdmaError(method, found); // another thread has closed the region meanwhile
    const id = fieldNumber(WindowField.Id);
    const deadline = fieldNumber(WindowField.Deadline);
    const lease = new Lease(construction, window, id, { ...range, rkey }, rights, deadline);
    note(id);
    return lease;
  } catch (error) {
    // The object could not be created at the end of the stack, where only native functions can be called. The block still names
    // the lease.
    if (status === 0) {
      words[CommandWord.Checker] = checker;
      deallocMw();
    }
    throw error;
  }
}

/**
 * Encodes an advertisement as 16 bytes in network byte order (big-endian): `vaddr` u64, `length` u32, `rkey` u32.
 *
 * @returns a new array of 16 bytes
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
 * @throws RangeError (`ERR_OUT_OF_RANGE`): a field does not fit, or the range ends beyond 2^64. The length is limited to 2^32-1:
 *   advertise a longer region in parts
 */
export function packAdvertisement(advertisement: Advertisement): Uint8Array {
  const { vaddr, length, rkey } = judge(advertisement);
  const packed = new Uint8Array(PACKED_BYTES);
  const view = new DataView(packed.buffer);
  view.setBigUint64(0, vaddr);
  view.setUint32(LENGTH_AT, length);
  view.setUint32(RKEY_AT, rkey);
  return packed;
}

/**
 * Encodes an advertisement as text: the fields of {@link packAdvertisement} in hex digits, `vaddr:length:rkey`, 34 characters.
 *
 * @returns 16, 8 and 8 lowercase hex digits, separated by colons
 * @throws TypeError, RangeError: see {@link packAdvertisement}
 */
export function formatAdvertisement(advertisement: Advertisement): string {
  const { vaddr, length, rkey } = judge(advertisement);
  const digits = (number: number | bigint, count: number): string => number.toString(16).padStart(count, '0');
  return `${digits(vaddr, VADDR_DIGITS)}:${digits(length, WORD_DIGITS)}:${digits(rkey, WORD_DIGITS)}`;
}

/**
 * Decodes an advertisement that a peer sent: the output of {@link packAdvertisement} or {@link formatAdvertisement}. Checks the
 * format only; the peer may have no such region.
 *
 * @param message - the 16 bytes, or the text in hex digits of either case
 * @returns the advertisement
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`; `ERR_INVALID_ARG_VALUE`: the text has another form)
 * @throws RangeError (`ERR_OUT_OF_RANGE`): not 16 bytes, length 0, or a range that ends beyond 2^64
 * @throws RdmaError `EINVAL`: the memory is detached
 */
export function parseAdvertisement(message: MemoryLike | string): Advertisement {
  if (typeof message === 'string') {
    if (message.length !== VADDR_DIGITS + 2 * WORD_DIGITS + 2 || !TEXT.test(message)) {
      throw invalidValue(
        'message',
        'must have the form vaddr:length:rkey with 16, 8 and 8 hex digits',
        message,
      );
    }
    const first = VADDR_DIGITS;
    const second = VADDR_DIGITS + 1 + WORD_DIGITS;
    return judge({
      vaddr: BigInt(`0x${message.slice(0, first)}`),
      length: parseInt(message.slice(first + 1, second), 16),
      rkey: parseInt(message.slice(second + 1), 16),
    });
  }
  if (typeof message !== 'object' || (message as unknown) === null) {
    throw invalidType('message', 'of type string or an instance of Buffer, TypedArray or DataView', message);
  }
  const bytes = bytesOf('parseAdvertisement', message, 'message');
  integer(byteLengthOf(bytes), 'message.byteLength', PACKED_BYTES, PACKED_BYTES);
  const view = new DataView(new Uint8Array(bytes).buffer); // copy first: another thread may write to shared bytes
  return judge({
    vaddr: view.getBigUint64(0),
    length: view.getUint32(LENGTH_AT),
    rkey: view.getUint32(RKEY_AT),
  });
}

function judge(advertisement: unknown): Advertisement {
  const given = propertiesOf<Advertisement>(advertisement, 'advertisement');
  const { vaddr: givenVaddr, length: givenLength, rkey: givenRkey } = given;
  const vaddr = u64(givenVaddr, 'advertisement.vaddr');
  const length = integer(givenLength, 'advertisement.length', 1, MOST_BYTES);
  const rkey = u32(givenRkey, 'advertisement.rkey') as Rkey;
  const room = 2n ** 64n - vaddr;
  if (BigInt(length) > room) integer(length, 'advertisement.length', 1, Number(room));
  return { vaddr, length, rkey };
}
