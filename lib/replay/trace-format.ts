/**
 * The types and a strict parser of the lines of a trace; docs/trace-format.md describes the format. The parser rejects everything
 * that the format does not allow, so that the player never executes a line that it misunderstands.
 */

/** An address, key or 64-bit length: `0x` and lower-case hex digits without leading zeros. */
export type Hex = `0x${string}`;

/** An element of a scatter-gather list. */
export interface SgElement {
  addr: Hex;
  length: number;
}

/** The members of each operation, except `op`. */
export interface OperationMembers {
  init: { lkey_table_bits: number; dma_pages: number; dma_base: Hex };
  alloc_pd: { id: string; user: boolean };
  create_qp: { id: string; pd: string };
  reg_user_mr: { id: string; pd: string; start: Hex; length: Hex; virt_addr: Hex; access: number };
  get_dma_mr: { id: string; pd: string; access: number };
  alloc_mr: { id: string; pd: string; type: MrType; max_num_sg: number };
  map_mr_sg: { mr: string; sg: SgElement[]; sg_offset: number | null; page_size: number };
  fast_reg_mr: { qp: string; mr: string; key: Hex; access: number; iova?: Hex };
  invalidate_rkey: { qp: string; rkey: Hex };
  alloc_fmr: {
    id: string;
    pd: string;
    access: number;
    max_pages: number;
    max_maps: number;
    page_shift: number;
  };
  map_phys_fmr: { fmr: string; pages: Hex[]; iova: Hex };
  unmap_fmr: { fmrs: string[] };
  dealloc_fmr: { fmr: string };
  dereg_mr: { mr: string };
  lkey_ok: {
    id: string;
    pd: string;
    sge: { addr: Hex; length: number; lkey: Hex };
    acc: number;
    last: string | null;
  };
  rkey_ok: { id: string; qp: string; len: number; vaddr: Hex; rkey: Hex; acc: number };
  put_sge: { sge: string };
  walk: { sges: string[]; steps: number[]; release: boolean };
  refs: { mr: string };
  table: object;
  exit: object;
}

/** The region types of `alloc_mr`, in the order of the core's `enum rvt_mr_type`. */
export const MR_TYPES = ['mem_reg', 'sg_gaps', 'dm', 'user', 'dma', 'integrity'] as const;
export type MrType = (typeof MR_TYPES)[number];

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

/** A condition on a member's value. */
interface Rule {
  /** Completes "must be ...". */
  readonly wanted: string;
  readonly fits: (value: unknown) => boolean;
  readonly optional?: true;
  /** Counts the members of objects inside the value; absent if the value contains no objects. */
  readonly members?: (value: unknown) => number;
}

type Rules<Members> = { readonly [Name in keyof Members]-?: Rule };

const U32_MAX = 2 ** 32 - 1;

const text: Rule = { wanted: 'a string', fits: (value) => typeof value === 'string' };
const flag: Rule = { wanted: 'true or false', fits: (value) => typeof value === 'boolean' };
const u32: Rule = {
  wanted: 'an integer from 0 to 4294967295',
  fits: (value) => isInteger(value, 0),
};
/** For `max_pages`, which may be negative so that traces can test that the core rejects it. */
const signed: Rule = {
  wanted: 'an integer from -2147483648 to 4294967295',
  fits: (value) => isInteger(value, -(2 ** 31)),
};
const hex64: Rule = {
  wanted: 'a string of "0x" and 1 to 16 lower-case hex digits without leading zeros',
  fits: (value) => typeof value === 'string' && /^0x(?:0|[1-9a-f][0-9a-f]{0,15})$/.test(value),
};
const hex32: Rule = {
  wanted: 'a string of "0x" and 1 to 8 lower-case hex digits without leading zeros',
  fits: (value) => typeof value === 'string' && /^0x(?:0|[1-9a-f][0-9a-f]{0,7})$/.test(value),
};
const mrType: Rule = {
  wanted: `one of ${MR_TYPES.join(', ')}`,
  fits: (value) => (MR_TYPES as readonly unknown[]).includes(value),
};

