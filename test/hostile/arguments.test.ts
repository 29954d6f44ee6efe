// Arguments of every type and value: wrong ones throw the errors that Node itself uses, change nothing, and never crash.
import { Device, FastMemoryRegion, fastRegKey, lkey, MemoryRegion, rkey, Sge, SgeState } from '../../lib';
import { everything, local, memory, region, remote, type Use } from '../support/everything';
import { argumentError, outOfRange, rdma, wrongType } from '../support/answers';
import { DMA, open, PAGE } from '../support/scene';

const U64 = 1n << 64n;

// For each kind of argument: the calls that take it, each with the argument's name as messages show it.
const kinds: Record<string, { uses: [string, Use][]; type: string; wrong: unknown[]; outside: unknown[] }> = {
  u32: {
    type: 'of type number',
    wrong: [1n, '1', null, true, {}, [], Symbol('x'), () => 1, { valueOf: () => 1 }],
    outside: [-1, 2 ** 32, 1.5, NaN, Infinity, -Infinity],
    uses: [
      ['key', (_, v) => lkey(v)],
      ['key', (_, v) => rkey(v)],
      ['key', (_, v) => fastRegKey(v, 0)],
      ['options.lkeyTableBits', (_, v) => new Device({ lkeyTableBits: v })],
      ['options.access', ({ pd }, v) => pd.regUserMr(memory, { access: v })],
      ['options.access', ({ pd }, v) => pd.getDmaMr({ access: v })],
      ['options.access', ({ pd }, v) => pd.allocFmr({ maxPages: 1, access: v })],
      ['options.maxNumSg', ({ pd }, v) => pd.allocMr({ maxNumSg: v })],
      ['options.maxMaps', ({ pd }, v) => pd.allocFmr({ maxPages: 1, maxMaps: v })],
      ['sge.length', ({ pd }, v) => pd.acquire(local({ length: v }), 0)],
      ['sge.lkey', ({ pd }, v) => pd.acquire(local({ lkey: v }), 0)],
      ['access', ({ pd }, v) => pd.acquire(local({}), v)],
      ['sge.length', ({ pd }, v) => pd.check(local({ length: v }), 0)],
      ['sge.lkey', ({ pd }, v) => pd.check(local({ lkey: v }), 0)],
      ['access', ({ pd }, v) => pd.check(local({}), v)],
      ['request.length', ({ qp }, v) => qp.acquire(remote({ length: v }), 4)],
      ['request.rkey', ({ qp }, v) => qp.acquire(remote({ rkey: v }), 4)],
      ['access', ({ qp }, v) => qp.acquire(remote({}), v)],
      ['request.length', ({ qp }, v) => qp.check(remote({ length: v }), 4)],
      ['access', ({ qp }, v) => qp.check(remote({}), v)],
      ['options.key', ({ qp, sg }, v) => qp.fastRegMr(sg, region({ key: v }))],
      ['options.access', ({ qp, sg }, v) => qp.fastRegMr(sg, region({ access: v }))],
      ['rkey', ({ qp }, v) => qp.invalidateRkey(v)],
      ['options.pageSize', ({ sg }, v) => sg.mapSg([{ addr: DMA, length: 1 }], { pageSize: v })],
      ['options.timeoutMs', ({ mr }, v) => mr.deregAsync({ timeoutMs: v })],
      ['options.timeoutMs', ({ fmr }, v) => fmr.deallocAsync({ timeoutMs: v })],
      ['wanted', ({ state }, v) => state.nextLength(v)],
      ['length', ({ state }, v) => state.update(v)],
      ['key', ({ state }, v) => state.hasLkey(v)],
      ['steps[1]', ({ state }, v) => state.walk([0, v])],
    ],
  },
  'required u64': {
    type: 'of type bigint or number',
    wrong: ['1', null, undefined, true, {}, [], Symbol('x'), { valueOf: () => 1n }],
    outside: [-1n, U64, -1, 1.5, NaN, Infinity, 2 ** 53],
    uses: [
      ['sge.addr', ({ pd }, v) => pd.acquire(local({ addr: v }), 0)],
      ['sge.addr', ({ pd }, v) => pd.check(local({ addr: v }), 0)],
      ['request.vaddr', ({ qp }, v) => qp.acquire(remote({ vaddr: v }), 4)],
      ['request.vaddr', ({ qp }, v) => qp.check(remote({ vaddr: v }), 4)],
      ['list[1].addr', ({ sg }, v) => sg.mapSg([local({}), local({ addr: v })])],
      ['list[0].length', ({ sg }, v) => sg.mapSg([local({ length: v })])],
      ['pageList[1]', ({ fmr }, v) => fmr.mapPhys([0n, v], 0n)],
      ['iova', ({ fmr }, v) => fmr.mapPhys([], v)],
      ['add', ({ sge }, v) => sge.fetchAdd(v)],
      ['compare', ({ sge }, v) => sge.compareSwap(v, 0n)],
      ['swap', ({ sge }, v) => sge.compareSwap(0n, v)],
    ],
  },
  'optional u64': {
    type: 'of type bigint or number',
    wrong: ['1', null, true, {}, [], Symbol('x')],
    outside: [-1n, U64, -1, 1.5, NaN, Infinity, 2 ** 53],
    uses: [
      ['options.start', ({ pd }, v) => pd.regUserMr(memory, { start: v })],
      ['options.iova', ({ pd }, v) => pd.regUserMr(memory, { iova: v })],
      ['options.address', ({ device }, v) => device.dma.map(memory, { address: v })],
      ['options.offset', ({ sg }, v) => sg.mapSg([{ addr: DMA, length: 1 }], { offset: v })],
      ['options.iova', ({ qp, sg }, v) => qp.fastRegMr(sg, region({ iova: v }))],
    ],
  },
  id: {
    type: 'of type number',
    wrong: [undefined, 1n, '1', null, true, {}, []],
    outside: [-1, 1.5, NaN, Infinity, 2 ** 53],
    uses: [
      ['id', ({ device }, v) => device.importPd(v)],
      ['id', ({ device }, v) => device.importDm(v)],
    ],
  },
  'required size': {
    type: 'of type number',
    wrong: [undefined, 1n, '1', null, true, {}, []],
    outside: [0, -1, 1.5, NaN, Infinity, 2 ** 53],
    uses: [['bytes', ({ device }, v) => device.allocDm(v)]],
  },
  'size in bytes': {
    type: 'of type number',
    wrong: [1n, '1', null, true, {}, []],
    outside: [-1, 1.5, NaN, Infinity, 2 ** 53],
    uses: [
      ['options.offset', ({ sge }, v) => sge.copyTo(memory, { offset: v })],
      ['options.offset', ({ sge }, v) => sge.copyFrom(memory, { offset: v })],
      ['length', ({ state }, v) => state.skip(v)],
    ],
  },
  byte: {
    type: 'of type number',
    wrong: [1n, '1', null, true, {}],
    outside: [-1, 256, 1.5, NaN],
    uses: [
      ['lowByte', (_, v) => fastRegKey(lkey(0x100), v)],
      ['options.pageShift', ({ pd }, v) => pd.allocFmr({ maxPages: 1, pageShift: v })],
    ],
  },
  'any integer': {
    type: 'of type number',
    wrong: [undefined, 1n, '1', null, true, {}],
    outside: [1.5, NaN, Infinity, 2 ** 53],
    uses: [['options.maxPages', ({ pd }, v) => pd.allocFmr({ maxPages: v })]],
  },
  boolean: {
    type: 'of type boolean',
    wrong: [0, 1, 'true', null, {}, []],
    outside: [],
    uses: [
      ['options.remoteKeyZero', (_, v) => new Device({ remoteKeyZero: v })],
      ['options.captureStacks', (_, v) => new Device({ captureStacks: v })],
      ['options.reportLeaks', (_, v) => new Device({ reportLeaks: v })],
      ['options.captureStacks', ({ device }, v) => Device.attach(device.share(), { captureStacks: v })],
      ['options.reportLeaks', ({ device }, v) => Device.attach(device.share(), { reportLeaks: v })],
      ['options.trusted', ({ device }, v) => device.allocPd({ trusted: v })],
      ['options.hugePages', ({ device }, v) => device.allocDm(8, { hugePages: v })],
      ['options.own', ({ device }, v) => device.counters({ own: v })],
      ['options.cascade', ({ device }, v) => device.detach({ cascade: v })],
      ['options.cascade', ({ device }, v) => device.close({ cascade: v })],
      ['options.cascade', ({ pd }, v) => pd.dealloc({ cascade: v })],
      ['options.force', ({ mr }, v) => mr.dereg({ force: v })],
      ['options.force', ({ fmr }, v) => fmr.dealloc({ force: v })],
      ['options.ordered', ({ sge }, v) => sge.copyFrom(memory, { ordered: v })],
      ['options.ordered', ({ state }, v) => state.copyIn(memory, { ordered: v })],
      ['options.put', ({ state }, v) => state.copyIn(memory, { put: v })],
      ['options.put', ({ state }, v) => state.copyOut(memory, { put: v })],
      ['options.put', ({ state }, v) => state.update(0, { put: v })],
      ['options.put', ({ state }, v) => state.skip(0, { put: v })],
      ['options.put', ({ state }, v) => state.walk([], { put: v })],
    ],
  },
  string: {
    type: 'of type string',
    wrong: [0, null, true, {}, ['random'], Symbol('x')],
    outside: [],
    uses: [
      ['token', (_, v) => Device.attach(v)],
      ['options.keyPolicy', (_, v) => new Device({ keyPolicy: v })],
      ['options.type', ({ pd }, v) => pd.allocMr({ maxNumSg: 1, type: v })],
    ],
  },
  'optional options': {
    type: 'of type object',
    wrong: [null, 0, 1n, 'x', true, [], () => {}, Symbol('x')],
    outside: [],
    uses: [
      ['options', (_, v) => new Device(v)],
      ['options', ({ device }, v) => device.allocPd(v)],
      ['options', ({ device }, v) => Device.attach(device.share(), v)],
      ['options', ({ device }, v) => device.allocDm(8, v)],
      ['options', ({ device }, v) => device.counters(v)],
      ['options', ({ device }, v) => device.detach(v)],
      ['options', ({ device }, v) => device.close(v)],
      ['options', ({ device }, v) => device.dma.map(memory, v)],
      ['options', ({ pd }, v) => pd.regUserMr(memory, v)],
      ['options', ({ pd }, v) => pd.getDmaMr(v)],
      ['options', ({ pd }, v) => pd.dealloc(v)],
      ['options', ({ pd }, v) => pd.acquire(local({}), 0, v)],
      ['options', ({ mr }, v) => mr.dereg(v)],
      ['options', ({ mr }, v) => mr.deregAsync(v)],
      ['options', ({ sg }, v) => sg.mapSg([], v)],
      ['options', ({ fmr }, v) => fmr.dealloc(v)],
      ['options', ({ fmr }, v) => fmr.deallocAsync(v)],
      ['options', ({ sge }, v) => sge.copyTo(memory, v)],
      ['options', ({ sge }, v) => sge.copyFrom(memory, v)],
      ['options', ({ state }, v) => state.update(0, v)],
      ['options', ({ state }, v) => state.skip(0, v)],
      ['options', ({ state }, v) => state.copyIn(memory, v)],
      ['options', ({ state }, v) => state.copyOut(memory, v)],
      ['options', ({ state }, v) => state.walk([], v)],
    ],
  },
  'required object': {
    type: 'of type object',
    wrong: [undefined, null, 0, 'x', [], () => {}],
    outside: [],
    uses: [
      ['options', ({ pd }, v) => pd.allocMr(v)],
      ['options', ({ pd }, v) => pd.allocFmr(v)],
      ['options', ({ qp, sg }, v) => qp.fastRegMr(sg, v)],
      ['sge', ({ pd }, v) => pd.acquire(v, 0)],
      ['sge', ({ pd }, v) => pd.check(v, 0)],
      ['request', ({ qp }, v) => qp.acquire(v, 4)],
      ['request', ({ qp }, v) => qp.check(v, 4)],
      ['list[0]', ({ sg }, v) => sg.mapSg([v])],
    ],
  },
  list: {
    type: 'an instance of',
    wrong: [
      undefined,
      null,
      0,
      'x',
      {},
      { length: 1, 0: 0n },
      new Set(),
      new Float64Array(1),
      new Proxy({}, {}),
    ],
    outside: [],
    uses: [
      ['list', ({ sg }, v) => sg.mapSg(v)],
      ['pageList', ({ fmr }, v) => fmr.mapPhys(v, 0)],
      ['list', (_, v) => FastMemoryRegion.unmap(v)],
      ['sges', (_, v) => new SgeState(v)],
      ['steps', ({ state }, v) => state.walk(v)],
    ],
  },
  MemoryRegion: {
    type: 'an instance of MemoryRegion',
    wrong: [undefined, null, 1, {}, Object.create(MemoryRegion.prototype), new Proxy({}, {})],
    outside: [],
    uses: [['region', ({ qp }, v) => qp.fastRegMr(v, region({}))]],
  },
  FastMemoryRegion: {
    type: 'an instance of FastMemoryRegion',
    wrong: [undefined, null, 1, {}, Object.create(FastMemoryRegion.prototype)],
    outside: [],
    uses: [['list[0]', (_, v) => FastMemoryRegion.unmap([v])]],
  },
  Sge: {
    type: 'an instance of Sge',
    wrong: [1, {}, true, Object.create(Sge.prototype)],
    outside: [],
    uses: [
      ['options.last', ({ pd }, v) => pd.acquire(local({}), 0, { last: v })],
      ['sges[0]', (_, v) => new SgeState([v])],
    ],
  },
};

