// MemoryRegion.rereg: what changes, what stays, and which errors leave the old registration valid.
import { Worker } from 'node:worker_threads';
import { Access, Device, type MemoryRegion } from '../../lib';
import { accepted, rdma } from '../support/answers';
import { open, scene, TOP } from '../support/scene';

const RW = Access.LocalWrite | Access.RemoteRead | Access.RemoteWrite;

function registered() {
  const s = scene();
  const memory = Buffer.from('old bytes');
  const mr = s.pd.regUserMr(memory, { start: 0x1000n, iova: 0x2000n, access: RW });
  return { ...s, memory, mr };
}

/** Whether the region is what {@link registered} has made it. */
function isUnchanged(mr: MemoryRegion, rkey: number): boolean {
  return (
    mr.state === 'Valid' &&
    mr.rkey === rkey &&
    mr.access === RW &&
    mr.start === 0x1000n &&
    mr.iova === 0x2000n &&
    mr.length === 9
  );
}

describe('rereg', () => {
  test('changes the rights alone and keeps the key', () => {
    const { pd, qp, mr } = registered();
    const { rkey, id } = mr;
    mr.rereg({ access: Access.RemoteRead });
    expect(mr).toMatchObject({
      id,
      rkey,
      lkey: rkey,
      access: Access.RemoteRead,
      length: 9,
      refs: 2,
      state: 'Valid',
    });
    expect(qp.check({ vaddr: mr.iova, length: 9, rkey }, Access.RemoteWrite)).toMatchObject({
      ok: false,
      reason: 'AccessDenied',
    });
    expect(qp.check({ vaddr: mr.iova, length: 9, rkey }, Access.RemoteRead).ok).toBe(true);
    expect(pd.check({ addr: mr.start, length: 9, lkey: mr.lkey }, Access.LocalWrite).ok).toBe(false);
  });

  test('moves the region to other memory under a new key', () => {
    const { pd, qp, mr, memory } = registered();
    const old = mr.rkey;
    const next = Buffer.from('new memory');
    mr.rereg({ translation: { memory: next, start: 0x7000n } });
    expect(mr).toMatchObject({ start: 0x7000n, iova: 0x7000n, length: 10, access: RW, state: 'Valid' });
    expect(mr.rkey).not.toBe(old);
    expect(mr.toJSON()).toMatchObject({ start: '0x7000', length: 10 });
    const refused = qp.check({ vaddr: 0x2000n, length: 1, rkey: old }, Access.RemoteRead);
    expect(refused).toMatchObject({ ok: false, reason: 'Revoked' });
    const sge = accepted(pd.acquire({ addr: 0x7000n, length: 10, lkey: mr.lkey }, Access.LocalWrite));
    expect(sge.region).toBe(mr);
    sge.copyFrom(Buffer.from('0123456789'));
    sge.put();
    expect([next.toString(), memory.toString()]).toEqual(['0123456789', 'old bytes']);
  });

  test('gets another key even when sequential keys have come round to the old one', () => {
    const device = open({ keyPolicy: 'sequential', lkeyTableBits: 16 });
    const pd = device.allocPd();
    const mr = pd.regUserMr(Buffer.alloc(8), { access: RW, start: 0 });
    const { lkey } = mr;
    const bytes = Buffer.alloc(1);
    for (let i = 1; i < 65_536; i++) pd.regUserMr(bytes).dereg();
    mr.rereg({ translation: { memory: Buffer.alloc(8), start: 0 } });
    expect(mr.lkey).not.toBe(lkey);
    expect(pd.check({ addr: 0, length: 8, lkey }, 0).ok).toBe(false);
  });

  test('lets the device choose an address that no region has', () => {
    const { pd, mr } = registered();
    mr.rereg({ translation: { memory: Buffer.alloc(5000) } });
    expect(mr.start % 4096n).toBe(0n);
    expect(mr.iova).toBe(mr.start);
    expect(pd.regUserMr(Buffer.alloc(1)).start >= mr.start + 5000n).toBe(true);
  });

  test('moves the region to another domain, with which it ends', () => {
    const { device, pd, qp, mr } = registered();
    const other = device.allocPd();
    mr.rereg({ pd: other });
    expect(qp.check({ vaddr: mr.iova, length: 1, rkey: mr.rkey }, Access.RemoteRead)).toMatchObject({
      reason: 'WrongPd',
    });
    expect(other.check({ addr: mr.start, length: 1, lkey: mr.lkey }, 0).ok).toBe(true);
    expect(other.regionOf(Buffer.alloc(1))).toBeUndefined();
    expect(() => other.dealloc()).toThrow(rdma('EBUSY', 'dealloc_pd'));
    expect(() => pd.deregMany([mr])).toThrow(rdma('EINVAL', 'dereg_mr'));
    other.dealloc({ cascade: true });
    expect(mr.state).toBe('Closed');
    pd.dealloc({ cascade: true }); // without a region that is elsewhere
  });

  test('stays usable when its first domain is gone', () => {
    const { device, pd, mr } = registered();
    const other = device.allocPd();
    mr.rereg({ pd: other });
    pd.dealloc({ cascade: true });
    mr.rereg({ access: Access.LocalWrite });
    expect(mr).toMatchObject({ access: Access.LocalWrite, state: 'Valid' });
    mr.dereg();
    other.dealloc();
  });

  test('changes all three at once', () => {
    const { device, mr } = registered();
    const other = device.allocPd();
    mr.rereg({
      translation: { memory: new DataView(new ArrayBuffer(16), 8), iova: 3 },
      access: 0,
      pd: other,
    });
    expect(mr).toMatchObject({ iova: 3n, length: 8, access: 0 });
    expect(device.resources().regions).toEqual([expect.objectContaining({ pd: other.id, length: 8 })]);
  });

  test('keeps the searches by memory right', () => {
    const { device, pd, mr, memory } = registered();
    const next = Buffer.alloc(16);
    const other = device.allocPd();
    expect(pd.regionOf(memory)).toBe(mr);
    mr.rereg({ translation: { memory: next } });
    expect(pd.regionOf(memory)).toBeUndefined();
    expect(pd.regionOf(next.subarray(8))).toBe(mr);
    mr.rereg({ access: 0 });
    expect(pd.regionOf(next, Access.LocalWrite)).toBeUndefined();
    mr.rereg({ pd: other });
    expect([pd.regionOf(next), other.regionOf(next)]).toEqual([undefined, mr]);
    expect(device.regionsOf(next)).toEqual([mr]);
  });

  test('releases the old memory and keeps the new memory alive', () => {
    const { pd } = registered();
    const buffer = new ArrayBuffer(64);
    const mr = pd.regUserMr(buffer);
    mr.rereg({ translation: { memory: new ArrayBuffer(8) } });
    structuredClone(buffer, { transfer: [buffer] });
    expect(pd.check({ addr: mr.start, length: 8, lkey: mr.lkey }, 0).ok).toBe(true);
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    sge.copyTo(Buffer.alloc(8)); // the detached buffer is not the region's memory any more
    sge.put();
  });

  test('counts on under the same counters', () => {
    const { pd, mr } = registered();
    mr.countAccesses();
    pd.check({ addr: mr.start, length: 1, lkey: mr.lkey }, 0);
    mr.rereg({ translation: { memory: Buffer.alloc(8) } });
    pd.check({ addr: mr.start, length: 1, lkey: mr.lkey }, 0);
    expect(mr.counters).toMatchObject({ accepted: 2, refused: 0 });
  });
});

