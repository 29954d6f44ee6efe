// What the two processes tell each other over TCP: lines of JSON, and bytes between them. A program has a connection of its own for this:
// RoCE has no way to meet.

/** A connection on which both ends take turns. */
export class Conversation {
  #socket;
  /** @type {AsyncIterator<Buffer>} */
  #chunks;
  /** Bytes that have come and were not taken. @type {Buffer} */
  #rest = Buffer.alloc(0);

  /** @param {import('node:net').Socket} socket connected */
  constructor(socket) {
    this.#socket = socket;
    this.#chunks = socket[Symbol.asyncIterator]();
  }

  /** Says something. @param {object} message */
  say(message) {
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  /** Sends bytes. @param {Buffer} bytes */
  send(bytes) {
    this.#socket.write(bytes);
  }

  async #more() {
    const { value, done } = await this.#chunks.next();
    if (done) throw new Error('the other process has ended the conversation');
    return /** @type {Buffer} */ (value);
  }

  /** Returns what the other end says next. @returns {Promise<any>} */
  async next() {
    let end;
    while ((end = this.#rest.indexOf('\n')) < 0) this.#rest = Buffer.concat([this.#rest, await this.#more()]);
    const line = this.#rest.toString('utf8', 0, end);
    this.#rest = this.#rest.subarray(end + 1);
    return JSON.parse(line);
  }

  /** Fills the buffer with the bytes that the other end sends. @param {Buffer} bytes */
  async receive(bytes) {
    let at = 0;
    for (let chunk = this.#rest; ; chunk = await this.#more()) {
      const count = chunk.copy(bytes, at);
      at += count;
      this.#rest = chunk.subarray(count);
      if (at === bytes.length) return;
    }
  }

  /** Ends the conversation, and waits for the other end to do so. */
  async end() {
    this.#socket.end();
    while (!(await this.#chunks.next()).done);
  }
}