describe.each(Object.entries(kinds))('an argument of the kind "%s"', (_, { uses, type, wrong, outside }) => {
  test.each(uses)('%s rejects wrong types and values out of range', (name, use) => {
    const objects = everything();
    const before = objects.device.keyTable();
    for (const value of wrong) expect(() => use(objects, value)).toThrow(wrongType(`"${name}"`));
    for (const value of wrong) expect(() => use(objects, value)).toThrow(wrongType(type));
    for (const value of outside) expect(() => use(objects, value)).toThrow(outOfRange(`"${name}"`));
    expect(objects.device.keyTable()).toEqual(before);
    expect(objects.mr.state).toBe('Valid');
    expect(objects.mr.refs).toBe(4);
  });
});

describe('regions of different classes', () => {
  test('are not interchangeable: a fast memory region and a memory region', () => {
    const { qp, mr, fmr, sge } = everything();
    expect(() => qp.fastRegMr(fmr as any, region({}))).toThrow(wrongType('an instance of FastMemoryRegion'));
    expect(() => FastMemoryRegion.unmap([fmr, mr as any])).toThrow(wrongType('"list[1]"'));
    expect(fmr.length).toBe(PAGE);
    expect(() => new SgeState([sge, mr as any])).toThrow(wrongType('"sges[1]"'));
  });
});

