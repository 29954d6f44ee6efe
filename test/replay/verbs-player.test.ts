import type { Answer } from '../../lib/replay/answers';
import { TracePlayer } from '../../lib/replay/player';
import { parseOperation, TraceError } from '../../lib/replay/trace-format';

const skipped = { skipped: true };
const MOST = 2 ** 32 - 1;

const limits = {
  max_qp: 24,
  max_qp_wr: 32,
  max_send_sge: 4,
  max_recv_sge: 4,
  max_cq: 16,
  max_cqe: 4096,
  max_srq: 6,
  max_srq_wr: 32,
  max_srq_sge: 3,
  max_pd: 2,
  max_rdma_atomic: 8,
  npkeys: 4,
  max_ah: 8,
};
const init = { op: 'init', lkey_table_bits: 8, dma_pages: 16, dma_base: '0x100000', limits };
const av = { dlid: 1, sl: 0, static_rate: 0, port: 1 };
const queuePair = {
  op: 'create_qp',
  id: 3,
  pd: 1,
  type: 'RC',
  send_cq: 2,
  recv_cq: 2,
  srq: null,
  max_send_wr: 8,
  max_recv_wr: 8,
  max_send_sge: 2,
  max_recv_sge: 2,
  max_inline_data: 0,
  sq_sig_type: 'REQ',
};
const objects = [
  init,
  { op: 'alloc_pd', id: 1, user: false },
  { op: 'create_cq', id: 2, cqe: 16 },
  queuePair,
];
const region = (id: number | string, length: number): object => ({
  op: 'reg_user_mr',
  id,
  pd: 1,
  start: '0x10010',
  length: `0x${length.toString(16)}`,
  virt_addr: '0x10010',
  access: 15,
});
const modify = (qp: number, attr: object): object => ({ op: 'modify_qp', qp, attr });
/** Brings a queue pair of type RC to RTS. */
const connect = (qp: number, dest_qpn: number): object[] => [
  modify(qp, { state: 'INIT', pkey_index: 0, port: 1, access: 15 }),
  modify(qp, {
    state: 'RTR',
    av,
    path_mtu: 5,
    dest_qpn,
    rq_psn: 0,
    max_dest_rd_atomic: 1,
    min_rnr_timer: 12,
  }),
  modify(qp, { state: 'RTS', timeout: 0, retry_cnt: 7, rnr_retry: 7, sq_psn: 0, max_rd_atomic: 1 }),
];
const sge = (length: number, lkey = '0x100', addr = '0x10010'): object => ({ addr, length, lkey });
const send = (sges: object[], more: object = {}): object => ({
  wr_id: 1,
  opcode: 'SEND',
  flags: ['SIGNALED'],
  sges,
  ...more,
});
const postSend = (wrs: object[], qp = 3): object => ({ op: 'post_send', qp, wrs });

let player: TracePlayer;
beforeEach(() => {
  player = new TracePlayer();
});
afterEach(() => player.close());

/** Plays operations as the command line does, through the parser. */
function play(...operations: object[]): Answer[] {
  return operations.map((op) => player.play(parseOperation(JSON.stringify(op))));
}

function last(...operations: object[]): Answer | undefined {
  return play(...operations).at(-1);
}

