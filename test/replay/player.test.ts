import type { Answer } from '../../lib/replay/answers';
import { TracePlayer } from '../../lib/replay/player';
import { type Operation, TraceError } from '../../lib/replay/trace-format';
import { testIf } from '../support/conditions';

const skipped = { skipped: true };

const init: Operation = { op: 'init', lkey_table_bits: 4, dma_pages: 16, dma_base: '0x100000' };
const pd: Operation = { op: 'alloc_pd', id: 'pd', user: false };
const qp: Operation = { op: 'create_qp', id: 'qp', pd: 'pd' };
const user = (id: string, length = 0x1000): Operation => ({
  op: 'reg_user_mr',
  id,
  pd: 'pd',
  start: '0x10000',
  length: `0x${length.toString(16)}`,
  virt_addr: '0x10000',
  access: 15,
});
const allocMr = (id: string): Operation => ({ op: 'alloc_mr', id, pd: 'pd', type: 'mem_reg', max_num_sg: 4 });
const allocFmr = (id: string): Operation => ({
  op: 'alloc_fmr',
  id,
  pd: 'pd',
  access: 15,
  max_pages: 4,
  max_maps: 1,
  page_shift: 12,
});
const check = (
  id: string,
  addr: number,
  length: number,
  lkey: number,
  last: string | null = null,
): Operation => ({
  op: 'lkey_ok',
  id,
  pd: 'pd',
  sge: { addr: `0x${addr.toString(16)}`, length, lkey: `0x${lkey.toString(16)}` },
  acc: 0,
  last,
});

/** Returns whether the system reserves any amount of memory on request. */
function isVast(bytes: number): boolean {
  try {
    return new ArrayBuffer(bytes).byteLength === 0;
  } catch {
    return true;
  }
}

let player: TracePlayer;
beforeEach(() => {
  player = new TracePlayer();
});
afterEach(() => player.close());

function play(...operations: Operation[]): Answer[] {
  return operations.map((op) => player.play(op));
}

/** Plays the operations and returns the last answer. */
function last(...operations: Operation[]): Answer | undefined {
  return play(...operations).at(-1);
}

describe('sessions', () => {
  const everything: Operation[] = [
    pd,
    qp,
    user('mr'),
    { op: 'get_dma_mr', id: 'd', pd: 'pd', access: 0 },
    allocMr('am'),
    allocFmr('f'),
    { op: 'map_mr_sg', mr: 'am', sg: [], sg_offset: null, page_size: 4096 },
    { op: 'fast_reg_mr', qp: 'qp', mr: 'am', key: '0x100', access: 0 },
    { op: 'invalidate_rkey', qp: 'qp', rkey: '0x100' },
    { op: 'map_phys_fmr', fmr: 'f', pages: [], iova: '0x0' },
    { op: 'unmap_fmr', fmrs: [] },
    { op: 'dealloc_fmr', fmr: 'f' },
    { op: 'dereg_mr', mr: 'mr' },
    check('s', 0, 0, 0),
    { op: 'rkey_ok', id: 's2', qp: 'qp', len: 0, vaddr: '0x0', rkey: '0x0', acc: 0 },
    { op: 'put_sge', sge: 's' },
    { op: 'walk', sges: ['s'], steps: [], release: false },
    { op: 'refs', mr: 'mr' },
    { op: 'table' },
    { op: 'exit' },
  ];

  it('skip every operation while none is open', () => {
    expect(play(...everything)).toEqual(everything.map(() => skipped));
    expect(play({ ...init, lkey_table_bits: 0 })).toEqual([{ err: 'EINVAL' }]);
    expect(play(...everything)).toEqual(everything.map(() => skipped));
    expect(last(init, { op: 'exit' })).toEqual({ ret: 0, dma_mr_leaked: false });
    expect(play(...everything)).toEqual(everything.map(() => skipped));
  });

  it('are abandoned by an init, even if the init fails', () => {
    play(init, pd, user('mr'), check('s', 0x10000, 16, 0x100));
    expect(play(init, { op: 'refs', mr: 'mr' }, { op: 'put_sge', sge: 's' })).toEqual([
      { ret: 0, bits: 4 },
      skipped,
      skipped,
    ]);
    expect(play(pd, { ...init, lkey_table_bits: 0 }, { op: 'table' })).toEqual([
      { ret: 0 },
      { err: 'EINVAL' },
      skipped,
    ]);
  });

  it('have separate IDs, keys and DMA memory', () => {
    const session: Operation[] = [
      init,
      pd,
      qp,
      user('mr'),
      { op: 'get_dma_mr', id: 'd', pd: 'pd', access: 0 },
    ];
    const first = play(...session, { op: 'exit' });
    expect(first.at(-1)).toEqual({ ret: 0, dma_mr_leaked: true });
    expect(play(...session, { op: 'exit' })).toEqual(first);
  });

  it('are abandoned by exit with everything open: regions, half-dead ones, elements', () => {
    const answers = play(
      init,
      pd,
      user('a'),
      user('b'),
      check('s', 0x10000, 16, 0x100),
      { op: 'dereg_mr', mr: 'a' },
      { op: 'exit' },
    );
    expect(answers.slice(-2)).toEqual([{ err: 'EBUSY' }, { ret: 0, dma_mr_leaked: false }]);
  });

  it('may have no DMA memory', () => {
    const dma: Operation = { op: 'get_dma_mr', id: 'd', pd: 'pd', access: 0 };
    expect(last({ ...init, dma_pages: 0 }, pd, dma, check('s', 0x100000, 1, 0))).toEqual({
      err: 'EINVAL',
    });
  });

  it('may have DMA memory that ends at the end of the address space', () => {
    const top: Operation = { op: 'init', lkey_table_bits: 4, dma_pages: 1, dma_base: '0xfffffffffffff000' };
    const sg = [{ addr: '0xfffffffffffff000', length: 4096 }] as const;
    const map: Operation = { op: 'map_mr_sg', mr: 'am', sg: [...sg], sg_offset: null, page_size: 4096 };
    expect(last(top, pd, allocMr('am'), map)).toEqual({
      ret: 1,
      iova: '0xfffffffffffff000',
      length: '0x1000',
    });
  });
});

