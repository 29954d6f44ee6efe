// The store: a process with objects in registered memory. GET and PUT with a token move the bytes by RDMA_WRITE and RDMA_READ into and
// out of the client's memory, before the response is sent; without a token the bytes are in the body, as with any store over HTTP.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { Access, CompletionError, Device, Endpoint } from 'rdmavt';

import { parseToken, Refusal } from './token.mjs';

/** @typedef {import('node:http').IncomingMessage} Request */
/** @typedef {{ bytes: Buffer, mr: import('rdmavt').MemoryRegion, sent: Promise<unknown> }} Stored an object; `sent`: all GETs of it */

const MOST_BYTES = 2 ** 28;
const device = new Device();
const pd = device.allocPd();
const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
/** @type {Map<string, { qp: import('rdmavt').QueuePair<'RC'>, peerQpn: number }>} connections by the secret that the client was told */
const clients = new Map();
/** @type {Map<string, Stored>} */
const objects = new Map();

// A client gets a secret, without which another client could let the store write through its queue pair.
endpoint.listen(7174, (request) => {
  const cq = device.createCq(64);
  const qp = pd.createQp({ type: 'RC', sendCq: cq });
  const secret = randomBytes(16);
  const end = () => {
    clients.delete(secret.toString('hex'));
    qp.destroy();
    cq.destroy();
  };
  clients.set(secret.toString('hex'), { qp, peerQpn: request.peer.qpn }); // a GET may come before the peer's confirmation
  // The client gets no right here: the store writes and reads, and is never written or read.
  request.accept({ qp, access: 0, privateData: secret }).then(({ closed }) => closed.then(end), end);
});

/** Returns the memory that the request's token names, and the queue pair that leads there. */
function admit(/** @type {Request} */ { headers }) {
  const client = clients.get(headers.authorization?.replace(/^Bearer /, '') ?? '');
  if (!client) throw new Refusal(401, 'no connection has this secret');
  const { qpn, ...remote } = parseToken(String(headers['x-rdma-token']));
  if (qpn !== client.peerQpn) throw new Refusal(403, `queue pair 0x${qpn.toString(16)} is not this client's`);
  return { qp: client.qp, remote };
}

async function put(/** @type {Request} */ request) {
  const name = request.url ?? '';
  const admitted = request.headers['x-rdma-token'] === undefined ? undefined : admit(request);
  const length = admitted?.remote.length ?? Number(request.headers['content-length']);
  if (!(length > 0 && length <= MOST_BYTES)) throw new Refusal(413, `not 1 to ${MOST_BYTES} bytes`);
  const bytes = Buffer.alloc(length);
  const mr = pd.regUserMr(bytes, { access: Access.LocalWrite });
  try {
    let at = 0;
    if (admitted) await admitted.qp.read({ addr: mr.start, length, lkey: mr.lkey }, admitted.remote);
    else for await (const chunk of request) at += chunk.copy(bytes, at);
  } catch (error) {
    mr.dereg(); // the old object stays
    throw error;
  }
  const old = objects.get(name);
  objects.set(name, { bytes, mr, sent: Promise.resolve() });
  // Not while a GET sends it: taking memory back ends the queue pairs that still have to send it.
  void old?.sent.then(() => old.mr.dereg());
}

/** Returns the body: nothing, if the bytes went by RDMA. */
async function get(/** @type {Request} */ request) {
  const stored = objects.get(request.url ?? '');
  if (!stored) throw new Refusal(404, 'no such object');
  if (request.headers['x-rdma-token'] === undefined) return stored.bytes;
  const { qp, remote } = admit(request);
  const { bytes, mr } = stored;
  if (remote.length < bytes.length) throw new Refusal(400, `the object has ${bytes.length} bytes`);
  const write = qp.write({ addr: mr.start, length: bytes.length, lkey: mr.lkey }, remote);
  stored.sent = Promise.allSettled([stored.sent, write]);
  return write.then(() => undefined); // when the client's device has acknowledged the last byte
}

const server = createServer(async (request, response) => {
  try {
    if (request.method !== 'GET' && request.method !== 'PUT') throw new Refusal(405, 'GET or PUT');
    response.end(await (request.method === 'GET' ? get(request) : put(request)));
  } catch (error) {
    if (error instanceof Refusal) response.writeHead(error.status).end(error.message);
    else if (!(error instanceof CompletionError)) response.writeHead(500).end(String(error));
    // The store learns only the class of a refusal; the reason stays with the client's device.
    else response.writeHead(error.status === 'REM_ACCESS_ERR' ? 403 : 502).end(error.completion.explain());
  }
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const at = server.address();
process.send?.({ http: typeof at === 'object' ? at?.port : 0, rdma: endpoint.port });
process.once('disconnect', () => process.exit()); // with the client
