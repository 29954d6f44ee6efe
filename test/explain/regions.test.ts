// Requests judged by a list of regions: the core decides, and a refusal is explained with the numbers of the list.
import { Access, Device, explainCapture } from '../../lib';
import { argumentError } from '../support/answers';
import { connection, Op, type PacketOf, Syndrome } from '../support/roce-captures';
import { captureBytes, explainBytes, explainPackets, kindsOf } from './explained';

const { ask, answer, ack } = connection({ host: '10.0.0.1', qp: 17 }, { host: '10.0.0.2', qp: 29 });
const all = ['LocalWrite', 'RemoteWrite', 'RemoteRead', 'RemoteAtomic'];
const region = { key: 0x22a, address: '0x10000', length: 4096, rights: all };

/** A WRITE that the responder refuses. */
const refused = (key: number, address: bigint, length: number, op: number = Op.WriteOnly): PacketOf[] => [
  ask(op, 1, { reth: { address, key, length }, payload: op === Op.WriteOnly ? length : 0 }),
  ack(1, 0, Syndrome.Access),
];

async function judged(packets: readonly PacketOf[], regions: unknown): Promise<[string | undefined, string]> {
  const { requests } = await explainPackets(packets, { regions: regions as object });
  return [requests.at(-1)!.verdict, requests.at(-1)!.explanation];
}

// The regions of B, as the README of the captures says.
const regionsOfB = [
  { key: '0x22a', address: '0x55abb94c2000', length: 16384, rights: 15 },
  { key: '0x396', address: '0x55abb94c7000', length: 4096, rights: 5 },
];

test.each([
  ['rxe-rxe/write', 'Accepted', /^$/],
  [
    'rxe-rxe/bad-rkey',
    'NoSuchKey',
    /No listed region has key 0x10022a.*key 0x22a, which differs in 1 bit only/,
  ],
  ['rxe-rxe/out-of-bounds-write', 'OutOfBounds', /ends 16 bytes past the last byte/],
  ['rxe-rxe/out-of-bounds-write-long', 'OutOfBounds', /ends 2616 bytes past the last byte/],
  ['rxe-rxe/no-right', 'AccessDenied', /RemoteWrite is missing: .* grants LocalWrite\|RemoteRead/],
  ['rxe-rxe/atomic-no-right', 'AccessDenied', /RemoteAtomic is missing/],
])('the request of %s gets the verdict %s', async (name, verdict, text) => {
  const { requests, summary } = await explainBytes(captureBytes(name), { regions: regionsOfB });
  expect(requests).toMatchObject([{ verdict }]);
  expect(requests[0]!.explanation).toMatch(text);
  expect(summary).toMatchObject({ judged: 1, judgedRefused: verdict === 'Accepted' ? 0 : 1 });
  expect(kindsOf(summary)).not.toContain('RegionsDisagree');
});

// The regions of the endpoint, and the reasons that the package gave there when the captures were made.
test.each([
  ['peer-writes-with-a-bad-key', '0xf85baf00', '0x100000044000', ['LocalWrite', 'RemoteWrite'], 'NoSuchKey'],
  ['peer-writes-out-of-bounds', '0x64171900', '0x10000004a000', ['LocalWrite', 'RemoteWrite'], 'OutOfBounds'],
  ['peer-reads-out-of-bounds', '0x9c80d300', '0x10000004d000', ['RemoteRead'], 'OutOfBounds'],
  [
    'peer-atomic-without-the-right',
    '0x9cf4f00',
    '0x100000053000',
    ['LocalWrite', 'RemoteWrite'],
    'AccessDenied',
  ],
])('%s is judged as it was judged then', async (name, key, address, rights, verdict) => {
  const { requests } = await explainBytes(captureBytes(`rxe-endpoint/${name}`), {
    regions: [{ key, address, length: 4096, rights }],
  });
  expect(requests).toMatchObject([{ outcome: 'Refused', verdict }]);
});

test('a key that the capture invalidates is judged as invalidated', async () => {
  const regions = [{ key: '0x98d16e01', address: '0x10000', length: 8192, rights: all }];
  const { requests } = await explainBytes(captureBytes('rxe-endpoint/peer-sends-with-invalidate'), {
    regions,
  });
  expect(requests.map(({ verdict }) => verdict)).toEqual(['Accepted', undefined, 'Invalidated']);
});

