// Sharing one protection domain of a device: what a device object attached with the domain's token may do and see.
import { Access, Device, lkey, type ProtectionDomain, type Refused } from '../../lib';
import { accepted, rdma, refusal, wrongType } from '../support/answers';
import { ALL, DMA, dmaPages, open, PAGE, scene } from '../support/scene';
import { Peer, type Scope } from '../support/workers';

const shared = (bytes: number, fill: number): Uint8Array =>
  new Uint8Array(new SharedArrayBuffer(bytes)).fill(fill);

/**
 * Creates a device with two domains, each with a region and a queue pair; DMA and device memory; and a guest, a device object
 * that is restricted to the first domain.
 */
function restricted(options: Parameters<typeof scene>[0] = {}) {
  const { device, pd, qp } = scene(options);
  const other = device.allocPd();
  const otherQp = other.createQp();
  const mine = pd.regUserMr(shared(64, 1), { access: ALL });
  const secret = other.regUserMr(shared(64, 2), { access: ALL });
  dmaPages(device, 1);
  const memory = device.allocDm(PAGE);
  const token = device.share({ pd });
  const guest = Device.attach(token);
  return { device, pd, qp, other, otherQp, mine, secret, memory, token, guest };
}

describe('the token of a domain', () => {
  test('is stable, and differs from the tokens of the device and of every other domain', () => {
    const { device, pd, other } = restricted();
    const tokens = [device.share(), device.share({}), device.share({ pd }), device.share({ pd: other })];
    expect(device.share({ pd })).toBe(tokens[2]);
    expect(Device.attach(tokens[0]!).share({ pd })).toBe(tokens[2]);
    expect(Device.attach(tokens[0]!).share({ pd: Device.attach(tokens[0]!).importPd(pd.id) })).toBe(
      tokens[2],
    );
    expect(tokens[1]).toBe(tokens[0]);
    expect(new Set(tokens).size).toBe(3);
  });

  test('becomes invalid when the domain or the device is closed', () => {
    const { device, pd, other, token, guest } = restricted();
    const second = device.share({ pd: other });
    const here = guest.importPd(pd.id);
    pd.dealloc({ cascade: true });
    expect(() => Device.attach(token)).toThrow(rdma('ENODEV', 'alloc_ucontext'));
    expect(() => device.share({ pd })).toThrow(rdma('EBADF', 'share'));
    expect(() => guest.importPd(pd.id)).toThrow(rdma('EINVAL', 'import_pd'));
    expect(() => here.createQp()).toThrow(rdma('EBADF'));
    // The guest may not import the next domain in the same slot.
    const next = device.allocPd();
    expect(() => guest.importPd(next.id)).toThrow(rdma('EPERM', 'import_pd'));
    expect(guest.resources()).toMatchObject({ pds: [], regions: [], queuePairs: [] });
    expect(device.share({ pd: next })).not.toBe(token);
    device.close({ cascade: true });
    expect(() => Device.attach(second)).toThrow(rdma('ENODEV', 'alloc_ucontext'));
  });

  test('can be requested only for a domain of this device', () => {
    const { device } = restricted();
    const foreign = scene().pd;
    expect(() => device.share({ pd: foreign })).toThrow(rdma('EINVAL', 'share'));
    for (const pd of [null, 0, 1, 'pd', {}, device, Object.create(foreign), new Proxy(foreign, {})]) {
      expect(() => device.share({ pd: pd as ProtectionDomain })).toThrow(wrongType('options.pd'));
    }
  });
});

