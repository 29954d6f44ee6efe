/** Serves `rping -c` of librdmacm: reads what the client has, and writes it back, in turns. */
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Access } from '../verbs/access';
import { type ConnectionRequest } from '../verbs/connection-options';
import { type Device } from '../verbs/device';
import { type Endpoint } from '../verbs/endpoint';
import { rkey } from '../verbs/keys';
import { type LocalSge, type ProtectionDomain } from '../verbs/protection-domain';
import { type QueuePair } from '../verbs/queue-pair';
import { withEndpoint } from './endpoint-of';
import { hex24, hex32, hex64 } from './numbers';

/** How to serve. */
export interface RpingOptions {
  /** Address of a network interface. */
  readonly address: string;
  /** Port of the port space `RDMA_PS_TCP`. */
  readonly port: number;
  /** UDP port of the endpoint. */
  readonly udpPort: number;
  /** Ends after the first client. */
  readonly once: boolean;
}

const MOST_CLIENTS = 16;
/** A message: address, key, length, in network byte order. */
const MESSAGE_BYTES = 16;
const KEY_AT = 8;
const LENGTH_AT = 12;
/** The longest text of rping's option -S is shorter. */
const MOST_TEXT = 1 << 16;
/** Memory of a client: a message that comes, one that is sent, and its text. */
const SEND_AT = MESSAGE_BYTES;
const TEXT_AT = 4096;
const MEMORY_BYTES = TEXT_AT + MOST_TEXT;
const CQ_ROOM = 16;
/** How long a client may be silent, ms: before its first message, and later. */
const FIRST_MESSAGE_MS = 10_000;
const SILENCE_MS = 60_000;
/** As many rounds are told in the output, and so much of their text. */
const TOLD_ROUNDS = 3;
const TOLD_TEXT = 40;
const MILLISECONDS = 1000;

/**
 * Serves until the signal aborts, or with `once` until the first client is gone.
 *
 * @throws RdmaError if the endpoint cannot be opened
 */
export async function serveRping(
  options: RpingOptions,
  output: Writable,
  signal?: AbortSignal,
): Promise<void> {
  await withEndpoint(options, (device, endpoint) =>
    new RpingServer(device, endpoint, options, output).run(signal),
  );
}

class RpingServer {
  readonly #pd: ProtectionDomain;
  #clients = 0;
  #end: (() => void) | undefined;

  constructor(
    private readonly device: Device,
    private readonly endpoint: Endpoint,
    private readonly options: RpingOptions,
    private readonly output: Writable,
  ) {
    this.#pd = device.allocPd();
    endpoint.on('refused', (refusal) => {
      this.#say(refusal.explain());
    });
  }

  async run(signal: AbortSignal | undefined): Promise<void> {
    const { address, port } = this.options;
    const listener = this.endpoint.listen(port, (request) => {
      void this.#take(request);
    });
    this.#say(`serving rping at ${address}: port ${port}, UDP port ${this.endpoint.port}`);
    await new Promise<void>((resolve) => {
      this.#end = resolve;
      signal?.addEventListener('abort', () => {
        resolve();
      });
    });
    listener.close();
  }

  #say(text: string): void {
    this.output.write(`${text}\n`);
  }

  async #take(request: ConnectionRequest): Promise<void> {
    const { address, qpn } = request.peer;
    if (this.#clients >= MOST_CLIENTS) {
      this.#say(`${address}: rejected, because ${MOST_CLIENTS} clients are served`);
      request.reject();
      return;
    }
    this.#clients++;
    this.#say(
      `${address}: asks for a connection with its queue pair ${hex24(qpn)}: path MTU ${request.pathMtu}, ${request.initiatorDepth} reads outstanding, it answers ${request.responderResources}`,
    );
    const client = new RpingClient(this.device, this.#pd, (text) => {
      this.#say(`${address}: ${text}`);
    });
    try {
      await client.serve(request);
    } catch (error) {
      this.#say(`${address}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      client.end();
      this.#clients--;
      if (this.options.once) this.#end?.();
    }
  }
}

/** Where a client lets read or write. */
interface Place {
  readonly vaddr: bigint;
  readonly key: number;
  readonly length: number;
}

class RpingClient {
  readonly #cq;
  readonly #qp: QueuePair<'RC'>;
  readonly #memory = Buffer.from(new SharedArrayBuffer(MEMORY_BYTES));
  readonly #region;
  #received: Promise<number> | undefined;
  #hasSpoken = false;
  #rounds = 0;
  #bytes = 0;