describe('IDs', () => {
  it('that are integers and strings are different', () => {
    const again = { op: 'alloc_pd', id: '1', user: false };
    expect(play(...objects, again, { op: 'dealloc_pd', pd: '1' }, { op: 'dealloc_pd', pd: 1 })).toEqual([
      { ret: 0, bits: 8 },
      { ret: 0 },
      { ret: 0 },
      { ret: 0, qpn: 2 },
      { ret: 0 },
      { ret: 0 },
      { err: 'EBUSY' },
    ]);
    expect(() => play(again)).toThrow(new TraceError('id "1" is used twice'));
  });

  it('that name nothing or an object of another kind are skipped', () => {
    play(...objects, region(6, 4096));
    const wrong: object[] = [
      { op: 'dealloc_pd', pd: 2 },
      { op: 'create_ah', id: 9, pd: 2, av },
      { op: 'destroy_ah', ah: 1 },
      { op: 'mr_state', mr: 3 },
      { op: 'fill', mr: 3, offset: 0, length: 1, seed: 0 },
      { op: 'mem', mr: 9, offset: 0, length: 1 },
      { op: 'resize_cq', cq: 3, cqe: 1 },
      { op: 'destroy_cq', cq: 9 },
      { op: 'poll_cq', cq: 1, n: 1 },
      { op: 'req_notify_cq', cq: 1, flags: 2 },
      { op: 'create_srq', id: 9, pd: 2, max_wr: 1, max_sge: 1, srq_limit: 0 },
      { op: 'modify_srq', srq: 2, max_wr: 1 },
      { op: 'query_srq', srq: 2 },
      { op: 'destroy_srq', srq: 2 },
      { op: 'post_srq_recv', srq: 3, wrs: [] },
      { ...queuePair, id: 9, pd: 2 },
      { ...queuePair, id: 9, send_cq: 3 },
      { ...queuePair, id: 9, recv_cq: 9 },
      { ...queuePair, id: 9, srq: 2 },
      modify(2, {}),
      { op: 'query_qp', qp: 2 },
      { op: 'destroy_qp', qp: 2 },
      { op: 'post_recv', qp: 2, wrs: [] },
      postSend([], 2),
      postSend([send([]), send([], { opcode: 'REG_MR', mr: 3, key: '0x101', access: 0 })]),
      postSend([send([]), send([], { ah: 9, remote_qpn: 2, remote_qkey: 0 })]),
      { op: 'run', kick: [3, 2] },
    ];
    for (const op of wrong) expect({ op, answer: last(op) }).toEqual({ op, answer: skipped });
    play(...connect(3, 2));
    expect(last({ op: 'mr_state', mr: 6 })).toEqual({ key: '0x100', invalid: false });
  });

  it('of destroyed objects are released, but never bound again', () => {
    play(...objects, { op: 'create_srq', id: 4, pd: 1, max_wr: 1, max_sge: 1, srq_limit: 0 });
    play({ op: 'create_ah', id: 5, pd: 1, av });
    expect(last({ op: 'destroy_cq', cq: 2 })).toEqual({ err: 'EBUSY' });
    const destroyed: object[] = [
      { op: 'destroy_qp', qp: 3 },
      { op: 'destroy_cq', cq: 2 },
      { op: 'destroy_srq', srq: 4 },
      { op: 'destroy_ah', ah: 5 },
      { op: 'dealloc_pd', pd: 1 },
    ];
    expect(play(...destroyed, ...destroyed)).toEqual([
      ...destroyed.map(() => ({ ret: 0 })),
      ...destroyed.map(() => skipped),
    ]);
    for (const id of [1, 2, 3, 4, 5])
      expect(() => play({ op: 'create_cq', id, cqe: 1 })).toThrow(new TraceError(`id "${id}" is used twice`));
  });
});

describe('sessions', () => {
  it('without limits have those of a device of the package', () => {
    const { limits: _, ...plain } = init;
    expect(last(plain, ...objects.slice(1))).toEqual({ ret: 0, qpn: 2 });
    expect(play({ op: 'create_ah', id: 5, pd: 1, av }, { op: 'run' }, { op: 'timers' })).toEqual([
      { ret: 0 },
      { ret: 0 },
      { fired: [] },
    ]);
  });

  it('have no address handles if the limits do not name them', () => {
    const { max_ah: _, ...fewer } = limits;
    play({ ...init, limits: fewer }, ...objects.slice(1));
    expect(last({ op: 'create_ah', id: 5, pd: 1, av })).toEqual({ err: 'ENOMEM' });
  });

  it('answer ENOMEM for more protection domains than allowed', () => {
    const pds = [1, 2, 3].map((id) => ({ op: 'alloc_pd', id, user: true }));
    expect(play(init, ...pds).slice(1)).toEqual([{ ret: 0 }, { ret: 0 }, { err: 'ENOMEM' }]);
  });

  it('can be left with queued work, armed queues and running timers', () => {
    play(...objects, { ...queuePair, id: 4 }, ...connect(3, 3), ...connect(4, 2), region(6, 64));
    play({ op: 'req_notify_cq', cq: 2, flags: 2 }, postSend([send([sge(5)])]), { op: 'run' });
    play(postSend([send([sge(5)])], 4));
    expect(play({ op: 'refs', mr: 6 }, { op: 'exit' })).toEqual([
      { refs: 4 },
      { ret: 0, dma_mr_leaked: false },
    ]);
  });
});

