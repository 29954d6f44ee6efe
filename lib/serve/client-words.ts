/** What a client says over TCP, in pieces of known lengths: in bounded memory, and with an end of patience. */
import { type Socket } from 'node:net';

const LOOK_EVERY_MS = 100;

/** Reads and writes pieces of bytes. Bytes that were not asked for stay in the socket, and so with the client. */
export class ClientWords {
  #wake: (() => void) | undefined;

  /** @param whyNoMore - asked again and again while this end waits: the reason for which it must not wait longer, or undefined */
  constructor(
    private readonly socket: Socket,
    private readonly whyNoMore: () => string | undefined,
  ) {
    for (const event of ['readable', 'drain', 'end', 'close'])
      socket.on(event, () => {
        this.#wake?.();
      });
  }

  /**
   * Waits for the next bytes.
   *
   * @returns the bytes; undefined if the client has gone, and has said nothing more before
   * @throws Error the client has gone in the middle of them, or patience is over
   */
  async take(length: number): Promise<Buffer | undefined> {
    for (;;) {
      const bytes = this.socket.read(length) as Buffer | null;
      if (bytes?.length === length) return bytes;
      // A stream that has ended returns what is left.
      if (bytes !== null || (this.#isGone && this.socket.readableLength > 0))
        throw new Error('the client has gone in the middle of a word');
      if (this.#isGone) return undefined;
      await this.#change();
    }
  }

  /** Waits for bytes that must come. */
  async need(length: number): Promise<Buffer> {
    const bytes = await this.take(length);
    if (bytes === undefined) throw new Error('the client has gone in the middle of the exchange');
    return bytes;
  }

  /** Says something, and waits until the system has taken it: what a client does not read must not pile up. */
  async say(bytes: Uint8Array): Promise<void> {
    this.socket.write(bytes);
    while (this.socket.writableNeedDrain && !this.#isGone) await this.#change();
  }

  get #isGone(): boolean {
    return this.socket.readableEnded || this.socket.destroyed;
  }

  /** Waits for an event of the socket, or for a while. */
  async #change(): Promise<void> {
    const reason = this.whyNoMore();
    if (reason !== undefined) throw new Error(reason);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LOOK_EVERY_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
