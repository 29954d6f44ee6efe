// Hostile captures: truncated, altered, and made to fill every table. Nothing is thrown but CaptureError, and the memory is limited.
import { CaptureError, explainCapture } from '../../lib';
import { MOST_FLOWS } from '../../lib/explain/flows';
import { MOST_KEYS } from '../../lib/explain/keys';
import {
  connection,
  frame,
  Op,
  pcapHeader,
  pcapRecord,
  type PacketOf,
  Syndrome,
} from '../support/roce-captures';
import { captureBytes, chunksOf, explainBytes } from './explained';

const samples = [
  'rxe-rxe/lost-read-response',
  'rxe-endpoint/over-ipv6',
  'rxe-endpoint/peer-sends-with-invalidate',
  'rxe-endpoint/variant-after-error',
  'programs/program-rping',
];

/** Explains bytes as far as they can be read. Returns how many requests were given. */
async function survive(bytes: Uint8Array): Promise<number> {
  const explanation = explainCapture(chunksOf(bytes, 1000), {
    regions: [{ key: 1, address: 0, length: 8, rights: 15 }],
  });
  let count = 0;
  try {
    for await (const request of explanation) {
      count++;
      expect(request.packet).toBeGreaterThan(0);
    }
  } catch (error) {
    expect(error).toBeInstanceOf(CaptureError);
  }
  const summary = explanation.summary();
  expect(summary.requests).toBe(count);
  JSON.stringify(summary, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
  return count;
}

test.each(samples)('%s, cut anywhere, is explained up to the cut', async (name) => {
  const bytes = captureBytes(name);
  const whole = await survive(bytes);
  expect(whole).toBeGreaterThan(0);
  const step = Math.max(1, Math.floor(bytes.length / 150));
  for (let length = 0; length < bytes.length; length += step) {
    expect(await survive(bytes.subarray(0, length))).toBeLessThanOrEqual(whole);
  }
});

test.each(samples)('%s, altered in random places, throws nothing else', async (name) => {
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let round = 0; round < 100; round++) {
    const bytes = Buffer.from(captureBytes(name));
    for (let i = 0; i < 1 + random(20); i++) bytes[24 + random(bytes.length - 24)] = random(256);
    await survive(bytes);
  }
});

test.each(samples)('%s is explained alike whatever its chunks are', async (name) => {
  const bytes = captureBytes(name);
  const whole = await explainBytes(bytes);
  for (const size of [1, 7, 64, 1499, 65_536])
    expect(await explainBytes(bytes, undefined, size)).toEqual(whole);
});

test('the position of a fault is told', async () => {
  const bytes = Buffer.concat([
    captureBytes('rxe-rxe/bad-rkey'),
    Buffer.from('not a record, but sixteen bytes'),
  ]);
  const explanation = explainCapture(chunksOf(bytes));
  const packets: number[] = [];
  await expect(
    (async () => {
      for await (const { packet } of explanation) packets.push(packet);
    })(),
  ).rejects.toMatchObject({ name: 'CaptureError', code: 'ERR_CAPTURE', position: 208 });
  expect(packets).toEqual([1]);
});

/** Explains packets that are made one by one. */
async function explainStream(packets: Iterable<PacketOf>) {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield pcapHeader();
    let time = 0;
    for (const packet of packets) yield pcapRecord(frame(packet), time++);
  }
  const explanation = explainCapture(bytes());
  let requests = 0;
  for await (const { packet } of explanation) requests += packet > 0 ? 1 : 0;
  return { requests, summary: explanation.summary() };
}

test('more queue pairs than can be told apart are counted', async () => {
  const total = MOST_FLOWS + 100;
  const { summary } = await explainStream(
    Array.from({ length: total }, (_, i) => ({
      from: '10.0.0.1',
      to: '10.0.0.2',
      qp: 100 + i,
      op: Op.SendOnly,
      psn: i,
      payload: 4,
    })),
  );
  expect(summary.dropped.packets).toBeGreaterThanOrEqual(100);
  expect(summary.requests).toBe(total - summary.dropped.packets);
  expect(summary.queuePairs.length).toBeLessThanOrEqual(MOST_FLOWS);
});

test('more keys than can be told apart are counted', async () => {
  const { ask } = connection({ host: '10.0.0.1', qp: 1 }, { host: '10.0.0.2', qp: 2 });
  const total = MOST_KEYS + 100;
  const { summary, requests } = await explainStream(
    Array.from({ length: total }, (_, i) =>
      ask(Op.ReadRequest, i, { reth: { address: 0n, key: (i * 2654435761) >>> 0, length: 8 } }),
    ),
  );
  expect(requests).toBe(total);
  expect(summary.dropped.keys).toBeGreaterThanOrEqual(100);
  expect(summary.keys.length).toBe(total - summary.dropped.keys);
});

test('endless repeats and NAKs take a constant time each', async () => {
  const { ask, ack } = connection({ host: '10.0.0.1', qp: 1 }, { host: '10.0.0.2', qp: 2 });
  function* packets(): Generator<PacketOf> {
    for (let psn = 0; psn < 20_000; psn++) yield ask(Op.SendOnly, psn, { payload: 4 });
    for (let i = 0; i < 20_000; i++) {
      yield ask(Op.SendOnly, i, { payload: 4 });
      yield ack(i, 0, i % 2 === 0 ? Syndrome.Access : Syndrome.Sequence);
    }
  }
  const begin = performance.now();
  const { requests } = await explainStream(packets());
  expect(requests).toBeGreaterThanOrEqual(20_000);
  // Some 10 ms for 60,000 packets; without a limit on the search, it takes minutes.
  expect(performance.now() - begin).toBeLessThan(30_000);
});

test('can be iterated once, and has a summary only at its end', async () => {
  const explanation = explainCapture(chunksOf(captureBytes('rxe-rxe/write')));
  expect(() => explanation.summary()).toThrow(expect.objectContaining({ code: 'ERR_INVALID_STATE' }));
  for await (const { packet } of explanation) expect(packet).toBe(9);
  expect(explanation.summary().requests).toBe(1);
  await expect(explanation[Symbol.asyncIterator]().next()).rejects.toMatchObject({
    code: 'ERR_INVALID_STATE',
  });
});

test('an error of the source reaches the program, after the requests', async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield captureBytes('rxe-rxe/write');
    throw new Error('the network is gone');
  }
  const packets: number[] = [];
  await expect(
    (async () => {
      for await (const { packet } of explainCapture(failing())) packets.push(packet);
    })(),
  ).rejects.toThrow('the network is gone');
  expect(packets).toEqual([9]);
});

test('rejects sources and options that are not valid', () => {
  for (const source of [undefined, null, 1, {}, [Buffer.alloc(1)]]) {
    expect(() => explainCapture(source as any)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    );
  }
  expect(() => explainCapture('x', { only: 'all' as any })).toThrow("must be 'refused'");
  expect(() => explainCapture('x', { key: 2 ** 32 })).toThrow(RangeError);
  expect(() => explainCapture('x', { queuePair: 2 ** 24 })).toThrow(RangeError);
  expect(() => explainCapture('x', { regions: 1 as any })).toThrow(TypeError);
});
