// Work requests from programs that mean harm: getters with side effects, proxies, endless and sparse lists, replaced built-ins; and
// words that reach the native functions without the checks of lib/. Nothing may crash, and no byte outside the registered memory
// may change.
import { AddressHandle, type QueuePair, type SendWorkRequest } from '../../lib';
import { detach, expectOnly, fillRim } from '../support/reach';
import { ALL, open } from '../support/scene';
import { ends, linesOf, memory, refusal } from '../support/queue-pairs';

const FROM = 64;
const SIZE = 64;

/** Connected queue pairs, and registered memory between guard bytes. */
function world() {
  const all = ends({ device: { engine: 'auto' } });
  const buffer = new ArrayBuffer(FROM + SIZE + 64);
  fillRim(buffer);
  const mr = all.pd.regUserMr(new Uint8Array(buffer, FROM, SIZE), { access: ALL });
  const sge = { addr: mr.start, length: 8, lkey: mr.lkey };
  const target = { remoteAddr: mr.iova, rkey: mr.rkey };
  return { ...all, buffer, mr, sge, target };
}
type World = ReturnType<typeof world>;

/** Returns the object with its property replaced by a getter that calls `act` before it returns the value. */
function trapped(object: object, property: string, act: () => void): object {
  const copy: object = { ...object };
  const value: unknown = Reflect.get(object, property);
  Object.defineProperty(copy, property, {
    get: () => {
      act();
      return value;
    },
    enumerable: true,
  });
  return copy;
}

const write = ({ sge, target }: World): SendWorkRequest<'RC'> => ({
  wrId: 7,
  opcode: 'RDMA_WRITE',
  sges: [sge],
  signaled: true,
  ...target,
});

const acts: Record<string, (all: World) => void> = {
  'closes the device': ({ device }) => {
    device.close({ cascade: true });
  },
  'deallocates the domain': ({ pd }) => {
    pd.dealloc({ cascade: true });
  },
  'destroys the queue pair': ({ a }) => {
    a.destroy();
  },
  'resets the queue pair': ({ a }) => {
    a.modify({ state: 'RESET' });
  },
  'deregisters the region': ({ mr }) => {
    mr.dereg({ force: true });
  },
  'detaches the memory': ({ buffer }) => {
    if (buffer.byteLength > 0) detach(buffer);
  },
  'posts other work requests': ({ a, ...all }) => {
    if (a.state !== 'RTS') return;
    a.postSend(Array.from({ length: 5 }, (_, i) => ({ ...write({ a, ...all }), wrId: 100 + i })));
  },
  'posts work requests that are refused': ({ a }) => {
    refusal(() => {
      a.postSend({ opcode: 'SEND', sges: [{ addr: 0, length: 1, lkey: 1 as never }] });
    });
  },
  'collects garbage': () => {
    (globalThis as { gc?: () => void }).gc?.();
  },
};

describe.each(Object.entries(acts))('a getter that %s', (_, act) => {
  const properties = [
    'opcode',
    'wrId',
    'sges',
    'signaled',
    'solicited',
    'fence',
    'inline',
    'remoteAddr',
    'rkey',
  ];
  test.each(properties)('at the property %s of a work request', (property) => {
    const all = world();
    const { a, aCq } = all;
    const wr = trapped({ solicited: false, fence: false, inline: false, ...write(all) }, property, () => {
      act(all);
    });
    try {
      a.postSend([write(all), wr as SendWorkRequest<'RC'>]);
    } catch (error) {
      expect((error as { code: string }).code).toMatch(/^(EBADF|EINVAL)$/);
    }
    try {
      // Each work request completes as itself: none was mixed up with those of the getter.
      const lines = aCq.poll(100).map(({ wrId, opcode }) => `${wrId} ${opcode}`);
      for (const line of lines) expect(line).toMatch(/^(7|10\d) RDMA_WRITE$/);
    } catch (error) {
      expect((error as { code: string }).code).toBe('EBADF');
    }
    if (all.buffer.byteLength > 0) expectOnly(all.buffer, FROM, SIZE, 0xa5);
  });

  test.each(['addr', 'length', 'lkey'])('at the property %s of an SGE', (property) => {
    const all = world();
    const { a, b } = all;
    const sge = trapped(all.sge, property, () => {
      act(all);
    });
    for (const post of [
      () => {
        a.postSend({ ...write(all), sges: [sge as never, sge as never] });
      },
      () => {
        b.postRecv({ sges: [sge as never, sge as never] });
      },
      () => {
        void a.recv(sge as never).catch(() => undefined);
      },
    ]) {
      try {
        post();
      } catch (error) {
        expect((error as { code: string }).code).toMatch(/^(EBADF|EINVAL)$/);
      }
    }
    if (all.buffer.byteLength > 0) expectOnly(all.buffer, FROM, SIZE, 0xa5);
  });
});

