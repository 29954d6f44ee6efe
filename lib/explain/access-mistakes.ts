/**
 * What a remote access error may mean. The NAK does not say whether the key, the range, the right or the protection domain was wrong, or
 * the region had ended; what the capture has of the key and of the responder makes some of them more likely than others.
 */
import { PAGE_SIZE } from '../internal/layout';
import { joinRights } from '../internal/right-names';
import { hex } from '../internal/words';
import { type Flows, FlowWord } from './flows';
import { KeyDouble, type Keys, KeyWord, wide } from './keys';
import { Kind, remoteRight } from './opcodes';
import { psnDistance } from './reading';
import { RequestDouble, RequestFlag, type Requests, RequestWord } from './requests';
import { count, differentBits, range, swapBytes } from './words';

/** The tables that explanations read. */
export interface Tables {
  readonly flows: Flows;
  readonly requests: Requests;
  readonly keys: Keys;
  /** Whether a list of regions is given. Without one, texts that cannot name a reason say that it helps. */
  readonly hasRegions: boolean;
}

/** Keys of the responder that are compared with one that was refused. */
const MOST_COMPARED = 4096;
/** Regions mostly begin and end at multiples of this, because memory for them is allocated so. */
const PAGE = BigInt(PAGE_SIZE);

export const kindWords: Readonly<Record<Kind, string>> = {
  [Kind.Send]: 'SENDs',
  [Kind.Write]: 'WRITEs',
  [Kind.Read]: 'READs',
  [Kind.CompareSwap]: 'atomic operations',
  [Kind.FetchAdd]: 'atomic operations',
};

/** Returns whether a request names a key that was invalidated before, and which packet did that. */
export function invalidatedBefore({ flows, requests, keys }: Tables, slot: number): number {
  if (!requests.has(slot, RequestFlag.HasTarget)) return 0;
  const host = flows.get(requests.get(slot, RequestWord.Flow), FlowWord.DestinationHost);
  const entry = keys.find(host, requests.get(slot, RequestWord.Key), false);
  if (entry < 0) return 0;
  const by = keys.getDouble(entry, KeyDouble.Invalidated);
  return by > 0 && by < requests.getDouble(slot, RequestDouble.Packet) ? by : 0;
}

/** What a refused request asked for. */
interface Asked {
  readonly flow: number;
  readonly kind: Kind;
  readonly key: number;
  readonly address: bigint;
  readonly length: bigint;
}

/** Explains a remote access error from what happened before with the same key and the same address. */
export function accessRefused(tables: Tables, slot: number): string[] {
  const { flows, requests, keys } = tables;
  const flow = requests.get(slot, RequestWord.Flow);
  const kind = requests.get(slot, RequestWord.Kind) as Kind;
  const host = flows.get(flow, FlowWord.DestinationHost);
  const midway = psnDistance(requests.get(slot, RequestWord.RefusedPsn), requests.get(slot, RequestWord.Psn));
  if (!requests.has(slot, RequestFlag.HasTarget)) return [withoutTarget(tables, slot, midway)];
  const key = requests.get(slot, RequestWord.Key);
  const address = wide(requests.words, slot * RequestWord.Words + RequestWord.Address);
  const length = BigInt(requests.get(slot, RequestWord.Length));
  const asked = { flow, kind, key, address, length };
  if (midway > 0) return [refusedMidway(tables, asked, midway)];
  const by = invalidatedBefore(tables, slot);
  if (by > 0) {
    return [
      `Most likely: the key was used after its end. Packet ${by} (SEND_WITH_INV) invalidated key ${hex(key)}; it must be registered again (REG_MR) and sent to the peer anew.`,
    ];
  }
  if (key === 0) return ['Most likely: the key was never set; it is 0.'];
  if (address + length > 2n ** 64n) {
    return [`Most likely: address and length are wrong; the range passes the end of the address space.`];
  }
  const entry = keys.find(host, key, false);
  if (entry >= 0 && keys.get(entry, KeyWord.Accepted) > 0) return [workedBefore(tables, entry, asked)];
  const other = otherKey(tables, host, key, address, length);
  return [other === '' ? neverWorked(tables, asked) : other];
}

