/**
 * The channel `rdmavt:refused` of `node:diagnostics_channel`. Without a subscriber, a refusal costs one read of `hasSubscribers`,
 * and an accepted access costs nothing.
 */

/** Name of the channel that programs subscribe to. */
export const REFUSED_CHANNEL = 'rdmavt:refused';

interface Channel {
  readonly hasSubscribers: boolean;
  publish: (message: unknown) => void;
}

function openChannel(): Channel | undefined {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- some runtimes lack this module; an import would fail there
    const { channel } = require('node:diagnostics_channel') as { channel: (name: string) => Channel };
    return channel(REFUSED_CHANNEL);
  } catch {
    return undefined;
  }
}

/** Keeps the channel alive: Node may collect an unreferenced channel together with its subscribers. */
const channel = openChannel();

/** Returns whether the channel has subscribers. */
export function isWatched(): boolean {
  return channel?.hasSubscribers === true;
}

/**
 * Publishes a message. Call this after reading the answer of the native call: subscribers may use the API, which overwrites the
 * command block.
 *
 * An error thrown by a subscriber does not reach the caller of the verb: Node reports it later as an uncaught exception.
 */
export function publishRefusal(message: object): void {
  try {
    channel?.publish(message);
  } catch {
    // Ignored: a subscriber's error that the runtime rethrows, or a stack overflow.
  }
}
