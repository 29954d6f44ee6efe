/** The command `rdmavt inspect`. */
import { parse, rejectSurplus, UsageError, type Command } from './command';

const DEFAULT_SECONDS = 1;
const MOST_SECONDS = 3600;

const help = `Usage: rdmavt inspect [OPTIONS] URL

Shows the device of a running program in this terminal: what the page at URL shows in
a browser, as text that is printed anew each second. The program calls

  const { inspect } = require('rdmavt/inspect');
  console.log((await inspect(device)).url);

and prints URL, which has a token and leads to this machine only.

Options:
  --every SECONDS  Time between two prints. Default 1.
  --json           Print everything as one line of JSON each time.
  --once           Print once and end.
  -h, --help       Show this help.

Exit status:
  0  The program closed its inspector or its device, or the command was ended.
  1  The inspector cannot be reached, refuses the token, or was lost.
  2  The command line is invalid.
`;

/** Runs `rdmavt inspect`. */
export const runInspect: Command = async (args) => {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      every: { type: 'string' },
      json: { type: 'boolean' },
      once: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    process.stdout.write(help);
    return 0;
  }
  const [address, surplus] = positionals;
  if (address === undefined) throw new UsageError('the url of an inspector is required');
  rejectSurplus(surplus);
  const everyMs = secondsOf(values.every) * 1000;
  const { inspectorAddress, watchInspector } = await import('../inspect/terminal.js');
  let events: URL;
  try {
    events = inspectorAddress(address);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort());
  const options = {
    once: values.once === true,
    json: values.json === true,
    everyMs,
    isTerminal: process.stdout.isTTY,
  };
  try {
    const why = await watchInspector(events, options, (text) => process.stdout.write(text), ending.signal);
    if (why !== 'stopped' && !options.json)
      process.stdout.write(why === 'closed' ? 'The inspector was closed.\n' : 'The device was closed.\n');
    return 0;
  } catch (error) {
    if (ending.signal.aborted) return 0;
    process.stderr.write(`rdmavt: ${(error as Error).message}\n`);
    return 1;
  }
};

function secondsOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_SECONDS;
  const seconds = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) : NaN;
  if (!(seconds >= 0.1 && seconds <= MOST_SECONDS))
    throw new UsageError(`--every takes seconds from 0.1 to ${MOST_SECONDS}, not '${text}'`);
  return seconds;
}