/** Explains the refusal of a request whose packet with the key is not in the capture, or which has none. */
function withoutTarget({ requests }: Tables, slot: number, midway: number): string {
  const invalidates = requests.has(slot, RequestFlag.HasInvalidate);
  if ((requests.get(slot, RequestWord.Kind) as Kind) === Kind.Send) {
    return invalidates
      ? `Most likely: the receiver may not or cannot invalidate key ${hex(requests.get(slot, RequestWord.Invalidate))}.`
      : 'Most likely: the receive that was posted for it names memory that the receiver may not write.';
  }
  const where =
    midway > 0 || requests.has(slot, RequestFlag.BeginsMidway)
      ? ' It was refused in its middle, so its beginning was accepted: most likely the region was deregistered, revoked or invalidated while the request was under way.'
      : '';
  return `Its first packet, which names the key and the address, is not in the capture, so what was wrong cannot be told.${where}`;
}

/** A request that is refused behind its first packet: what was wrong then was right before. */
function refusedMidway(
  { flows }: Tables,
  { flow, kind, key, address, length }: Asked,
  midway: number,
): string {
  const mtu = flows.get(flow, FlowWord.Mtu);
  const done = mtu > 0 ? ` (${count(midway * mtu, 'byte')})` : '';
  const from = address + BigInt(midway * mtu);
  const end = from + BigInt(mtu) < address + length ? from + BigInt(mtu) : address + length;
  const boundary = mtu > 0 ? (from % PAGE === 0n ? from : lastBoundary(from, end)) : 0n;
  // Soft-RoCE and this package do; the specification allows to judge each packet.
  const alone =
    boundary > 0n
      ? ` (If the responder is an adapter that judges each packet by its own bytes: the region may also end at ${hex(boundary)}.)`
      : '';
  return (
    `Most likely: the region was taken away while the request was under way. Its first ${count(midway, 'packet')}${done} ${midway === 1 ? 'was' : 'were'} ${kind === Kind.Read ? 'answered' : 'accepted'} and only ` +
    `packet ${midway + 1} of it was refused, but a range that is too long or a wrong key is refused at the first packet. So between the two the region with key ` +
    `${hex(key)} was deregistered, revoked or invalidated.${alone}`
  );
}

/** Returns the last page boundary behind the first byte of a range and before its end; 0 if there is none. */
function lastBoundary(address: bigint, end: bigint): bigint {
  const boundary = ((end - 1n) / PAGE) * PAGE;
  return boundary > address ? boundary : 0n;
}

/** The key worked before, so it is none that does not exist: tells a range outside what was accepted, another operation, and an end. */
function workedBefore(
  { flows, keys }: Tables,
  entry: number,
  { flow, kind, key, address, length }: Asked,
): string {
  const packet = keys.getDouble(entry, KeyDouble.LastAccepted);
  const [first, last] = [keys.first(entry), keys.last(entry)];
  const end = address + length - 1n;
  const right = joinRights(remoteRight(kind), '|', '');
  const isNewKind = !accepted(keys, entry, kind);
  const lastFlow = keys.get(entry, KeyWord.LastFlow) - 1;
  const elsewhere =
    lastFlow === flow
      ? ''
      : `, or queue pair ${hex(flows.get(flow, FlowWord.QueuePair))} is in another protection domain than ${hex(flows.get(lastFlow, FlowWord.QueuePair))}, where the key worked`;
  const ended = `the region has ended since then (deregistered, revoked or invalidated by its owner)${elsewhere}`;
  if (end > last || address < first) {
    const isBefore = address < first;
    const how = isBefore
      ? `begins ${count(first - address, 'byte')} before the lowest address`
      : `ends ${count(end - last, 'byte')} past the highest address`;
    const boundary = isBefore ? ((first - 1n) / PAGE + 1n) * PAGE : lastBoundary(last, end + 1n);
    const crosses = boundary > 0n && (isBefore ? boundary <= first && boundary > address : true);
    const where = crosses
      ? `, across the page boundary ${hex(boundary)}, at which the region may ${isBefore ? 'begin' : 'end'}`
      : '';
    return (
      `Most likely: out of bounds. The key ${hex(key)} worked until packet ${packet}, for ${range(first, last)}; this request ${how} that was accepted${where} ` +
      `(the region itself may be larger than what was used of it). Otherwise: ${isNewKind ? `the region does not grant ${right}, or ` : ''}${ended}.`
    );
  }
  if (isNewKind) {
    return (
      `Most likely: a right is missing. The key ${hex(key)} worked for other operations at these addresses (last in packet ${packet}), ` +
      `but never for ${kindWords[kind]}: the region probably does not grant ${right}. Otherwise: ${ended}.`
    );
  }
  return (
    `Most likely: the region has ended. The key ${hex(key)} worked for the same operation at these addresses until packet ${packet}; ` +
    `since then it was deregistered, revoked or invalidated by its owner${elsewhere}.`
  );
}

