/**
 * The types and a strict parser of the lines of a trace; docs/trace-format.md describes the format. The parser rejects everything
 * that the format does not allow, so that the player never executes a line that it misunderstands.
 */

import { toPrintable } from '../terminal/printable';
import {
  flag,
  hex32,
  hex64,
  id,
  isObject,
  listOf,
  nullOr,
  objectOf,
  oneOf,
  optional,
  type Hex,
  type Id,
  type Rule,
  type Rules,
  signed,
  u32,
} from './trace-rules';
import {
  checkVerbsMembers,
  limitsRule,
  type Limits,
  type VerbsMembers,
  verbsRules,
} from './verbs/operations';

export type { Hex, Id } from './trace-rules';

/** An element of a scatter-gather list. */
export interface SgElement {
  addr: Hex;
  length: number;
}

/** The members of each operation on memory regions, except `op`. */
export interface MemoryMembers {
  init: { lkey_table_bits: number; dma_pages: number; dma_base: Hex; limits?: Limits };
  alloc_pd: { id: Id; user: boolean };
  create_qp: { id: Id; pd: Id };
  reg_user_mr: { id: Id; pd: Id; start: Hex; length: Hex; virt_addr: Hex; access: number };
  get_dma_mr: { id: Id; pd: Id; access: number };
  alloc_mr: { id: Id; pd: Id; type: MrType; max_num_sg: number };
  map_mr_sg: { mr: Id; sg: SgElement[]; sg_offset: number | null; page_size: number };
  fast_reg_mr: { qp: Id; mr: Id; key: Hex; access: number; iova?: Hex };
  invalidate_rkey: { qp: Id; rkey: Hex };
  alloc_fmr: {
    id: Id;
    pd: Id;
    access: number;
    max_pages: number;
    max_maps: number;
    page_shift: number;
  };
  map_phys_fmr: { fmr: Id; pages: Hex[]; iova: Hex };
  unmap_fmr: { fmrs: Id[] };
  dealloc_fmr: { fmr: Id };
  dereg_mr: { mr: Id };
  lkey_ok: {
    id: Id;
    pd: Id;
    sge: { addr: Hex; length: number; lkey: Hex };
    acc: number;
    last: Id | null;
  };
  rkey_ok: { id: Id; qp: Id; len: number; vaddr: Hex; rkey: Hex; acc: number };
  put_sge: { sge: Id };
  walk: { sges: Id[]; steps: number[]; release: boolean };
  refs: { mr: Id };
  table: object;
  exit: object;
}

/** The region types of `alloc_mr`, in the order of the core's `enum rvt_mr_type`. */
export const MR_TYPES = ['mem_reg', 'sg_gaps', 'dm', 'user', 'dma', 'integrity'] as const;
export type MrType = (typeof MR_TYPES)[number];

/** The members of each operation, except `op`. `create_qp` has two forms; only that of the verbs has a `type`. */
export type OperationMembers = Omit<MemoryMembers & VerbsMembers, 'create_qp'> & {
  create_qp: MemoryMembers['create_qp'] | VerbsMembers['create_qp'];
};

export type OperationName = keyof OperationMembers;

/** One operation by name, including `op`. */
export type OperationOf<Name extends OperationName> = { op: Name } & OperationMembers[Name];

/** One line of an operations file. */
export type Operation = { [Name in OperationName]: OperationOf<Name> }[OperationName];

/**
 * Thrown for a line that does not follow the trace format, or an operation for which there is not enough memory. The message
 * describes only the line; {@link runOnLine} adds the file's name and the line's number.
 */
export class TraceError extends Error {
  override name = 'TraceError';
}

const memoryRules: { readonly [Name in keyof MemoryMembers]: Rules<MemoryMembers[Name]> } = {
  init: { lkey_table_bits: u32, dma_pages: u32, dma_base: hex64, limits: optional(limitsRule) },
  alloc_pd: { id, user: flag },
  create_qp: { id, pd: id },
  reg_user_mr: { id, pd: id, start: hex64, length: hex64, virt_addr: hex64, access: u32 },
  get_dma_mr: { id, pd: id, access: u32 },
  alloc_mr: { id, pd: id, type: oneOf(MR_TYPES), max_num_sg: u32 },
  map_mr_sg: {
    mr: id,
    sg: listOf(objectOf({ addr: hex64, length: u32 })),
    sg_offset: nullOr(u32),
    page_size: u32,
  },
  fast_reg_mr: { qp: id, mr: id, key: hex32, access: u32, iova: optional(hex64) },
  invalidate_rkey: { qp: id, rkey: hex32 },
  alloc_fmr: { id, pd: id, access: u32, max_pages: signed, max_maps: u32, page_shift: u32 },
  map_phys_fmr: { fmr: id, pages: listOf(hex64), iova: hex64 },
  unmap_fmr: { fmrs: listOf(id) },
  dealloc_fmr: { fmr: id },
  dereg_mr: { mr: id },
  lkey_ok: {
    id,
    pd: id,
    sge: objectOf({ addr: hex64, length: u32, lkey: hex32 }),
    acc: u32,
    last: nullOr(id),
  },
  rkey_ok: { id, qp: id, len: u32, vaddr: hex64, rkey: hex32, acc: u32 },
  put_sge: { sge: id },
  walk: { sges: listOf(id, 1, 255), steps: listOf(u32), release: flag },
  refs: { mr: id },
  table: {},
  exit: {},
};