  constructor(
    device: Device,
    pd: ProtectionDomain,
    private readonly say: (text: string) => void,
  ) {
    this.#region = pd.regUserMr(this.#memory, { access: Access.LocalWrite });
    this.#cq = device.createCq(CQ_ROOM);
    this.#qp = pd.createQp({ type: 'RC', sendCq: this.#cq });
    this.#qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
    this.#expect(); // before the request is accepted, so that the first message finds a receive
  }

  /** Accepts the request, and serves until the client disconnects. */
  async serve(request: ConnectionRequest): Promise<void> {
    const connection = await request.accept({ qp: this.#qp, access: 0 });
    const start = performance.now();
    const gone = connection.closed.then(() => undefined);
    try {
      while (await this.#round(gone));
    } catch (error) {
      // Work requests of a connection that has ended are flushed: its end is what there is to tell.
      if (connection.isConnected) {
        await connection.disconnect();
        throw error;
      }
    } finally {
      const seconds = ((performance.now() - start) / MILLISECONDS).toFixed(2);
      this.say(
        `${this.#rounds} ${this.#rounds === 1 ? 'round' : 'rounds'}, ${this.#bytes} bytes read and written back in ${seconds} s`,
      );
    }
  }

  /** One round: the client tells where its text is, which is read, and where it shall be written. Returns false if the client is gone. */
  async #round(gone: Promise<undefined>): Promise<boolean> {
    const source = await this.#take(gone);
    if (source === undefined) return false;
    const text = this.#sge(TEXT_AT, source.length);
    await this.#qp.read(text, { vaddr: source.vaddr, rkey: rkey(source.key) });
    await this.#goOn();
    const sink = await this.#take(gone);
    if (sink === undefined) return false;
    const length = Math.min(source.length, sink.length);
    await this.#qp.write(this.#sge(TEXT_AT, length), { vaddr: sink.vaddr, rkey: rkey(sink.key) });
    await this.#goOn();
    if (++this.#rounds <= TOLD_ROUNDS) this.#tell(source, sink);
    this.#bytes += length;
    return true;
  }

  #tell(source: Place, sink: Place): void {
    const text = this.#memory.toString('latin1', TEXT_AT, TEXT_AT + Math.min(source.length, TOLD_TEXT));
    this.say(
      `round ${this.#rounds}: ${source.length} bytes read at ${hex64(source.vaddr)} with key ${hex32(source.key)}: ${JSON.stringify(text)}; written to ${hex64(sink.vaddr)} with key ${hex32(sink.key)}`,
    );
  }

  #expect(): void {
    this.#received = this.#qp.recv(this.#sge(0, MESSAGE_BYTES)).then((wc) => wc.byteLength);
    this.#received.catch(() => undefined); // one that nobody waits for is flushed at the end
  }

  /** Takes the next message; undefined if the client has disconnected. */
  async #take(gone: Promise<undefined>): Promise<Place | undefined> {
    const patience = new AbortController();
    const limit = this.#hasSpoken ? SILENCE_MS : FIRST_MESSAGE_MS;
    const silence = sleep(limit, undefined, { signal: patience.signal }).then(() => {
      throw new Error(`the client has been silent for ${limit / MILLISECONDS} s`);
    });
    silence.catch(() => undefined); // aborted
    try {
      const length = await Promise.race([this.#received, gone, silence]);
      if (length === undefined) return undefined;
      if (length !== MESSAGE_BYTES)
        throw new Error(`a message of ${length} bytes is none of rping: those have ${MESSAGE_BYTES}`);
      this.#hasSpoken = true;
    } finally {
      patience.abort();
    }
    const place = {
      vaddr: this.#memory.readBigUInt64BE(0),
      key: this.#memory.readUInt32BE(KEY_AT),
      length: this.#memory.readUInt32BE(LENGTH_AT),
    };
    if (place.length === 0 || place.length > MOST_TEXT)
      throw new Error(`the client has a text of ${place.length} bytes; served are 1 to ${MOST_TEXT}`);
    this.#expect(); // before the client is told that it may send the next
    return place;
  }

  /** Tells the client to go on: the bytes of the message do not matter. */
  async #goOn(): Promise<void> {
    await this.#qp.send(this.#sge(SEND_AT, MESSAGE_BYTES));
  }

  #sge(offset: number, length: number): LocalSge {
    return { addr: this.#region.start + BigInt(offset), length, lkey: this.#region.lkey };
  }

  end(): void {
    this.#qp.destroy();
    this.#cq.destroy();
    this.#region.dereg({ force: true });
  }
}