describe('fill and mem', () => {
  const mem = (place: object, length: number): object => ({ op: 'mem', ...place, length });
  const fill = (place: object, length: number): object => ({ op: 'fill', ...place, length, seed: 2 });

  it('write and read the bytes of a user region, which start at zero', () => {
    play(...objects, region(6, 4096), region(7, 4096));
    const place = { mr: 6, offset: 10 };
    expect(play(mem(place, 3), fill(place, 4), mem({ mr: 6, offset: 9 }, 6), mem(place, 0))).toEqual([
      { hex: '000000' },
      { ret: 0 },
      { hex: '003e454c5300' },
      { hex: '' },
    ]);
    expect(last(mem({ mr: 7, offset: 10 }, 4))).toEqual({ hex: '00000000' });
  });

  it('use the fill pattern of the format across 256 bytes, and the hash for more than 32 bytes', () => {
    play(...objects, region(6, 4096));
    const expected = Array.from({ length: 600 }, (_, k) => (2 * 31 + k * 7 + Math.floor(k / 256) * 13) % 256);
    expect(play(fill({ mr: 6, offset: 0 }, 600), mem({ mr: 6, offset: 500 }, 32))).toEqual([
      { ret: 0 },
      { hex: Buffer.from(expected.slice(500, 532)).toString('hex') },
    ]);
    const fnv = expected.reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193) >>> 0, 0x811c9dc5);
    expect(last(mem({ mr: 6, offset: 0 }, 600))).toEqual({ fnv: `0x${fnv.toString(16)}` });
  });

  it('follow the list of a mapped region, from its first byte', () => {
    const list = [
      { addr: '0x100f00', length: 256 },
      { addr: '0x105000', length: 4096 },
    ];
    play(...objects, { op: 'alloc_mr', id: 6, pd: 1, type: 'mem_reg', max_num_sg: 4 });
    expect(play(mem({ mr: 6, offset: 0 }, 1), fill({ mr: 6, offset: 0 }, 1))).toEqual([skipped, skipped]);
    play({ op: 'map_mr_sg', mr: 6, sg: list, sg_offset: 254, page_size: 4096 });
    expect(
      play(
        fill({ mr: 6, offset: 1 }, 2),
        mem({ dma: '0x100ffe' }, 2),
        mem({ dma: '0x105000' }, 2),
        mem({ mr: 6, offset: 0 }, 4),
        mem({ mr: 6, offset: 4097 }, 2),
      ),
    ).toEqual([{ ret: 0 }, { hex: '003e' }, { hex: '4500' }, { hex: '003e4500' }, { err: 'EINVAL' }]);
  });

  it('answer EINVAL for bytes outside the region or outside DMA memory, and skip DMA regions', () => {
    play(...objects, region(6, 4096), { op: 'get_dma_mr', id: 7, pd: 1, access: 0 });
    const outside = [
      mem({ mr: 6, offset: 4096 }, 1),
      mem({ mr: 6, offset: MOST }, MOST),
      mem({ dma: '0xfffff' }, 1),
      mem({ dma: '0x110000' }, 1),
      fill({ dma: '0x10ffff' }, 2),
      fill({ dma: '0xffffffffffffffff' }, MOST),
    ];
    expect(play(...outside)).toEqual(outside.map(() => ({ err: 'EINVAL' })));
    expect(last(mem({ mr: 7, offset: 0 }, 1))).toEqual(skipped);
  });
});

it('reports events in order: completion handlers run last', () => {
  play(init, ...objects.slice(1, 2), { op: 'create_cq', id: 2, cqe: 1 });
  play({ op: 'create_srq', id: 5, pd: 1, max_wr: 2, max_sge: 1, srq_limit: 2 });
  play({ op: 'post_srq_recv', srq: 5, wrs: [{ wr_id: 70, sges: [] }] });
  play({ ...queuePair, srq: 5 }, ...connect(3, 2), { op: 'req_notify_cq', cq: 2, flags: 2 });
  play(postSend([send([])]));
  expect(play({ op: 'run' }, { op: 'poll_cq', cq: 2, n: MOST })).toEqual([
    {
      ret: 0,
      events: [
        { ev: 'srq_limit', srq: 5 },
        { ev: 'cq_err', cq: 2 },
        { ev: 'comp', cq: 2 },
      ],
    },
    {
      wcs: [
        {
          wr_id: 70,
          status: 'SUCCESS',
          opcode: 'RECV',
          byte_len: 0,
          qp: 3,
          src_qp: 2,
          wc_flags: 0,
          slid: 1,
          sl: 0,
          port: 1,
        },
      ],
    },
  ]);
});

