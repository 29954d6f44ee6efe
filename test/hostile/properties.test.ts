// Properties of options may be getters that do anything: each is read once, before anything else happens.
import { Device, FastMemoryRegion, SgeState } from '../../lib';
import { everything, type Everything, local, memory, region, remote, type Use } from '../support/everything';
import { rdma } from '../support/answers';
import { DMA, open } from '../support/scene';

describe('properties', () => {
  /** The object, counting how often each property is read. */
  function counted<T extends object>(object: T): { proxy: T; reads: Record<string, number> } {
    const reads: Record<string, number> = {};
    const proxy = new Proxy(object, {
      get(target, property, receiver) {
        reads[String(property)] = (reads[String(property)] ?? 0) + 1;
        return Reflect.get(target, property, receiver);
      },
    });
    return { proxy, reads };
  }

  const once: [string, object, Use][] = [
    [
      'Device',
      {
        lkeyTableBits: 4,
        keyPolicy: 'random',
        remoteKeyZero: true,
        captureStacks: false,
        reportLeaks: false,
      },
      (_, v) => new Device(v),
    ],
    [
      'attach',
      { captureStacks: true, reportLeaks: false },
      ({ device }, v) => Device.attach(device.share(), v),
    ],
    ['alloc', { hugePages: true }, ({ device }, v) => device.allocDm(8, v)],
    ['counters', { own: true }, ({ device }, v) => device.counters(v)],
    ['detach', { cascade: true }, ({ device }, v) => device.detach(v)],
    ['allocPd', { trusted: false }, ({ device }, v) => device.allocPd(v)],
    ['close', { cascade: true }, ({ device }, v) => device.close(v)],
    ['dma.map', { address: 0n }, ({ device }, v) => device.dma.map(memory, v)],
    ['regUserMr', { start: 0n, iova: 0n, access: 0 }, ({ pd }, v) => pd.regUserMr(memory, v)],
    ['allocMr', { maxNumSg: 1, type: 'MEM_REG' }, ({ pd }, v) => pd.allocMr(v)],
    ['allocFmr', { access: 0, maxPages: 1, maxMaps: 1, pageShift: 12 }, ({ pd }, v) => pd.allocFmr(v)],
    ['pd.acquire', { addr: 0n, length: 0, lkey: 1 }, ({ pd }, v) => pd.acquire(v, 0)],
    ['acquire options', { last: null }, ({ pd }, v) => pd.acquire(local({}), 0, v)],
    ['pd.check', { addr: 0n, length: 0, lkey: 1 }, ({ pd }, v) => pd.check(v, 0)],
    ['dealloc', { cascade: true }, ({ pd }, v) => pd.dealloc(v)],
    ['qp.acquire', { vaddr: 0n, length: 0, rkey: 1 }, ({ qp }, v) => qp.acquire(v, 0)],
    ['qp.check', { vaddr: 0n, length: 0, rkey: 1 }, ({ qp }, v) => qp.check(v, 0)],
    [
      'fastRegMr',
      { key: 0x10000200, access: 0, iova: 0n },
      ({ qp, sg }, v) => qp.fastRegMr(sg, { ...v, key: sg.rkey }),
    ],
    ['mapSg', { offset: 0n, pageSize: 4096 }, ({ sg }, v) => sg.mapSg([{ addr: DMA, length: 1 }], v)],
    ['mapSg element', { addr: DMA, length: 1 }, ({ sg }, v) => sg.mapSg([v])],
    ['dereg', { force: true }, ({ mr }, v) => mr.dereg(v)],
    ['deregAsync', { timeoutMs: 1 }, ({ sg }, v) => sg.deregAsync(v)],
    ['copyTo', { offset: 0 }, ({ sge }, v) => sge.copyTo(memory, v)],
    ['copyFrom', { offset: 0, ordered: true }, ({ sge }, v) => sge.copyFrom(memory, v)],
    ['copyIn', { put: true, ordered: true }, ({ state }, v) => state.copyIn(Buffer.alloc(0), v)],
    ['walk', { put: true }, ({ state }, v) => state.walk([], v)],
  ];

  test.each(once)('of %s are read once each', (_, object, use) => {
    const { proxy, reads } = counted(object);
    use(everything(), proxy);
    expect(reads).toEqual(Object.fromEntries(Object.keys(object).map((name) => [name, 1])));
  });

  test('elements of lists are read once each', () => {
    const { fmr, state, sge } = everything();
    const lists: [unknown[], (list: any) => unknown][] = [
      [[DMA, DMA], (list) => fmr.mapPhys(list, 0)],
      [[1, 2], (list) => state.walk(list)],
      [[sge, sge], (list) => new SgeState(list)],
      [[fmr, fmr], (list) => FastMemoryRegion.unmap(list)],
    ];
    for (const [list, use] of lists) {
      const { proxy, reads } = counted(list);
      use(proxy);
      expect(reads).toMatchObject({ length: 1, 0: 1, 1: 1 });
    }
  });

  test('that throw are the caller’s error', () => {
    const boom = new Error('boom');
    const options = {
      get access(): number {
        throw boom;
      },
    };
    expect(() => open().allocPd().regUserMr(memory, options)).toThrow(boom);
  });

  /** Options whose first property closes the device when it is read. */
  function closing<T extends object>({ device }: Everything, values: T): T {
    const [first] = Object.keys(values);
    return Object.defineProperty((Array.isArray(values) ? [...values] : { ...values }) as T, first!, {
      get: () => {
        device.close({ cascade: true });
        return (values as any)[first!];
      },
      enumerable: true,
    });
  }

  const closers: [string, (objects: Everything) => unknown][] = [
    ['allocPd', (all) => all.device.allocPd(closing(all, { trusted: true }))],
    ['alloc', (all) => all.device.allocDm(8, closing(all, { hugePages: false }))],
    ['counters', (all) => all.device.counters(closing(all, { own: true }))],
    ['dma.map', (all) => all.device.dma.map(memory, closing(all, { address: 0n }))],
    ['regUserMr', (all) => all.pd.regUserMr(memory, closing(all, { start: 0n }))],
    ['regUserMr, iova', (all) => all.pd.regUserMr(memory, closing(all, { iova: 0n }))],
    ['getDmaMr', (all) => all.pd.getDmaMr(closing(all, { access: 0 }))],
    ['allocMr', (all) => all.pd.allocMr(closing(all, { maxNumSg: 1 }))],
    ['allocFmr', (all) => all.pd.allocFmr(closing(all, { maxPages: 1 }))],
    ['pd.acquire', (all) => all.pd.acquire(closing(all, local({})), 0)],
    ['pd.acquire, last', (all) => all.pd.acquire(local({}), 0, closing(all, { last: all.sge }))],
    ['pd.check', (all) => all.pd.check(closing(all, local({})), 0)],
    ['qp.acquire', (all) => all.qp.acquire(closing(all, remote({})), 0)],
    ['qp.check', (all) => all.qp.check(closing(all, remote({})), 0)],
    ['fastRegMr', (all) => all.qp.fastRegMr(all.sg, closing(all, region({ key: all.sg.rkey })))],
    ['mapSg', (all) => all.sg.mapSg([{ addr: DMA, length: 1 }], closing(all, { offset: 0n }))],
    ['mapSg, list', (all) => all.sg.mapSg([closing(all, { addr: DMA, length: 1 })])],
    ['mapPhys', (all) => all.fmr.mapPhys(closing(all, [DMA]), 0)],
  ];

  test.each(closers)('whose reading closes the device: %s is EBADF', (_, use) => {
    expect(() => use(everything())).toThrow(rdma('EBADF'));
  });

  test('whose reading takes the memory away', () => {
    const { pd, sge } = everything();
    const taking = (buffer: ArrayBuffer, name: string): any => ({
      get [name]() {
        structuredClone(buffer, { transfer: [buffer] });
        return 0;
      },
    });
    const [one, two, three] = [new ArrayBuffer(8), new ArrayBuffer(8), new ArrayBuffer(8)];
    expect(() => pd.regUserMr(one, taking(one, 'access'))).toThrow(rdma('EINVAL', 'reg_user_mr'));
    expect(() => sge.copyTo(two, taking(two, 'offset'))).toThrow(rdma('EINVAL', 'copy_sge_out'));
    expect(() => sge.copyFrom(three, taking(three, 'offset'))).toThrow(rdma('EINVAL', 'copy_sge'));
  });

  test('whose reading puts the element', () => {
    const { sge } = everything();
    const options = {
      get offset() {
        sge.put();
        return 0;
      },
    };
    expect(() => sge.copyTo(memory, options)).toThrow(rdma('EBADF', 'copy_sge_out'));
  });

  test('whose reading closes the device that is being attached: ENODEV, or the handle is dead', () => {
    const all = everything();
    const token = all.device.share();
    const attached = Device.attach(token, closing(all, { captureStacks: false }));
    expect(() => attached.keyTable()).toThrow(rdma('EBADF', 'key_table'));
    expect(() => Device.attach(token)).toThrow(rdma('ENODEV'));
  });

  test('whose reading detaches the object that is being detached', () => {
    const { device } = everything();
    device.detach({
      get cascade() {
        device.detach({ cascade: true });
        return false;
      },
    });
    expect(() => device.keyTable()).toThrow(rdma('EBADF'));
  });

  test('whose reading closes the device that is being closed', () => {
    const { device } = everything();
    device.close({
      get cascade() {
        device.close({ cascade: true });
        return false;
      },
    });
  });
});
