// Address handles: attributes, refusals, lifetime.
import { inspect } from 'node:util';
import { AddressHandle } from '../../../lib';
import { argumentError, outOfRange, rdma, wrongType } from '../../support/answers';
import { memory, refusal } from '../../support/queue-pairs';
import { open } from '../../support/scene';

describe('createAh', () => {
  test('creates a handle with the defaults or the given attributes', () => {
    const device = open();
    const pd = device.allocPd();
    expect([pd.createAh().id, pd.createAh({ dlid: 0xffff, sl: 255, staticRate: 22, port: 1 }).id]).toEqual([
      1, 2,
    ]);
    expect(device.resources().addressHandles).toMatchObject([
      { id: 1, pd: pd.id, own: true, dlid: 1, sl: 0 },
      { id: 2, pd: pd.id, own: true, dlid: 0xffff, sl: 255 },
    ]);
  });

  test('accepts the static rates 0 and 2 to 22 only, and port 1 only', () => {
    const pd = open().allocPd();
    for (const staticRate of [0, 2, 3, 21, 22]) expect(pd.createAh({ staticRate }).id).toBeGreaterThan(0);
    for (const staticRate of [1, 23, 255]) {
      expect(() => pd.createAh({ staticRate })).toThrow(rdma('EINVAL', 'create_ah'));
      expect(refusal(() => pd.createAh({ staticRate }))[1]).toBe('PathRate');
    }
    for (const port of [0, 2, 255]) {
      expect(() => pd.createAh({ port })).toThrow(rdma('EINVAL', 'create_ah'));
      expect(refusal(() => pd.createAh({ port }))[1]).toBe('PathPort');
    }
    expect(() => pd.createAh({ port: 2 })).toThrow('options.port must be 1, the only port, but is 2');
  });

  test('fails with ENOMEM while maxAh handles exist, and with EBADF in a closed domain', () => {
    const device = open({ limits: { maxAh: 1 } });
    const pd = device.allocPd();
    const ah = pd.createAh();
    expect(refusal(() => pd.createAh()).slice(0, 2)).toEqual(['ENOMEM', 'TooManyObjects']);
    ah.destroy();
    pd.createAh().destroy();
    pd.dealloc();
    expect(refusal(() => pd.createAh()).slice(0, 2)).toEqual(['EBADF', 'PdGone']);
  });

  test('rejects arguments of wrong types, and unknown options', () => {
    const pd = open().allocPd();
    expect(() => pd.createAh(1 as never)).toThrow(wrongType('"options"'));
    expect(() => pd.createAh({ dgid: 1 } as never)).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE', 'options.dgid'),
    );
    for (const name of ['dlid', 'sl', 'staticRate', 'port']) {
      expect(() => pd.createAh({ [name]: '1' })).toThrow(wrongType(`"options.${name}"`));
      expect(() => pd.createAh({ [name]: -1 })).toThrow(outOfRange(`"options.${name}"`));
      expect(() => pd.createAh({ [name]: name === 'dlid' ? 2 ** 32 : 256 })).toThrow(
        outOfRange(`"options.${name}"`),
      );
      expect(pd.createAh({ [name]: undefined }).id).toBeGreaterThan(0);
    }
  });

  test('is the only way to create a handle', () => {
    expect(() => new (AddressHandle as any)()).toThrow(argumentError('ERR_ILLEGAL_CONSTRUCTOR'));
  });
});

describe('an address handle', () => {
  test('keeps its domain from being deallocated until it is destroyed, which may happen twice', () => {
    const pd = open().allocPd();
    const ah = pd.createAh();
    expect(() => pd.dealloc()).toThrow(rdma('EBUSY', 'dealloc_pd'));
    ah.destroy();
    ah.destroy();
    ah[Symbol.dispose]();
    pd.dealloc();
    expect(ah.id).toBe(1);
  });

  test('is closed with its domain and its device', () => {
    const device = open();
    const [pd, other] = [device.allocPd(), device.allocPd()];
    const [ah, later] = [pd.createAh(), other.createAh()];
    pd.dealloc({ cascade: true });
    expect([ah.toJSON().state, later.toJSON().state]).toEqual(['Closed', 'Open']);
    device.close({ cascade: true });
    expect(later.toJSON().state).toBe('Closed');
    ah.destroy();
    later.destroy();
  });

  test('may be destroyed while a datagram that names it is queued', () => {
    const device = open({ engine: 'manual' });
    const pd = device.allocPd();
    const cq = device.createCq(4);
    const [a, b] = [pd.createQp({ type: 'UD', sendCq: cq }), pd.createQp({ type: 'UD', sendCq: cq })];
    for (const qp of [a, b]) qp.activate({ qkey: 7 });
    const { sge, bytes } = memory(pd, 64);
    b.postRecv({ wrId: 2, sges: [sge()] });
    const ah = pd.createAh({ sl: 5 });
    bytes.set(Buffer.from('hello'), 0);
    a.postSend({
      opcode: 'SEND',
      wrId: 1,
      signaled: true,
      sges: [sge(0, 5)],
      ah,
      remoteQpn: b.qpn,
      remoteQkey: 7,
    });
    ah.destroy();
    device.run();
    expect(cq.poll()).toMatchObject([
      { wrId: 2, ok: true, opcode: 'RECV', byteLength: 45, sl: 5, slid: 1, port: 1, srcQp: a.qpn },
      { wrId: 1, ok: true, opcode: 'SEND', byteLength: 5, sl: 0, slid: 0, port: 0 },
    ]);
    expect(bytes.toString('latin1', 40, 45)).toBe('hello');
    expect(() => {
      a.postSend({ opcode: 'SEND', ah, remoteQpn: b.qpn, remoteQkey: 7 });
    }).toThrow(rdma('EINVAL', 'post_send'));
  });

  test('shows its id and state', () => {
    const ah = open().allocPd().createAh();
    expect([inspect(ah), String(ah), JSON.stringify(ah)]).toEqual([
      'AddressHandle { #1 Open }',
      'AddressHandle { #1 Open }',
      '{"class":"AddressHandle","id":1,"state":"Open"}',
    ]);
    ah.destroy();
    expect(String(ah)).toBe('AddressHandle { #1 Closed }');
  });
});
