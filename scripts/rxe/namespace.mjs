// A network namespace for the tests, in which they may make a tap device and bind port 4791; and a PID namespace, so that everything that
// they have started ends with them.
import { spawnSync } from 'node:child_process';

const UNSHARE = ['unshare', '--net', '--pid', '--fork', '--kill-child'];
/** Makes the user root of the new namespaces, where the system allows this to users. */
const AS_USER = ['--user', '--map-root-user'];
/** A tap device, an IPv4 and an IPv6 address: what the tests need. */
const PROBE = [
  'ip tuntap add dev probe mode tap',
  'ip link set lo up',
  'ip link set probe up',
  'ip address add 10.0.3.2/24 dev probe',
  'ip address add fd00:3::2/64 dev probe nodad',
].join(' && ');

/**
 * Returns the words in front of a command that make it run in namespaces of its own.
 * @returns {{ command: string[], why?: undefined } | { command: string[], why: string }} `why`: there can be none, and why
 */
export function namespaceCommand() {
  /** @type {string[]} */
  const problems = [];
  for (const command of [UNSHARE, [...UNSHARE, ...AS_USER]]) {
    const [file = '', ...args] = [...command, 'sh', '-c', PROBE];
    const { status, stderr, error } = spawnSync(file, args, { encoding: 'utf8' });
    if (status === 0) return { command };
    problems.push(error?.message ?? stderr.trim().split('\n')[0] ?? '');
  }
  return { command: [], why: `no network namespace with a tap device: ${[...new Set(problems)].join('; ')}` };
}
