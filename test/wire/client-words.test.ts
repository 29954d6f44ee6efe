// How the servers of `rdmavt serve` read what a client says over TCP: pieces, ends in the middle, and the end of patience.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClientWords } from '../../lib/serve/client-words';
import { Patience } from '../../lib/serve/patience';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Returns the two ends of a TCP connection. */
async function pair(): Promise<{ client: Socket; server: Socket }> {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const client = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  const [server] = (await once(listener, 'connection')) as [Socket];
  listener.close();
  for (const socket of [client, server]) socket.on('error', () => undefined);
  sockets.push(client, server);
  return { client, server };
}

const forever = (): undefined => undefined;

test('pieces of any size make words, and what was not asked for stays', async () => {
  const { client, server } = await pair();
  const words = new ClientWords(server, forever);
  const taken = [words.need(5)];
  for (const letter of 'first') {
    client.write(letter);
    await sleep(2);
  }
  expect((await taken[0]!).toString()).toBe('first');
  client.end('secondthird');
  expect((await words.need(6)).toString()).toBe('second');
  expect((await words.take(5))?.toString()).toBe('third');
  expect(await words.take(1)).toBeUndefined();
  await expect(words.need(1)).rejects.toThrow('in the middle of the exchange');
});

test.each(['end', 'reset'])('a client that goes in the middle of a word: %s', async (how) => {
  const { client, server } = await pair();
  const words = new ClientWords(server, forever);
  client.write('hal');
  await sleep(20);
  if (how === 'end') client.end();
  else client.resetAndDestroy();
  await expect(words.need(5)).rejects.toThrow('in the middle');
});

test('words end when patience does, also in the middle of one, and if the client does not read', async () => {
  const { client, server } = await pair();
  let reason: string | undefined;
  const words = new ClientWords(server, () => reason);
  setTimeout(() => (reason = 'enough'), 50);
  client.write('ha');
  await expect(words.take(5)).rejects.toThrow('enough');
  client.pause();
  await expect(
    (async () => {
      for (;;) await words.say(Buffer.alloc(1 << 20));
    })(),
  ).rejects.toThrow('enough');
  expect(server.writableLength).toBeLessThan(4 << 20);
});

test('patience: a client must begin in time, and then not be silent for too long', async () => {
  const state = { hasBegun: false, packets: 0 };
  const patience = new Patience(
    { beginMs: 200, silenceMs: 400 },
    () => state.hasBegun,
    () => state.packets,
  );
  expect(patience.whyNoMore()).toBeUndefined();
  await sleep(220);
  patience.renew(); // it says something, but not what it must
  expect(patience.whyNoMore()).toContain('not told a queue pair for 0.2 s');
  state.hasBegun = true;
  patience.renew();
  await sleep(420);
  state.packets++;
  expect(patience.whyNoMore()).toBeUndefined();
  await sleep(420);
  expect(patience.whyNoMore()).toContain('silent for 0.4 s');
  patience.renew();
  expect(patience.whyNoMore()).toBeUndefined();
});
