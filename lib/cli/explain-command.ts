/** The command `rdmavt explain`. */
import { parse, rejectSurplus, UsageError, type Command } from './command';

const help = `Usage: rdmavt explain FILE [OPTIONS]

Explains a capture of RoCEv2 traffic: a line for each RDMA request with what became
of it, why a request failed as far as the packets tell, the most likely mistake, and a
summary by queue pair and key with what the wire shows to be wrong. FILE is a pcap or
pcapng file, or - for standard input. Numbers of packets are those of Wireshark.

Options:
  --regions FILE  Judge each request by the regions of the responder, and explain what
                  they refuse. FILE is the JSON of device.resources(), or a list like
                  [{"key":"0x22a","address":"0x1000","length":4096,
                    "rights":["RemoteRead"],"domain":1}]; - for standard input.
  --only refused  Print only requests that were refused, or that the regions refuse.
  --key KEY       Print only requests that name this key: 0x22a, or decimal.
  --qp NUMBER     Print only requests from or to this queue pair: 0x1c, or decimal.
  --json          Print JSON, one object per line (docs/explain.schema.json).
  -h, --help      Show this help.

Ethernet (with VLANs), raw IP and Linux cooked captures are read; packets that are not
RoCEv2 are passed over. A file may have any size; the memory is constant.

Exit status:
  0  The whole file was read.
  2  The command line is invalid, or a file cannot be read or is damaged; what was read
     before is explained.
`;

/** Runs `rdmavt explain`. */
export const runExplain: Command = async (args) => {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      regions: { type: 'string' },
      only: { type: 'string' },
      key: { type: 'string' },
      qp: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    process.stdout.write(help);
    return 0;
  }
  const [capture, surplus] = positionals;
  if (capture === undefined) throw new UsageError('a capture is required');
  rejectSurplus(surplus);
  if (values.only !== undefined && values.only !== 'refused') {
    throw new UsageError(`--only takes 'refused', not '${values.only}'`);
  }
  if (capture === '-' && values.regions === '-') {
    throw new UsageError('standard input cannot be both the capture and the regions');
  }
  const filter = {
    onlyRefused: values.only === 'refused',
    key: numberOf(values.key, '--key', 0xffff_ffff),
    queuePair: numberOf(values.qp, '--qp', 0xff_ffff),
  };
  // Import late: this loads the native module, which --help and usage errors do not need.
  const { explain } = await import('../explain/explain.js');
  return explain({ capture, regions: values.regions, json: values.json === true, filter }, process);
};

/** Reads a number of the command line, decimal or hexadecimal with 0x. */
function numberOf(text: string | undefined, option: string, most: number): number | undefined {
  if (text === undefined) return undefined;
  const number = /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : NaN;
  if (!(number <= most))
    throw new UsageError(`${option} takes a number up to 0x${most.toString(16)}, not '${text}'`);
  return number;
}
