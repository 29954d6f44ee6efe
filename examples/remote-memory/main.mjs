#!/usr/bin/env node
// One process exposes the bytes of a file; another one reads them by key over UDP (RoCEv2), checks their hash, and compares the rate
// with a plain TCP copy of the same bytes. Then the first process takes the memory back, and the next read is refused. Linux only.
//
//     node examples/remote-memory/main.mjs [--file PATH | --bytes N]                      two processes of this machine
//     node examples/remote-memory/main.mjs --serve ADDRESS [--file PATH | --bytes N]      on one machine ...
//     node examples/remote-memory/main.mjs --connect ADDRESS --address OWN                ... and on the other
//
// Whoever reaches the TCP port of the serving process can read the bytes: use it on a network that you trust.
// Exit status: 0 if all bytes arrived both ways and the read after the revocation was refused, else 1.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { read } from './reader.mjs';
import { serve } from './server.mjs';

const MOST_BYTES = 2 ** 30;
const MOST_PORT = 65535;
/** TCP port at which two machines meet, unless --control names another one. */
const CONTROL = 4792;
/** UDP port of RoCEv2. */
const ROCE = 4791;
const MTUS = [256, 512, 1024, 2048, 4096];

const USAGE = `usage: node examples/remote-memory/main.mjs [--serve ADDRESS | --connect ADDRESS --address OWN] [options]

Without --serve and --connect, both processes run on this machine, at 127.0.0.1.

  --serve ADDRESS    expose the bytes at this address of this machine, to one reader
  --connect ADDRESS  read what the process at that address serves
  --address OWN      with --connect: the address of this machine on the same network
  --control PORT     TCP port at which the two meet (default ${CONTROL})
  --file PATH        the bytes to expose (default: random ones)
  --bytes N          how many random bytes, 1 to ${MOST_BYTES.toLocaleString('en')} (default 33554432)
  --mtu N            bytes of a packet, ${MTUS.join(', ')} (default 1024; on one machine 4096)
  --help             print this text`;

/**
 * Reads a whole number from the command line.
 *
 * @param {string} text
 * @param {string} name of the argument
 * @param {number} most
 */
function wholeNumber(text, name, most) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new Error(`--${name} must be a whole number from 1 to ${most.toLocaleString('en')}, not '${text}'`);
  }
  return value;
}

/** @param {string} text */
function pathMtu(text) {
  const mtu = MTUS.find((one) => String(one) === text);
  if (mtu === undefined) throw new Error(`--mtu must be one of ${MTUS.join(', ')}, not '${text}'`);
  return /** @type {import('rdmavt').PathMtu} */ (mtu);
}

/**
 * @param {string | undefined} text
 * @param {string} name of the argument
 */
function addressOf(text, name) {
  if (text === undefined || isIP(text) === 0) {
    throw new Error(`--${name} must be an IP address, not '${text ?? ''}'`);
  }
  return text;
}

/** Starts the serving process on this machine, and reads from it. @param {string[]} args */
async function both(args, /** @type {import('rdmavt').PathMtu} */ mtu) {
  const child = fork(fileURLToPath(import.meta.url), ['--serve', '127.0.0.1', ...args], {
    env: { ...process.env, REMOTE_MEMORY_ANY_PORT: '1' },
  });
  const exit = once(child, 'exit');
  try {
    const [port] = await Promise.race([once(child, 'message'), exit.then(() => [])]);
    // Without a port the process has ended, and has said why.
    if (port !== undefined)
      await read({ address: '127.0.0.1', port: 0, mtu, server: '127.0.0.1', control: Number(port) });
  } finally {
    if (child.connected) child.disconnect(); // it waits for a reader no longer
    const [status] = await exit;
    if (status !== 0) process.exitCode = 1;
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      serve: { type: 'string' },
      connect: { type: 'string' },
      address: { type: 'string' },
      control: { type: 'string', default: String(CONTROL) },
      file: { type: 'string' },
      bytes: { type: 'string', default: '33554432' },
      mtu: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const bytes = wholeNumber(values.bytes, 'bytes', MOST_BYTES);
  const control = wholeNumber(values.control, 'control', MOST_PORT);
  const isLocal = values.serve === undefined && values.connect === undefined;
  const mtu = pathMtu(values.mtu ?? (isLocal ? '4096' : '1024'));
  if (values.serve !== undefined && values.connect !== undefined)
    throw new Error('--serve and --connect exclude each other');
  const source = values.file === undefined ? { bytes } : { file: values.file };
  if (values.serve !== undefined) {
    const address = addressOf(values.serve, 'serve');
    const isAny = process.env.REMOTE_MEMORY_ANY_PORT === '1'; // started by both()
    await serve({ address, port: isAny ? 0 : ROCE, control: isAny ? 0 : control, source });
  } else if (values.connect !== undefined) {
    const server = addressOf(values.connect, 'connect');
    await read({ address: addressOf(values.address, 'address'), port: ROCE, mtu, server, control });
  } else {
    const args = values.file === undefined ? ['--bytes', String(bytes)] : ['--file', values.file];
    await both(args, mtu);
  }
}

main().catch((/** @type {unknown} */ error) => {
  console.error(`remote-memory: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
  process.exitCode = 1;
});