test('a getter that posts sees the work requests of both calls carried out, unmixed', () => {
  const { a, aCq, ...all } = world();
  const one = (wrId: number) => ({ ...write({ a, aCq, ...all }), wrId });
  const outer = trapped(one(2), 'rkey', () => {
    a.postSend([one(10), one(11), one(12)]);
  });
  a.postSend([one(1), outer as SendWorkRequest<'RC'>, one(3)]);
  expect(linesOf(aCq)).toEqual([10, 11, 12, 1, 2, 3].map((id) => `${id} RDMA_WRITE SUCCESS`));
});

test('each property is read once', () => {
  const all = world();
  const reads: string[] = [];
  const spy = (object: object, name: string): object =>
    new Proxy(object, {
      get: (of, property) => {
        reads.push(name + String(property));
        return Reflect.get(of, property) as unknown;
      },
    });
  all.a.postSend(
    spy([spy({ ...write(all), sges: spy([spy(all.sge, 'sge.')], 'sges.') }, 'wr.')], 'list.') as never,
  );
  expect(new Set(reads).size).toBe(reads.length);
  expect(linesOf(all.aCq)).toEqual(['7 RDMA_WRITE SUCCESS']);
});

describe('lists that lie about their length', () => {
  const lying = (length: unknown, element: unknown) =>
    new Proxy([], { get: (_, property) => (property === 'length' ? length : element) });

  test.each([
    ['2^32 - 1', 2 ** 32 - 1],
    ['negative', -1],
    ['NaN', NaN],
    ['a fraction', 0.5],
    ['infinite', Infinity],
    ['a string', '1'],
    ['an object', { valueOf: (): number => 1 }],
  ])('%s', (_, length) => {
    const all = world();
    for (const list of [lying(length, write(all)), { ...write(all), sges: lying(length, all.sge) }]) {
      expect(() => {
        all.a.postSend(list);
      }).toThrow(/length" (is out of range|property must be of type number)/);
    }
    expect(linesOf(all.aCq)).toEqual([]);
  });

  test('endless lists of SGEs end at a limit', () => {
    const all = world();
    const wr = { ...write(all), sges: lying(2 ** 20, all.sge) };
    expect(() => {
      all.a.postSend(lying(2 ** 20, wr));
    }).toThrow(/"wrs" is out of range/);
    all.a.postSend(write(all)); // the next call works
    expect(linesOf(all.aCq)).toEqual(['7 RDMA_WRITE SUCCESS']);
  });

  test('a sparse list of 2^20 elements ends at its first hole', () => {
    const { a } = world();
    expect(() => {
      a.postSend(new Array(2 ** 20) as never);
    }).toThrow(/"wrs\[0\]" argument/);
  });

  test('a revoked proxy throws', () => {
    const { a } = world();
    const { proxy, revoke } = Proxy.revocable([], {});
    revoke();
    expect(() => {
      a.postSend(proxy);
    }).toThrow(TypeError);
  });
});

test('a list that shrinks while it is read is refused at its end', () => {
  const all = world();
  const list: object[] = [];
  list.push(
    trapped(write(all), 'rkey', () => {
      list.length = 1;
    }),
    write(all),
  );
  expect(() => {
    all.a.postSend(list as never);
  }).toThrow(/"wrs\[1\]" argument/);
  expect(linesOf(all.aCq)).toEqual([]);
});

test('setters on Object.prototype do not see native objects', () => {
  const device = open();
  const pd = device.allocPd();
  const cq = device.createCq(8);
  const qp: QueuePair<'UD'> = pd.createQp({ type: 'UD', sendCq: cq });
  qp.activate({ qkey: 1 });
  const seen: unknown[] = [];
  for (const index of ['0', '1'])
    Object.defineProperty(Array.prototype, index, {
      set(value: unknown) {
        seen.push(value);
      },
      configurable: true,
    });
  try {
    qp.postSend({ opcode: 'SEND', ah: pd.createAh(), remoteQpn: 2, remoteQkey: 1 });
  } finally {
    for (const index of ['0', '1']) Reflect.deleteProperty(Array.prototype, index);
  }
  expect(seen).toEqual([]);
});

test('objects of other classes are not address handles, not even those with its prototype', () => {
  const device = open();
  const pd = device.allocPd();
  const qp = pd.createQp({ type: 'UD', sendCq: device.createCq(8) });
  qp.activate({ qkey: 1 });
  for (const ah of [Object.create(AddressHandle.prototype), new Proxy(pd.createAh(), {}), qp]) {
    expect(() => {
      qp.postSend({ opcode: 'SEND', ah: ah as AddressHandle, remoteQpn: 2, remoteQkey: 1 });
    }).toThrow(/"wr.ah" property must be an instance of AddressHandle/);
  }
});

test('methods of the queue pair called on other objects throw a TypeError', () => {
  const { a } = ends();
  const methods = [
    'postSend',
    'postRecv',
    'modify',
    'query',
    'connect',
    'activate',
    'write',
    'read',
    'send',
    'recv',
  ] as const;
  for (const name of methods) {
    const method = Reflect.get(a, name) as (...args: unknown[]) => unknown;
    for (const receiver of [{}, Object.create(a), new Proxy(a, {}), undefined]) {
      expect(() => Reflect.apply(method, receiver, [[], { access: 0, vaddr: 0, rkey: 0, qkey: 1 }])).toThrow(
        TypeError,
      );
    }
  }
});

describe('words given to the native functions directly', () => {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- a CommonJS module of the tests
  const { native } = require('../support/native.cjs') as { native: any };
  const SEND_WORDS = 24;
  const RECV_WORDS = 4;
  const NUM_SGE = 4;
  const OPCODE_SEND = 2;

  /** A raw device with a queue pair that is connected with itself. */
  function raw(type = 2) {
    const limits = Uint32Array.of(16, 64, 4, 4, 16, 64, 16, 64, 4, 16, 16, 1, 16);
    const device = native.openDevice(8, false, false, false, limits);
    const pd = device.allocPd(true);
    const cq = device.createCq(64, 0, 0);
    const qp = pd.createQp(cq, cq, undefined, Uint32Array.of(type, 0, 16, 16, 4, 4));
    const words = new Uint32Array(26);
    const modify = (state: number, mask: number, values: Record<number, number>) => {
      words[0] = state;
      for (const [word, value] of Object.entries(values)) words[Number(word)] = value;
      expect(qp.modify(mask | 1, words)).toBe(0);
    };
    modify(1, type === 4 ? 16 | 32 | 64 : 16 | 32 | 8, { 8: 1 });
    if (type === 4) modify(2, 0, {});
    else modify(2, 128 | 256 | 1048576 | 4096 | 131072 | 32768, { 17: 1, 20: 1, 9: 1, 4: qp.qpn(), 16: 1 });
    if (type === 4) modify(3, 65536, {});
    else modify(3, 512 | 1024 | 2048 | 65536 | 8192, { 15: 1 });
    return { device, pd, cq, qp };
  }
  const EINVAL = -22;
  const sendOf = (values: Record<number, number> = {}, words: Uint32Array = new Uint32Array(SEND_WORDS)) => {
    words[2] = OPCODE_SEND;
    for (const [word, value] of Object.entries(values)) words[Number(word)] = value;
    return words;
  };

  test('counts that the words do not hold', () => {
    const { device, qp } = raw();
    expect(() => qp.postSend(new Uint32Array(0), 0, [])).toThrow(/^argument \d must be /);
    expect(() => qp.postSend(sendOf(), 2, [])).toThrow(/^argument \d must be /);
    expect(() => qp.postSend(sendOf(), 2 ** 32 - 1, [])).toThrow(/^argument \d must be /);
    expect(() => qp.postRecv(new Uint32Array(RECV_WORDS - 1), 1)).toThrow(/^argument \d must be /);
    for (const count of [1, 2, 5, 2 ** 28, 2 ** 32 - 1]) {
      expect(qp.postSend(sendOf({ [NUM_SGE]: count }), 1, [])).toBe(EINVAL);
      const recv = new Uint32Array(RECV_WORDS);
      recv[2] = count;
      expect(qp.postRecv(recv, 1)).toBe(EINVAL);
    }
    expect(qp.postRecv(new Uint32Array(RECV_WORDS), 1)).toBe(0);
    expect(qp.postSend(sendOf(), 1, [])).toBe(0);
    device.close(true);
  });

  test('regions, opcodes and flags that do not exist', () => {
    const { device, qp } = raw();
    for (let opcode = 0; opcode < 64; opcode++) {
      const status: number = qp.postSend(
        sendOf({ 2: opcode, 3: 0xffff_ffff, 14: 0xffff_ffff, 15: 0xffff_ffff, 16: 0xffff_ffff }),
        1,
        [],
      );
      expect(status).toBeLessThanOrEqual(0);
    }
    expect(qp.postSend(sendOf({ 2: 0xffff_ffff }), 1, [])).toBe(EINVAL);
    device.close(true);
  });

  test('words in shared memory, which another thread may change at any time', () => {
    const { device, qp } = raw();
    const shared = new Uint32Array(new SharedArrayBuffer(4 * (SEND_WORDS + 16)));
    for (let i = 0; i < 16; i++) {
      expect(qp.postSend(sendOf({ [NUM_SGE]: i }, shared), 1, [])).toBe(i <= 4 ? 0 : EINVAL);
    }
    device.close(true);
  });

  test('words that are detached by a getter of the list of address handles', () => {
    const { device, pd, qp } = raw(4);
    const ah = pd.createAh(1, 0, 0, 1);
    const words = sendOf();
    const list: unknown[] = [ah];
    Object.defineProperty(list, 0, {
      get: () => {
        if (words.byteLength > 0) detach(words.buffer);
        return ah as unknown;
      },
    });
    expect(() => qp.postSend(words, 1, list)).toThrow(/^argument \d must be /);
    device.close(true);
  });

  test('lists of address handles that are sparse, endless, or of other things', () => {
    const { device, pd, qp } = raw(4);
    const ah = pd.createAh(1, 0, 0, 1);
    for (const list of [undefined, {}, [undefined], [ah, {}], new Array(2 ** 20), [qp], 'ab']) {
      expect(() => qp.postSend(sendOf(), 1, list)).toThrow(/^argument \d must be /);
    }
    expect(qp.postSend(sendOf({ 20: 1 }), 1, [ah])).toBe(EINVAL); // an index beyond the list
    expect(qp.postSend(sendOf({ 20: 0xffff_ffff }), 1, [ah])).toBe(EINVAL);
    expect(qp.postSend(sendOf(), 1, [])).toBe(EINVAL);
    expect(qp.postSend(sendOf(), 1, [ah])).toBe(0);
    device.close(true);
  });

  test('random words', () => {
    const { device, qp, cq } = raw();
    let seed = 1;
    const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0);
    for (let i = 0; i < 3000; i++) {
      const words = Uint32Array.from({ length: SEND_WORDS + (random() % 40) }, () =>
        random() % 3 === 0 ? random() : random() % 8,
      );
      const count = random() % 3;
      if (count * SEND_WORDS > words.length) continue;
      expect(qp.postSend(words, count, [])).toBeLessThanOrEqual(0);
      expect(qp.postRecv(words, count)).toBeLessThanOrEqual(0);
      cq.poll(new Uint32Array(22 * 64), 64);
    }
    device.close(true);
  });
});

test('memory that is registered over guards stays inside them, whatever the peer sends', () => {
  const { device, pd, a, b, buffer, mr } = world();
  const from = memory(pd, 'y'.repeat(128));
  b.postRecv({ sges: [{ addr: mr.start, length: SIZE, lkey: mr.lkey }] });
  a.postSend({ opcode: 'SEND', sges: [from.sge(0, SIZE)] });
  device.run();
  expectOnly(buffer, FROM, SIZE, 0x79);
  a.postSend({ opcode: 'RDMA_WRITE', sges: [from.sge(0, SIZE + 1)], remoteAddr: mr.iova, rkey: mr.rkey });
  device.run();
  expectOnly(buffer, FROM, SIZE, 0x79);
  expect(a.state).toBe('ERR');
});
