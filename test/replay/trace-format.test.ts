import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { type Operation, parseExpectation, parseOperation, TraceError } from '../../lib/replay/trace-format';

const samples: Operation[] = [
  { op: 'init', lkey_table_bits: 4294967295, dma_pages: 1, dma_base: '0xfffffffffffff000' },
  { op: 'alloc_pd', id: '', user: false },
  { op: 'create_qp', id: 'qp', pd: 'pd' },
  {
    op: 'reg_user_mr',
    id: 'mr',
    pd: 'pd',
    start: '0x0',
    length: '0xffffffffffffffff',
    virt_addr: '0x10',
    access: 0,
  },
  { op: 'get_dma_mr', id: 'd', pd: 'pd', access: 4294967295 },
  { op: 'alloc_mr', id: 'am', pd: 'pd', type: 'integrity', max_num_sg: 4294967295 },
  { op: 'map_mr_sg', mr: 'am', sg: [], sg_offset: null, page_size: 0 },
  {
    op: 'map_mr_sg',
    mr: 'am',
    sg: [
      { addr: '0x0', length: 0 },
      { length: 1, addr: '0x1' },
    ],
    sg_offset: 0,
    page_size: 4096,
  },
  { op: 'fast_reg_mr', qp: 'qp', mr: 'am', key: '0xffffffff', access: 15 },
  { op: 'fast_reg_mr', qp: 'qp', mr: 'am', key: '0x0', access: 15, iova: '0x0' },
  { op: 'invalidate_rkey', qp: 'qp', rkey: '0x100' },
  { op: 'alloc_fmr', id: 'f', pd: 'pd', access: 1, max_pages: -1000, max_maps: 0, page_shift: 64 },
  { op: 'map_phys_fmr', fmr: 'f', pages: ['0x0', '0x0'], iova: '0x0' },
  { op: 'unmap_fmr', fmrs: [] },
  { op: 'dealloc_fmr', fmr: 'f' },
  { op: 'dereg_mr', mr: 'é – 漢' },
  { op: 'lkey_ok', id: 's', pd: 'pd', sge: { addr: '0x0', length: 0, lkey: '0x0' }, acc: 0, last: null },
  { op: 'lkey_ok', id: 's', pd: 'pd', sge: { addr: '0x0', length: 0, lkey: '0x0' }, acc: 0, last: ':{}[]' },
  { op: 'rkey_ok', id: 's', qp: 'qp', len: 4294967295, vaddr: '0x0', rkey: '0x0', acc: 0 },
  { op: 'put_sge', sge: '__proto__' },
  { op: 'walk', sges: Array.from({ length: 255 }, (_, i) => `s${i}`), steps: [], release: true },
  { op: 'refs', mr: 'mr' },
  { op: 'table' },
  { op: 'exit' },
];

it.each(samples)('$op is parsed to the same operation', (op) => {
  expect(parseOperation(JSON.stringify(op))).toEqual(op);
  // JSON allows blanks between tokens, and members in any order.
  const turned = Object.fromEntries(Object.entries(op).reverse());
  expect(parseOperation(` ${JSON.stringify(turned, undefined, '\t').replaceAll('\n', ' ')} `)).toEqual(op);
});

it.each(samples)('$op has a row in docs/trace-format.md with each of its members', (op) => {
  const document = readFileSync(join(__dirname, '..', '..', 'docs', 'trace-format.md'), 'utf8');
  const [, row] = new RegExp(`^\\| \`${op.op}\` \\|(.*)\\|.*\\|$`, 'm').exec(document)!;
  const named = Array.from(row!.matchAll(/`(\w+)`/g), ([, name]) => name).filter((name) => name !== 'null');
  const members = Object.keys(op).filter((name) => name !== 'op');
  const required = (name: string | undefined): boolean =>
    !(name === 'iova' && op.op === 'fast_reg_mr') && !(name === 'limits' && op.op === 'init');
  expect(named.filter(required).sort()).toEqual(members.filter(required).sort());
});

