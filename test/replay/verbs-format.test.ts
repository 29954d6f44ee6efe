import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { type Operation, parseOperation, TraceError } from '../../lib/replay/trace-format';

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
  max_pd: 8,
  max_rdma_atomic: 8,
  npkeys: 4,
};
const av = { dlid: 1, sl: 0, static_rate: 0, port: 1 };
const sge = { addr: '0x10000', length: 5, lkey: '0x100' } as const;
const send = { wr_id: 1, opcode: 'SEND', flags: [], sges: [sge] };
const remote = { remote_addr: '0x10000', rkey: '0x100' };
const datagram = { ah: 5, remote_qpn: 3, remote_qkey: 17 };
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

const init = { op: 'init', lkey_table_bits: 4, dma_pages: 0, dma_base: '0x0', limits };
const postSend = (wr: object): object => ({ op: 'post_send', qp: 3, wrs: [wr] });
const modifyQp = (attr: object): object => ({ op: 'modify_qp', qp: 3, attr });

/** Operations with all of their members that are not optional. */
const samples = [
  { op: 'dealloc_pd', pd: 1 },
  { op: 'create_ah', id: 5, pd: 1, av },
  { op: 'destroy_ah', ah: 5 },
  { op: 'mr_state', mr: 'mr' },
  { op: 'create_cq', id: 2, cqe: 16 },
  { op: 'resize_cq', cq: 2, cqe: 4294967295 },
  { op: 'destroy_cq', cq: 2 },
  { op: 'poll_cq', cq: 2, n: 0 },
  { op: 'req_notify_cq', cq: 2, flags: 6 },
  { op: 'create_srq', id: 4, pd: 1, max_wr: 1, max_sge: 1, srq_limit: 0 },
  { op: 'query_srq', srq: 4 },
  { op: 'destroy_srq', srq: 4 },
  { op: 'post_srq_recv', srq: 4, wrs: [{ wr_id: 1, sges: [sge] }] },
  queuePair,
  modifyQp({ state: 'RESET' }),
  { op: 'query_qp', qp: 3 },
  { op: 'destroy_qp', qp: 3 },
  { op: 'post_recv', qp: 3, wrs: [{ wr_id: 4294967295, sges: [] }] },
  postSend(send),
  { op: 'run' },
  { op: 'timers' },
] as Operation[];

/** Operations that are valid too: optional members, and members that depend on others. */
const variants: object[] = [
  init,
  { ...init, limits: { ...limits, max_ah: 8 } },
  { op: 'create_cq', id: 2, cqe: 16, comp_vector: 1, flags: 0 },
  { op: 'create_srq', id: 4, pd: 1, max_wr: 1, max_sge: 1, srq_limit: 0, type: 'XRC' },
  { op: 'modify_srq', srq: 4, max_wr: 1 },
  { op: 'modify_srq', srq: 4, srq_limit: 1 },
  { op: 'modify_srq', srq: 4, max_wr: 1, srq_limit: 1 },
  { op: 'fill', mr: 6, offset: 0, length: 1, seed: 0 },
  { op: 'fill', dma: '0x0', length: 1, seed: 0 },
  { op: 'mem', mr: 6, offset: 0, length: 1 },
  { op: 'mem', dma: '0x0', length: 1 },
  { ...queuePair, srq: 4 },
  { op: 'run', kick: [] },
  { op: 'run', kick: [3, 'qp'] },
  modifyQp({}),
  modifyQp({ av, alt_path: { ...av, pkey_index: 0 }, path_mig_state: 'ARMED', cur_state: 'SQE', cap: 0 }),
  { op: 'post_send', qp: 3, wrs: [] },
  postSend({ ...send, flags: ['SIGNALED', 'SOLICITED', 'FENCE', 'INLINE'], sges: [] }),
  postSend({ ...send, opcode: 'SEND_WITH_IMM', imm: 1 }),
  postSend({ ...send, opcode: 'SEND_WITH_INV', invalidate_rkey: '0x100' }),
  postSend({ ...send, opcode: 'RDMA_WRITE', ...remote }),
  postSend({ ...send, opcode: 'RDMA_WRITE_WITH_IMM', ...remote, imm: 0 }),
  postSend({ ...send, opcode: 'RDMA_READ', ...remote }),
  postSend({
    ...send,
    opcode: 'ATOMIC_CMP_AND_SWP',
    ...remote,
    compare_add: '0xffffffffffffffff',
    swap: '0x0',
  }),
  postSend({ ...send, opcode: 'ATOMIC_FETCH_AND_ADD', ...remote, compare_add: '0x1' }),
  postSend({ ...send, opcode: 'REG_MR', mr: 6, key: '0x101', access: 15 }),
  postSend({ ...send, opcode: 'LOCAL_INV', invalidate_rkey: '0x100' }),
  postSend({ ...send, opcode: 'LSO' }),
  postSend({ ...send, ...datagram }),
  postSend({ ...send, opcode: 'SEND_WITH_IMM', imm: 1, ...datagram }),
  postSend({ ...send, opcode: 'RDMA_WRITE', ...datagram }),
];

it.each([...samples, ...variants])('%j is parsed to the same operation', (op) => {
  expect(parseOperation(JSON.stringify(op))).toEqual(op);
  const turned = Object.fromEntries(Object.entries(op).reverse());
  expect(parseOperation(JSON.stringify(turned, undefined, '\t').replaceAll('\n', ' '))).toEqual(op);
});

