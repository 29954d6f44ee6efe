// The serving process: exposes the bytes by key, serves the plain TCP copy, and takes the memory back when the reader asks for it.
import { createHash, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';

import { Access, Device, Endpoint } from 'rdmavt';

import { Conversation } from './conversation.mjs';

/**
 * @typedef {{ file: string } | { bytes: number }} Source the file whose bytes are served, or how many random ones
 */

/** @param {Source} source */
function load(source) {
  const bytes = 'file' in source ? readFileSync(source.file) : randomFillSync(Buffer.alloc(source.bytes));
  if (bytes.length === 0) throw new Error('the file is empty');
  return bytes;
}

/** @param {string} line */
const say = (line) => {
  console.log(`  server: ${line}`);
};

/**
 * Serves one reader.
 *
 * @param {Conversation} talk
 * @param {Endpoint} endpoint
 * @param {Device} device
 * @param {Buffer} bytes
 */
async function attend(talk, endpoint, device, bytes) {
  const pd = device.allocPd();
  const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(16) });
  const mr = pd.regUserMr(bytes, { access: Access.RemoteRead });
  const refused = once(endpoint, 'refused');
  const hash = createHash('sha256').update(bytes).digest('hex');
  // Each end must know the other's numbers before it can connect; then what may be read, and by which key.
  const there = await talk.next();
  talk.say({
    ...endpoint.describe(qp),
    vaddr: String(mr.iova),
    rkey: mr.rkey,
    length: bytes.length,
    hash,
  });
  qp.connect({ endpoint, ...there, access: Access.RemoteRead });
  for (;;) {
    const { want } = await talk.next();
    if (want === 'copy') {
      talk.send(bytes);
    } else {
      mr.dereg(); // after it has returned, no packet reads a byte
      talk.say({ revoked: true });
      break;
    }
  }
  // The reader tries again, is refused, and ends the conversation.
  const ended = talk.end();
  const [refusal] = await Promise.race([refused, ended.then(() => setTimeout(1000, []))]);
  if (refusal === undefined) throw new Error('no read was refused after the memory was taken back');
  say(`refused a ${refusal.operation} of ${refusal.address}: ${refusal.reason}`);
  say(refusal.explain());
  await ended;
}

/**
 * @param {object} options
 * @param {string} options.address of this machine
 * @param {number} options.port UDP port; 0: any
 * @param {number} options.control TCP port; 0: any
 * @param {Source} options.source
 */
export async function serve({ address, port, control, source }) {
  const bytes = load(source);
  const device = new Device(); // random keys: a reader cannot guess the key of other memory
  const server = createServer();
  try {
    const endpoint = new Endpoint({ device, address, port });
    server.listen(control, address);
    await once(server, 'listening');
    const at = server.address();
    if (at === null || typeof at === 'string') throw new Error('no TCP port');
    say(
      `${bytes.length.toLocaleString('en')} bytes at ${address}, UDP port ${endpoint.port}, TCP port ${at.port}`,
    );
    process.send?.(at.port);
    process.once('disconnect', () => server.close()); // the process that started this one has gone
    const [socket] = await once(server, 'connection');
    server.close();
    await attend(new Conversation(socket), endpoint, device, bytes);
  } finally {
    server.close();
    device.close({ cascade: true });
    if (process.connected) process.disconnect();
  }
}