describe('errors that leave the old registration valid', () => {
  test.each<[string, (s: ReturnType<typeof registered>) => void, string]>([
    ['no option', ({ mr }) => mr.rereg({}), 'EINVAL'],
    ['no option at all', ({ mr }) => mr.rereg(undefined as never), 'ERR_INVALID_ARG_TYPE'],
    ['rights that need local write', ({ mr }) => mr.rereg({ access: Access.RemoteWrite }), 'EINVAL'],
    ['unknown rights', ({ mr }) => mr.rereg({ access: 1024 }), 'EINVAL'],
    ['undefined rights', ({ mr }) => mr.rereg({ access: undefined as never }), 'ERR_INVALID_ARG_TYPE'],
    ['something that is no domain', ({ mr }) => mr.rereg({ pd: {} as never }), 'ERR_INVALID_ARG_TYPE'],
    [
      'a closed domain',
      ({ mr, device }) => {
        const pd = device.allocPd();
        pd.dealloc();
        mr.rereg({ pd });
      },
      'EBADF',
    ],
    ['a domain of another device', ({ mr }) => mr.rereg({ pd: open().allocPd() }), 'EINVAL'],
    ['no memory', ({ mr }) => mr.rereg({ translation: {} as never }), 'ERR_INVALID_ARG_TYPE'],
    ['no translation', ({ mr }) => mr.rereg({ translation: null as never }), 'ERR_INVALID_ARG_TYPE'],
    [
      'an unknown option inside',
      ({ mr }) => mr.rereg({ translation: { memory: Buffer.alloc(8), address: 1 } as never }),
      'ERR_INVALID_ARG_VALUE',
    ],
    [
      'a negative start',
      ({ mr }) => mr.rereg({ translation: { memory: Buffer.alloc(8), start: -1 } }),
      'ERR_OUT_OF_RANGE',
    ],
    [
      'detached memory',
      ({ mr }) => {
        const memory = new ArrayBuffer(8);
        structuredClone(memory, { transfer: [memory] });
        mr.rereg({ translation: { memory } });
      },
      'EINVAL',
    ],
    [
      'held elements',
      ({ mr, pd }) => {
        accepted(pd.acquire({ addr: mr.start, length: 1, lkey: mr.lkey }, 0));
        mr.rereg({ translation: { memory: Buffer.alloc(8) } });
      },
      'EBUSY',
    ],
  ])('%s', (_, fail, code) => {
    const s = registered();
    const { rkey } = s.mr;
    expect(() => {
      fail(s);
    }).toThrow(expect.objectContaining({ code }));
    expect(isUnchanged(s.mr, rkey)).toBe(true);
    expect(s.qp.check({ vaddr: s.mr.iova, length: 9, rkey }, Access.RemoteWrite).ok).toBe(true);
  });

  test('elements of queued work requests are held', async () => {
    const device = open();
    const pd = device.allocPd();
    const cq = device.createCq(8);
    const [a, b] = [pd.createQp({ type: 'RC', sendCq: cq }), pd.createQp({ type: 'RC', sendCq: cq })];
    a.connect(b, { access: 0 });
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.LocalWrite });
    const sent = a.send({ addr: mr.start, length: 8, lkey: mr.lkey });
    expect(() => mr.rereg({ access: 0 })).toThrow(
      expect.objectContaining({ detail: { cause: 'ReregHeld', counts: { elements: 1 } } }),
    );
    const received = b.recv([]);
    await Promise.allSettled([sent, received]);
    mr.rereg({ access: 0 });
    expect(mr.access).toBe(0);
  });
});

