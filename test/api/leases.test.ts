// Region.advertise with expiresInMs: leases.
import { Worker } from 'node:worker_threads';
import { Access, formatAdvertisement, Lease, packAdvertisement, parseAdvertisement } from '../../lib';
import { accepted, rdma, refusal } from '../support/answers';
import { scene } from '../support/scene';

const LONG = 3_600_000;
const READ = Access.LocalWrite | Access.RemoteRead | Access.RemoteWrite;

function leased(options: object = {}) {
  const s = scene();
  const memory = Buffer.from('0123456789abcdef');
  const mr = s.pd.regUserMr(memory, { iova: 0x1000n, access: READ });
  const lease = mr.advertise({ offset: 4, length: 8, expiresInMs: LONG, ...options });
  return { ...s, memory, mr, lease };
}

/** Waits without the event loop. */
function block(until: () => boolean): void {
  const end = performance.now() + 5000;
  while (!until()) if (performance.now() > end) throw new Error('it took too long');
}

test('a lease is an advertisement with a key of its own', () => {
  const { lease, mr, qp } = leased();
  expect(lease).toBeInstanceOf(Lease);
  expect(lease).toMatchObject({
    vaddr: 0x1004n,
    length: 8,
    access: Access.RemoteRead | Access.RemoteWrite,
    state: 'Live',
  });
  expect(lease.rkey).not.toBe(mr.rkey);
  const { vaddr, length, rkey } = lease;
  expect(parseAdvertisement(packAdvertisement(lease))).toEqual({ vaddr, length, rkey });
  expect(parseAdvertisement(formatAdvertisement(lease))).toEqual({ vaddr, length, rkey });
  expect(qp.check(lease, Access.RemoteRead).ok).toBe(true);
  expect(refusal(qp.check({ ...{ vaddr, length, rkey }, vaddr: 0x1003n }, Access.RemoteRead))).toBe(
    'OutOfBounds',
  );
  expect(String(lease)).toMatch(/^Lease \{.*Live/);
  expect(JSON.parse(JSON.stringify(lease))).toMatchObject({ class: 'Lease', vaddr: '0x1004', state: 'Live' });
});

test('without expiresInMs nothing changes, and its options are refused', () => {
  const { mr, qp } = leased();
  expect(mr.advertise({ offset: 1 })).toEqual({ vaddr: 0x1001n, length: 15, rkey: mr.rkey });
  expect(() => mr.advertise({ access: Access.RemoteRead } as never)).toThrow(
    expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }),
  );
  expect(() => mr.advertise({ qp } as never)).toThrow(
    expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }),
  );
});

test('rights can be fewer than those of the region', () => {
  const { lease, qp } = leased({ access: Access.RemoteRead });
  expect(lease.access).toBe(Access.RemoteRead);
  expect(qp.check(lease, Access.RemoteRead).ok).toBe(true);
  const refused = qp.check(lease, Access.RemoteWrite);
  expect(refusal(refused)).toBe('AccessDenied');
  expect(refused.ok || refused.explain()).toContain('The key is that of a lease that grants RemoteRead');
});

test('a lease may be for one queue pair', () => {
  const { pd, qp, mr } = leased();
  const other = pd.createQp();
  const lease = mr.advertise({ expiresInMs: LONG, qp: other });
  expect(other.check(lease, Access.RemoteRead).ok).toBe(true);
  expect(refusal(qp.check(lease, Access.RemoteRead))).toBe('WindowOtherQp');
});

test('it expires while the event loop is blocked', () => {
  const { lease, qp, mr } = leased({ expiresInMs: 60 });
  const held = accepted(qp.acquire(lease, Access.RemoteWrite));
  held.copyFrom(Buffer.from('x'));
  block(() => !qp.check(lease, Access.RemoteRead).ok);
  const refused = qp.check(lease, Access.RemoteRead);
  expect(refusal(refused)).toBe('LeaseExpired');
  expect(refused.ok || refused.explain()).toContain('a lease whose time is over');
  expect(lease.state).toBe('Expired');
  expect(() => held.copyFrom(Buffer.from('y'))).toThrow(expect.objectContaining({ reason: 'LeaseExpired' }));
  held.put();
  mr.dereg(); // an expired lease does not keep its region
  expect(lease.state).toBe('Expired');
});

test('its state follows the clock of the checks, not that of JavaScript', () => {
  const { lease, qp, mr } = leased({ expiresInMs: 20 });
  block(() => !qp.check(lease, Access.RemoteRead).ok);
  const now = jest.spyOn(performance, 'now').mockReturnValue(0);
  expect(lease.state).toBe('Expired');
  mr.dereg();
  expect(lease.state).toBe('Expired');
  now.mockRestore();
});

test('revoke ends it at once', () => {
  const { lease, qp, mr, memory } = leased();
  const held = accepted(qp.acquire(lease, Access.RemoteWrite));
  lease.revoke();
  lease.revoke();
  lease[Symbol.dispose]();
  expect(lease.state).toBe('Revoked');
  expect(refusal(qp.check(lease, Access.RemoteRead))).toBe('Revoked');
  expect(() => held.copyFrom(Buffer.from('xxxx'))).toThrow(
    expect.objectContaining({ reason: 'WindowEnded' }),
  );
  expect(memory.toString()).toBe('0123456789abcdef');
  held.put();
  mr.dereg();
});

