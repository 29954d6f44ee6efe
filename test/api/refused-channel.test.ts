// The channel rdmavt:refused: one message for each call in which an access was refused.
import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Access, lkey, rkey, RdmaError, type RefusedMessage, SgeState } from '../../lib';
import { accepted } from '../support/answers';
import { runProgram } from '../support/programs';
import { ends, memory } from '../support/queue-pairs';
import { ALL, open, otherVariant, scene } from '../support/scene';

const NAME = 'rdmavt:refused';

function expectOutput(program: string, wanted: string): void {
  expect(runProgram(program, [], 60_000)).toMatchObject({ stdout: wanted, stderr: '', status: 0 });
}

let messages: RefusedMessage[] = [];
const listen = (message: unknown): void => {
  messages.push(message as RefusedMessage);
};
const only = (): RefusedMessage => {
  expect(messages).toHaveLength(1);
  return messages.splice(0)[0]!;
};

beforeEach(() => {
  messages = [];
  subscribe(NAME, listen);
});
afterEach(() => {
  unsubscribe(NAME, listen);
  expect(channel(NAME).hasSubscribers).toBe(false);
});

function ready() {
  const all = scene();
  const mr = all.pd.regUserMr(Buffer.alloc(64), { start: 0x1000n, iova: 0x9000n, access: ALL });
  return { ...all, mr };
}

