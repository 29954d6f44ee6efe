// What a client of perftest says to `rdmavt serve perftest`.
import { formatPerftestLine } from '../../lib/serve/perftest-line';
import { CLIENT_GID, SERVER } from './served';

export const VERSION = '6.06'.padEnd(16, '\0');
export const CYCLE = '\0\0\x10\0';
export const CACHE_LINE = '\0\0\0@';
export const GREETING = `${VERSION}${CYCLE}${CACHE_LINE}`;
/** The code of the path MTU 1024. */
export const MTU = '3\0';
export const gid = Buffer.from(CLIENT_GID, 'hex');
/** Arguments of a server at free ports. */
export const PERFTEST = ['perftest', '--address', SERVER, '--port', '0', '--udp-port', '0'];

/** The line of a queue pair that nobody has. */
export function someLine(address = gid): Buffer {
  return formatPerftestLine({ reads: 1, qpn: 77, psn: 1, rkey: 5, remoteAddress: 4096n }, address);
}