test.each([
  [
    'an offset in the place of an address',
    refused(0x22a, 0x40n, 64),
    'OutOfBounds',
    /looks like an offset: .* 0x10040/,
  ],
  [
    'a length that was not reduced',
    refused(0x22a, 0x10100n, 4096, Op.ReadRequest),
    'OutOfBounds',
    /length is that of the whole region/,
  ],
  [
    'before the first byte',
    refused(0x22a, 0xfff0n, 32),
    'OutOfBounds',
    /begins 16 bytes before the first byte/,
  ],
  [
    'past the address space',
    refused(0x22a, 0xffff_ffff_ffff_fff0n, 32),
    'OutOfBounds',
    /passes the end of the address space/,
  ],
  ['a key in the wrong byte order', refused(0x2a020000, 0x10000n, 16), 'NoSuchKey', /reverse order: 0x22a/],
  ['key 0', refused(0, 0x10000n, 16), 'KeyZeroDenied', /never set/],
  ['an old key', refused(0x22b, 0x10000n, 16), 'NoSuchKey', /low byte only/],
])('explains %s', async (_, packets, verdict, text) => {
  expect(await judged(packets, [region])).toEqual([verdict, expect.stringMatching(text)]);
});

test('knows the domains of queue pairs', async () => {
  const list = { regions: [{ ...region, domain: 1 }], queuePairs: [{ qpn: 29, domain: 2 }] };
  expect(await judged(refused(0x22a, 0x10000n, 16), list)).toEqual([
    'WrongPd',
    expect.stringMatching(/in protection domain 1, but queue pair 29 is in domain 2/),
  ]);
  list.queuePairs[0]!.domain = 1;
  expect((await judged(refused(0x22a, 0x10000n, 16), list))[0]).toBe('Accepted');
});

test('knows regions that are invalid or released', async () => {
  expect((await judged(refused(0x22a, 0x10000n, 16), [{ ...region, state: 'Invalid' }]))[0]).toBe(
    'Invalidated',
  );
  expect((await judged(refused(0x22a, 0x10000n, 16), [{ ...region, state: 'HalfDead' }]))[0]).toBe('Revoked');
});

test('judges only requests to the host of the list', async () => {
  const packets = refused(0x22a, 0x20000n, 16);
  expect((await judged(packets, [{ ...region, host: '10.0.0.2' }]))[0]).toBe('OutOfBounds');
  expect((await judged(packets, [{ ...region, host: '10.0.0.9' }]))[0]).toBeUndefined();
});

test('judges regions of any size, by exact bytes at both ends', async () => {
  const length = 1n << 50n;
  const base = 1n << 52n;
  const huge = [{ key: 7, address: base, length, rights: ['RemoteRead'] }];
  const read = (address: bigint, bytes: number) => judged(refused(7, address, bytes, Op.ReadRequest), huge);
  expect((await read(base, 4096))[0]).toBe('Accepted');
  expect((await read(base + length / 2n, 0x7fff_ffff))[0]).toBe('Accepted');
  expect((await read(base + length - 4096n, 4096))[0]).toBe('Accepted');
  expect((await read(base - 1n, 4096))[0]).toBe('OutOfBounds');
  expect(await read(base + length - 4096n, 4097)).toEqual([
    'OutOfBounds',
    expect.stringContaining('ends 1 byte past'),
  ]);
  expect((await read(base + length + 4096n, 1))[0]).toBe('OutOfBounds');
});

test('a request of no bytes is not judged, because it is carried out whatever its key is', async () => {
  const { requests } = await explainBytes(captureBytes('rxe-rxe/zero-length-bad-key'), {
    regions: regionsOfB,
  });
  expect(requests).toMatchObject([{ outcome: 'Acknowledged', verdict: undefined, explanation: '' }]);
});