it.each(samples)('$op has a row in docs/trace-format.md with each of its members', (op) => {
  const text = readFileSync(join(__dirname, '..', '..', 'docs', 'trace-format.md'), 'utf8');
  const verbs = text.slice(text.indexOf('### Operations of a verbs session'));
  const [, row] = new RegExp(`^\\| \`${op.op}\` \\|(.*)\\|.*\\|$`, 'm').exec(verbs)!;
  const named = Array.from(row!.matchAll(/`(\w+)`/g), ([, name]) => name);
  for (const name of Object.keys(op)) if (name !== 'op') expect(named).toContain(name);
});

it.each(samples)('$op: requires each member exactly once with its type, and no others', (op) => {
  const text = JSON.stringify(op);
  for (const [name, value] of Object.entries(op)) {
    const without = Object.fromEntries(Object.entries(op).filter(([other]) => other !== name));
    if (name === 'type') expect(() => parseOperation(JSON.stringify(without))).toThrow(/unknown member/);
    else expect(() => parseOperation(JSON.stringify(without))).toThrow(/"\w+" is missing/);
    const twice = `{${JSON.stringify(name)}:${JSON.stringify(value)},${text.slice(1)}`;
    expect(() => parseOperation(twice)).toThrow(/twice/);
    for (const wrong of [true, 1.5, -1, 2 ** 32, [[]], { a: 1 }, ...(name === 'srq' ? [] : [null])]) {
      expect(() => parseOperation(JSON.stringify({ ...op, [name]: wrong }))).toThrow(TraceError);
    }
  }
  expect(() => parseOperation(JSON.stringify({ ...op, more: 1 }))).toThrow(/unknown member "more"/);
});

it.each<[op: object, message: RegExp]>([
  [{ ...init, limits: { ...limits, max_qp: '1' } }, /"limits" must be an object of the members/],
  [{ ...init, limits: { ...limits, more: 1 } }, /"limits" must be/],
  [{ ...init, limits: { max_qp: 1 } }, /"limits" must be/],
  [{ op: 'fill', mr: 6, length: 1, seed: 0 }, /either "mr" and "offset" or "dma"/],
  [{ op: 'fill', mr: 6, offset: 0, dma: '0x0', length: 1, seed: 0 }, /either "mr" and "offset" or "dma"/],
  [{ op: 'mem', offset: 0, dma: '0x0', length: 1 }, /either "mr" and "offset" or "dma"/],
  [{ op: 'mem', length: 1 }, /either "mr" and "offset" or "dma"/],
  [{ op: 'modify_srq', srq: 4 }, /"max_wr" or "srq_limit" must be present/],
  [{ ...queuePair, type: 'CHECK' }, /"type" must be the type of a queue pair/],
  [{ ...queuePair, type: 'rc' }, /"type" must be the type of a queue pair/],
  [{ ...queuePair, type: '__proto__' }, /"type" must be the type of a queue pair/],
  [{ ...queuePair, sq_sig_type: 'NONE' }, /"sq_sig_type" must be one of ALL, REQ/],
  [modifyQp({ state: 'READY' }), /"attr" must be/],
  [modifyQp({ state: 'constructor' }), /"attr" must be/],
  [modifyQp({ more: 1 }), /"attr" must be/],
  [modifyQp({ av: { ...av, pkey_index: 0 } }), /"attr" must be/],
  [modifyQp({ alt_path: av }), /"attr" must be/],
  [modifyQp({ port: -1 }), /"attr" must be/],
  [postSend({ ...send, opcode: 'NOP' }), /"wrs" must be/],
  [postSend({ ...send, opcode: 'SEND_WITH_IMM' }), /"wrs" must be/],
  [postSend({ ...send, imm: 1 }), /"wrs" must be/],
  [postSend({ ...send, ...remote }), /"wrs" must be/],
  [postSend({ ...send, opcode: 'RDMA_WRITE', ...remote, ...datagram }), /"wrs" must be/],
  [postSend({ ...send, ...datagram, imm: 1 }), /"wrs" must be/],
  [postSend({ ...send, ah: 5 }), /"wrs" must be/],
  [postSend({ ...send, flags: ['signaled'] }), /"wrs" must be/],
  [postSend({ ...send, sges: [{ ...sge, lkey: '0x100000000' }] }), /"wrs" must be/],
  [postSend({ ...send, sges: [{ ...sge, length: -1 }] }), /"wrs" must be/],
  [{ op: 'post_recv', qp: 3, wrs: [{ wr_id: -1, sges: [] }] }, /"wrs" must be/],
  [{ op: 'post_recv', qp: 3, wrs: [send] }, /"wrs" must be/],
  [{ op: 'run', kick: 3 }, /"kick" must be a list/],
])('%j is rejected', (op, message) => {
  let error: unknown;
  try {
    parseOperation(JSON.stringify(op));
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(TraceError);
  expect((error as TraceError).message).toMatch(message);
  expect((error as TraceError).message).toMatch(/^[^\n\p{Cc}]{1,400}$/u);
});

it('rejects a member that appears twice inside an object', () => {
  const inside = [
    [JSON.stringify(init), '"npkeys":4'],
    [JSON.stringify(modifyQp({ av })), '"sl":0'],
    [JSON.stringify(postSend(send)), '"wr_id":1'],
    [JSON.stringify(postSend(send)), '"length":5'],
  ] as const;
  for (const [line, member] of inside) {
    expect(line).toContain(member);
    expect(() => parseOperation(line.replace(member, `${member},${member}`))).toThrow(/twice/);
  }
});
