// The helpers for tests, `rdmavt/testing`: matchers and their messages, devices that report what was left, connected queue pairs.
import {
  Access,
  type Completion,
  CompletionError,
  completionReasons,
  Device,
  DmaMapping,
  type FastMemoryRegion,
  type ProtectionDomain,
  SgeState,
} from '../../lib';
import {
  connectedPair,
  leftOver,
  LeftOverError,
  matchers,
  openTestDevice,
  takeCompletions,
} from '../../lib/testing';
import { accepted, rdma } from '../support/answers';
import { open, scene } from '../support/scene';

expect.extend(matchers);

/** Returns the message with which an assertion fails. */
function messageOf(assertion: () => void): string {
  try {
    assertion();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the assertion passed');
}

/** Returns a domain and the lkey of 64 bytes at address 0x1000 that may be read and written by peers. */
function checked() {
  const { device, pd, qp } = scene();
  const bytes = new Uint8Array(64);
  const mr = pd.regUserMr(bytes, { start: 0x1000n, access: Access.LocalWrite | Access.RemoteRead });
  const local = (length: number, access: number) =>
    pd.check({ addr: 0x1000n, length, lkey: mr.lkey }, access);
  return { device, pd, qp, mr, local };
}

/** Sends 8 bytes into a receive of `room` bytes, and returns the completions of both ends. */
async function sent(room: number): Promise<{ send: Completion; receive: Completion }> {
  using pair = connectedPair();
  const { pd, a, aCq, b, bCq } = pair;
  using from = pd.regUserMr(new Uint8Array(8));
  using to = pd.regUserMr(new Uint8Array(8), { access: Access.LocalWrite });
  b.postRecv({ wrId: 2, sges: [{ addr: to.start, length: room, lkey: to.lkey }] });
  a.postSend({ wrId: 1, opcode: 'SEND', sges: [{ addr: from.start, length: 8, lkey: from.lkey }] });
  const [[send], [receive]] = [await takeCompletions(aCq, 1), await takeCompletions(bCq, 1)];
  return { send: send!, receive: receive! };
}

describe('toBeAccepted', () => {
  test('passes for a check that accepts, of any kind, and for a completion that succeeded', async () => {
    const { pd, qp, mr, local } = checked();
    expect(local(64, Access.LocalWrite)).toBeAccepted();
    expect(qp.check({ vaddr: mr.iova, length: 64, rkey: mr.rkey }, Access.RemoteRead)).toBeAccepted();
    const held = pd.acquire({ addr: 0x1000n, length: 1, lkey: mr.lkey }, 0);
    expect(held).toBeAccepted();
    accepted(held).put();
    const { send, receive } = await sent(8);
    expect(send).toBeAccepted();
    expect(receive).toBeAccepted();
  });

  test('fails with the reason and the explanation', () => {
    const { local } = checked();
    const check = local(65, 0);
    const explanation = check.ok ? '' : check.explain();
    expect(explanation).toContain('1 byte');
    expect(messageOf(() => expect(check).toBeAccepted())).toBe(
      `expected the access to be accepted, but it was refused: OutOfBounds\n\n${explanation}`,
    );
    expect(check).not.toBeAccepted();
    expect(messageOf(() => expect(local(64, 0)).not.toBeAccepted())).toBe(
      'expected the access not to be accepted, but it was',
    );
  });

  test('fails for a failed completion with its status, reason and explanation', async () => {
    const { send, receive } = await sent(4);
    expect(receive).not.toBeAccepted();
    const message = messageOf(() => expect(send).toBeAccepted());
    expect(message).toContain(`expected the work request to be accepted, but it was refused: `);
    expect(message).toContain(send.status);
    expect(message).toContain(send.explain());
  });
});

describe('toBeRefused', () => {
  test('passes for a refusal, with its reason or without one', () => {
    const { local, qp, mr } = checked();
    expect(local(65, 0)).toBeRefused();
    expect(local(65, 0)).toBeRefused('OutOfBounds');
    expect(local(65, 0)).not.toBeRefused('AccessDenied');
    expect(local(64, 0)).not.toBeRefused();
    expect(local(64, 0)).not.toBeRefused('OutOfBounds');
    const check = qp.check({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, Access.RemoteAtomic);
    expect(check).toBeRefused('AccessDenied');
  });

  test('fails with what happened instead', () => {
    const { local } = checked();
    expect(messageOf(() => expect(local(64, 0)).toBeRefused('OutOfBounds'))).toBe(
      'expected the access to be refused: OutOfBounds, but it was accepted',
    );
    expect(messageOf(() => expect(local(64, 0)).toBeRefused())).toBe(
      'expected the access to be refused, but it was accepted',
    );
    const check = local(65, 0);
    const explanation = check.ok ? '' : check.explain();
    expect(messageOf(() => expect(check).toBeRefused('AccessDenied'))).toBe(
      `expected the access to be refused: AccessDenied, but the reason was OutOfBounds\n\n${explanation}`,
    );
    expect(messageOf(() => expect(check).not.toBeRefused('OutOfBounds'))).toBe(
      `expected the access not to be refused: OutOfBounds\n\n${explanation}`,
    );
    expect(messageOf(() => expect(check).not.toBeRefused())).toBe(
      `expected the access not to be refused\n\n${explanation}`,
    );
  });

  test('passes for a failed completion with its status or its reason', async () => {
    const { send, receive } = await sent(4);
    expect(receive).toBeRefused();
    expect(receive).toBeRefused('LOC_QP_OP_ERR');
    expect(receive).toBeRefused('ReceiveTooShort');
    expect(send).toBeRefused('REM_INV_REQ_ERR');
    expect(send).not.toBeRefused('RNR_RETRY_EXC_ERR');
    const good = (await sent(8)).send;
    expect(good).not.toBeRefused();
    expect(messageOf(() => expect(good).toBeRefused())).toBe(
      'expected the work request to be refused, but it was accepted',
    );
  });

  test('rejects a name that no completion has, which .not would pass for', async () => {
    for (const completion of Object.values(await sent(4))) {
      for (const why of ['LOC_LEN_ERROR', 'Flush', '', 'SUCCESS'] as any[]) {
        expect(() => expect(completion).not.toBeRefused(why)).toThrow('is not a reason of a refusal');
      }
      for (const why of [...completionReasons, 'WR_FLUSH_ERR', 'WindowUnbound', 'MemoryDetached'] as const) {
        const names = [completion.reason, completion.status];
        expect(matchers.toBeRefused(completion, why).pass).toBe(names.includes(why as never));
      }
    }
  });

  test('passes for the errors that say so', async () => {
    using pair = connectedPair();
    const { pd, a, b } = pair;
    using mr = pd.regUserMr(new Uint8Array(8), { access: Access.LocalWrite });
    const sge = { addr: mr.start, length: 8, lkey: mr.lkey };
    const write = a.write(sge, { vaddr: mr.iova, rkey: mr.rkey }); // no remote right
    await expect(write).rejects.toBeInstanceOf(CompletionError);
    await expect(write).rejects.toBeRefused('REM_ACCESS_ERR');
    await expect(write).rejects.toBeRefused('AccessDenied');
    await expect(write).rejects.not.toBeRefused('OutOfBounds');
    expect(b.query().type).toBe('RC');

    const held = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const error = ((): unknown => {
      try {
        held.copyFrom(Buffer.alloc(8));
      } catch (thrown) {
        return thrown;
      } finally {
        held.put();
      }
      return undefined;
    })();
    expect(error).toBeRefused('AccessDenied');
  });

  test('rejects a reason that no check has, which .not would pass for', () => {
    const { local } = checked();
    for (const why of ['OutOfBound', '', 'LOC_LEN_ERR', 'SUCCESS'] as any[]) {
      expect(() => expect(local(65, 0)).not.toBeRefused(why)).toThrow('is not a reason of a refusal');
    }
    expect(() => expect(local(65, 0)).toBeRefused(1 as any)).toThrow(TypeError);
  });
});

describe('both', () => {
  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['a boolean', true],
    ['an object', {}],
    ['an object whose ok is not a boolean', { ok: 1 }],
    ['an error without a reason', new Error('x')],
    ['a string', 'OutOfBounds'],
  ])('reject %s, also with .not', (_, value) => {
    for (const use of [
      () => expect(value).toBeAccepted(),
      () => expect(value).not.toBeAccepted(),
      () => expect(value).toBeRefused(),
      () => expect(value).not.toBeRefused(),
    ]) {
      expect(use).toThrow('the value must be the result of a check');
    }
  });

  test('ask to await a promise', () => {
    expect(() => expect(Promise.resolve()).toBeRefused()).toThrow('await it');
    expect(() => expect(Promise.resolve()).not.toBeAccepted()).toThrow('await it');
  });

  test('work as asymmetric matchers', () => {
    const { local } = checked();
    const any = expect as any;
    expect({ check: local(65, 0) }).toEqual({ check: any.toBeRefused('OutOfBounds') });
    expect({ check: local(64, 0) }).toEqual({ check: any.toBeAccepted() });
    expect({ check: local(64, 0) }).not.toEqual({ check: any.toBeRefused() });
  });

  test('need nothing of the test runner: Vitest calls them with another `this`', () => {
    const { local } = checked();
    // How Vitest documents the call: the state as `this`, the value and the arguments; `pass` and `message` come back.
    const call = (
      name: keyof typeof matchers,
      ...values: unknown[]
    ): { pass: boolean; message: () => string } =>
      Reflect.apply(
        matchers[name] as (...all: unknown[]) => ReturnType<typeof matchers.toBeAccepted>,
        { isNot: false, equals: Object.is, utils: {} },
        values,
      );
    expect(call('toBeRefused', local(65, 0), 'OutOfBounds').pass).toBe(true);
    expect(call('toBeRefused', local(65, 0)).pass).toBe(true);
    expect(call('toBeAccepted', local(65, 0)).pass).toBe(false);
    expect(call('toBeAccepted', local(65, 0)).message()).toContain('OutOfBounds');
    expect(call('toHaveNoLeaks', open()).pass).toBe(true);
  });
});