const idMembers = new Set(['id', 'pd', 'qp', 'mr', 'fmr', 'sge', 'last']);

/** Returns values of types that `value` must not have. */
function wrongFor(name: string, value: unknown): unknown[] {
  const wrong: unknown[] = [{}, [[]]];
  if (name !== 'last' && name !== 'sg_offset') wrong.push(null);
  if (typeof value !== 'boolean') wrong.push(true);
  if (typeof value !== 'string' && name !== 'last') wrong.push('0x1', 'table', '1', 'true');
  if (typeof value !== 'number' && name !== 'sg_offset' && !idMembers.has(name)) wrong.push(1);
  if (idMembers.has(name)) wrong.push(-1, 1.5, 2 ** 32);
  if (typeof value === 'number') wrong.push(1.5, 2 ** 32, -(2 ** 31) - 1, 1e300);
  return wrong;
}

it.each(samples)('$op: requires each member exactly once with its type, and no others', (op) => {
  const text = JSON.stringify(op);
  for (const [name, value] of Object.entries(op)) {
    const without = Object.fromEntries(Object.entries(op).filter(([other]) => other !== name));
    // The only optional member of these samples.
    if (name !== 'iova' || op.op !== 'fast_reg_mr') {
      expect(() => parseOperation(JSON.stringify(without))).toThrow(/"\w+" is missing/);
    }
    const twice = `{${JSON.stringify(name)}:${JSON.stringify(value)},${text.slice(1)}`;
    expect(() => parseOperation(twice)).toThrow(/twice/);
    for (const wrong of wrongFor(name, value)) {
      expect(() => parseOperation(JSON.stringify({ ...op, [name]: wrong }))).toThrow(TraceError);
    }
  }
  expect(() => parseOperation(JSON.stringify({ ...op, more: 1 }))).toThrow(/unknown member "more"/);
  expect(() => parseOperation(`{"__proto__":1,${text.slice(1)}`)).toThrow(/unknown member "__proto__"/);
});

