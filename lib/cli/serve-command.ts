/** The command `rdmavt serve`. */
import { parse, rejectSurplus, UsageError, type Command } from './command';
import { ROCE_UDP_PORT } from '../internal/layout';
import { suggestNearest } from './suggest';

const PERFTEST_PORT = 18515;
const RPING_PORT = 7174;
const MOST_PORT = 65535;
const DEFAULT_MTU = 1024;
const MTUS = [256, 512, 1024, 2048, 4096] as const;
const TYPES = ['rc', 'uc', 'ud'] as const;
const SERVERS = ['pingpong', 'perftest', 'rping'] as const;
/** Programs of perftest. */
const PROGRAMS = [
  ...(['write_bw', 'write_lat', 'read_bw', 'read_lat'] as const),
  ...(['send_bw', 'send_lat', 'atomic_bw', 'atomic_lat'] as const),
];
/** The default of perftest's latency tests. */
const DEFAULT_SIZE = 2;
const MOST_SIZE = 1 << 23;

const help = `Usage: rdmavt serve pingpong --address ADDRESS [OPTIONS]
       rdmavt serve perftest --address ADDRESS --program PROGRAM [OPTIONS]
       rdmavt serve rping --address ADDRESS [OPTIONS]

Serves a test program of another machine with a Linux RDMA device, soft-RoCE included,
so that it can be tried against this package. Linux only. For each client the output
says what it asked for, and what was done.

  pingpong  ibv_rc_pingpong, ibv_uc_pingpong and ibv_ud_pingpong (package ibverbs-utils).
            Every message is sent back. On the other machine:
            ibv_rc_pingpong -g INDEX ADDRESS
            INDEX is that of the GID with its own address (ibv_devinfo -v).
  perftest  ib_write_bw, ib_write_lat, ib_read_bw, ib_read_lat, ib_send_bw, ib_send_lat,
            ib_atomic_bw and ib_atomic_lat (package perftest), over RC. They do not say
            which of them they are: --program must. On the other machine:
            ib_write_bw -x INDEX ADDRESS
            Messages have at most 8 MiB, a client at most 64 queue pairs (-q).
            Not served: both directions (-b), other types than RC (-c), connections by
            rdma_cm (-R), IPv6, and all sizes (-a) of ib_write_lat.
  rping     rping -c (package rdmacm-utils), which connects by rdma_cm:
            rping -c -a ADDRESS -C 10 -v

Options:
  --address ADDRESS  IPv4 or IPv6 address of a network interface of this machine.
  --once             End after the first client.
  -h, --help         Show this help.
Of pingpong and perftest:
  --port PORT        TCP port. Default 18515; 0: a free one.
  --udp-port PORT    UDP port of both ends. Default 4791, which Linux always has.
  --mtu BYTES        Path MTU: 256, 512, 1024, 2048 or 4096. Default 1024. Of rc and uc
                     pingpongs it must be the client's (-m); clients of perftest with a
                     larger one take this one.
Of pingpong:
  --type TYPE        rc, uc or ud: the program of the client. Default rc.
Of perftest:
  --program PROGRAM  ${PROGRAMS.slice(0, 4).join(', ')},
                     ${PROGRAMS.slice(4).join(', ')}.
  --size BYTES       Of write_lat: the size of the client's messages (-s), which it does
                     not say. Default 2.
Of rping:
  --port PORT        Port of rdma_cm. Default 7174.
  --udp-port PORT    UDP port. Default 4791, which Linux always has.

RoCE has no authentication: serve on networks only where you trust every host.

Exit status:
  0  It was ended, by a signal or by --once.
  2  The command line is invalid, or the address or a port cannot be used.
`;

interface Values {
  readonly address?: string | undefined;
  readonly type?: string | undefined;
  readonly program?: string | undefined;
  readonly size?: string | undefined;
  readonly mtu?: string | undefined;
  readonly port?: string | undefined;
  readonly 'udp-port'?: string | undefined;
  readonly once?: boolean | undefined;
}

