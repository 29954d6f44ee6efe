/** The command `rdmavt serve`. */
import { parse, rejectSurplus, UsageError, type Command } from './command';
import { suggestNearest } from './suggest';

const PINGPONG_PORT = 18515;
const ROCE_PORT = 4791;
const MOST_PORT = 65535;
const DEFAULT_MTU = 1024;
const MTUS = [256, 512, 1024, 2048, 4096] as const;
const TYPES = ['rc', 'uc', 'ud'] as const;
const PROGRAMS = ['pingpong'];

const help = `Usage: rdmavt serve pingpong --address ADDRESS [OPTIONS]

Serves a test program of another machine with a Linux RDMA device, soft-RoCE included,
so that it can be tried against this package. Linux only.

  pingpong  ibv_rc_pingpong, ibv_uc_pingpong and ibv_ud_pingpong (package ibverbs-utils).
            Every message is sent back. On the other machine:
            ibv_rc_pingpong -g INDEX ADDRESS
            INDEX is that of the GID with its own address (ibv_devinfo -v). For each
            client the output says what it asked for, and how many messages came.

Options:
  --address ADDRESS  IPv4 or IPv6 address of a network interface of this machine.
  --type TYPE        rc, uc or ud: the program of the client. Default rc.
  --mtu BYTES        Path MTU of rc and uc: 256, 512, 1024, 2048 or 4096. Must be the
                     client's (-m). Default 1024.
  --port PORT        TCP port. Default 18515; 0: a free one.
  --udp-port PORT    UDP port of both ends. Default 4791, which Linux always has.
  --once             End after the first client.
  -h, --help         Show this help.

RoCE has no authentication: serve on networks only where you trust every host.

Exit status:
  0  It was ended, by a signal or by --once.
  2  The command line is invalid, or the address or a port cannot be used.
`;

/** Runs `rdmavt serve`. */
export const runServe: Command = async (args) => {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      address: { type: 'string' },
      type: { type: 'string' },
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
  const [program, surplus] = positionals;
  if (program === undefined) throw new UsageError('a program is required: pingpong');
  if (!PROGRAMS.includes(program))
    throw new UsageError(`unknown program '${program}'${suggestNearest(program, PROGRAMS)}`);
  rejectSurplus(surplus);
  if (values.address === undefined) throw new UsageError('--address is required');
  const type = TYPES.find((name) => name === (values.type ?? 'rc'));
  if (type === undefined) throw new UsageError(`--type takes rc, uc or ud, not '${values.type ?? ''}'`);
  const mtu = MTUS.find((bytes) => String(bytes) === (values.mtu ?? String(DEFAULT_MTU)));
  if (mtu === undefined) throw new UsageError(`--mtu takes ${MTUS.join(', ')}, not '${values.mtu ?? ''}'`);
  const options = {
    address: values.address,
    type,
    mtu,
    port: portOf(values.port, '--port', PINGPONG_PORT),
    udpPort: portOf(values['udp-port'], '--udp-port', ROCE_PORT),
    once: values.once === true,
  };
  // Import late: this loads the native module, which --help and usage errors do not need.
  const { servePingpong } = await import('../serve/pingpong.js');
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      ending.abort();
    });
  await servePingpong(options, process.stdout, ending.signal);
  return 0;
};

function portOf(text: string | undefined, option: string, otherwise: number): number {
  if (text === undefined) return otherwise;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(port <= MOST_PORT))
    throw new UsageError(`${option} takes a number up to ${MOST_PORT}, not '${text}'`);
  return port;
}