type RulesByName = ReadonlyMap<unknown, ReadonlyMap<string, Rule>>;

function byName(operations: object): RulesByName {
  return new Map(
    Object.entries(operations as Record<string, Record<string, Rule>>).map(([name, rules]) => [
      name,
      new Map(Object.entries(rules)),
    ]),
  );
}

const memoryRulesByName = byName(memoryRules);
const verbsRulesByName = byName(verbsRules);

/** Returns the rules of an operation. `create_qp` has a `type` only in its verbs form. */
function rulesOf(value: Record<string, unknown>): ReadonlyMap<string, Rule> | undefined {
  const [first, second] = Object.hasOwn(value, 'type')
    ? [verbsRulesByName, memoryRulesByName]
    : [memoryRulesByName, verbsRulesByName];
  return first.get(value.op) ?? second.get(value.op);
}

/**
 * Parses a line of a trace.
 *
 * @param line - the line without its LF
 * @throws TraceError if the line does not follow the format
 */
export function parseOperation(line: string): Operation {
  const { value, colons } = parseLine(line);
  const rules = rulesOf(value);
  if (rules === undefined) {
    throw new TraceError(
      typeof value.op === 'string'
        ? `unknown operation ${quote(value.op)}`
        : '"op" is missing or not a string',
    );
  }
  const members = 1 + countMembers(value.op as string, rules, value);
  // JSON.parse keeps only the last of several members with the same name, but each member has a colon.
  if (members !== colons) throw new TraceError(`${value.op as string}: a member appears twice`);
  const operation = value as unknown as Operation;
  if (operation.op === 'init') checkDmaRange(operation);
  const mistake = checkVerbsMembers(operation);
  if (mistake !== undefined) throw new TraceError(`${operation.op}: ${mistake}`);
  return operation;
}

/**
 * Parses a line of an expectation file. Any JSON object is valid; an object that is not an answer never matches.
 *
 * @param line - the line without its LF
 * @throws TraceError if the line is not a JSON object
 */
export function parseExpectation(line: string): object {
  return parseLine(line).value;
}

function countMembers(op: string, rules: ReadonlyMap<string, Rule>, value: Record<string, unknown>): number {
  let members = 0;
  for (const name of Object.keys(value)) {
    if (name === 'op') continue;
    const rule = rules.get(name);
    if (rule === undefined) throw new TraceError(`${op}: unknown member ${quote(name)}`);
    if (!rule.fits(value[name])) throw new TraceError(`${op}: "${name}" must be ${rule.wanted}`);
    members += 1 + (rule.members?.(value[name]) ?? 0);
  }
  for (const [name, rule] of rules) {
    if (rule.optional !== true && !Object.hasOwn(value, name))
      throw new TraceError(`${op}: "${name}" is missing`);
  }
  return members;
}

/** Throws unless the DMA memory begins at a page boundary and ends within the 64-bit address space. */
function checkDmaRange({ dma_base, dma_pages }: MemoryMembers['init']): void {
  const base = BigInt(dma_base);
  if (base % 4096n !== 0n) throw new TraceError('init: "dma_base" must be a multiple of 4096');
  if (base + 4096n * BigInt(dma_pages) > 1n << 64n) {
    throw new TraceError('init: the DMA memory ends above 2^64');
  }
}

function parseLine(line: string): { value: Record<string, unknown>; colons: number } {
  if (line.trim() === '') throw new TraceError('the line is blank');
  if (line.endsWith('\r')) throw new TraceError('the line ends with CR LF; lines must end with LF');
  const colons = countColons(line);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new TraceError(`not JSON: ${toPrintable((error as Error).message)}`);
  }
  if (!isObject(value)) throw new TraceError('not a JSON object');
  return { value, colons };
}

/** Rejects JSON syntax that the format does not allow. Returns the number of colons outside strings: one for each member. */
function countColons(line: string): number {
  const [QUOTE, BACKSLASH, COLON, DOT, UPPER_E, LOWER_E, ZERO, NINE] = [
    34, 92, 58, 46, 69, 101, 48, 57,
  ] as const;
  let colons = 0;
  let inString = false;
  let previous = 0;
  for (let i = 0; i < line.length; i++) {
    const c = line.charCodeAt(i);
    if (c === BACKSLASH) throw new TraceError('strings must not contain backslash escapes');
    if (c === QUOTE) inString = !inString;
    else if (!inString) {
      if (c === COLON) colons++;
      else if ((c === DOT || c === UPPER_E || c === LOWER_E) && previous >= ZERO && previous <= NINE) {
        throw new TraceError('numbers must be integers without fraction or exponent');
      }
    }
    previous = c;
  }
  return colons;
}

const MOST_QUOTED = 60;

/** Quotes text from a file for a one-line message: replaces control characters and cuts long text. */
export function quote(text: string): string {
  const cut = text.length > MOST_QUOTED ? `${text.slice(0, MOST_QUOTED)}...` : text;
  return `"${toPrintable(cut)}"`;
}