/** Returns whether an operation with the same right was accepted with a key. */
function accepted(keys: Keys, entry: number, kind: Kind): boolean {
  if (kind < Kind.CompareSwap) return keys.accepted(entry, kind);
  return keys.accepted(entry, Kind.CompareSwap) || keys.accepted(entry, Kind.FetchAdd);
}

/** Nothing is known of the key: names what may be wrong, the most likely first. */
function neverWorked({ flows, hasRegions }: Tables, { flow, kind, key, address, length }: Asked): string {
  const host = flows.hosts.text(flows.get(flow, FlowWord.DestinationHost));
  const isAtomic = kind >= Kind.CompareSwap;
  const boundary = lastBoundary(address, address + length);
  const right = joinRights(remoteRight(kind), '|', '');
  const suspects = [
    `the key (not one of ${host}, or one of a region that has ended)`,
    `the right (the region does not grant ${right}${isAtomic ? ', which is needed for atomic operations only' : ''})`,
    `the protection domain (the region is in another one than queue pair ${hex(flows.get(flow, FlowWord.QueuePair))})`,
  ];
  if (isAtomic) [suspects[0], suspects[1]] = [suspects[1] ?? '', suspects[0] ?? ''];
  if (boundary > 0n) {
    const past = address + length - boundary;
    suspects.unshift(
      `the range (its last ${count(past, 'byte')} ${past === 1n ? 'lies' : 'lie'} behind the page boundary ${hex(boundary)}, and regions mostly end at one)`,
    );
  } else {
    suspects.splice(
      isAtomic ? 2 : 3,
      0,
      'the range (it leaves no page, but a region may begin and end anywhere)',
    );
  }
  const order = suspects.map((suspect, i) => `${i + 1}. ${suspect}`).join(', ');
  const offset = address < 2n ** 20n ? ` ${hex(address)} looks like an offset rather than an address.` : '';
  return (
    `The NAK says that the key, the range, the right or the domain is wrong, but not which, and ${host} accepted no request with key ${hex(key)} before. ` +
    `To check, the most likely first: ${order}.${offset}${hasRegions ? '' : ' With --regions FILE the reason is named.'}`
  );
}

/** Compares a key that never worked with those that did. */
function otherKey({ keys }: Tables, host: number, key: number, address: bigint, length: bigint): string {
  const swapped = keys.find(host, swapBytes(key), false);
  if (swapped >= 0 && keys.get(swapped, KeyWord.Accepted) > 0 && swapBytes(key) !== key) {
    return `Most likely: wrong key. The bytes of ${hex(key)} are in reverse order; ${hex(swapBytes(key))} worked in packet ${keys.getDouble(swapped, KeyDouble.LastAccepted)}.`;
  }
  let nearest = -1;
  let there = -1;
  const most = Math.min(keys.count, MOST_COMPARED);
  for (let entry = 0; entry < most; entry++) {
    if (keys.get(entry, KeyWord.Host) !== host || keys.get(entry, KeyWord.Accepted) === 0) continue;
    if (address >= keys.first(entry) && address + length - 1n <= keys.last(entry)) there = entry;
    const candidate = keys.get(entry, KeyWord.Key);
    if (candidate >>> 8 === key >>> 8 || differentBits(candidate, key) <= 2) nearest = entry;
  }
  const found = nearest >= 0 ? nearest : there;
  if (found < 0) return '';
  const candidate = keys.get(found, KeyWord.Key);
  const worked = `${hex(candidate)} worked in packet ${keys.getDouble(found, KeyDouble.LastAccepted)}`;
  if (found === there && nearest < 0) {
    return `Most likely: wrong key. The address is in the range for which key ${worked}; ${hex(key)} never worked.`;
  }
  const how =
    candidate >>> 8 === key >>> 8
      ? 'it differs in the low byte only, so this is an old key of the same region, or one that is not valid yet'
      : `it differs in ${count(differentBits(candidate, key), 'bit')} only`;
  return `Most likely: wrong key. ${hex(key)} never worked, but ${worked}: ${how}.`;
}
