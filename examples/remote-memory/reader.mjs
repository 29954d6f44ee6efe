// The reading process: reads the bytes by key and as a plain TCP copy, and tries again after they were taken back.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';

import { Access, CompletionError, Device, Endpoint } from 'rdmavt';

import { Conversation } from './conversation.mjs';

/** Bytes of one RDMA_READ, and how many are under way at a time (`maxRdAtomic`, 16 by default). */
const PIECE = 65536;
const OUTSTANDING = 16;

/**
 * Reads all bytes of the other process, piece by piece.
 *
 * @param {import('rdmavt').QueuePair<'RC'>} qp
 * @param {import('rdmavt').MemoryRegion} into
 * @param {{ vaddr: bigint, rkey: import('rdmavt').Rkey }} from
 * @param {number} length
 */
async function readAll(qp, into, from, length) {
  let at = 0;
  const reader = async () => {
    while (at < length) {
      const offset = BigInt(at);
      const piece = Math.min(PIECE, length - at);
      at += piece;
      await qp.read(
        { addr: into.start + offset, length: piece, lkey: into.lkey },
        { vaddr: from.vaddr + offset, rkey: from.rkey },
      );
    }
  };
  await Promise.all(Array.from({ length: OUTSTANDING }, reader));
}

/**
 * Times the work and checks the bytes that it has brought.
 *
 * @param {string} title
 * @param {Buffer} bytes
 * @param {string} hash that they must have
 * @param {() => Promise<void>} work
 */
async function timed(title, bytes, hash, work) {
  bytes.fill(0);
  const begin = performance.now();
  await work();
  const seconds = (performance.now() - begin) / 1000;
  if (createHash('sha256').update(bytes).digest('hex') !== hash)
    throw new Error(`${title}: other bytes have arrived`);
  const rate = bytes.length / seconds / 2 ** 20;
  console.log(
    `  ${title.padEnd(20)} ${rate.toFixed(1).padStart(8)} MiB/s   hash ${hash.slice(0, 16)}... is right`,
  );
  return rate;
}

/**
 * @param {object} options
 * @param {string} options.address of this machine
 * @param {number} options.port UDP port; 0: any
 * @param {import('rdmavt').PathMtu} options.mtu
 * @param {string} options.server address of the serving process
 * @param {number} options.control its TCP port
 */
export async function read({ address, port, mtu, server, control }) {
  const device = new Device();
  const socket = connect(control, server);
  try {
    await once(socket, 'connect');
    const talk = new Conversation(socket);
    const endpoint = new Endpoint({ device, address, port });
    const pd = device.allocPd();
    const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(64), maxSendWr: 64 });
    talk.say({ ...endpoint.describe(qp), pathMtu: mtu }); // the path MTU must be the same at both ends
    const { vaddr, rkey, length, hash, ...there } = await talk.next();
    qp.connect({ endpoint, ...there, access: 0, pathMtu: mtu });
    const bytes = Buffer.alloc(length);
    const into = pd.regUserMr(bytes, { access: Access.LocalWrite });
    const from = { vaddr: BigInt(vaddr), rkey };

    const byKey = await timed('RDMA_READ over UDP', bytes, hash, () => readAll(qp, into, from, length));
    const byTcp = await timed('plain TCP copy', bytes, hash, async () => {
      talk.say({ want: 'copy' });
      await talk.receive(bytes);
    });
    console.log(`  The reads by key took ${(byTcp / byKey).toFixed(2)} times as long as the copy.`);

    talk.say({ want: 'revocation' });
    await talk.next();
    bytes.fill(0);
    const outcome = await readAll(qp, into, from, Math.min(length, PIECE)).catch((error) => error);
    if (!(outcome instanceof CompletionError) || outcome.status !== 'REM_ACCESS_ERR')
      throw new Error(`the read after the revocation was not refused: ${String(outcome)}`);
    if (bytes.some((byte) => byte !== 0)) throw new Error('the refused read has brought bytes');
    console.log(`  After the server has taken the memory back, a read ends with ${outcome.status}.`);
    await talk.end();
  } finally {
    socket.destroy();
    device.close({ cascade: true });
  }
}