it('runs the engine in dereg_mr only if the errors of queue pairs leave references', () => {
  const ud = { ...queuePair, type: 'UD', sq_sig_type: 'ALL' };
  const datagram = { ah: 5, remote_qpn: 2, remote_qkey: 0 };
  play(...objects.slice(0, 3), ud, { ...ud, id: 4 }, { op: 'create_ah', id: 5, pd: 1, av });
  for (const qp of [3, 4]) {
    play(modify(qp, { state: 'INIT', pkey_index: 0, port: 1, qkey: 0 }), modify(qp, { state: 'RTR' }));
    play(modify(qp, { state: 'RTS', sq_psn: 0 }));
  }
  play(region(6, 64), region(7, 64));
  // A receive that is too small stays in hand and holds region 6. Region 7 is held by a queued send.
  play({ op: 'post_recv', qp: 3, wrs: [{ wr_id: 70, sges: [sge(39)] }] });
  play(postSend([send([], datagram)], 4), { op: 'run' }, { op: 'poll_cq', cq: 2, n: 1 });
  play(postSend([send([sge(5, '0x1000200')], { ...datagram, wr_id: 2 })], 4));
  const poll = { op: 'poll_cq', cq: 2, n: 16 };
  expect(play({ op: 'dereg_mr', mr: 6 }, poll)).toMatchObject([
    { ret: 0 },
    { wcs: [{ wr_id: 70, status: 'LOC_PROT_ERR' }] },
  ]);
  expect(play({ op: 'dereg_mr', mr: 7 }, poll)).toMatchObject([
    { ret: 0 },
    { wcs: [{ wr_id: 2, status: 'WR_FLUSH_ERR' }] },
  ]);
});

