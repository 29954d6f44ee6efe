/**
 * Judges requests by the regions of the responder. The core decides: each listed region is registered on a device of its own, with its
 * address, length, rights and domain, and each request is checked as a peer's request would be. The core chooses its own keys, so a
 * listed key stands for the key that its region has there.
 */
import { bytes, hex } from '../internal/words';
import { longs, readAnswer } from '../internal/command';
import { defaultLimits, limitWords } from '../internal/device-limits';
import { storeAccess } from '../internal/element';
import { AccessBit, CommandFlag, CommandWord, ReleaseMode } from '../internal/layout';
import {
  native,
  type NativeDevice,
  type NativeProtectionDomain,
  type NativeQueuePair,
} from '../internal/native';
import { overrun } from '../internal/overrun';
import { type CheckReason, checkReason } from '../internal/reasons';
import { readNewRegion, type RegionName, registerMemory, releaseRegion } from '../internal/region-name';
import { joinRights } from '../internal/right-names';
import { Kind, remoteRight } from './opcodes';
import { type ListedRegion, type RegionList, RegionListError } from './regions-file';
import { count, differentBits, range, swapBytes, thousands } from './words';

const { placeOne } = native;

/** A request, as far as the judge needs it. */
export interface JudgedRequest {
  /** Address of the responder. */
  readonly host: string;
  /** Number of the responder's queue pair. */
  readonly queuePair: number;
  readonly kind: Kind;
  readonly address: bigint;
  readonly length: number;
  readonly key: number;
}

/** What the core says about a request. */
export interface Verdict {
  /** Undefined: accepted. */
  readonly reason: CheckReason | undefined;
  /** The listed region that has the key. */
  readonly region: ListedRegion | undefined;
}

/** A listed region as the core has it. */
interface Registered {
  readonly listed: ListedRegion;
  readonly domain: Domain;
  readonly native: RegionName;
  readonly key: number;
  /** The core's region begins at this address and has so many bytes; less than the listed one if that is very large. */
  readonly window: bigint;
  invalidated: boolean;
}

interface Domain {
  readonly pd: NativeProtectionDomain;
  readonly qp: NativeQueuePair;
}

/**
 * A region of more bytes than this is registered with so many: memory for all of it may not exist. Requests are then judged at the
 * same distance from its end. A request has at most 2^31 bytes, so the answer is the same.
 */
const LARGEST = 2n ** 32n - 65_536n;
/** A key that the device never gives: it is in the last slot of its table, and slots are given in order. */
const NO_KEY = 0xffff_ff00;

const PAGE = 4096n;

/** Judges requests by a list of regions. Must be closed. */
export class Judge {
  readonly #list: RegionList;
  readonly #device: NativeDevice;
  readonly #domains = new Map<number, Domain>();
  /** Regions by key, then by the host that the list names; a list of one key for each host must not be searched for each request. */
  readonly #byKey = new Map<number, Map<string | undefined, Registered>>();
  /** Hosts that the list names; undefined, if a region of it is of any host. */
  readonly #hosts: ReadonlySet<string | undefined>;