describe('toHaveNoLeaks', () => {
  test('passes for an empty device, and with exceptions for one that has only these', () => {
    const device = open();
    expect(device).toHaveNoLeaks();
    const pd = device.allocPd();
    const mr = pd.regUserMr(new Uint8Array(8));
    expect(device).not.toHaveNoLeaks();
    expect(device).not.toHaveNoLeaks({ except: [pd] });
    expect(device).toHaveNoLeaks({ except: [pd, mr] });
    mr.dereg();
    expect(device).toHaveNoLeaks({ except: [pd, mr] });
    pd.dealloc();
    expect(device).toHaveNoLeaks();
    expect(messageOf(() => expect(device).not.toHaveNoLeaks())).toBe(
      'expected something to be left on the device, but nothing is',
    );
  });

  test('lists what is left and where it was created', () => {
    const device = open({ captureStacks: true });
    const pd = device.allocPd();
    pd.regUserMr(new Uint8Array(8));
    const message = messageOf(() => expect(device).toHaveNoLeaks());
    expect(message).toMatch(
      /^expected nothing to be left on the device, but there is:\n {2}MemoryRegion #1: 8 bytes in domain #1\n {4}created at .*testing\.test\.ts.*\n {2}ProtectionDomain #1: 1 object in it\n {4}created at .*testing\.test\.ts/,
    );
  });

  test('rejects what is not an open device', () => {
    for (const value of [undefined, {}, Object.create(Device.prototype), scene().pd]) {
      expect(() => expect(value).not.toHaveNoLeaks()).toThrow(TypeError);
    }
    const device = open();
    device.close();
    expect(() => expect(device).toHaveNoLeaks()).toThrow(rdma('EBADF'));
    expect(() => expect(device).not.toHaveNoLeaks()).toThrow(rdma('EBADF'));
    expect(() => expect(open()).toHaveNoLeaks({ except: [{}] })).toThrow('options.except[0]');
  });
});