describe('errors that end the old registration', () => {
  test.each<[string, (mr: MemoryRegion) => void]>([
    ['empty memory', (mr) => mr.rereg({ translation: { memory: Buffer.alloc(0) } })],
    ['a start too high', (mr) => mr.rereg({ translation: { memory: Buffer.alloc(8), start: TOP - 8n } })],
    ['an iova too high', (mr) => mr.rereg({ translation: { memory: Buffer.alloc(8), iova: TOP - 7n } })],
  ])('%s', (_, fail) => {
    const { qp, mr } = registered();
    const { rkey } = mr;
    expect(() => {
      fail(mr);
    }).toThrow(rdma('EINVAL', 'rereg_mr'));
    expect(mr).toMatchObject({ state: 'Invalid', rkey, length: 9 });
    expect(qp.check({ vaddr: 0x2000n, length: 1, rkey }, Access.RemoteRead)).toMatchObject({
      ok: false,
      reason: 'Invalidated',
    });
    expect(() => mr.rereg({ access: 0 })).toThrow(
      expect.objectContaining({ detail: expect.objectContaining({ cause: 'ReregInvalid' }) }),
    );
    mr.dereg();
    expect(mr.state).toBe('Closed');
  });
});

test('other kinds of regions are refused', () => {
  const { device, pd } = scene({ trusted: true });
  const dma = pd.getDmaMr();
  const sg = pd.allocMr({ maxNumSg: 1 });
  for (const [mr, kind] of [
    [dma, 'DMA'],
    [sg, 'MEM_REG'],
  ] as const) {
    expect(() => mr.rereg({ access: 0 })).toThrow(
      expect.objectContaining({ detail: { cause: 'RegionKind', value: kind } }),
    );
  }
  expect('rereg' in pd.allocFmr({ maxPages: 1 })).toBe(false);
  dma.dereg();
  expect(device.resources().regions).toHaveLength(2);
});

test('a queue pair of a worker is refused by the new rights at once', async () => {
  const device = open();
  const pd = device.allocPd();
  const mr = pd.regUserMr(new SharedArrayBuffer(8), { access: RW });
  const worker = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads');
     const { Access, Device } = require(workerData.lib);
     const device = Device.attach(workerData.token);
     const qp = device.importPd(workerData.pd).createQp();
     const { vaddr, rkey } = workerData;
     const look = () => qp.check({ vaddr, length: 8, rkey }, Access.RemoteWrite).reason ?? 'ok';
     parentPort.on('message', (message) => {
       if (message === 'end') { device.detach({ cascade: true }); parentPort.close(); } else parentPort.postMessage(look());
     });
     parentPort.postMessage(look());`,
    {
      eval: true,
      workerData: {
        lib: require.resolve('../../dist'),
        token: device.share(),
        pd: pd.id,
        vaddr: mr.iova,
        rkey: mr.rkey,
      },
    },
  );
  const next = () => new Promise((resolve) => worker.once('message', resolve));
  expect(await next()).toBe('ok');
  mr.rereg({ access: Access.LocalWrite | Access.RemoteRead });
  worker.postMessage('look');
  expect(await next()).toBe('AccessDenied');
  worker.postMessage('end');
  await new Promise((resolve) => worker.once('exit', resolve));
});

test('an attached Device object can take a region of another over', () => {
  const device = open();
  const mr = device.allocPd().regUserMr(Buffer.alloc(8));
  const other = Device.attach(device.share());
  const pd = other.allocPd();
  mr.rereg({ pd });
  expect(pd.check({ addr: mr.start, length: 8, lkey: mr.lkey }, 0).ok).toBe(true);
  other.detach({ cascade: true });
  expect(mr.state).toBe('Closed');
});

test('the text of a half-dead region says whether something holds it', () => {
  const { pd } = scene();
  const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
  const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
  expect(() => {
    mr.dereg();
  }).toThrow(rdma('EBUSY'));
  const text = (): string => {
    try {
      mr.rereg({ access: 0 });
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('was re-registered');
  };
  expect(text()).toMatch(/ it was released while held, and 1 element is still held$/);
  sge.put();
  expect(text()).toMatch(/ it was released while held, and nothing holds it any more: release it again$/);
});