describe('IDs', () => {
  it('that name nothing or an object of another kind are skipped', () => {
    play(init, pd, qp, user('mr'), allocMr('am'), allocFmr('f'), check('s', 0x10000, 16, 0x100));
    const wrong: Operation[] = [
      { op: 'create_qp', id: 'x', pd: 'qp' },
      { ...user('x'), pd: 'mr' } as Operation,
      { op: 'get_dma_mr', id: 'x', pd: 's', access: 0 },
      { ...allocMr('x'), pd: 'nothing' } as Operation,
      { ...allocFmr('x'), pd: '__proto__' } as Operation,
      { op: 'map_mr_sg', mr: 'pd', sg: [], sg_offset: null, page_size: 4096 },
      { op: 'fast_reg_mr', qp: 'pd', mr: 'am', key: '0x100', access: 0 },
      { op: 'fast_reg_mr', qp: 'qp', mr: 's', key: '0x100', access: 0 },
      { op: 'invalidate_rkey', qp: 'mr', rkey: '0x100' },
      { op: 'map_phys_fmr', fmr: 'am', pages: [], iova: '0x0' },
      { op: 'unmap_fmr', fmrs: ['f', 'mr'] },
      { op: 'dealloc_fmr', fmr: 'mr' },
      { op: 'dereg_mr', mr: 'f' },
      check('x', 0x10000, 16, 0x100, 'mr'),
      { op: 'rkey_ok', id: 'x', qp: 's', len: 0, vaddr: '0x0', rkey: '0x0', acc: 0 },
      { op: 'put_sge', sge: 'mr' },
      { op: 'walk', sges: ['s', 'mr'], steps: [], release: false },
      { op: 'refs', mr: 'qp' },
    ];
    for (const op of wrong) expect({ op, answer: player.play(op) }).toEqual({ op, answer: skipped });
    expect(last({ op: 'refs', mr: 'mr' })).toEqual({ refs: 3 });
  });

  it('are never reused, even after their object is closed', () => {
    play(init, pd, qp, user('mr'), user('gone'), { op: 'dereg_mr', mr: 'gone' });
    for (const id of ['pd', 'qp', 'mr', 'gone']) {
      const again: Operation[] = [
        { op: 'alloc_pd', id, user: false },
        user(id),
        allocMr(id),
        check(id, 0x10000, 16, 0x100),
      ];
      for (const op of again) {
        expect(() => player.play(op)).toThrow(new TraceError(`id "${id}" is used twice`));
      }
    }
  });

  it('of unsuccessful operations stay free', () => {
    play(init, pd, qp);
    expect(
      play(user('mr', 0), user('mr'), check('s', 0, 1, 0x100), check('s', 0x10000, 1, 0x100)),
    ).toMatchObject([{ err: 'EINVAL' }, { ret: 0 }, { err: 'EINVAL' }, { ret: 1 }]);
    const remote: Operation = {
      op: 'rkey_ok',
      id: 'r',
      qp: 'qp',
      len: 1,
      vaddr: '0x0',
      rkey: '0x100',
      acc: 4,
    };
    expect(play(remote, { ...remote, vaddr: '0x10000' })).toMatchObject([{ ret: 0 }, { ret: 1 }]);
  });

  it('are not bound by a coalesced element, which extends the previous one', () => {
    const map: Operation = {
      op: 'map_phys_fmr',
      fmr: 'f',
      pages: ['0x100000', '0x101000'],
      iova: '0x100000',
    };
    const sge = { mr: 'f', at: { dma: '0x100000' }, length: 4096, sge_length: 8192, m: 0, n: 0 };
    play(init, pd, allocFmr('f'), map, check('s', 0x100000, 4096, 0x100));
    expect(play(check('t', 0x101000, 4096, 0x100, 's'), { op: 'put_sge', sge: 't' })).toEqual([
      { ret: 0, sge },
      skipped,
    ]);
    expect(last({ op: 'refs', mr: 'f' })).toEqual({ refs: 3 });
  });

  it('of remote elements may be named as `last`, without coalescing', () => {
    const map: Operation = {
      op: 'map_phys_fmr',
      fmr: 'f',
      pages: ['0x100000', '0x101000'],
      iova: '0x100000',
    };
    const remote: Operation = {
      op: 'rkey_ok',
      id: 'r',
      qp: 'qp',
      len: 4096,
      vaddr: '0x100000',
      rkey: '0x100',
      acc: 4,
    };
    expect(
      last(init, pd, qp, allocFmr('f'), map, remote, check('s', 0x101000, 4096, 0x100, 'r')),
    ).toMatchObject({
      ret: 1,
    });
  });
});