describe('hostile traces', () => {
  it('are refused limits that work requests cannot have', () => {
    for (const name of ['max_send_sge', 'max_recv_sge', 'max_srq_sge'])
      expect(last({ ...init, limits: { ...limits, [name]: 256 } })).toEqual({ err: 'EINVAL' });
  });

  it('end the player if a queue needs more memory than there is', () => {
    const vast = Object.fromEntries(Object.keys(limits).map((name) => [name, MOST]));
    play({ ...init, limits: { ...vast, max_send_sge: 255, max_recv_sge: 255, max_srq_sge: 255 } });
    play(...objects.slice(1));
    const most = { max_send_wr: MOST, max_recv_wr: MOST, max_send_sge: 255, max_recv_sge: 255 };
    expect(() => play({ ...queuePair, id: 9, ...most })).toThrow(new TraceError('create_qp: out of memory'));
    const srq = { op: 'create_srq', id: 9, pd: 1, max_wr: MOST, max_sge: 255, srq_limit: MOST };
    expect(() => play(srq)).toThrow(new TraceError('create_srq: out of memory'));
    expect(last({ op: 'query_qp', qp: 3 })).toMatchObject({ state: 'RESET' });
  });

  it('may post any number of elements and work requests', () => {
    play(...objects, ...connect(3, 2), region(6, 4096));
    const many = Array.from({ length: 20_000 }, () => sge(MOST, '0xffffffff', '0xffffffffffffffff'));
    expect(
      play(
        postSend([send(many)]),
        { op: 'post_recv', qp: 3, wrs: [{ wr_id: 1, sges: many }] },
        postSend([]),
        { op: 'post_recv', qp: 3, wrs: [] },
        postSend(Array.from({ length: 2_000 }, () => send([sge(1)]))),
        { op: 'run' },
        { op: 'refs', mr: 6 },
      ),
    ).toEqual([
      { err: 'EINVAL', bad: 0 },
      { err: 'EINVAL', bad: 0 },
      { ret: 0 },
      { ret: 0 },
      { err: 'ENOMEM', bad: 8 },
      { ret: 0 },
      { refs: 2 + 8 },
    ]);
  });

  it('may post every opcode with every combination of members to every type of queue pair', () => {
    const remote = { remote_addr: '0xfffffffffffffff8', rkey: '0x100' };
    const requests: object[] = [
      send([], { opcode: 'SEND_WITH_IMM', imm: MOST }),
      send([sge(5)], { opcode: 'SEND_WITH_INV', invalidate_rkey: '0x0' }),
      send([sge(MOST)], { opcode: 'RDMA_WRITE', ...remote }),
      send([sge(8)], { opcode: 'RDMA_READ', ...remote }),
      send([sge(8)], { opcode: 'RDMA_WRITE_WITH_IMM', ...remote, imm: 0 }),
      send([sge(8)], { opcode: 'ATOMIC_CMP_AND_SWP', ...remote, compare_add: '0x0', swap: '0x0' }),
      send([sge(8)], { opcode: 'ATOMIC_FETCH_AND_ADD', ...remote, compare_add: '0xffffffffffffffff' }),
      send([], { opcode: 'REG_MR', mr: 6, key: '0x0', access: MOST }),
      send([], { opcode: 'REG_MR', mr: 7, key: '0x0', access: MOST }),
      send([], { opcode: 'REG_MR', mr: 8, key: '0x2ff', access: MOST }),
      send([], { opcode: 'LOCAL_INV', invalidate_rkey: '0x0', flags: ['FENCE'] }),
      ...['LSO', 'BIND_MW', 'REG_MR_INTEGRITY', 'MASKED_ATOMIC_CMP_AND_SWP'].map((opcode) =>
        send([], { opcode }),
      ),
      ...['SEND', 'RDMA_WRITE', 'REG_MR', 'LSO'].map((opcode) =>
        send([sge(4096)], { opcode, ah: 5, remote_qpn: MOST, remote_qkey: MOST }),
      ),
    ];
    play(...objects, { op: 'create_ah', id: 5, pd: 1, av }, region(6, 4096));
    play({ op: 'get_dma_mr', id: 7, pd: 1, access: 0 });
    play({ op: 'alloc_mr', id: 8, pd: 1, type: 'mem_reg', max_num_sg: 1 });
    play({ ...queuePair, id: 10, type: 'UC' }, { ...queuePair, id: 11, type: 'UD' });
    play(...connect(3, 3), modify(10, { state: 'INIT', pkey_index: 0, port: 1, access: 15 }));
    play(modify(10, { state: 'RTR', av, path_mtu: 5, dest_qpn: 3, rq_psn: 0 }));
    play(modify(10, { state: 'RTS', sq_psn: 0 }));
    play(modify(11, { state: 'INIT', pkey_index: 0, port: 1, qkey: 0 }), modify(11, { state: 'RTR' }));
    play(modify(11, { state: 'RTS', sq_psn: 0 }));
    for (const qp of [3, 10, 11]) {
      expect(last({ op: 'query_qp', qp })).toMatchObject({ state: 'RTS' });
      for (const request of requests) {
        const [posted, ran] = play(postSend([request], qp), { op: 'run' });
        expect(Object.keys(posted!)[0]).toMatch(/^(ret|err)$/);
        expect(ran).toMatchObject({ ret: 0 });
      }
    }
    expect(last({ op: 'exit' })).toEqual({ ret: 0, dma_mr_leaked: true });
  });

  it('may set every attribute to any number', () => {
    play(...objects);
    for (const wrong of [{ static_rate: MOST }, { port: MOST }])
      expect(last({ op: 'create_ah', id: 5, pd: 1, av: { ...av, ...wrong } })).toEqual({ err: 'EINVAL' });
    expect(last({ op: 'create_ah', id: 5, pd: 1, av: { ...av, sl: MOST, dlid: MOST } })).toEqual({ ret: 0 });
    const numbers = [
      ...['access', 'pkey_index', 'port', 'qkey', 'path_mtu', 'timeout', 'retry_cnt', 'rnr_retry', 'rq_psn'],
      ...['max_rd_atomic', 'min_rnr_timer', 'sq_psn', 'max_dest_rd_atomic', 'dest_qpn', 'cap'],
    ];
    const vast = Object.fromEntries(numbers.map((name) => [name, MOST]));
    const path = { dlid: MOST, sl: MOST, static_rate: MOST, port: MOST };
    for (const state of ['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'SQE', 'ERR']) {
      expect(last(modify(3, { ...vast, state, av: path, alt_path: { ...path, pkey_index: MOST } }))).toEqual({
        err: 'EINVAL',
      });
    }
    for (const name of ['pkey_index', 'port']) {
      const attr = { state: 'INIT', pkey_index: 0, port: 1, access: MOST, [name]: MOST };
      expect(last(modify(3, attr))).toEqual({ err: 'EINVAL' });
    }
    expect(last({ op: 'query_qp', qp: 3 })).toMatchObject({ state: 'RESET', access: 0, port: 0 });
  });
});
