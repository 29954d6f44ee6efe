import { replay } from '../replay/replay';
import { parse, UsageError, type Command } from './command';

const help = `Usage: rdmavt replay TRACE.ops.ndjson [--batch] [--expect FILE]

Plays the operations of a trace, one JSON object a line, on real memory regions and
prints the answer to each, one JSON object a line. TRACE - is standard input.

Options:
  --batch        Play consecutive checks together, many in one call. The answers are the
                 same.
  --expect FILE  Compare the answers with the lines of FILE and print none. Ends at the
                 first difference and shows it; - is standard input. In FILE
                 {"any":true} stands for any answer and {"not_reached":true} for
                 {"skipped":true}.
  -h, --help     Show this help.

An operation that names what is not there is answered with {"skipped":true}.

Lines are UTF-8 and end with LF (the last one may lack it; CR LF is refused). They are
at most 64 MiB long; a file may be of any size.

Exit status:
  0  All operations were played and, with --expect, all answers matched.
  1  An answer differs, or FILE has more or fewer lines than there are answers.
  2  Input that cannot be read or is not of the trace format, memory that cannot be
     had, or a wrong command line.
`;

/** `rdmavt replay`. */
export const replayCommand: Command = async (args) => {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      batch: { type: 'boolean' },
      expect: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    process.stdout.write(help);
    return 0;
  }
  const [trace, ...more] = positionals;
  if (trace === undefined) throw new UsageError('replay: no trace is given');
  if (more.length > 0) throw new UsageError(`replay: one trace at a time, not ${positionals.length}`);
  if (trace === '-' && values.expect === '-') {
    throw new UsageError('replay: standard input cannot be both the trace and the answers');
  }
  return replay({ trace, expect: values.expect, batch: values.batch }, process);
};