describe('walks', () => {
  const walk = (sges: string[], steps: number[], release: boolean): Operation => ({
    op: 'walk',
    sges,
    steps,
    release,
  });

  it('may have steps of 0 bytes, or no steps', () => {
    play(init, pd, user('mr'), check('s', 0x10000, 16, 0x100));
    expect(play(walk(['s'], [0, 0], true), walk(['s'], [], true), walk(['s'], [0, 16, 0], true))).toEqual([
      { ret: 0, fragments: [[], []] },
      { ret: 0, fragments: [] },
      { ret: 0, fragments: [[], [{ mr: 'mr', at: { byte: 0 }, len: 16 }], []] },
    ]);
    expect(last({ op: 'put_sge', sge: 's' })).toEqual(skipped);
  });

  it('with release over 255 elements put the consumed ones and leave the others unchanged', () => {
    const sges = Array.from({ length: 255 }, (_, i) => `s${i}`);
    play(init, pd, user('mr'), ...sges.map((id) => check(id, 0x10000, 4, 0x100)));
    expect(last({ op: 'refs', mr: 'mr' })).toEqual({ refs: 257 });
    expect(last(walk(sges, [4 * 254 + 2], true))).toMatchObject({ ret: 0 });
    expect(last({ op: 'refs', mr: 'mr' })).toEqual({ refs: 3 });
    expect(play(...sges.slice(0, 254).map((sge): Operation => ({ op: 'put_sge', sge })))).toEqual(
      sges.slice(0, 254).map(() => skipped),
    );
    expect(play(walk(['s254'], [4], false), { op: 'put_sge', sge: 's254' })).toMatchObject([
      { fragments: [[{ at: { byte: 0 }, len: 4 }]] },
      { ret: 0 },
    ]);
  });

  it('that fail release nothing', () => {
    play(init, pd, user('mr'), check('a', 0x10000, 16, 0x100), check('b', 0x10000, 16, 0x100));
    const failing = [
      walk(['a', 'b'], [33], true),
      walk(['a', 'a'], [16], true),
      walk(['a', 'b'], [4294967295, 4294967295], true),
    ];
    expect(play(...failing)).toEqual(failing.map(() => ({ err: 'EINVAL' })));
    expect(last({ op: 'refs', mr: 'mr' })).toEqual({ refs: 4 });
  });

  it('over half-dead regions continue, and name the regions', () => {
    play(init, pd, user('mr'), check('s', 0x10000, 16, 0x100), { op: 'dereg_mr', mr: 'mr' });
    expect(play(walk(['s'], [16], true), { op: 'refs', mr: 'mr' }, { op: 'dereg_mr', mr: 'mr' })).toEqual([
      { ret: 0, fragments: [[{ mr: 'mr', at: { byte: 0 }, len: 16 }]] },
      { refs: 1 },
      { ret: 0 },
    ]);
    expect(last({ op: 'refs', mr: 'mr' })).toEqual(skipped);
  });

  it('with an answer of excessive length are refused in advance', () => {
    const gigabyte = 2 ** 30;
    play(init, pd, user('mr', gigabyte), check('s', 0x10000, gigabyte, 0x100));
    const all = walk(['s'], [gigabyte], false);
    const answer = player.play(all) as { fragments: unknown[][] };
    expect(answer.fragments[0]).toHaveLength(gigabyte / 4096);

    const often = Array.from({ length: 255 }, () => 's');
    expect(() => player.play(walk(often, Array(255).fill(gigabyte), false))).toThrow(
      /the answer would have more than \d+ fragments/,
    );
    // A walk past the end is still refused by the core.
    expect(last(walk(often, Array(256).fill(gigabyte), false))).toEqual({ err: 'EINVAL' });
    // A walk over many bytes is allowed if it has few fragments.
    const dma: Operation = { op: 'get_dma_mr', id: 'd', pd: 'pd', access: 0 };
    play(dma, check('k', 0x100000, 16 * 4096, 0));
    const keyZero = Array.from({ length: 255 }, () => 'k');
    expect(last(walk(keyZero, [255 * 16 * 4096], false))).toMatchObject({ ret: 0 });
  });
});

