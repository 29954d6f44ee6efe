// Memory windows of type 2B: what binds, refuses and unbinds them.
import {
  Access,
  type BindMwRequest,
  type CompletionError,
  Device,
  fastRegKey,
  lkey,
  type MemoryRegion,
  MemoryWindow,
  type QueuePair,
  rkey,
} from '../../lib';
import { accepted, rdma, refusal } from '../support/answers';
import { open, scene } from '../support/scene';

const REMOTE = Access.RemoteRead | Access.RemoteWrite | Access.RemoteAtomic;
const MW = Access.LocalWrite | Access.MwBind;

/** Two connected queue pairs of one domain; `a` owns the memory, `b` is the peer. */
function pair(type: 'RC' | 'UC' = 'RC') {
  const device = open();
  const pd = device.allocPd();
  const cq = device.createCq(64);
  const make = (): QueuePair<'RC'> => pd.createQp({ type: type as 'RC', sendCq: cq });
  const [a, b, c, d] = [make(), make(), make(), make()];
  a.connect(b, { access: REMOTE });
  c.connect(d, { access: REMOTE });
  const memory = Buffer.from('0123456789abcdef');
  const mr = pd.regUserMr(memory, { iova: 0x1000n, access: MW });
  const local = pd.regUserMr(Buffer.alloc(16), { access: Access.LocalWrite });
  return { device, pd, cq, a, b, c, d, memory, mr, mw: pd.allocMw(), local };
}

const bind = (mw: MemoryWindow, mr: MemoryRegion, others: Partial<BindMwRequest> = {}): BindMwRequest => ({
  opcode: 'BIND_MW',
  mw,
  mr,
  addr: mr.iova + 4n,
  length: 8,
  access: Access.RemoteRead | Access.RemoteWrite,
  key: mw.nextRkey,
  ...others,
});

const sge = (mr: MemoryRegion, length: number) => ({ addr: mr.start, length, lkey: mr.lkey });

