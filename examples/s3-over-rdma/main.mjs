#!/usr/bin/env node
// An object store over HTTP whose bytes go by RDMA between two processes: rates, and tokens that are refused. Linux only.
//
//     node examples/s3-over-rdma/main.mjs [--bytes N] [--rounds N]
//
// Exit status: 0 if all bytes arrived and every bad token was refused, else 1.
import { fork } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { rkey } from 'rdmavt';

import { StoreClient } from './client.mjs';

const OBJECT = '/bucket/object';
/** @typedef {Parameters<StoreClient['ask']>[2]} What */

/** Moves an object both ways by RDMA and by HTTP alone, in turn, so that all see the same machine. */
async function compare(/** @type {StoreClient} */ client, /** @type {number} */ rounds) {
  const source = Buffer.alloc(size);
  const byRdma = Buffer.alloc(size);
  const byHttp = Buffer.alloc(size);
  /** @type {[title: string, method: 'GET' | 'PUT', what: What, seconds: number][]} */
  const ways = [
    ['PUT by RDMA', 'PUT', { memory: client.offer(source) }, 0],
    ['GET by RDMA', 'GET', { memory: client.offer(byRdma) }, 0],
    ['PUT by HTTP alone', 'PUT', { bytes: source }, 0],
    ['GET by HTTP alone', 'GET', { bytes: byHttp }, 0],
  ];
  for (let round = 0; round <= rounds; round++) {
    randomFillSync(source);
    for (const way of ways) {
      const begin = performance.now();
      const { status, text } = await client.ask(way[1], OBJECT, way[2]);
      if (status !== 200) throw new Error(`${way[0]}: ${status} ${text}`);
      if (round > 0) way[3] += (performance.now() - begin) / 1000; // the first round warms up
    }
    if (!byRdma.equals(source) || !byHttp.equals(source)) throw new Error('other bytes have arrived');
  }
  const rate = (/** @type {number} */ seconds) => ((size * rounds) / 2 ** 20 / seconds).toFixed(0);
  for (const [title, , , seconds] of ways) console.log(`  ${title.padEnd(18)} ${rate(seconds)} MiB/s`);
  const [put = 0, get = 0, httpPut = 0, httpGet = 0] = ways.map((way) => way[3]);
  const ratios = [httpPut / put, httpGet / get].map((ratio) => ratio.toFixed(2));
  console.log(`  HTTP alone takes ${ratios[0]} (PUT) and ${ratios[1]} (GET) times as long.`);
}

/** Tries tokens that must be refused. */
async function refuse(/** @type {StoreClient} */ client, /** @type {StoreClient} */ other) {
  const target = Buffer.alloc(size);
  const [memory, expired] = [client.offer(target), client.offer(target, 1)];
  const half = client.offer(target.subarray(size >> 1));
  const forged = { ...memory, rkey: rkey((memory.rkey ^ 0x00abcd00) >>> 0) };
  await setTimeout(50);
  /** @type {[title: string, method: 'GET' | 'PUT', what: What][]} */
  const tries = [
    ['GET, expired', 'GET', { memory: expired }],
    ['PUT, expired', 'PUT', { memory: expired }],
    ['GET, forged key', 'GET', { memory: forged }],
    ['GET, forged length', 'GET', { memory: { ...half, length: size } }],
    ["GET, another client's queue pair", 'GET', { memory, qpn: other.qpn }],
  ];
  for (const [title, method, what] of tries) {
    const refusal = client.nextRefusal();
    const { status, text } = await client.ask(method, OBJECT, what);
    console.log(`  ${title}: ${status}\n    store:  ${text}`);
    if (status !== 403 || target.some((byte) => byte !== 0)) throw new Error(`${title}: not refused`);
    if (what.qpn !== undefined) continue; // the store itself has refused it
    console.log(`    client: ${(await refusal).explain()}`);
    await client.connect();
  }
}

process.once('uncaughtException', (error) => {
  console.error(`s3-over-rdma: ${error.message}`);
  process.exit(1); // the store ends with this process
});
const number = /** @type {const} */ ({ type: 'string', default: '20' });
const { values } = parseArgs({ options: { bytes: { ...number, default: '8388608' }, rounds: number } });
const [size, rounds] = /** @type {[number, number]} */ ([values.bytes, values.rounds].map(Number));
if (![size - 1, rounds].every((value) => Number.isInteger(value) && value >= 1 && value < 2 ** 28))
  throw new Error('--bytes must be a whole number of at least 2, and --rounds one of at least 1');
const [ports] = await once(fork(fileURLToPath(new URL('store.mjs', import.meta.url))), 'message');
const [client, other] = [new StoreClient(ports), new StoreClient(ports)];
await Promise.all([client.connect(), other.connect()]);
console.log(`Objects of ${size.toLocaleString('en')} bytes, ${rounds} rounds`);
await compare(client, rounds);
console.log('Tokens that are refused');
await refuse(client, other);
const { status } = await client.ask('GET', OBJECT, { memory: client.offer(Buffer.alloc(size)) });
if (status !== 200) throw new Error(`a good token was refused: ${status}`);
console.log('A good token still works.');
process.exit();
