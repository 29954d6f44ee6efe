/** A TCP port at which clients are served: how many, until when, and what the output says of them. */
import { createServer, type Server, type Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { plainAddress } from './host-address';

/** More clients at the same time are refused. */
export const MOST_CLIENTS = 16;

/** Where to serve. */
export interface TcpServiceOptions {
  /** Address of a network interface. */
  readonly address: string;
  /** TCP port; 0: a free one. */
  readonly port: number;
  /** Ends after the first client. */
  readonly once: boolean;
}

/** A TCP port with clients. */
export class TcpService {
  readonly #server: Server;
  readonly #options: TcpServiceOptions;
  readonly #output: Writable;
  readonly #serve: (socket: Socket, from: string) => Promise<void>;
  /** Of clients that are served; their programs may have closed them. */
  readonly #sockets = new Set<Socket>();
  readonly #stopped = new AbortController();

  /** @param serve - serves one client, whose address is `from`. What it throws is told the output */
  constructor(
    options: TcpServiceOptions,
    output: Writable,
    serve: (socket: Socket, from: string) => Promise<void>,
  ) {
    this.#options = options;
    this.#output = output;
    this.#serve = serve;
    this.#server = createServer((socket) => {
      void this.#take(socket);
    });
  }

  /** Aborts when no client is served any more: what still serves one must end. */
  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  /** Writes a line of the output. */
  say(text: string): void {
    this.#output.write(`${text}\n`);
  }

  /**
   * Serves until the signal aborts, or with `once` until the first client is gone.
   *
   * @param title - what is served, for the line that tells that it is
   * @throws the error of the TCP socket
   */
  async run(title: (port: number) => string, signal: AbortSignal | undefined): Promise<void> {
    const { address, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.once('close', resolve);
      signal?.addEventListener('abort', () => {
        this.#end();
      });
      this.#server.listen(port, address, () => {
        const at = this.#server.address();
        this.say(title(typeof at === 'object' && at !== null ? at.port : port));
      });
    });
  }

  #end(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#stopped.abort();
  }

  async #take(socket: Socket): Promise<void> {
    const from = plainAddress(socket.remoteAddress ?? '');
    if (this.#sockets.size >= MOST_CLIENTS) {
      this.say(`${from}: refused, because ${MOST_CLIENTS} clients are served`);
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on('error', () => {
      // The client is gone, which its close tells.
    });
    try {
      await this.#serve(socket, from);
    } catch (error) {
      this.say(`${from}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      socket.destroy();
      this.#sockets.delete(socket);
      if (this.#options.once) this.#end();
    }
  }
}