  /** @throws RegionListError if a region cannot be registered, or there is not enough memory for its addresses */
  constructor(list: RegionList) {
    this.#list = list;
    this.#hosts = new Set(list.regions.map(({ host }) => host));
    const bits = Math.min(17, 1 + Math.ceil(Math.log2(list.regions.length + 2)));
    const device = native.openDevice(bits, false, false, true, limitWords(defaultLimits));
    if (typeof device === 'number') throw new RegionListError('not enough memory for the regions');
    this.#device = device;
    try {
      this.#registerAll();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#device.close(true);
  }

  #registerAll(): void {
    let longest = 1n;
    for (const { length } of this.#list.regions) {
      const kept = length > LARGEST ? LARGEST : length;
      if (kept > longest) longest = kept;
    }
    // All regions share one memory, which is never touched: the system provides pages of it only when they are used.
    let memory: SharedArrayBuffer;
    try {
      memory = new SharedArrayBuffer(Number(longest));
    } catch {
      throw new RegionListError(`not enough memory for addresses of ${thousands(longest)} bytes`);
    }
    for (const [i, listed] of this.#list.regions.entries()) {
      if (listed.length === 0n) continue; // nothing can be accessed there, and the core registers no empty region
      const window = listed.length > LARGEST ? LARGEST : listed.length;
      const domain = this.#domain(listed.domain ?? -1);
      let rights =
        listed.rights &
        (AccessBit.LocalWrite | AccessBit.RemoteWrite | AccessBit.RemoteRead | AccessBit.RemoteAtomic);
      // Lists for peers often leave out the right of the owner, without which no region with these rights can exist.
      if ((rights & (AccessBit.RemoteWrite | AccessBit.RemoteAtomic)) !== 0) rights |= AccessBit.LocalWrite;
      longs[CommandWord.Start / 2] = listed.address % PAGE; // the same offset in a page, as in a real registration
      longs[CommandWord.Iova / 2] = listed.address;
      const flags = CommandFlag.StartGiven | CommandFlag.IovaGiven;
      const status = registerMemory(
        domain.pd.number(),
        rights,
        flags,
        new Uint8Array(memory, 0, Number(window)),
      );
      if (status < 0) throw new RegionListError(`regions[${i}] cannot be registered (errno ${-status})`);
      const region = readNewRegion(domain.pd, domain.pd.number(), rights);
      const registered: Registered = {
        listed,
        domain,
        native: region,
        key: region.constants?.key ?? NO_KEY,
        window,
        invalidated: false,
      };
      const sameKey = this.#byKey.get(listed.key) ?? new Map<string | undefined, Registered>();
      this.#byKey.set(listed.key, sameKey);
      if (!sameKey.has(listed.host)) sameKey.set(listed.host, registered);
      if (listed.state === 'Invalid') this.#invalidate(registered);
      if (listed.state === 'HalfDead') releaseRegion(region, ReleaseMode.Release);
    }
  }

