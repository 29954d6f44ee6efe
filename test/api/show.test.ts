// Tests how objects are printed by inspect, toString and toJSON, and that no two objects are deep-equal.
import { inspect, isDeepStrictEqual } from 'node:util';
import * as threads from 'node:worker_threads';
import { Access, accessNames, type MemoryRegion } from '../../lib';
import { accepted, outOfRange, rdma, wrongType } from '../support/answers';
import { testIf } from '../support/conditions';
import { classes, everything } from '../support/members';
import { scene } from '../support/scene';

const key = (region: MemoryRegion): string => `0x${region.lkey.toString(16)}`;

describe('a region shows', () => {
  test('its kind, ID, key, addresses, rights, references and state', () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(100), {
      iova: 0x7000n,
      access: Access.LocalWrite | Access.RemoteRead,
    });
    const text = `MemoryRegion { user #1 key ${key(mr)} iova 0x7000 length 100 LocalWrite|RemoteRead refs 2 Valid }`;
    expect([inspect(mr), String(mr), inspect([mr], { breakLength: Infinity })]).toEqual([
      text,
      text,
      `[ ${text} ]`,
    ]);
    expect(JSON.parse(JSON.stringify(mr))).toEqual({
      class: 'MemoryRegion',
      kind: 'USER',
      id: mr.id,
      lkey: key(mr),
      rkey: key(mr),
      start: `0x${mr.start.toString(16)}`,
      iova: '0x7000',
      length: 100,
      access: ['LocalWrite', 'RemoteRead'],
      refs: 2,
      state: 'Valid',
    });
  });

  test('each state and every kind', () => {
    const { device, pd, qp } = scene({ trusted: true });
    const [user, sg] = [pd.regUserMr(Buffer.alloc(8)), pd.allocMr({ maxNumSg: 1 })];
    const [dma, fmr] = [pd.getDmaMr(), pd.allocFmr({ maxPages: 1 })];
    expect([user, sg, dma, fmr].map((region) => String(region).split(' ')[2])).toEqual([
      'user',
      'mem_reg',
      'dma',
      'fmr',
    ]);
    expect(String(fmr)).toMatch(/^FastMemoryRegion \{/);
    qp.invalidateRkey(sg.rkey);
    expect(String(sg)).toMatch(/ Invalid \}$/);
    const sge = accepted(pd.acquire({ addr: user.start, length: 8, lkey: user.lkey }, 0));
    expect(() => user.dereg()).toThrow(rdma('EBUSY'));
    expect(String(user)).toMatch(/ refs 2 HalfDead \}$/);
    sge.put();
    const was = key(user);
    dma.dereg();
    device.close({ cascade: true });
    expect([user, sg, fmr].map(String)).toEqual([
      `MemoryRegion { user #1 key ${was} Closed }`,
      'MemoryRegion { #2 Closed }',
      'FastMemoryRegion { fmr #4 Closed }',
    ]);
    expect(sg.toJSON()).toEqual({ class: 'MemoryRegion', id: 2, state: 'Closed' });
  });
});

describe('every class', () => {
  const close = (object: any): void => {
    try {
      object[Symbol.dispose]?.();
    } catch {
      // The device may be closed already.
    }
  };

  test.each(classes)('%s prints as one line and as JSON, open and closed', (name, _type, find) => {
    const all = everything();
    const object = find(all);
    for (const state of ['alive', 'closed']) {
      if (state === 'closed') {
        close(object);
        close(all.device);
      }
      const text = inspect(object);
      expect([state, text]).toEqual([state, expect.stringMatching(new RegExp(`^${name} \\{ .+ \\}$`))]);
      expect(String(object)).toBe(text);
      expect(JSON.parse(JSON.stringify(object))).toEqual(object.toJSON());
      expect(object.toJSON()).toMatchObject({ class: name });
    }
    expect(Object.prototype.toString.call(object)).toBe(`[object ${name}]`);
  });

  test.each(classes)('%s is abbreviated beyond the depth of inspect', (name, _type, find) => {
    const object = find(everything());
    expect(inspect({ a: { b: object } }, { depth: 1 })).toContain(`[${name}]`);
    expect(inspect({ a: { b: object } }, { depth: null })).toContain(`${name} {`);
  });

  test.each(classes)(
    '%s: printing never throws, even on prototypes and other objects',
    (name, type, find) => {
      const { toString, toJSON } = type.prototype;
      const custom = type.prototype[Symbol.for('nodejs.util.inspect.custom')];
      const others = [
        type.prototype,
        {},
        Object.create(find(everything())),
        Object.create(null),
        null,
        undefined,
        1,
      ];
      for (const self of others) {
        expect(Reflect.apply(toString, self, [])).toMatch(/^\w+ \{\}$/);
        expect(Reflect.apply(toJSON, self, [])).toEqual({ class: expect.any(String) });
        expect(Reflect.apply(custom, self, [2, {}])).toBe(`${name} {}`);
        expect(Reflect.apply(custom, self, [-1, {}])).toBe(`[${name}]`);
      }
      expect(typeof inspect(type.prototype)).toBe('string');
    },
  );

  test.each(classes)('%s: no two objects are deep-equal', (_name, _type, find) => {
    const [one, other] = [find(everything()), find(everything())];
    expect(isDeepStrictEqual(one, one)).toBe(true);
    expect(isDeepStrictEqual(one, other)).toBe(false);
    expect(one).not.toEqual(other);
  });

  test.each(classes)('%s: its printing methods are not enumerable', (_name, type) => {
    const names = Reflect.ownKeys(type.prototype);
    expect(Object.keys(type.prototype)).toEqual([]);
    expect(names).toContain(Symbol.toStringTag);
  });

  test('an SGE that was put says so', () => {
    const { sge } = everything();
    expect(String(sge)).toMatch(
      /^Sge \{ region 1 remote false address 0x[0-9a-f]+ at 0x0 length 8 .* Held \}$/,
    );
    sge.put();
    expect([String(sge), sge.toJSON()]).toEqual(['Sge { Put }', { class: 'Sge', state: 'Put' }]);
  });

  testIf('markAsUncloneable' in threads, 'this Node has no markAsUncloneable')(
    'devices, domains, queue pairs and regions cannot be cloned',
    () => {
      const { device, pd, qp, mr, fmr } = everything();
      for (const object of [device, pd, qp, mr, fmr]) {
        expect(() => structuredClone(object)).toThrow(expect.objectContaining({ name: 'DataCloneError' }));
      }
    },
  );
});

describe('accessNames', () => {
  test('names each bit in order, and prints unknown bits as hex', () => {
    expect(accessNames(0)).toEqual([]);
    expect(accessNames(31)).toEqual(['LocalWrite', 'RemoteWrite', 'RemoteRead', 'RemoteAtomic', 'MwBind']);
    expect(accessNames(Access.RemoteRead | Access.LocalWrite)).toEqual(['LocalWrite', 'RemoteRead']);
    expect(accessNames(0x80000025)).toEqual(['LocalWrite', 'RemoteRead', '0x80000020']);
    for (const [name, bit] of Object.entries(Access)) expect(accessNames(bit as number)).toEqual([name]);
  });

  test('rejects invalid masks', () => {
    for (const mask of [-1, 2 ** 32, 0.5, NaN]) expect(() => accessNames(mask)).toThrow(outOfRange('mask'));
    for (const mask of ['1', 1n, null, undefined, {}])
      expect(() => accessNames(mask as any)).toThrow(wrongType('mask'));
  });
});