describe('a guest attached with the token', () => {
  test('may use the domain: its regions, queue pairs and checks, and the bytes of all its regions', () => {
    const { pd, mine, guest } = restricted();
    const here = guest.importPd(pd.id);
    expect(here.id).toBe(pd.id);
    const own = here.regUserMr(shared(32, 9), { access: ALL });
    const qp = here.createQp();
    const sge = accepted(qp.acquire({ vaddr: mine.iova, length: 64, rkey: mine.rkey }, Access.RemoteRead));
    const target = Buffer.alloc(64);
    expect(sge.copyTo(target)).toBe(64);
    expect(target).toEqual(Buffer.alloc(64, 1));
    sge.put();
    expect(accepted(pd.acquire({ addr: own.start, length: 32, lkey: own.lkey }, 0)).region).toBe(own);
    const sg = here.allocMr({ maxNumSg: 1 });
    expect(() => qp.invalidateRkey(sg.rkey)).not.toThrow();
    qp.destroy();
    guest.detach({ cascade: true });
    expect(own.state).toBe('Closed');
    expect(mine.state).toBe('Valid');
    pd.createQp();
  });

  test.each<[string, (all: ReturnType<typeof restricted>) => unknown]>([
    ['allocPd', ({ guest }) => guest.allocPd()],
    ['dma.map', ({ guest }) => guest.dma.map(Buffer.alloc(PAGE))],
    ['keyTable', ({ guest }) => guest.keyTable()],
    ['share', ({ guest }) => guest.share()],
    ['share of its own domain', ({ guest, pd }) => guest.share({ pd: guest.importPd(pd.id) })],
    ['close', ({ guest }) => guest.close()],
    ['close with cascade', ({ guest }) => guest.close({ cascade: true })],
    ['allocDm', ({ guest }) => guest.allocDm(8)],
    ['importDm', ({ guest, memory }) => guest.importDm(memory.id)],
    ['importDm of an unknown ID', ({ guest }) => guest.importDm(77)],
    ['importPd of another domain', ({ guest, other }) => guest.importPd(other.id)],
    ['importPd of an unknown ID', ({ guest }) => guest.importPd(77)],
    ['dealloc', ({ guest, pd }) => guest.importPd(pd.id).dealloc()],
    ['dealloc with cascade', ({ guest, pd }) => guest.importPd(pd.id).dealloc({ cascade: true })],
    ['mapPhys', ({ guest, pd }) => guest.importPd(pd.id).allocFmr({ maxPages: 1 }).mapPhys([DMA], 0n)],
    [
      'mapSg',
      ({ guest, pd }) =>
        guest
          .importPd(pd.id)
          .allocMr({ maxNumSg: 1 })
          .mapSg([{ addr: DMA, length: PAGE }]),
    ],
  ])('is rejected with EPERM: %s', (_, use) => {
    const all = restricted();
    const before = all.device.resources().pds;
    expect(() => use(all)).toThrow(rdma('EPERM'));
    expect(all.device.resources().pds.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
    expect([all.mine.state, all.secret.state]).toEqual(['Valid', 'Valid']);
  });

  test('detaches on dispose and closes nothing of others, even when it disposes of the domain', () => {
    const { device, pd, mine, guest } = restricted();
    guest.importPd(pd.id)[Symbol.dispose]();
    expect(mine.state).toBe('Valid');
    guest[Symbol.dispose]();
    expect(() => guest.importPd(pd.id)).toThrow(rdma('EBADF'));
    expect(device.resources().contexts).toHaveLength(1);
    expect(mine.state).toBe('Valid');
  });

  test('sees its domain and itself, and nothing else', () => {
    const { device, pd, qp, mine, secret, other, otherQp, guest } = restricted();
    const here = guest.importPd(pd.id);
    const own = here.regUserMr(shared(8, 0));
    const theirs = guest.resources();
    expect(theirs.contexts).toEqual([guest.context]);
    expect(theirs.pds).toEqual([
      { id: pd.id, context: device.context, own: false, trusted: false, children: 3 },
    ]);
    expect(theirs.queuePairs.map(({ id }) => id)).toEqual([qp.id]);
    expect(theirs.regions.map(({ id, pd: of, own: is }) => [id, of, is])).toEqual([
      [mine.id, pd.id, false],
      [own.id, pd.id, true],
    ]);
    expect([theirs.mappings, theirs.memories]).toEqual([[], []]);
    expect(device.resources()).toMatchObject({
      contexts: [device.context, guest.context],
      regions: { length: 3 },
    });
    expect(device.resources().queuePairs.map(({ id }) => id)).toEqual([qp.id, otherQp.id]);

    // The counts of others are hidden as well.
    expect(refusal(other.acquire({ addr: 0, length: 1, lkey: mine.lkey }, 0))).toBe('WrongPd');
    const none = { accepted: 0, refused: 0, reasons: {}, bytesCopied: 0 };
    expect([guest.counters(), guest.counters({ own: true })]).toEqual([none, none]);
    // The order of checks of the reference distinguishes a key of another domain from an unknown key.
    expect(refusal(here.acquire({ addr: secret.start, length: 8, lkey: secret.lkey }, 0))).toBe('WrongPd');
    expect(guest.counters()).toEqual({ ...none, refused: 1, reasons: { WrongPd: 1 } });
    expect(device.counters().refused).toBe(2);
  });

  test('sees nothing of other domains that its own thread uses through another device object', () => {
    const { pd, other, otherQp, mine, secret, device, guest } = restricted();
    const memory = shared(64, 3);
    const [here, there] = [pd, other].map((domain) => domain.regUserMr(memory, { access: ALL }));
    const named = { addr: secret.start, length: 8, lkey: secret.lkey };
    const element = accepted(other.acquire(named, 0));
    const batch = otherQp.rkeyBatch(1);
    batch.set(0, secret.iova, 8, secret.rkey);
    expect(batch.acquire(1, Access.RemoteRead)).toBe(1);
    const own = accepted(guest.importPd(pd.id).acquire({ addr: mine.start, length: 8, lkey: mine.lkey }, 0));

    expect(device.regionsOf(memory)).toEqual([here, there]);
    expect(guest.regionsOf(memory)).toEqual([here]);
    expect(device.resources().elements).toHaveLength(3);
    expect(guest.resources().elements.map(({ region }) => region)).toEqual([mine.id]);
    own.put();
    element.put();
    batch.put();
  });

  test('cannot tell whether an empty slot ever held a key', () => {
    // Keys are sequential, so that no region uses the slot of the second key.
    const { pd, other, guest } = restricted({ keyPolicy: 'sequential' });
    const here = guest.importPd(pd.id);
    const gone = other.allocMr({ maxNumSg: 1 });
    const key = gone.lkey;
    gone.dereg();
    for (const asked of [key ^ 0x100, key ^ 0x10_0000]) {
      const check = here.check({ addr: 0, length: 8, lkey: lkey(asked >>> 0) }, 0);
      expect(refusal(check)).toBe('NoSuchKey');
      const text = (check as Refused).explain();
      expect(text).toMatch(/its slot in the key table is empty\./);
      expect(text).not.toMatch(/never held|last key/);
    }
  });

  test('may use key 0 and page lists if the domain is trusted, and then reaches all DMA memory', () => {
    const { pd, guest } = restricted({ trusted: true });
    const here = guest.importPd(pd.id);
    here.getDmaMr();
    here.allocFmr({ maxPages: 1 }).mapPhys([DMA], 0n);
    expect(here.allocMr({ maxNumSg: 1 }).mapSg([{ addr: DMA, length: PAGE }])).toBe(1);
  });
});

test('a guest in another thread sees the domain and nothing else', async () => {
  const { device, pd, other, secret } = restricted();
  const peer = new Peer({ token: device.share({ pd }) });
  const told = await peer.run(
    (w: Scope, ids: { pd: number; other: number }) => {
      w.pd = w.device.importPd(ids.pd);
      w.mr = w.pd.regUserMr(new Uint8Array(new SharedArrayBuffer(8)).fill(7), { access: 31 });
      return {
        denied: [
          () => w.device.allocPd(),
          () => w.device.dma.map(new Uint8Array(8)),
          () => w.device.keyTable(),
          () => w.device.share(),
          () => w.device.close({ cascade: true }),
          () => w.device.allocDm(8),
          () => w.device.importPd(ids.other),
          () => w.pd.dealloc({ cascade: true }),
        ].map((use) => w.codeOf(use)),
        regions: w.device.resources().regions.map(({ pd: of }: { pd: number }) => of),
        key: w.mr.lkey,
        start: w.mr.start,
      };
    },
    { pd: pd.id, other: other.id },
  );
  expect(told.denied).toEqual(Array(8).fill('EPERM'));
  expect(told.regions).toEqual([pd.id, pd.id]);
  const target = Buffer.alloc(8);
  accepted(pd.acquire({ addr: told.start, length: 8, lkey: told.key }, 0)).copyTo(target);
  expect(target).toEqual(Buffer.alloc(8, 7));
  // When the domain is closed, checks of the guest are refused and its regions are closed.
  pd.dealloc({ cascade: true });
  expect(
    await peer.run((w: Scope) => [
      w.refusal(w.pd.check({ addr: 0, length: 0, lkey: 1 }, 0)),
      w.mr.state,
      w.device.resources().pds.length,
    ]),
  ).toEqual(['Closed', 'Closed', 0]);
  await peer.run((w: Scope) => w.device.detach());
  expect(secret.state).toBe('Valid');
});

test('a device object attached with the token of the whole device is unrestricted', () => {
  const device = open();
  const other = Device.attach(device.share());
  other.allocPd();
  other.close({ cascade: true });
  expect(() => device.allocPd()).toThrow(rdma('EBADF'));
});
