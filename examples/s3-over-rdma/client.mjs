// A client: registers its own memory, and lets the store write and read there, by a token in a header.
import { once } from 'node:events';
import { Agent, request } from 'node:http';

import { Access, Device, Endpoint } from 'rdmavt';

import { formatToken } from './token.mjs';

export class StoreClient {
  #device = new Device(); // random keys: whoever has one token cannot guess another
  #endpoint = new Endpoint({ device: this.#device, address: '127.0.0.1', port: 0 });
  #cq = this.#device.createCq(16);
  #pd = this.#device.allocPd();
  #agent = new Agent({ keepAlive: true });
  #secret = '';
  /** @type {import('rdmavt').QueuePair<'RC'> | undefined} */
  #qp;
  /** @param {{ http: number, rdma: number }} ports of the store: TCP and UDP */
  constructor(ports) {
    this.ports = ports;
  }

  /** Number of the queue pair through which the store reaches this client. */
  get qpn() {
    return this.#qp?.qpn ?? 0;
  }

  /** Connects with the store: at first, and again after each refusal, which ends the connection. */
  async connect() {
    this.#qp?.destroy();
    const qp = (this.#qp = this.#pd.createQp({ type: 'RC', sendCq: this.#cq }));
    const access = Access.RemoteRead | Access.RemoteWrite;
    const options = /** @type {const} */ ({ qp, access, port: this.ports.rdma, pathMtu: 4096 });
    const { privateData } = await this.#endpoint.connect('127.0.0.1', 7174, options);
    this.#secret = Buffer.from(privateData).toString('hex', 0, 16);
  }

  /** Registers memory for the store; with `expiresInMs` by a lease: its tokens are void then. @returns {import('rdmavt').Advertisement} */
  offer(/** @type {Buffer} */ bytes, expiresInMs = 0) {
    const access = Access.LocalWrite | Access.RemoteRead | Access.RemoteWrite;
    const mr = this.#pd.regUserMr(bytes, { access });
    // The device judges the time in each check: a lease also expires while this thread is busy.
    return expiresInMs > 0 ? mr.advertise({ expiresInMs }) : mr.advertise();
  }

  /** Returns a promise of the next request of the store that this client's device refuses. */
  async nextRefusal() {
    const [refusal] = await once(this.#endpoint, 'refused');
    return /** @type {import('rdmavt').WireRefusal} */ (refusal);
  }

  /**
   * Sends a request. With `memory` the bytes come from there or go there by RDMA, else from or to `bytes` by HTTP.
   *
   * @param {'GET' | 'PUT'} method
   * @param {string} path of the object
   * @param {{ memory?: import('rdmavt').Advertisement, qpn?: number, bytes?: Buffer }} what
   * @returns {Promise<{ status: number, text: string }>} the text says why if the status is not 200
   */
  ask(method, path, { memory, qpn = this.qpn, bytes }) {
    const token = memory && {
      'x-rdma-token': formatToken(memory, qpn),
      authorization: `Bearer ${this.#secret}`,
    };
    const headers = { ...token, 'content-length': method === 'PUT' ? (bytes?.length ?? 0) : 0 };
    const options = { host: '127.0.0.1', port: this.ports.http, agent: this.#agent, method, path, headers };
    return new Promise((resolve, reject) => {
      const sent = request(options, (response) => {
        const { statusCode: status = 0 } = response;
        let text = '';
        let at = 0;
        response.on('data', (/** @type {Buffer} */ chunk) => {
          if (status === 200 && bytes) at += chunk.copy(bytes, at);
          else text += chunk.toString();
        });
        response.once('error', reject).once('end', () => resolve({ status, text }));
      });
      sent.once('error', reject).end(method === 'PUT' ? bytes : undefined);
    });
  }
}
