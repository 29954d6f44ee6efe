/** Numbers of RoCEv2 that options have: UDP ports, and numbers of packets and queue pairs. */
import { randomInt } from 'node:crypto';
import { integer } from './arguments';
import { ROCE_UDP_PORT } from './layout';

export const MOST_PORT = 65535;

/** Numbers of packets and of queue pairs have 24 bits. */
const NUMBERS = 2 ** 24;

/** Reads a UDP port of at least `least`; that of RoCEv2 if it is not given. */
export function readUdpPort(value: unknown, name: string, least: 0 | 1): number {
  return value === undefined ? ROCE_UDP_PORT : integer(value, name, least, MOST_PORT);
}

/** Reads the number of a packet or a queue pair. */
export function readNumber24(value: unknown, name: string): number {
  return integer(value, name, 0, NUMBERS - 1);
}

/** Returns a random number for a first packet, which a peer that does not see the network cannot know. */
export function randomPsn(): number {
  return randomInt(NUMBERS);
}