  #domain(number: number): Domain {
    const known = this.#domains.get(number);
    if (known !== undefined) return known;
    const pd = this.#device.allocPd(true);
    if (typeof pd === 'number') throw new RegionListError('not enough memory for the protection domains');
    const qp = pd.createCheckQp();
    if (typeof qp === 'number') throw new RegionListError('not enough memory for the protection domains');
    const domain = { pd, qp };
    this.#domains.set(number, domain);
    return domain;
  }

  #find(host: string, key: number): Registered | undefined {
    const regions = this.#byKey.get(key);
    return regions?.get(host) ?? regions?.get(undefined);
  }

  #invalidate(region: Registered): void {
    if (region.invalidated) return;
    region.invalidated = region.domain.qp.invalidateRkey(region.key) === 0;
  }

  /** Returns whether the list says anything about this responder. */
  knows(host: string): boolean {
    return this.#hosts.has(undefined) || this.#hosts.has(host);
  }

  /** Invalidates a key: a SEND_WITH_INV of it was carried out. */
  invalidate(host: string, key: number): void {
    const region = this.#find(host, key);
    if (region !== undefined) this.#invalidate(region);
  }

  /** Asks the core about a request. */
  judge(request: JudgedRequest): Verdict {
    const region = this.#find(request.host, request.key);
    const listed = region?.listed;
    const own = region?.domain ?? this.#domain(-1);
    const number = this.#list.domains.get(request.queuePair);
    const domain = number === undefined || listed?.domain === undefined ? own : this.#domain(number);
    const key = region?.key ?? (request.key === 0 ? 0 : NO_KEY);
    const address = region === undefined ? request.address : place(request, region);
    const length = request.kind >= Kind.CompareSwap ? 8 : request.length;
    storeAccess(
      domain.qp.number(),
      address,
      'address',
      length,
      'length',
      key,
      'key',
      remoteRight(request.kind),
    );
    placeOne();
    const answer = readAnswer();
    if (answer === 0) return { reason: undefined, region: listed };
    if (answer < 0) throw new Error(`a check returned errno ${-answer}`);
    return { reason: checkReason(answer), region: listed };
  }

  /** Explains a refusal in sentences, with the numbers of the request and of the list. */
  explain(request: JudgedRequest, { reason, region }: Verdict): string {
    switch (reason) {
      case undefined:
        return 'The regions allow it.';
      case 'KeyZeroDenied':
        return 'Key 0 is refused from peers: probably the key was never set.';
      case 'NoSuchKey':
        // The core registers no region without bytes, so it cannot know this key.
        if (this.#list.regions.some(({ key, length }) => key === request.key && length === 0n)) {
          return `The region with key ${hex(request.key)} is listed with a length of 0, so nothing in it can be accessed.`;
        }
        return `No listed region has key ${hex(request.key)}.${this.#meantKey(request)}`;
      case 'Revoked':
        return `The region with key ${hex(request.key)} was released.`;
      case 'Invalidated':
        return `The key ${hex(request.key)} was invalidated before.`;
      default:
    }
    if (region === undefined) return `The regions refuse it: ${reason}.`;
    const last = region.address + region.length - 1n;
    const named = `the region with key ${hex(region.key)} has ${count(region.length, 'byte')} at ${range(region.address, last)}`;
    if (reason === 'OutOfBounds') {
      const where = overrun(request.address, request.length, region.address, region.length);
      return `${where}: ${named}.${mixUp(request, region)}${this.#neighbour(request, region)}`;
    }
    if (reason === 'AccessDenied') {
      const right = joinRights(remoteRight(request.kind), '|', '');
      const grants = joinRights(region.rights, '|', 'no rights');
      const remedy =
        (region.rights & AccessBit.LocalWrite) !== 0 && request.kind !== Kind.Read
          ? ' LocalWrite is a right of the owner only.'
          : '';
      return `${right} is missing: the region with key ${hex(region.key)} grants ${grants}.${remedy}`;
    }
    if (reason === 'WrongPd') {
      const asked = this.#list.domains.get(request.queuePair) ?? 0;
      return (
        `The region with key ${hex(region.key)} is in protection domain ${region.domain ?? 0}, but queue pair ` +
        `${request.queuePair} is in domain ${asked}; a domain's keys work only in that domain.`
      );
    }
    return `The regions refuse it: ${reason}; ${named}.`;
  }

  /** Suggests which key was meant. */
  #meantKey({ host, key, address, length }: JudgedRequest): string {
    const swapped = this.#find(host, swapBytes(key));
    if (swapped !== undefined) {
      return ` Its bytes are in reverse order: ${hex(swapped.listed.key)} is a key of the list.`;
    }
    const there = this.#list.regions.find(
      (region) =>
        (region.host === undefined || region.host === host) &&
        address >= region.address &&
        address + BigInt(length) <= region.address + region.length,
    );
    if (there === undefined) return '';
    const bits = differentBits(there.key, key);
    let how = '';
    if (there.key >>> 8 === key >>> 8)
      how = ', which differs in the low byte only: an old key, or one that is not valid yet';
    else if (bits <= 2) how = `, which differs in ${count(bits, 'bit')} only`;
    return ` The address belongs to the region with key ${hex(there.key)}${how}.`;
  }

  #neighbour({ host, address, length, key }: JudgedRequest, region: ListedRegion): string {
    const other = this.#list.regions.find(
      (candidate) =>
        candidate.key !== key &&
        (candidate.host === undefined || candidate.host === host) &&
        address >= candidate.address &&
        address + BigInt(length) <= candidate.address + candidate.length,
    );
    if (other !== undefined) return ` The address belongs to the region with key ${hex(other.key)}.`;
    const behind = region.address + region.length;
    const next = this.#list.regions.find(
      (candidate) => candidate.key !== key && candidate.address === behind,
    );
    if (next === undefined || address >= behind) return '';
    return ` The bytes past the end belong to the region with key ${hex(next.key)}; a request must lie in one region.`;
  }
}

/** Returns the address at which the core is asked: for very large regions, one at the same distance from the end. */
function place({ address }: JudgedRequest, { listed, window }: Registered): bigint {
  const cut = listed.length - window;
  if (cut === 0n || address < listed.address) return address;
  // So far from the end that no request reaches it.
  if (address - listed.address < cut) return listed.address;
  return address - cut;
}

/** Suggests which mistake led out of the bounds. */
function mixUp({ address, length }: JudgedRequest, region: ListedRegion): string {
  const offset = address - region.address;
  if (offset > 0n && BigInt(length) === region.length) {
    return ` The length is that of the whole region, but from byte ${thousands(offset)} on only ${bytes(region.length - offset)} are left.`;
  }
  if (address < region.length && region.address > address && BigInt(length) <= region.length - address) {
    return ` ${hex(address)} looks like an offset: that byte of the region has the address ${hex(region.address + address)}.`;
  }
  return '';
}
