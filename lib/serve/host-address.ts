/** Addresses of hosts, as the servers compare, say and print them. */
import { formatAddress } from '../internal/host-text';
import { native } from '../internal/native';

const GID_BYTES = 16;
const WORDS_OF_GID = [0, 4, 8, 12];

/** Returns the 16 bytes of the GID that an address is. */
export function gidOf(address: string): Uint8Array {
  const gid = new Uint8Array(GID_BYTES);
  native.readHostAddress(address, gid);
  return gid;
}

/** A socket of both families calls an IPv4 address `::ffff:a.b.c.d`; the zone of a link-local address is not in the GID. */
export function plainAddress(address: string): string {
  const bytes = new Uint8Array(GID_BYTES);
  if (native.readHostAddress(address, bytes) < 0) return address;
  const view = new DataView(bytes.buffer);
  return formatAddress(
    WORDS_OF_GID.map((at) => view.getUint32(at)),
    0,
  );
}

/**
 * Checks that a client's GID is the address that it comes from. Else anybody who reaches the TCP port could make this end send packets
 * to others.
 *
 * @param option - of the client's program: chooses the GID
 * @throws Error what the user of the client must choose
 */
export function expectOwnGid(gid: string, from: string, option: string): void {
  if (gid !== from)
    throw new Error(
      `its GID is not the address that it comes from; choose the GID of ${from} with ${option} (show_gids, ibv_devinfo -v)`,
    );
}