test('tells where the list and the responder disagree', async () => {
  const allowed = await explainPackets(refused(0x22a, 0x10000n, 16), { regions: [region] });
  expect(kindsOf(allowed.summary)).toContain('RegionsDisagree');
  expect(allowed.requests[0]!.explanation).toMatch(/^The listed regions allow it/);
  expect(allowed.requests[0]!.explanation).not.toContain('--regions');
  const accepted = [
    ask(Op.WriteOnly, 1, { reth: { address: 0x20000n, key: 0x22a, length: 8 }, payload: 8 }),
    ack(1),
  ];
  const denied = await explainPackets(accepted, { regions: [region] });
  expect(kindsOf(denied.summary)).toContain('RegionsDisagree');
  expect(denied.requests[0]!.explanation).toContain('Nevertheless it was acknowledged');
  // A key that works is a key of a region that the list does not have.
  const other = await explainPackets(accepted, { regions: [{ ...region, key: 9 }] });
  expect(other.requests[0]).toMatchObject({ verdict: undefined, explanation: '' });
  expect(kindsOf(other.summary)).toContain('KeyNotListed');
});

test('takes the resources of a device, as an object and as JSON', async () => {
  const device = new Device();
  const pd = device.allocPd();
  const mr = pd.regUserMr(Buffer.alloc(4096), { iova: 0x10000n, access: Access.RemoteRead });
  const packets = [
    ask(Op.ReadRequest, 1, { reth: { address: 0x10000n, key: mr.rkey, length: 8 } }),
    answer(Op.ReadOnly, 1, { aeth: { syndrome: Syndrome.Ack }, payload: 8 }),
    ...refused(mr.rkey, 0x10ffcn, 8, Op.ReadRequest).map((packet) => ({ ...packet, psn: 2 })),
    ask(Op.WriteOnly, 3, { reth: { address: 0x10000n, key: mr.rkey, length: 8 }, payload: 8 }),
  ];
  for (const regions of [device.resources(), JSON.stringify(device.resources())]) {
    const { requests } = await explainPackets(packets, { regions });
    expect(requests.map(({ verdict }) => verdict)).toEqual(['Accepted', 'OutOfBounds', 'AccessDenied']);
  }
  device.close({ cascade: true });
});

test.each([
  ['not JSON', '{', 'not JSON'],
  ['no list', '{}', 'regions must be an array'],
  ['a region that is no object', '[1]', 'regions[0] must be an object'],
  ['no key', '[{"address":1,"length":1,"rights":[]}]', 'regions[0].key must be a number'],
  [
    'a key of more than 32 bits',
    '[{"key":"0x100000000","address":1,"length":1,"rights":[]}]',
    'regions[0].key is too large',
  ],
  [
    'a negative length',
    '[{"key":1,"address":1,"length":-1,"rights":[]}]',
    'regions[0].length must be a number',
  ],
  [
    'an address that is no number',
    '[{"key":1,"address":"1 or so","length":1,"rights":[]}]',
    'regions[0].address must be',
  ],
  [
    'an unknown right',
    '[{"key":1,"address":1,"length":1,"rights":["Read"]}]',
    'regions[0].rights[0] must be',
  ],
  ['no rights', '[{"key":1,"address":1,"length":1}]', 'regions[0].rights must be an array'],
  [
    'a range past the address space',
    '[{"key":1,"address":"0xffffffffffffffff","length":2,"rights":[]}]',
    'regions[0] passes the end',
  ],
  [
    'an unknown state',
    '[{"key":1,"address":1,"length":1,"rights":[],"state":"Dead"}]',
    'regions[0].state must be',
  ],
  [
    'a host that is no text',
    '[{"key":1,"address":1,"length":1,"rights":[],"host":1}]',
    'regions[0].host must be',
  ],
  [
    'a queue pair without a domain',
    '{"regions":[],"queuePairs":[{"qpn":1}]}',
    'queuePairs[0].domain must be',
  ],
])('rejects %s', (_, regions, message) => {
  expect(() => explainCapture('unused', { regions })).toThrow(
    argumentError(
      'ERR_INVALID_ARG_VALUE',
      `The property 'options.regions' is not a list of regions: ${message}`,
    ),
  );
});

test('an empty list judges nothing, and many regions are no problem', async () => {
  const packets = refused(0x22a, 0x10000n, 16);
  expect((await judged(packets, []))[0]).toBeUndefined();
  const many = Array.from({ length: 3000 }, (_, i) => ({ ...region, key: 0x1000 + i, address: 4096 * i }));
  expect((await judged(refused(0x1000 + 2999, 4096n * 2999n, 4096), many))[0]).toBe('Accepted');
});