describe('values without a meaning', () => {
  test.each<[string, () => unknown]>([
    ["one of: 'sequential', 'random'", () => new Device({ keyPolicy: 'Random' as any })],
    [
      "one of: 'MEM_REG', ",
      () =>
        open()
          .allocPd()
          .allocMr({ maxNumSg: 1, type: 'memreg' as any }),
    ],
    ['an address and a length', () => everything().sg.mapSg(BigUint64Array.of(DMA))],
  ])('are rejected with a message that contains: %s', (message, use) => {
    expect(use).toThrow(argumentError('ERR_INVALID_ARG_VALUE', message));
  });

  test('detached lists are rejected', () => {
    const { sg, fmr, state } = everything();
    const [words, numbers] = [new BigUint64Array(2), new Uint32Array(2)];
    structuredClone([words, numbers], { transfer: [words.buffer, numbers.buffer] });
    expect(() => sg.mapSg(words)).toThrow(rdma('EINVAL', 'map_mr_sg'));
    expect(() => fmr.mapPhys(words, 0)).toThrow(rdma('EINVAL', 'map_phys_fmr'));
    expect(() => state.walk(numbers)).toThrow(rdma('EINVAL', 'walk'));
  });

  test('lists in shared memory are accepted', () => {
    const { sg, fmr } = everything();
    const words = new BigUint64Array(new SharedArrayBuffer(16));
    words.set([DMA, 8n]);
    expect(sg.mapSg(words)).toBe(1);
    words[1] = DMA;
    fmr.mapPhys(words, 0);
    expect(fmr.length).toBe(2 * PAGE);
  });
});

