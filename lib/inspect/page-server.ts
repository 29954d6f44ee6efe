/** The HTTP server of an inspector: loopback only, a token in every address, no request that changes anything. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, type Socket } from 'node:net';
import { eventText, EventStream, tickText } from './event-stream';
import { pageFile } from './page-file';
import { END_EVENT, type InspectEnd, type InspectState, type InspectTick } from './protocol';
import { judgeRequest } from './request-guard';

const HOST = '127.0.0.1';
/** 192 bits, in 32 characters. */
const TOKEN_BYTES = 24;
/** How many may look at once. */
export const MOST_STREAMS = 16;
/** Open connections, with those that only load the page. */
const MOST_CONNECTIONS = 64;
/** A request has a short address and the headers of a browser. */
const MOST_HEADER_BYTES = 8192;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 2000;

/** Sent with every response. */
const SAFE_HEADERS = {
  'Cache-Control': 'no-store',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
} as const;

const texts = {
  301: 'The page is at the address with a slash at its end.\n',
  403: 'Only this machine may ask, by 127.0.0.1 or localhost.\n',
  404: 'Not found.\n',
  405: 'Only GET and HEAD: nothing can be changed here.\n',
  503: 'Too many look already.\n',
} as const;

/** What the server asks of its owner. */
export interface PageServerOwner {
  /** Somebody looks: returns what there is to see, or undefined if the device is closed. May throw `ENOMEM`. */
  look(): InspectState | undefined;
  /** Nobody looks any more. */
  leave(): void;
  /** Returns the state for one who looks already. */
  state(): InspectState | undefined;
  /** The device was found closed. */
  end(): void;
}

export class PageServer {
  readonly #server: Server;
  readonly #owner: PageServerOwner;
  readonly #token = randomBytes(TOKEN_BYTES).toString('base64url');
  readonly #streams = new Set<EventStream>();
  readonly #sockets = new Set<Socket>();
  #port = 0;
  #ending: Promise<void> | undefined;

  /** @param ref - whether the server keeps the process alive */
  constructor(owner: PageServerOwner, ref: boolean) {
    this.#owner = owner;
    this.#server = createServer(
      {
        maxHeaderSize: MOST_HEADER_BYTES,
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
      },
      (request, response) => {
        this.#answer(request, response);
      },
    );
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.on('connection', (socket) => {
      if (!ref) socket.unref();
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    if (!ref) this.#server.unref();
  }

  /**
   * Opens the port.
   *
   * @param port - 0: a free one
   * @throws Error of Node (`EADDRINUSE`, `EACCES`)
   */
  async listen(port: number): Promise<void> {
    this.#server.listen({ host: HOST, port, exclusive: true });
    await once(this.#server, 'listening');
    // Errors of single connections are not errors of the program.
    this.#server.on('error', () => undefined);
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://${HOST}:${this.#port}/${this.#token}/`;
  }

  /** How many look. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Sends a tick to all who look. */
  tick(tick: InspectTick, now: number): void {
    const text = tickText(tick);
    for (const stream of this.#streams) stream.tick(text, now);
  }

  /** Tells all who look that there is no more, and closes the port. Resolves once all connections are closed. Never rejects. */
  close(why: InspectEnd['why']): Promise<void> {
    return (this.#ending ??= this.#close(why));
  }

  async #close(why: InspectEnd['why']): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const stream of this.#streams) stream.end(why);
    this.#server.closeIdleConnections();
    // One who does not read must not hold it up.
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, GRACE_MS);
    timer.unref();
    await closed;
    clearTimeout(timer);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    for (const [name, value] of Object.entries(SAFE_HEADERS)) response.setHeader(name, value);
    response.on('error', () => undefined);
    const verdict = judgeRequest(request, { port: this.#port, token: this.#token });
    if ('status' in verdict) {
      if (verdict.status === 301) response.setHeader('Location', verdict.location);
      if (verdict.status === 405) response.setHeader('Allow', 'GET, HEAD');
      refuse(response, verdict.status);
    } else if (verdict.resource === 'page') {
      const { html, policy } = pageFile();
      response.setHeader('Content-Security-Policy', policy);
      response.setHeader('Content-Type', 'text/html; charset=utf-8');
      response.setHeader('Content-Length', html.length);
      response.end(request.method === 'HEAD' ? undefined : html);
    } else {
      this.#stream(request, response);
    }
  }

  #stream(request: IncomingMessage, response: ServerResponse): void {
    response.setHeader('Content-Type', 'text/event-stream; charset=utf-8');
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    if (this.#streams.size >= MOST_STREAMS) {
      response.setHeader('Retry-After', '5');
      refuse(response, 503);
      return;
    }
    let state: InspectState | undefined;
    try {
      state = this.#owner.look();
    } catch {
      refuse(response, 503);
      return;
    }
    if (state === undefined) {
      response.end(eventText(END_EVENT, { why: 'device-closed' } satisfies InspectEnd));
      this.#owner.end();
      return;
    }
    response.setHeader('Connection', 'close'); // so that the connection ends with the stream
    const stream = new EventStream(response, () => this.#owner.state());
    this.#streams.add(stream);
    response.once('close', () => {
      this.#streams.delete(stream);
      if (this.#streams.size === 0) this.#owner.leave();
    });
    stream.open(performance.now());
  }
}

/** How long {@link PageServer.close} waits for those who look, in milliseconds. */
const GRACE_MS = 1000;

function refuse(response: ServerResponse, status: keyof typeof texts): void {
  // The connection ends: what else it sends is not read.
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' });
  response.end(texts[status]);
}
