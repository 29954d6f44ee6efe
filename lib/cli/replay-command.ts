/** The command `rdmavt replay`. */
import { parse, rejectSurplus, UsageError, type Command } from './command';

const help = `Usage: rdmavt replay TRACE [--expect FILE]

Executes the operations of a trace on real memory regions and queue pairs and prints
the answer to each. Operations and answers are JSON objects, one per line. TRACE is a file, by
convention NAME.ops.ndjson, or - for standard input. An operation that names an
object which does not exist is answered with {"skipped":true}.

Options:
  --expect FILE  Compare the answers with the lines of FILE instead of printing them,
                 and stop at the first difference. FILE may be - for standard input.
                 In FILE, {"any":true} matches any answer, and {"not_reached":true}
                 matches {"skipped":true}.
  -h, --help     Show this help.

Both files may be gzip-compressed. Lines are UTF-8 and end with LF (optional at the
end of the file; CR LF is an error). A line has at most 64 MiB; a file may have any
size.

Exit status:
  0  All operations were executed and, with --expect, all answers matched.
  1  An answer differs, or FILE has more or fewer lines than there are answers.
  2  The command line is invalid, the input cannot be read or is not a valid trace,
     or there is not enough memory for an operation.
`;

/** Runs `rdmavt replay`. */
export const runReplay: Command = async (args) => {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      expect: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    process.stdout.write(help);
    return 0;
  }
  const [trace, surplus] = positionals;
  if (trace === undefined) throw new UsageError('a trace is required');
  rejectSurplus(surplus);
  if (trace === '-' && values.expect === '-') {
    throw new UsageError('standard input cannot be both the trace and the expected answers');
  }
  // Import late: this loads the native module, which --help and usage errors do not need.
  const { replay } = await import('../replay/replay.js');
  return replay({ trace, expect: values.expect }, process);
};