describe('a single check', () => {
  test('that is accepted publishes nothing', () => {
    const { pd, qp, mr } = ready();
    pd.check({ addr: 0x1000n, length: 8, lkey: mr.lkey }, 0);
    accepted(qp.acquire({ vaddr: 0x9000n, length: 8, rkey: mr.rkey }, Access.RemoteRead)).put();
    pd.checker().refusal(0x1000n, 8, mr.lkey, 0);
    expect(messages).toEqual([]);
  });

  test('that is refused publishes the access and who requested it', () => {
    const { device, pd, qp, mr } = ready();
    pd.check({ addr: 0x1000n, length: 65, lkey: mr.lkey }, 1);
    const common = { device: device.toJSON().id, count: 1, explain: expect.any(Function) };
    const local = { address: 0x1000n, length: 65, key: mr.lkey, access: 1, remote: false, pd: pd.id };
    expect(only()).toEqual({
      reason: 'OutOfBounds',
      method: 'ProtectionDomain.check',
      operation: 'lkey_ok',
      ...common,
      ...local,
    });
    pd.acquire({ addr: 0x1000n, length: 65, lkey: mr.lkey }, 1);
    expect(only()).toMatchObject({ method: 'ProtectionDomain.acquire', ...local });
    pd.checker().refusal(0x1000, 65, mr.lkey, 1);
    expect(only()).toEqual({
      reason: 'OutOfBounds',
      method: 'Checker.refusal',
      operation: 'checker',
      ...common,
      ...local,
    });
    for (const method of ['check', 'acquire'] as const) {
      qp[method]({ vaddr: 0x9000n, length: 65, rkey: mr.rkey }, Access.RemoteRead);
      const message = only();
      expect(message).toMatchObject({
        method: `QueuePair.${method}`,
        operation: 'rkey_ok',
        remote: true,
        qp: qp.id,
      });
      expect(message).not.toHaveProperty('pd');
      expect(message.explain()).toMatch(/^OutOfBounds: A peer's read.*ends 1 byte past/);
    }
  });
});

describe('a batch', () => {
  test('publishes the first refusal and the number of refusals, once per call', () => {
    const { pd, mr } = ready();
    const batch = pd.lkeyBatch(4);
    for (let i = 0; i < 4; i++) batch.set(i, 0x1000n, i ? 64 + i : 8, mr.lkey);
    const first = { index: 1, count: 3, address: 0x1000n, length: 65, key: mr.lkey, reason: 'OutOfBounds' };
    expect(batch.check(4, 0)).toBe(1);
    expect(only()).toMatchObject({
      method: 'CheckBatch.check',
      operation: 'check_batch',
      ...first,
      pd: pd.id,
    });
    expect(batch.checkPacked(batch.words, 0)).toBe(1);
    expect(only()).toMatchObject({ method: 'CheckBatch.checkPacked', ...first });
    expect([batch.acquire(4, 0), batch.put()]).toEqual([1, 1]);
    expect(only()).toMatchObject({ method: 'CheckBatch.acquire', operation: 'acquire_batch', ...first });
    expect(batch.gather(Buffer.alloc(999), 4, 0)).toBe(8);
    const gathered = only();
    expect(gathered).toMatchObject({ method: 'CheckBatch.gather', ...first, count: 1 });
    expect(gathered.explain()).toMatch(/ends 1 byte past/);
    expect(batch.scatter(Buffer.alloc(999), 4, 1)).toBe(8);
    expect(only()).toMatchObject({ method: 'CheckBatch.scatter', ...first, count: 1, access: 1 });
    const other = pd.lkeyBatch(1);
    other.set(0, 0x1000n, 64, mr.lkey);
    expect(batch.copyTo(other, 4, 0, 1, 1)).toBe(8);
    expect(only()).toMatchObject({ method: 'CheckBatch.copyTo', ...first, count: 1 });
    other.copyTo(batch, 1, 0, 4, 1);
    expect(only()).toMatchObject({ method: 'CheckBatch.copyTo', ...first, count: 1 });
    expect([batch.check(1, 0), batch.gather(Buffer.alloc(4), 1, 0)]).toEqual([1, 0]); // A target that is too small is not a refusal.
    expect(messages).toEqual([]);
  });
});

describe('bytes that cannot be used', () => {
  test('publish a message for SGEs and for walks', () => {
    const { qp, pd, mr } = ready();
    const read = accepted(qp.acquire({ vaddr: 0x9000n, length: 8, rkey: mr.rkey }, Access.RemoteRead));
    const said = {
      reason: 'AccessDenied',
      count: 1,
      address: 0x9000n,
      length: 8,
      access: Access.RemoteRead,
      remote: true,
    };
    expect(() => read.copyFrom(Buffer.alloc(8))).toThrow(RdmaError);
    expect(only()).toMatchObject({ method: 'Sge.copyFrom', operation: 'copy_sge', ...said });
    expect(() => read.copyFrom(Buffer.alloc(7), { offset: 1 })).toThrow(RdmaError);
    const message = only();
    expect(message.explain()).toMatch(
      /^AccessDenied: Sge.copyFrom cannot access the element of 8 bytes at remote address 0x9000 because/,
    );
    for (const use of [() => read.fetchAdd(1), () => read.compareSwap(1, 1)]) {
      expect(use).toThrow(RdmaError);
      expect(only()).toMatchObject(said);
    }
    expect(() => new SgeState([read]).copyIn(Buffer.alloc(8))).toThrow(RdmaError);
    expect(only()).toMatchObject({
      method: 'SgeState.copyIn',
      operation: 'copy_sge',
      reason: 'AccessDenied',
    });
    mr.dereg({ force: true });
    expect(() => read.copyTo(Buffer.alloc(8))).toThrow(RdmaError);
    expect(only()).toMatchObject({ method: 'Sge.copyTo', reason: 'RegionRevoked' });
    expect(() => new SgeState([read]).copyOut(Buffer.alloc(8))).toThrow(RdmaError);
    expect(only().explain()).toMatch(/^RegionRevoked: SgeState.copyOut cannot access an element of the walk/);
    expect(pd.id).toBeGreaterThan(0);
  });

  test('each reason has an explanation of its own', () => {
    const { pd } = ready();
    const texts = new Set<string>();
    const memory = new ArrayBuffer(64);
    const mr = pd.regUserMr(memory, { start: 0n, access: ALL });
    const sge = accepted(pd.acquire({ addr: 0n, length: 8, lkey: mr.lkey }, 1));
    structuredClone(memory, { transfer: [memory] });
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(RdmaError);
    texts.add(only().explain());
    const batch = pd.lkeyBatch(1);
    batch.set(0, 0n, 8, mr.lkey);
    batch.gather(Buffer.alloc(8), 1, 0);
    texts.add(only().explain());
    expect([...texts]).toEqual([
      expect.stringMatching(/^MemoryDetached: Sge.copyTo .*transferred or replaced/),
      expect.stringMatching(
        /^MemoryDetached: element 0 was accepted, but the registered buffer was transferred/,
      ),
    ]);
  });
});

describe('a work request', () => {
  test('that fails because the peer refuses the access publishes it once its completion is taken', async () => {
    const { device, pd, a, b, aCq } = ends({ device: { engine: 'auto' } });
    const { mr, sge, at } = memory(pd, 64);
    a.postSend({ opcode: 'RDMA_WRITE', wrId: 9, sges: [sge(0, 8)], ...at(60) });
    await Promise.resolve();
    expect(messages).toEqual([]);
    const [wc] = aCq.poll();
    expect(messages).toEqual([]); // not inside of the call
    await Promise.resolve();
    expect(only()).toEqual({
      reason: 'OutOfBounds',
      method: 'Completion',
      operation: 'RDMA_WRITE',
      device: device.toJSON().id,
      count: 1,
      address: mr.iova + 60n,
      length: 8,
      key: mr.rkey,
      access: Access.RemoteWrite,
      remote: true,
      qp: b.id,
      explain: expect.any(Function),
    });
    expect(wc?.explain()).toContain('OutOfBounds');
  });

  test('that is flushed publishes nothing, and one that a promise waits for publishes once', async () => {
    const { pd, a } = ends({ device: { engine: 'auto' } });
    const { mr, sge } = memory(pd, 64);
    const remote = { vaddr: mr.iova, rkey: otherVariant(mr.rkey) };
    const outcomes = await Promise.allSettled([a.write([sge(0, 8)], remote), a.write([sge(0, 8)], remote)]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const { reason, method, explain } = only();
    expect([reason, method]).toEqual(['StaleKey', 'Completion']);
    expect(explain()).toMatch(/REM_ACCESS_ERR.*StaleKey/s);
  });

  test('publishes the domain for an access of its own elements', async () => {
    const { pd, a, aCq } = ends({ device: { engine: 'auto' } });
    const { mr, at } = memory(pd, 64);
    const bytes = new ArrayBuffer(64);
    const own = pd.regUserMr(bytes, { access: ALL });
    structuredClone(bytes, { transfer: [bytes] });
    a.postSend({
      opcode: 'RDMA_WRITE',
      sges: [{ addr: own.start, length: 8, lkey: own.lkey }],
      ...at(0),
    });
    aCq.poll();
    await Promise.resolve();
    expect(only()).toMatchObject({ reason: 'MemoryDetached', remote: false, pd: pd.id, length: 8 });
    expect(mr.state).toBe('Valid');
  });
});

test('messages name the device, so that those of two devices can be told apart', () => {
  const first = scene();
  const second = open();
  const pd = second.allocPd();
  first.pd.check({ addr: 0, length: 1, lkey: lkey(0xffff_ff77) }, 0);
  pd.checker().refusal(0, 1, lkey(0xffff_ff77), 0);
  const batch = pd.lkeyBatch(1);
  batch.set(0, 0n, 8, lkey(0xffff_ff77));
  batch.check(1, 0);
  const [one, other] = [first.device.toJSON().id, second.toJSON().id];
  expect(messages.map(({ device }) => device)).toEqual([one, other, other]);
  expect(one).not.toBe(other);
});

test('counters count the same with and without a subscriber', () => {
  const { device, pd } = ready();
  const count = (): number | undefined =>
    device.counters().reasons.StaleKey ?? device.counters().reasons.NoSuchKey;
  const check = (): unknown => pd.check({ addr: 0, length: 1, lkey: lkey(0xffff_ff77) }, 0);
  check();
  const one = count();
  unsubscribe(NAME, listen);
  check();
  subscribe(NAME, listen);
  expect([one, count()]).toEqual([1, 2]);
});

test('a subscriber that calls the API does not mix up requests', () => {
  const { pd, qp, mr } = ready();
  const other = (): void => {
    unsubscribe(NAME, other);
    pd.check({ addr: 0x1000n, length: 8, lkey: mr.lkey }, 0);
    pd.checker().refusal(1, 1, mr.lkey, 0);
    accepted(pd.acquire({ addr: 0x1000n, length: 8, lkey: mr.lkey }, 0)).put();
    subscribe(NAME, other);
  };
  subscribe(NAME, other);
  try {
    const asked = { vaddr: 0x9000n, length: 65, rkey: rkey(mr.rkey) };
    const check = qp.check(asked, Access.RemoteRead);
    const acquire = qp.acquire(asked, Access.RemoteRead);
    for (const refused of [check, acquire]) {
      expect(refused).toMatchObject({
        reason: 'OutOfBounds',
        request: { address: 0x9000n, length: 65, remote: true },
      });
    }
    const batch = pd.lkeyBatch(2);
    batch.set(0, 0x1000n, 8, mr.lkey);
    batch.set(1, 0x1000n, 65, mr.lkey);
    expect([batch.check(2, 0), batch.firstRefusal, batch.firstReason]).toEqual([1, 1, 'OutOfBounds']);
    const read = accepted(qp.acquire({ ...asked, length: 8 }, Access.RemoteRead));
    expect(() => read.copyFrom(Buffer.alloc(8))).toThrow(expect.objectContaining({ reason: 'AccessDenied' }));
  } finally {
    unsubscribe(NAME, other);
  }
});

test('an exception from a subscriber does not reach the verb', () => {
  expectOutput(
    `const { subscribe } = require('node:diagnostics_channel');
     subscribe('rdmavt:refused', () => { throw new Error('of the subscriber'); });
     process.on('uncaughtException', (error) => console.log(error.message));
     const { Device, lkey } = require('./dist');
     const device = new Device(), pd = device.allocPd();
     console.log(pd.check({ addr: 0, length: 1, lkey: lkey(7) }, 0).ok);
     setImmediate(() => device.close({ cascade: true }));`,
    ['false', 'of the subscriber', ''].join('\n'),
  );
});

test('a runtime without diagnostics_channel lacks only the channel', () => {
  expectOutput(
    `const Module = require('node:module');
     const load = Module._load;
     Module._load = (name, ...rest) => { if (/diagnostics_channel/.test(name)) throw new Error('none'); return load(name, ...rest); };
     const { Device, lkey } = require('./dist');
     const device = new Device(), pd = device.allocPd();
     const refused = pd.check({ addr: 0, length: 1, lkey: lkey(7) }, 0);
     console.log(refused.ok, typeof refused.explain());
     device.close({ cascade: true });`,
    ['false string', ''].join('\n'),
  );
});