describe('memory', () => {
  it('is allocated only after the core has accepted the arguments', () => {
    play(init, pd);
    const huge = { ...user('mr'), length: '0xffffffffffffffff' } as Operation;
    expect(last(huge)).toEqual({ err: 'EINVAL' });
  });

  it.each(['0x100000000000', '0x1000000000000', '0xfffffffffff00000'])(
    'that cannot be allocated ends the player: %s bytes',
    (length) => {
      play(init, pd);
      const op = { ...user('mr'), start: '0x1000', virt_addr: '0x0', length } as Operation;
      expect(() => player.play(op)).toThrow(
        new TraceError(`reg_user_mr: cannot allocate ${BigInt(length).toString()} bytes of memory`),
      );
    },
  );

  testIf(isVast(2 ** 44 - 4096), 'this system reserves any amount of memory')(
    'for DMA that cannot be allocated ends the player',
    () => {
      const op: Operation = { op: 'init', lkey_table_bits: 4, dma_pages: 2 ** 32 - 1, dma_base: '0x0' };
      expect(() => player.play(op)).toThrow('init: cannot allocate 17592186040320 bytes of memory');
    },
  );

  it('is freed with its region', () => {
    play(init, pd);
    for (let i = 0; i < 300; i++) {
      expect(player.play(user(`mr${i}`, 2 ** 28))).toMatchObject({ ret: 0 });
      expect(player.play({ op: 'dereg_mr', mr: `mr${i}` })).toEqual({ ret: 0 });
    }
    // By now 75 GiB have been registered.
    expect(process.memoryUsage().arrayBuffers).toBeLessThan(2 ** 34);
  });
});

it('does not apply the rule of the verbs core, and allows key 0 in remote checks', () => {
  const dma: Operation = { op: 'get_dma_mr', id: 'd', pd: 'pd', access: 0 };
  const remote: Operation = {
    op: 'rkey_ok',
    id: 's',
    qp: 'qp',
    len: 1,
    vaddr: '0x100000',
    rkey: '0x0',
    acc: 0,
  };
  // The access mask grants remote write without local write.
  expect(play(init, pd, qp, { ...user('mr'), access: 2 } as Operation, dma, remote).slice(3)).toEqual([
    { ret: 0, lkey: '0x100', rkey: '0x100' },
    { ret: 0, lkey: '0x0', rkey: '0x0' },
    { ret: 1, sge: { mr: 'd', at: { dma: '0x100000' }, length: 1, sge_length: 1, m: 0, n: 0 } },
  ]);
});