/** Runs `rdmavt serve`. */
export const runServe: Command = async (args) => {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      address: { type: 'string' },
      type: { type: 'string' },
      program: { type: 'string' },
      size: { type: 'string' },
      mtu: { type: 'string' },
      port: { type: 'string' },
      'udp-port': { type: 'string' },
      once: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    process.stdout.write(help);
    return 0;
  }
  const [name, surplus] = positionals;
  if (name === undefined) throw new UsageError(`a program is required: ${SERVERS.join(', ')}`);
  const server = SERVERS.find((known) => known === name);
  if (server === undefined) throw new UsageError(`unknown program '${name}'${suggestNearest(name, SERVERS)}`);
  rejectSurplus(surplus);
  rejectForeign(server, values);
  const serve = await serverOf(server, values);
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      ending.abort();
    });
  await serve(process.stdout, ending.signal);
  return 0;
};

/** An option of another program would be ignored. */
function rejectForeign(server: (typeof SERVERS)[number], values: Values): void {
  const own = {
    type: ['pingpong'],
    program: ['perftest'],
    size: ['perftest'],
    mtu: ['pingpong', 'perftest'],
  };
  for (const [option, servers] of Object.entries(own))
    if (values[option as keyof typeof own] !== undefined && !servers.includes(server))
      throw new UsageError(`--${option} is an option of ${servers.join(' and ')}, not of ${server}`);
}

/** Reads the options of a server. Its module is imported late: it loads the native module, which --help and usage errors do not need. */
async function serverOf(
  server: (typeof SERVERS)[number],
  values: Values,
): Promise<(output: NodeJS.WriteStream, signal: AbortSignal) => Promise<void>> {
  const { address, once = false } = values;
  if (address === undefined) throw new UsageError('--address is required');
  const udpPort = portOf(values['udp-port'], '--udp-port', ROCE_UDP_PORT);
  if (server === 'rping') {
    const port = portOf(values.port, '--port', RPING_PORT);
    if (port === 0) throw new UsageError('--port takes a number from 1 for rping');
    const { serveRping } = await import('../serve/rping.js');
    return (output, signal) => serveRping({ address, port, udpPort, once }, output, signal);
  }
  const port = portOf(values.port, '--port', PERFTEST_PORT);
  const mtu = MTUS.find((bytes) => String(bytes) === (values.mtu ?? String(DEFAULT_MTU)));
  if (mtu === undefined) throw new UsageError(`--mtu takes ${MTUS.join(', ')}, not '${values.mtu ?? ''}'`);
  const options = { address, port, udpPort, mtu, once };
  if (server === 'pingpong') {
    const type = TYPES.find((known) => known === (values.type ?? 'rc'));
    if (type === undefined) throw new UsageError(`--type takes rc, uc or ud, not '${values.type ?? ''}'`);
    const { servePingpong } = await import('../serve/pingpong.js');
    return (output, signal) => servePingpong({ ...options, type }, output, signal);
  }
  const program = PROGRAMS.find((known) => known === values.program);
  if (program === undefined)
    throw new UsageError(
      values.program === undefined
        ? `--program is required: ${PROGRAMS.join(', ')}`
        : `--program takes ${PROGRAMS.join(', ')}, not '${values.program}'`,
    );
  if (values.size !== undefined && program !== 'write_lat')
    throw new UsageError(`--size is an option of --program write_lat`);
  const size = sizeOf(values.size ?? String(DEFAULT_SIZE));
  const { servePerftest } = await import('../serve/perftest.js');
  return (output, signal) => servePerftest({ ...options, program, size }, output, signal);
}

function sizeOf(text: string): number {
  const size = /^\d{1,7}$/.test(text) ? Number(text) : NaN;
  if (!(size >= 1 && size <= MOST_SIZE))
    throw new UsageError(`--size takes a number from 1 to ${MOST_SIZE}, not '${text}'`);
  return size;
}

function portOf(text: string | undefined, option: string, otherwise: number): number {
  if (text === undefined) return otherwise;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(port <= MOST_PORT))
    throw new UsageError(`${option} takes a number up to ${MOST_PORT}, not '${text}'`);
  return port;
}
