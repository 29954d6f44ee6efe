/**
 * The channel `rdmavt:refused` of `node:diagnostics_channel`. Without a subscriber a refusal costs one look at `hasSubscribers`, and
 * an accepted access nothing.
 */

/** The name that programs subscribe to. */
export const REFUSED_CHANNEL = 'rdmavt:refused';

interface Channel {
  readonly hasSubscribers: boolean;
  publish: (message: unknown) => void;
}

function openChannel(): Channel | undefined {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- not an import: some runtimes do not have it
    const { channel } = require('node:diagnostics_channel') as { channel: (name: string) => Channel };
    return channel(REFUSED_CHANNEL);
  } catch {
    return undefined;
  }
}

/** Kept here: a channel that nobody keeps is collected, and with it its subscribers. */
const channel = openChannel();

/** Whether anybody is told of refusals. */
export function isWatched(): boolean {
  return channel?.hasSubscribers === true;
}

/**
 * Tells the subscribers. Call it after the answer was read: they may use the API, and so the command block.
 *
 * What a subscriber throws is not the verb's matter: Node reports it as an uncaught exception, after the verb.
 */
export function publishRefusal(message: object): void {
  try {
    channel?.publish(message);
  } catch {
    // A runtime that lets it through, or the end of the stack.
  }
}