test('a region with live leases does not go, unless by force', () => {
  const { lease, mr, qp } = leased();
  const busy = expect.objectContaining({
    code: 'EBUSY',
    detail: expect.objectContaining({ cause: 'WindowsBound', counts: { windows: 2 } }),
  });
  const second = mr.advertise({ expiresInMs: LONG });
  expect(() => mr.dereg()).toThrow(busy);
  expect(qp.check(lease, Access.RemoteRead).ok).toBe(true);
  qp.invalidateRkey(second.rkey); // a peer gives its lease back
  expect(second.state).toBe('Revoked');
  mr[Symbol.dispose]();
  expect(lease.state).toBe('Revoked');
  expect(refusal(qp.check(lease, Access.RemoteRead))).toBe('Revoked');
});

test('expired leases give their slots of the key table back', () => {
  const { pd, device } = scene({ lkeyTableBits: 2 });
  const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
  for (let i = 0; i < 20; i++) mr.advertise({ expiresInMs: 0 });
  expect(device.keySlots.used).toBe(2);
  const more = [1, 2, 3].map(() => pd.regUserMr(Buffer.alloc(8)));
  expect(more).toHaveLength(3);
  expect(device.keySlots.used).toBe(4);
  expect(() => mr.advertise({ expiresInMs: 0 })).toThrow(rdma('ENOMEM', 'advertise_mr'));
});

test.each<[string, object, string]>([
  ['no time', { expiresInMs: -1 }, 'ERR_OUT_OF_RANGE'],
  ['a fraction', { expiresInMs: 0.5 }, 'ERR_OUT_OF_RANGE'],
  ['text', { expiresInMs: '1' }, 'ERR_INVALID_ARG_TYPE'],
  ['no rights', { access: 0 }, 'EINVAL'],
  ['a local right', { access: Access.LocalWrite }, 'EINVAL'],
  ['a right that the region lacks', { access: Access.RemoteAtomic }, 'EACCES'],
  ['undefined rights', { access: undefined }, 'ERR_INVALID_ARG_TYPE'],
  ['no queue pair', { qp: {} }, 'ERR_INVALID_ARG_TYPE'],
  ['a range outside', { offset: 16 }, 'ERR_OUT_OF_RANGE'],
])('%s', (_, options, code) => {
  expect(() => leased(options)).toThrow(expect.objectContaining({ code }));
});

test('queue pairs of other domains and other kinds of regions are refused', () => {
  const { device, pd, mr } = leased();
  expect(() => mr.advertise({ expiresInMs: 1, qp: device.allocPd().createQp() })).toThrow(
    rdma('EACCES', 'advertise_mr'),
  );
  const destroyed = pd.createQp();
  destroyed.destroy();
  expect(() => mr.advertise({ expiresInMs: 1, qp: destroyed })).toThrow(rdma('EBADF', 'advertise_mr'));
  const closed = leased();
  closed.mr.dereg({ force: true });
  expect(() => closed.mr.advertise({ expiresInMs: 1 })).toThrow(rdma('EBADF', 'advertise_mr'));
});

test('resources list leases with the time that is left', () => {
  const { device, lease, mr } = leased();
  const [row] = device.resources().windows;
  expect(row).toMatchObject({ id: lease.id, kind: 'LEASE', region: mr.id, rkey: lease.rkey, vaddr: 0x1004n });
  expect(row!.msLeft).toBeGreaterThan(LONG - 60_000);
  expect(row).not.toHaveProperty('qp');
});

test('no byte moves under a lease after revoke has returned, in another thread', async () => {
  const { device, pd } = scene();
  const memory = new Uint8Array(new SharedArrayBuffer(256 << 10));
  const mr = pd.regUserMr(memory, { access: READ });
  const lease = mr.advertise({ expiresInMs: LONG });
  const worker = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads');
     const { Access, Device } = require(workerData.lib);
     const device = Device.attach(workerData.token);
     const qp = device.importPd(workerData.pd).createQp();
     const { vaddr, length, rkey } = workerData;
     const source = new Uint8Array(length).fill(7);
     parentPort.postMessage('ready');
     let copies = 0;
     for (;;) {
       const check = qp.acquire({ vaddr, length, rkey }, Access.RemoteWrite);
       if (!check.ok) break;
       try { check.sge.copyFrom(source); copies++; } catch (error) { if (error.reason !== 'WindowEnded') throw error; }
       check.sge.put();
     }
     device.detach({ cascade: true });
     parentPort.postMessage(copies);`,
    {
      eval: true,
      workerData: {
        lib: require.resolve('../../dist'),
        token: device.share(),
        pd: pd.id,
        vaddr: lease.vaddr,
        length: lease.length,
        rkey: lease.rkey,
      },
    },
  );
  const next = () =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  const exit = new Promise((resolve) => worker.once('exit', resolve));
  await next();
  block(() => memory[0] === 7);
  lease.revoke();
  memory.fill(1);
  await next();
  expect(memory.every((byte) => byte === 1)).toBe(true);
  await exit;
  mr.dereg();
});