describe('invalid lines', () => {
  const walk = { op: 'walk', sges: ['s'], steps: [1], release: false };
  const init = { op: 'init', lkey_table_bits: 4, dma_pages: 1, dma_base: '0x0' };
  const check = {
    op: 'lkey_ok',
    id: 's',
    pd: 'p',
    sge: { addr: '0x0', length: 0, lkey: '0x0' },
    acc: 0,
    last: null,
  };
  it.each<[line: string | object, message: RegExp]>([
    ['', /line is blank/],
    ['  \t', /line is blank/],
    ['{"op":"table"}\r', /CR LF/],
    ['{"op":"table"', /not JSON/],
    ['{"op":"table"}}', /not JSON/],
    ['{"op":"table"}{"op":"table"}', /not JSON/],
    ["{'op':'table'}", /not JSON/],
    ['\ufeff{"op":"table"}', /not JSON/],
    ['[{"op":"table"}]', /not a JSON object/],
    ['null', /not a JSON object/],
    ['"table"', /not a JSON object/],
    ['{}', /"op" is missing/],
    ['{"op":null}', /"op" is missing/],
    ['{"op":["table"]}', /"op" is missing/],
    ['{"op":"__proto__"}', /unknown operation "__proto__"/],
    ['{"op":"toString"}', /unknown operation/],
    ['{"op":"Table"}', /unknown operation "Table"/],
    [`{"op":"${'x'.repeat(1000)}"}`, /^unknown operation "x{60}\.\.\."$/],
    ['{"op":"\\u0074able"}', /backslash escapes/],
    ['{"op":"refs","mr":"a\\"b"}', /backslash escapes/],
    ['{"op":"refs","mr":"a\u0001b"}', /not JSON/],
    ['{"op":"table","op":"exit"}', /twice/],
    ['{"op":"refs","mr":"a","mr":"a"}', /twice/],
    [JSON.stringify(check).replace('"addr"', '"addr":"0x0","addr"'), /twice/],
    [
      '{"op":"map_mr_sg","mr":"m","sg":[{"addr":"0x0","length":1,"length":1}],"sg_offset":null,"page_size":0}',
      /twice/,
    ],
    ['{"op":"unmap_fmr","fmrs":[true]}', /"fmrs" must be a list, each a string, or an integer/],
    [{ ...walk, sges: [] }, /a list of 1 to 255/],
    [{ ...walk, sges: Array.from({ length: 256 }, () => 's') }, /a list of 1 to 255/],
    [{ ...walk, steps: [1, 4294967296] }, /"steps" must be/],
    [{ ...walk, steps: [-1] }, /"steps" must be/],
    [{ ...walk, release: 1 }, /"release" must be true or false/],
    [JSON.stringify(walk).replace('[1]', '[1.0]'), /must be integers/],
    [JSON.stringify(walk).replace('[1]', '[1e0]'), /must be integers/],
    [JSON.stringify(walk).replace('[1]', '[1E0]'), /must be integers/],
    [{ ...init, dma_base: '0x1' }, /multiple of 4096/],
    [{ ...init, dma_base: '0xfffffffffffff000', dma_pages: 2 }, /above 2\^64/],
    [{ ...init, dma_base: '0x00' }, /"dma_base" must be/],
    [{ ...init, dma_base: '0x' }, /"dma_base" must be/],
    [{ ...init, dma_base: '0' }, /"dma_base" must be/],
    [{ ...init, dma_base: '0X1000' }, /"dma_base" must be/],
    [{ ...init, dma_base: '0x0ffff000' }, /"dma_base" must be/],
    [{ ...init, dma_base: '0xABC000' }, /"dma_base" must be/],
    [{ ...init, dma_base: '0x10000000000000000' }, /"dma_base" must be/],
    [{ ...init, dma_base: '0x1000 ' }, /"dma_base" must be/],
    [{ ...init, dma_base: 4096 }, /"dma_base" must be/],
    [{ ...init, lkey_table_bits: -1 }, /"lkey_table_bits" must be/],
    [{ ...init, lkey_table_bits: '4' }, /"lkey_table_bits" must be/],
    [{ ...check, sge: { ...check.sge, lkey: '0x100000000' } }, /"sge" must be/],
    [{ ...check, sge: { ...check.sge, more: 0 } }, /"sge" must be/],
    [{ ...check, sge: { addr: '0x0', length: 0 } }, /"sge" must be/],
    [{ ...check, sge: [] }, /"sge" must be/],
    [{ ...check, last: false }, /"last" must be a string, or an integer from 0 to \d+, or null/],
    [{ op: 'alloc_mr', id: 'a', pd: 'p', type: 'fast', max_num_sg: 1 }, /"type" must be one of mem_reg/],
    [{ op: 'alloc_pd', id: -1, user: true }, /"id" must be a string, or an integer/],
    [{ op: 'alloc_pd', id: 'a', user: 'true' }, /"user" must be true or false/],
  ])('%j is rejected', (line, message) => {
    const text = typeof line === 'string' ? line : JSON.stringify(line);
    let error: unknown;
    try {
      parseOperation(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(TraceError);
    expect((error as TraceError).message).toMatch(message);
    expect((error as TraceError).message).toMatch(/^[^\n\p{Cc}]{1,250}$/u);
  });
});

it('an expectation may be any JSON object', () => {
  expect(parseExpectation('{"any":true}')).toEqual({ any: true });
  expect(parseExpectation('{"ret":0,"sge":{"at":{"byte":-1}}}')).toEqual({
    ret: 0,
    sge: { at: { byte: -1 } },
  });
  for (const line of ['', '[]', '1', '{', '{"ret":0}\r']) {
    expect(() => parseExpectation(line)).toThrow(TraceError);
  }
});
