// The network of the tests: the guest has two network devices, each on a link of its own to the tests, and a soft-RoCE device on each.

/** A link, and the addresses of its two ends. */
export interface LinkPlace {
  /** The guest's network device and its soft-RoCE device. */
  readonly netdev: string;
  readonly rxe: string;
  readonly guest: Station;
  readonly host: Station;
}

export interface Station {
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

/** The MTU of the links, which carries RDMA packets with 4,096 bytes of payload. Queue pairs choose smaller path MTUs. */
export const LINK_MTU = 9000;
export const IPV4_PREFIX = 24;
export const IPV6_PREFIX = 64;

function place(index: number): LinkPlace {
  const network = index + 2;
  return {
    netdev: `eth${index}`,
    rxe: `rxe${index}`,
    guest: {
      mac: `52:54:0a:00:0${network}:0f`,
      ipv4: `10.0.${network}.15`,
      // Unique local addresses: link-local ones would need the interface's number in every socket address.
      ipv6: `fd00:${network}::15`,
    },
    host: { mac: `52:54:0a:00:0${network}:02`, ipv4: `10.0.${network}.2`, ipv6: `fd00:${network}::2` },
  };
}

/** The link whose other end is made by the tests, frame by frame. */
export const framesPlace = place(0);
/** The link whose other end is a tap device in a network namespace, where programs use sockets. */
export const socketPlace = place(1);