test('a new window is unbound', () => {
  const { pd, qp } = scene();
  const mw = pd.allocMw();
  expect(mw).toBeInstanceOf(MemoryWindow);
  expect(mw).toMatchObject({
    id: 1,
    state: 'Unbound',
    regionId: undefined,
    qpId: undefined,
    length: 0,
    vaddr: 0n,
    access: 0,
  });
  expect(mw.nextRkey).toBe(fastRegKey(mw.rkey, (mw.rkey + 1) & 0xff));
  expect(String(mw)).toMatch(/^MemoryWindow \{.*#1.*Unbound/);
  expect(refusal(qp.check({ vaddr: 0, length: 1, rkey: mw.rkey }, Access.RemoteRead))).toBe('WindowUnbound');
});

test('a bound window lets the peer read and write its part', async () => {
  const { a, b, mr, mw, memory, local, device } = pair();
  const key = mw.nextRkey;
  a.postSend(bind(mw, mr, { key, signaled: true, wrId: 7 }));
  expect(a.sendCq?.poll()[0]).toMatchObject({ wrId: 7, status: 'SUCCESS', opcode: 'BIND_MW' });
  expect(mw).toMatchObject({
    rkey: key,
    state: 'Bound',
    regionId: mr.id,
    qpId: a.id,
    vaddr: 0x1004n,
    length: 8,
    access: Access.RemoteRead | Access.RemoteWrite,
  });
  await b.read(sge(local, 8), { remoteAddr: 0x1004n, rkey: key });
  await b.write(sge(local, 4), { remoteAddr: 0x1008n, rkey: key });
  expect(memory.toString()).toBe('012345674567cdef');
  expect(device.resources().windows).toEqual([
    {
      id: mw.id,
      context: 1,
      own: true,
      pd: 1,
      kind: 'WINDOW',
      rkey: key,
      region: mr.id,
      vaddr: 0x1004n,
      length: 8,
      access: 6,
      qp: a.id,
    },
  ]);
  expect(JSON.parse(JSON.stringify(mw))).toMatchObject({
    class: 'MemoryWindow',
    state: 'Bound',
    vaddr: '0x1004',
  });
  expect(JSON.parse(JSON.stringify(device.resources())).windows).toEqual([
    expect.objectContaining({ kind: 'WINDOW', vaddr: '0x1004', access: ['RemoteWrite', 'RemoteRead'] }),
  ]);
});

test.each<[string, object, string, string]>([
  ['outside of the window', { remoteAddr: 0x1000n }, 'OutOfBounds', 'REM_ACCESS_ERR'],
  ['the old key', { rkey: 'old' }, 'StaleKey', 'REM_ACCESS_ERR'],
])('the peer is refused: %s', async (_, target, reason, status) => {
  const { a, b, mr, mw, local } = pair();
  const old = mw.rkey;
  a.postSend(bind(mw, mr));
  const { remoteAddr = 0x1004n, rkey } = target as { remoteAddr?: bigint; rkey?: string };
  const failed = b.read(sge(local, 8), { remoteAddr, rkey: rkey === 'old' ? old : mw.rkey });
  await expect(failed).rejects.toMatchObject({ completion: { status, reason } });
});

test('another queue pair is refused, and a local access by its key', async () => {
  const { pd, a, d, mr, mw, local } = pair();
  a.postSend(bind(mw, mr));
  const failed: Promise<unknown> = d.read(sge(local, 8), { remoteAddr: 0x1004n, rkey: mw.rkey });
  const { completion } = (await failed.then(
    () => ({}),
    (error: unknown) => error,
  )) as CompletionError;
  expect(completion).toMatchObject({ status: 'REM_ACCESS_ERR', reason: 'WindowOtherQp' });
  expect(completion.explain()).toContain(`for the peer of queue pair ${a.id} alone`);
  const local_ = pd.check({ addr: 0x1004n, length: 1, lkey: lkey(mw.rkey) }, 0);
  expect(refusal(local_)).toBe('WindowLocal');
  expect(local_.ok || local_.explain()).toContain('only peers may use it');
});

test('LOCAL_INV of its queue pair unbinds it, and it can be bound anew', () => {
  const { a, c, mr, mw } = pair();
  a.postSend(bind(mw, mr));
  expect(() => {
    a.postSend(bind(mw, mr));
  }).toThrow(expect.objectContaining({ detail: expect.objectContaining({ cause: 'WindowBound' }) }));
  expect(() => {
    c.postSend({ opcode: 'LOCAL_INV', invalidateRkey: mw.rkey });
  }).toThrow(expect.objectContaining({ detail: expect.objectContaining({ cause: 'WindowOfOtherQp' }) }));
  a.postSend({ opcode: 'LOCAL_INV', invalidateRkey: mw.rkey });
  expect(mw.state).toBe('Unbound');
  expect(() => {
    a.postSend({ opcode: 'LOCAL_INV', invalidateRkey: mw.rkey });
  }).toThrow(expect.objectContaining({ detail: expect.objectContaining({ cause: 'WindowUnbound' }) }));
  c.postSend(bind(mw, mr, { addr: mr.iova, length: 1n }));
  expect(mw).toMatchObject({ qpId: c.id, length: 1 });
  c.invalidateRkey(mw.rkey);
  expect(mw.state).toBe('Unbound');
});

test("the peer's SEND_WITH_INV unbinds it", async () => {
  const { a, b, mr, mw } = pair();
  a.postSend(bind(mw, mr));
  const received = a.recv([]);
  b.postSend({ opcode: 'SEND_WITH_INV', invalidateRkey: mw.rkey });
  expect(await received).toMatchObject({ invalidatedRkey: mw.rkey });
  expect(mw.state).toBe('Unbound');
});

test('a fenced LOCAL_INV delays the BIND_MW behind it', () => {
  const device = open({ engine: 'manual' });
  const pd = device.allocPd();
  const cq = device.createCq(8);
  const qp = pd.createQp({ type: 'RC', sendCq: cq });
  qp.connect(qp, { access: REMOTE });
  const mr = pd.regUserMr(Buffer.alloc(64), { access: MW });
  const mw = pd.allocMw();
  const first = mw.nextRkey;
  const second = fastRegKey(first, (first + 1) & 0xff);
  qp.postSend([
    bind(mw, mr, { key: first, signaled: true }),
    { opcode: 'LOCAL_INV', invalidateRkey: first, fence: true, signaled: true },
    bind(mw, mr, { key: second, signaled: true }),
    bind(mw, mr, { key: second, signaled: true }),
  ]);
  expect(mw.rkey).toBe(first);
  device.run();
  expect(mw).toMatchObject({ rkey: second, state: 'Bound' });
  const completions = cq.poll();
  expect(completions.map(({ status }) => status)).toEqual(['SUCCESS', 'SUCCESS', 'SUCCESS', 'MW_BIND_ERR']);
  expect(completions[3]?.opcode).toBe('BIND_MW');
  expect(completions[3]?.explain()).toContain('could not bind its memory window');
  expect(qp.state).toBe('RTS');
});

test.each<[string, (s: ReturnType<typeof pair>) => Partial<BindMwRequest>, string]>([
  ['a local right', () => ({ access: Access.LocalWrite }), 'BindRights'],
  ['no bytes', () => ({ length: 0 }), 'BindEmpty'],
  ['a byte below', ({ mr }) => ({ addr: mr.iova - 1n }), 'BindOutside'],
  ['a byte too many', () => ({ length: 13 }), 'BindOutside'],
  ['another key', ({ mw }) => ({ key: ((mw.rkey ^ 0x100) >>> 0) as never }), 'WindowKeySlot'],
  ['a region without MwBind', ({ pd }) => ({ mr: pd.regUserMr(Buffer.alloc(16)) }), 'BindNotAllowed'],
  [
    'a region without LocalWrite',
    ({ pd }) => ({ mr: pd.regUserMr(Buffer.alloc(16), { iova: 0x1000n, access: Access.MwBind }) }),
    'BindNeedsLocalWrite',
  ],
  ['a region of allocMr', ({ pd }) => ({ mr: pd.allocMr({ maxNumSg: 1 }) }), 'RegionKind'],
  [
    'a region of another domain',
    ({ device }) => ({ mr: device.allocPd().regUserMr(Buffer.alloc(16), { access: MW }) }),
    'RegionInOtherPd',
  ],
  ['a window of another domain', ({ device }) => ({ mw: device.allocPd().allocMw() }), 'WindowInOtherPd'],
  ['a window of another device', () => ({ mw: open().allocPd().allocMw() }), 'WindowOnOtherDevice'],
  [
    'a closed window',
    ({ pd }) => {
      const mw = pd.allocMw();
      mw.dealloc();
      return { mw };
    },
    'WindowGone',
  ],
  [
    'a closed region',
    ({ pd }) => {
      const mr = pd.regUserMr(Buffer.alloc(8));
      mr.dereg();
      return { mr };
    },
    'RegionGone',
  ],
])('BIND_MW with %s is refused and changes nothing', (_, others, cause) => {
  const s = pair();
  const wr = { ...bind(s.mw, s.mr), ...others(s) };
  expect(() => {
    s.a.postSend(wr);
  }).toThrow(expect.objectContaining({ detail: expect.objectContaining({ cause }) }));
  expect(s.mw.state).toBe('Unbound');
  s.a.postSend(bind(s.mw, s.mr));
  expect(s.mw.state).toBe('Bound');
});

test('BIND_MW to a half-dead region says how many elements are held', () => {
  const { pd, a, mr, mw } = pair();
  const held = accepted(pd.acquire({ addr: mr.start, length: 1, lkey: mr.lkey }, 0));
  expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
  expect(() => {
    a.postSend(bind(mw, mr));
  }).toThrow(
    expect.objectContaining({
      message: expect.stringContaining('1 element is still held'),
      detail: expect.objectContaining({ cause: 'HalfDead', counts: { elements: 1 } }),
    }),
  );
  held.put();
});

test('BIND_MW needs a window, and a queue pair of type RC or UC', () => {
  const { a, mr, mw, pd, cq } = pair();
  expect(() => {
    a.postSend({ ...bind(mw, mr), mw: undefined as never });
  }).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  expect(() => {
    a.postSend({ ...bind(mw, mr), mr: mw as never });
  }).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  const uc = pair('UC');
  uc.a.postSend(bind(uc.mw, uc.mr));
  expect(uc.mw.state).toBe('Bound');
  const ud = pd.createQp({ type: 'UD', sendCq: cq });
  ud.activate({ qkey: 1 });
  expect(() => {
    ud.postSend(bind(mw, mr) as never);
  }).toThrow(expect.objectContaining({ detail: expect.objectContaining({ cause: 'WrOpcode' }) }));
});

test('a packed queue binds and unbinds', () => {
  const { a, mr, mw } = pair();
  const sends = a.sendQueue(2);
  sends.fill(0, bind(mw, mr));
  sends.fill(1, { opcode: 'LOCAL_INV', invalidateRkey: mw.nextRkey });
  expect(sends.post(1)).toBe(1);
  expect(mw.state).toBe('Bound');
  expect(sends.post(1, 1)).toBe(1);
  expect(mw.state).toBe('Unbound');
});

test('a region with windows does not go, unless by force', () => {
  const { pd, a, mr, mw } = pair();
  a.postSend(bind(mw, mr));
  const bound = expect.objectContaining({
    code: 'EBUSY',
    detail: expect.objectContaining({ cause: 'WindowsBound', counts: { windows: 1 } }),
  });
  expect(() => mr.dereg()).toThrow(bound);
  expect(() => pd.deregMany([mr])).toThrow(bound);
  expect(() => mr.rereg({ access: 0 })).toThrow(bound);
  expect(() => a.invalidateRkey(mr.rkey)).toThrow(bound);
  expect(mr.state).toBe('Valid');
  mr.dereg({ force: true });
  expect([mr.state, mw.state]).toEqual(['Closed', 'Unbound']);
  expect(() => pd.dealloc()).toThrow(expect.objectContaining({ code: 'EBUSY' }));
});

test('deregAsync of a region with windows rejects without waiting for nothing', async () => {
  const { a, mr, mw } = pair();
  a.postSend(bind(mw, mr));
  await expect(mr.deregAsync({ timeoutMs: 20 })).rejects.toMatchObject({ detail: { cause: 'WindowsBound' } });
  expect(mr.state).toBe('Valid');
});

test('dealloc unbinds, and a second one does nothing', () => {
  const { a, mr, mw, device } = pair();
  a.postSend(bind(mw, mr));
  const { rkey } = mw;
  mw.dealloc();
  mw.dealloc();
  mw[Symbol.dispose]();
  expect(mw.state).toBe('Closed');
  expect(String(mw)).toMatch(/Closed/);
  for (const property of ['rkey', 'nextRkey', 'regionId', 'qpId', 'vaddr', 'length', 'access'] as const)
    expect(() => mw[property]).toThrow(rdma('EBADF', 'query_mw'));
  expect(refusal(a.check({ vaddr: 0x1004n, length: 1, rkey }, Access.RemoteRead))).toBe('Revoked');
  mr.dereg();
  expect(device.resources().windows).toEqual([]);
});

test('elements accepted through a window are refused when it ends, and hold the region', () => {
  const { a, mr, mw, memory } = pair();
  a.postSend(bind(mw, mr));
  const held = accepted(a.acquire({ vaddr: 0x1004n, length: 8, rkey: mw.rkey }, Access.RemoteWrite));
  expect(held.region).toBe(mr);
  held.copyFrom(Buffer.from('ab'));
  a.postSend({ opcode: 'LOCAL_INV', invalidateRkey: mw.rkey });
  expect(() => held.copyFrom(Buffer.from('xy'))).toThrow(expect.objectContaining({ reason: 'WindowEnded' }));
  expect(memory.toString()).toBe('0123ab6789abcdef');
  expect(() => mr.dereg()).toThrow(
    expect.objectContaining({ detail: expect.objectContaining({ cause: 'RegionHeld' }) }),
  );
  held.put();
  mr.dereg();
});

test('windows end with their domain, their context and their device', () => {
  const { device, pd } = scene();
  const first = pd.allocMw();
  pd.dealloc({ cascade: true });
  expect(first.state).toBe('Closed');
  const other = Device.attach(device.share());
  const second = other.allocPd().allocMw();
  expect(() => other.detach()).toThrow(
    expect.objectContaining({ detail: { cause: 'ContextInUse', counts: { domains: 1, windows: 1 } } }),
  );
  other.detach({ cascade: true });
  expect(second.state).toBe('Closed');
  const third = device.allocPd().allocMw();
  device.close({ cascade: true });
  expect(third.state).toBe('Closed');
});

test('the key table shows windows', () => {
  const { device, a, mr, mw } = pair();
  expect(device.keyTable().used).toContainEqual(
    expect.objectContaining({ lkey: mw.rkey, window: mw.id, region: undefined }),
  );
  a.postSend(bind(mw, mr));
  expect(device.keyTable().used).toContainEqual(
    expect.objectContaining({ lkey: mw.rkey, window: mw.id, region: mr }),
  );
});

test('a full key table has no room for a window', () => {
  const { pd } = scene({ lkeyTableBits: 1 });
  pd.allocMw();
  pd.allocMw();
  expect(() => pd.allocMw()).toThrow(rdma('ENOMEM', 'alloc_mw'));
  pd.dealloc({ cascade: true });
  expect(() => pd.allocMw()).toThrow(rdma('EBADF', 'alloc_mw'));
});

test('on a strict device, windows and leases have rkeys, which are no keys of records', () => {
  const device = open({ strict: true });
  const pd = device.allocPd();
  const cq = device.createCq(16);
  const [a, b] = [pd.createQp({ type: 'RC', sendCq: cq }), pd.createQp({ type: 'RC', sendCq: cq })];
  a.connect(b, { access: REMOTE });
  const mr = pd.regUserMr(Buffer.from('0123456789abcdef'), { access: MW | REMOTE });
  const mask = (mr.lkey ^ mr.rkey) >>> 0;
  expect(mask).not.toBe(0);
  const read = (key: number, vaddr = mr.iova + 4n) =>
    a.check({ vaddr, length: 4, rkey: rkey(key) }, Access.RemoteRead);
  const mw = pd.allocMw();
  expect(refusal(read(mw.rkey))).toBe('WindowUnbound');
  expect(() => a.postSend(bind(mw, mr, { key: rkey((mw.nextRkey ^ mask) >>> 0) }))).toThrow(rdma('EINVAL'));
  const key = mw.nextRkey;
  a.postSend(bind(mw, mr));
  expect(mw.rkey).toBe(key);
  expect(read(key).ok).toBe(true);
  expect(read((key ^ mask) >>> 0).ok).toBe(false);
  expect(refusal(read(key, mr.iova))).toBe('OutOfBounds');
  expect(device.resources().windows).toMatchObject([{ rkey: key }]);
  const refused = read(key, mr.iova);
  if (refused.ok) throw new Error('was accepted');
  expect(refused.explain()).toContain(`0x${key.toString(16)}`);
  a.invalidateRkey(key);
  expect(refusal(read(key))).toBe('WindowUnbound');
  const lease = mr.advertise({ expiresInMs: 60_000, access: Access.RemoteRead });
  expect(read(lease.rkey, lease.vaddr).ok).toBe(true);
  expect(read((lease.rkey ^ mask) >>> 0, lease.vaddr).ok).toBe(false);
  lease.revoke();
  expect(read(lease.rkey, lease.vaddr).ok).toBe(false);
});