describe('messages have the format of Node', () => {
  test.each<[string, () => unknown]>([
    ['The "options" argument must be of type object. Received null', () => new Device(null as any)],
    [
      'The "options.lkeyTableBits" property must be of type number. Received type string (\'16\')',
      () => new Device({ lkeyTableBits: '16' as any }),
    ],
    [
      'The "options.lkeyTableBits" property must be of type number. Received an instance of Array',
      () => new Device({ lkeyTableBits: [] as any }),
    ],
    [
      'The "options.lkeyTableBits" property must be of type number. Received function foo',
      () => new Device({ lkeyTableBits: function foo() {} as any }),
    ],
    [
      'The value of "options.lkeyTableBits" is out of range. It must be >= 0 && <= 4294967295. Received 5_000_000_000',
      () => new Device({ lkeyTableBits: 5e9 }),
    ],
    ['The value of "key" is out of range. It must be an integer. Received 1.5', () => lkey(1.5)],
    [
      'The value of "options.start" is out of range. It must be >= 0n && < 2n ** 64n. Received 18_446_744_073_709_551_616n',
      () => open().allocPd().regUserMr(memory, { start: U64 }),
    ],
    [
      "The property 'options.keyPolicy' must be one of: 'sequential', 'random'. Received 'x'",
      () => new Device({ keyPolicy: 'x' as any }),
    ],
  ])('%s', (message, use) => {
    expect(use).toThrow(message);
  });

  test('and do not run code of the received value', () => {
    const hostile = new Proxy(
      {},
      {
        get: () => {
          throw new Error('must not be read');
        },
      },
    );
    expect(() => lkey(hostile as any)).toThrow(wrongType('Received an object'));
  });
});