function nullOr(rule: Rule): Rule {
  return { wanted: `${rule.wanted}, or null`, fits: (value) => value === null || rule.fits(value) };
}

function optional(rule: Rule): Rule {
  return { ...rule, optional: true };
}

function listOf(rule: Rule, least = 0, most = Infinity): Rule {
  const size = most === Infinity ? 'a list' : `a list of ${least} to ${most}`;
  const { members } = rule;
  return {
    wanted: `${size}, each ${rule.wanted}`,
    fits: (value) =>
      Array.isArray(value) &&
      value.length >= least &&
      value.length <= most &&
      value.every((element) => rule.fits(element)),
    members: (value) =>
      members === undefined
        ? 0
        : (value as unknown[]).reduce<number>((sum, element) => sum + members(element), 0),
  };
}

function objectOf(rules: Readonly<Record<string, Rule>>): Rule {
  const all = Object.entries(rules);
  const described = all.map(([name, { wanted }]) => `"${name}" (${wanted})`).join(', ');
  return {
    wanted: `an object of ${described}`,
    fits: (value) =>
      isObject(value) &&
      Object.keys(value).length === all.length &&
      all.every(([name, rule]) => Object.hasOwn(value, name) && rule.fits(value[name])),
    members: () => all.length,
  };
}

const operations: { readonly [Name in OperationName]: Rules<OperationMembers[Name]> } = {
  init: { lkey_table_bits: u32, dma_pages: u32, dma_base: hex64 },
  alloc_pd: { id: text, user: flag },
  create_qp: { id: text, pd: text },
  reg_user_mr: { id: text, pd: text, start: hex64, length: hex64, virt_addr: hex64, access: u32 },
  get_dma_mr: { id: text, pd: text, access: u32 },
  alloc_mr: { id: text, pd: text, type: mrType, max_num_sg: u32 },
  map_mr_sg: {
    mr: text,
    sg: listOf(objectOf({ addr: hex64, length: u32 })),
    sg_offset: nullOr(u32),
    page_size: u32,
  },
  fast_reg_mr: { qp: text, mr: text, key: hex32, access: u32, iova: optional(hex64) },
  invalidate_rkey: { qp: text, rkey: hex32 },
  alloc_fmr: { id: text, pd: text, access: u32, max_pages: signed, max_maps: u32, page_shift: u32 },
  map_phys_fmr: { fmr: text, pages: listOf(hex64), iova: hex64 },
  unmap_fmr: { fmrs: listOf(text) },
  dealloc_fmr: { fmr: text },
  dereg_mr: { mr: text },
  lkey_ok: {
    id: text,
    pd: text,
    sge: objectOf({ addr: hex64, length: u32, lkey: hex32 }),
    acc: u32,
    last: nullOr(text),
  },
  rkey_ok: { id: text, qp: text, len: u32, vaddr: hex64, rkey: hex32, acc: u32 },
  put_sge: { sge: text },
  walk: { sges: listOf(text, 1, 255), steps: listOf(u32), release: flag },
  refs: { mr: text },
  table: {},
  exit: {},
};

const rulesByName: ReadonlyMap<unknown, ReadonlyMap<string, Rule>> = new Map(
  Object.entries(operations as Record<string, Record<string, Rule>>).map(([name, rules]) => [
    name,
    new Map(Object.entries(rules)),
  ]),
);

/**
 * Parses a line of a trace.
 *
 * @param line - the line without its LF
 * @throws TraceError if the line does not follow the format
 */
export function parseOperation(line: string): Operation {
  const { value, colons } = parseLine(line);
  const rules = rulesByName.get(value.op);
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
function checkDmaRange({ dma_base, dma_pages }: OperationMembers['init']): void {
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

/** Replaces characters that would break the line or control the terminal with `?`. */
export function toPrintable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isInteger(value: unknown, least: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= U32_MAX;
}