describe('leftOver', () => {
  /** Everything that can be left, in the order of the list: what it is, and how it is made. */
  function fill(device: Device): { pd: ProtectionDomain; objects: object[]; release: () => void } {
    const pd = device.allocPd();
    const mr = pd.regUserMr(new Uint8Array(8));
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const mem: object = pd.allocMr({ maxNumSg: 1 });
    const fmr: FastMemoryRegion = pd.allocFmr({ maxPages: 1 });
    const cq = device.createCq(16);
    const checks = pd.createQp();
    const qp = pd.createQp({ type: 'RC', sendCq: cq });
    const srq = pd.createSrq({ maxWr: 4 });
    const ah = pd.createAh();
    const mapping = device.dma.map(new Uint8Array(16), { address: 0x10_0000n });
    const dm = device.allocDm(4096);
    return {
      pd,
      objects: [mr, mem, fmr, checks, qp, cq, srq, ah, mapping, dm, pd],
      release: () => {
        sge.put();
      },
    };
  }

  test('lists every kind of object, held elements first, and each can be excepted', () => {
    const device = open();
    const { objects, release } = fill(device);
    expect(leftOver(device).map(({ text }) => text)).toEqual([
      'Sge of region #1: 1 element of 8 bytes, accepted by a local check, is held',
      'MemoryRegion #1: 8 bytes in domain #1',
      'MemoryRegion #2: MEM_REG, 0 bytes in domain #1',
      'FastMemoryRegion #3: FMR, 0 bytes in domain #1',
      expect.stringMatching(/^QueuePair #1: for checks.* in domain #1$/),
      expect.stringMatching(/^QueuePair #2: RC, RESET, in domain #1$/),
      'CompletionQueue #1: 0 of 16 entries used',
      'SharedReceiveQueue #1: in domain #1',
      'AddressHandle #1: in domain #1',
      'DmaMapping #1: 16 bytes at 0x100000',
      'DeviceMemory #1: 4096 bytes',
      expect.stringMatching(/^ProtectionDomain #1: \d+ objects in it$/),
    ]);
    expect(leftOver(device).map((one) => one.class)).toContain('DmaMapping');
    for (const object of objects) {
      const left = leftOver(device, { except: objects.filter((other) => other !== object) });
      expect(left.filter((one) => one.class !== 'Sge')).toMatchObject([
        { class: object.constructor.name, id: (object as { id: number }).id },
      ]);
    }
    expect(leftOver(device, { except: objects }).map((one) => one.class)).toEqual(['Sge']);
    release();
    expect(leftOver(device, { except: objects })).toEqual([]);
    expect(objects.some((object) => object instanceof DmaMapping)).toBe(true);
  });

  test('tells half-dead regions, elements of batches and of remote checks', () => {
    const { device, pd, qp, mr } = checked();
    const batch = pd.lkeyBatch(2);
    for (let i = 0; i < 2; i++) batch.set(i, 0x1000, 8, mr.lkey);
    batch.acquire(2, 0);
    const sge = accepted(qp.acquire({ vaddr: mr.iova, length: 4, rkey: mr.rkey }, Access.RemoteRead));
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    const texts = leftOver(device).map(({ text }) => text);
    expect(texts).toContain(
      'Sge of region #1: 2 elements of a batch of 16 bytes, accepted by a local check, are held',
    );
    expect(texts).toContain('Sge of region #1: 1 element of 4 bytes, accepted by a remote check, is held');
    expect(texts).toContain('MemoryRegion #1: 64 bytes in domain #1, HalfDead');
    batch.put(2);
    new SgeState([sge]).put();
  });
});

describe('openTestDevice', () => {
  test('closes the device even if an exception is not an object of it', () => {
    const test = openTestDevice();
    expect(() => {
      test.close({ except: [{}] });
    }).toThrow('options.except[0]');
    expect(() => test.device.resources()).toThrow(rdma('EBADF'));
  });

  test('passes options on, captures stacks, and closes', () => {
    const test = openTestDevice({ lkeyTableBits: 5 });
    expect(test.device).toBeInstanceOf(Device);
    expect(test.device.lkeyTableBits).toBe(5);
    expect(test.leftOver()).toEqual([]);
    test.close();
    test.close();
    expect(() => test.device.allocPd()).toThrow(rdma('EBADF'));
    const plain = openTestDevice({ captureStacks: false });
    plain.device.allocPd();
    expect(plain.leftOver()[0]).not.toHaveProperty('stack');
    expect(() => plain.close()).toThrow(LeftOverError);
    expect(() => openTestDevice({ lkeyTableBit: 5 } as any)).toThrow(TypeError);
  });

  test('closing throws an error that lists what was left; the device is closed all the same', () => {
    const test = openTestDevice();
    const pd = test.device.allocPd();
    const mr = pd.regUserMr(new Uint8Array(8));
    accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const error = ((): unknown => {
      try {
        test.close({ except: [pd] });
      } catch (thrown) {
        return thrown;
      }
      return undefined;
    })() as LeftOverError;
    expect(error).toBeInstanceOf(LeftOverError);
    expect(error.name).toBe('LeftOverError');
    expect(error.left.map((one) => [one.class, one.id])).toEqual([
      ['Sge', 1],
      ['MemoryRegion', 1],
    ]);
    expect(error.message).toContain('the test has left 2 objects on the device:\n  Sge of region #1');
    expect(error.message).toContain('testing.test.ts');
    expect(mr.state).toBe('Closed');
    test.close();
  });

  test('works with using, and after the program has closed the device itself', () => {
    expect(() => {
      using test = openTestDevice();
      test.device.allocPd();
    }).toThrow(LeftOverError);
    using test = openTestDevice();
    test.device.allocPd();
    test.device.close({ cascade: true });
  });

  test('a published DMA region does not make closing warn', () => {
    const test = openTestDevice();
    const pd = test.device.allocPd({ trusted: true });
    pd.getDmaMr({ access: Access.LocalWrite });
    expect(() => test.close()).toThrow('MemoryRegion #1: DMA, 0 bytes in domain #1');
  });
});

describe('connectedPair', () => {
  test('creates two connected queue pairs in one line', async () => {
    for (const type of ['RC', 'UC'] as const) {
      using pair = connectedPair({ type });
      const { pd, a, b, aCq } = pair;
      expect([a.type, b.type, a.query().state, b.query().state]).toEqual([type, type, 'RTS', 'RTS']);
      const bytes = Buffer.from('12345678');
      const target = Buffer.alloc(8);
      using from = pd.regUserMr(bytes);
      using to = pd.regUserMr(target, { access: Access.LocalWrite | Access.RemoteWrite });
      a.postSend({
        opcode: 'RDMA_WRITE',
        sges: [{ addr: from.start, length: 8, lkey: from.lkey }],
        remoteAddr: to.iova,
        rkey: to.rkey,
      });
      expect((await takeCompletions(aCq, 1))[0]).toBeAccepted();
      expect(target).toEqual(bytes);
    }
  });

  test('passes the options of the device, the queue pairs and the connection on', () => {
    using pair = connectedPair({
      deviceOptions: { engine: 'manual', lkeyTableBits: 4 },
      cqe: 7,
      qp: { maxSendWr: 3 },
      connect: { access: 0, pathMtu: 1024 },
    });
    expect(pair.device.lkeyTableBits).toBe(4);
    expect(pair.aCq.cqe).toBe(7);
    expect(pair.a.query()).toMatchObject({ pathMtu: 1024 });
  });

  test('on a given domain ends only what it has created', () => {
    const { device, pd } = scene();
    const before = leftOver(device).length;
    const pair = connectedPair({ device, pd });
    expect([pair.device, pair.pd]).toEqual([device, pd]);
    expect(leftOver(device)).toHaveLength(before + 4);
    pair.close();
    pair.close();
    expect(leftOver(device)).toHaveLength(before);
    expect(() => connectedPair({ pd })).toThrow(TypeError);
    expect(() => connectedPair({ device })).toThrow(TypeError);
  });

  test('reports what was left on its own device', () => {
    const pair = connectedPair();
    pair.pd.regUserMr(new Uint8Array(8));
    expect(() => pair.close()).toThrow('MemoryRegion #1: 8 bytes');
    expect(() => pair.device.allocPd()).toThrow(rdma('EBADF'));
    pair.close();
  });

  test('leaves nothing behind if an option is invalid', () => {
    const { device, pd } = scene();
    const before = leftOver(device).length;
    expect(() => connectedPair({ device, pd, qp: { maxSendWr: -1 } })).toThrow(RangeError);
    expect(() => connectedPair({ device, pd, connect: { pathMtu: 3 as any } })).toThrow();
    expect(() => connectedPair({ device, pd, cqe: 0 })).toThrow(rdma('EINVAL'));
    expect(leftOver(device)).toHaveLength(before);
  });
});

describe('takeCompletions', () => {
  test('refuses a count and a time that are no numbers, at once', async () => {
    const { aCq, close } = connectedPair();
    for (const count of [NaN, -1, 1.5, Infinity, '1' as never, undefined as never])
      await expect(takeCompletions(aCq, count)).rejects.toThrow(RangeError);
    for (const timeoutMs of [NaN, -1, '5' as never, null as never])
      await expect(takeCompletions(aCq, 1, { timeoutMs })).rejects.toThrow(RangeError);
    close();
  });

  test('takes exactly the given number, in order', async () => {
    using pair = connectedPair();
    const { pd, a, aCq } = pair;
    using mr = pd.regUserMr(new Uint8Array(8), { access: 7 });
    const write = (wrId: number) =>
      ({
        wrId,
        opcode: 'RDMA_WRITE',
        sges: [{ addr: mr.start, length: 8, lkey: mr.lkey }],
        remoteAddr: mr.iova,
        rkey: mr.rkey,
      }) as const;
    a.postSend([write(1), write(2), write(3)]);
    expect((await takeCompletions(aCq, 2)).map(({ wrId }) => wrId)).toEqual([1, 2]);
    expect(await takeCompletions(aCq, 0)).toEqual([]);
    setTimeout(() => a.postSend(write(4)), 20);
    expect((await takeCompletions(aCq, 2)).map(({ wrId }) => wrId)).toEqual([3, 4]);
  });

  test('rejects when fewer come in time, and says which came', async () => {
    using pair = connectedPair();
    const { a, aCq } = pair;
    await expect(takeCompletions(aCq, 1, { timeoutMs: 20 })).rejects.toThrow(
      '0 of 1 completions came in 20 ms',
    );
    a.modify({ state: 'ERR' });
    a.postSend({ wrId: 9, opcode: 'SEND' });
    const late = takeCompletions(aCq, 2, { timeoutMs: 20 });
    await expect(late).rejects.toThrow(/^1 of 2 completions came in 20 ms:\n {2}Completion \{.*WR_FLUSH_ERR/);
  });

  test('works while the timers of the test are replaced', async () => {
    using pair = connectedPair();
    jest.useFakeTimers();
    try {
      await expect(takeCompletions(pair.aCq, 1, { timeoutMs: 20 })).rejects.toThrow('0 of 1');
    } finally {
      jest.useRealTimers();
    }
  });
});
