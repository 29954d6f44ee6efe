/** The header in front of datagrams from the network. */
import { types } from 'node:util';
import { invalidType, invalidValue } from '../internal/arguments';
import { formatAddress } from '../internal/host-text';
import { byteLengthOf } from '../internal/memory-argument';

const { isUint8Array } = types;

/** Bytes in front of each datagram that a UD queue pair receives. */
const GRH_BYTES = 40;
const WORD_BYTES = 4;
/** An IPv4 header lies in the last 20 bytes: its version and length, and where the sender's address is. */
const IPV4_AT = 20;
const IPV4_START = 0x45;
const IPV4_SOURCE_AT = 32;
const IPV6_VERSION = 6;
const IPV6_SOURCE_AT = 8;

/**
 * Returns the address of the host that a datagram came from, out of the 40 bytes in front of it: for
 * {@link ProtectionDomain.createAh}, to answer. Only if {@link Completion.grh} is true.
 *
 * @param grh - the receive, or at least its first 40 bytes
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`; `ERR_INVALID_ARG_VALUE`: these are not the first bytes of a datagram from the network)
 *
 * @example
 * ```ts
 * import { grhSource } from 'rdmavt';
 *
 * const receive = Buffer.alloc(40);
 * receive.set([0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 2, 15, 10, 0, 2, 16], 20);
 * console.log(grhSource(receive)); // 10.0.2.15
 * ```
 */
export function grhSource(grh: Uint8Array): string {
  if (!isUint8Array(grh)) throw invalidType('grh', 'an instance of Uint8Array', grh);
  // The prototype's length: a property of the program's own may say anything. Bytes by index are always those of the array.
  if (byteLengthOf(grh) < GRH_BYTES) throw invalidValue('grh', `must have ${GRH_BYTES} bytes`, grh);
  const byte = (at: number): number => grh[at] ?? 0;
  const word = (at: number): number =>
    ((byte(at) << 24) | (byte(at + 1) << 16) | (byte(at + 2) << 8) | byte(at + 3)) >>> 0;
  if (byte(0) >>> 4 === IPV6_VERSION)
    return formatAddress(
      [0, 1, 2, 3].map((i) => word(IPV6_SOURCE_AT + i * WORD_BYTES)),
      0,
    );
  if (byte(0) === 0 && byte(IPV4_AT) === IPV4_START)
    return formatAddress([0, 0, 0xffff, word(IPV4_SOURCE_AT)], 0);
  throw invalidValue('grh', 'must be the header of a datagram from the network', grh);
}
