/** Conditions on the members of the lines of a trace, from which the parser is composed. */

/** An address, key or 64-bit length: `0x` and lower-case hex digits without leading zeros. */
export type Hex = `0x${string}`;

/** Names an object in its session. */
export type Id = string | number;

/** A condition on a member's value. */
export interface Rule {
  /** Completes "must be ...". */
  readonly wanted: string;
  readonly fits: (value: unknown) => boolean;
  readonly optional?: true;
  /** Counts the members of objects inside the value; absent if the value contains no objects. */
  readonly members?: (value: unknown) => number;
}

export type Rules<Members> = { readonly [Name in keyof Members]-?: Rule };

const U32_MAX = 2 ** 32 - 1;

export const flag: Rule = { wanted: 'true or false', fits: (value) => typeof value === 'boolean' };
export const u32: Rule = {
  wanted: 'an integer from 0 to 4294967295',
  fits: (value) => isInteger(value, 0),
};
/** For `max_pages`, which may be negative so that traces can test that the core rejects it. */
export const signed: Rule = {
  wanted: 'an integer from -2147483648 to 4294967295',
  fits: (value) => isInteger(value, -(2 ** 31)),
};
export const hex64: Rule = {
  wanted: 'a string of "0x" and 1 to 16 lower-case hex digits without leading zeros',
  fits: (value) => typeof value === 'string' && /^0x(?:0|[1-9a-f][0-9a-f]{0,15})$/.test(value),
};
export const hex32: Rule = {
  wanted: 'a string of "0x" and 1 to 8 lower-case hex digits without leading zeros',
  fits: (value) => typeof value === 'string' && /^0x(?:0|[1-9a-f][0-9a-f]{0,7})$/.test(value),
};
/** An id. `1` and `"1"` are different ids. */
export const id: Rule = {
  wanted: 'a string, or an integer from 0 to 4294967295',
  fits: (value) => typeof value === 'string' || u32.fits(value),
};

export function oneOf(names: readonly string[]): Rule {
  return {
    wanted: `one of ${names.join(', ')}`,
    fits: (value) => (names as readonly unknown[]).includes(value),
  };
}

export function nullOr(rule: Rule): Rule {
  return { wanted: `${rule.wanted}, or null`, fits: (value) => value === null || rule.fits(value) };
}

export function optional(rule: Rule): Rule {
  return { ...rule, optional: true };
}

export function listOf(rule: Rule, least = 0, most = Infinity): Rule {
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

export function objectOf(rules: Readonly<Record<string, Rule>>): Rule {
  const all = new Map(Object.entries(rules));
  const required = [...all].filter(([, { optional }]) => optional !== true).map(([name]) => name);
  return {
    wanted: describe([...all]),
    fits: (value) =>
      isObject(value) &&
      required.every((name) => Object.hasOwn(value, name)) &&
      Object.keys(value).every((name) => all.get(name)?.fits(value[name]) === true),
    members: (value) =>
      Object.entries(value as object).reduce(
        (sum, [name, inner]) => sum + 1 + (all.get(name)?.members?.(inner) ?? 0),
        0,
      ),
  };
}

/** Objects with more members are not described one by one, because messages have one line. */
const MOST_DESCRIBED = 4;

function describe(members: readonly [name: string, rule: Rule][]): string {
  if (members.length > MOST_DESCRIBED) return 'an object of the members that docs/trace-format.md lists';
  return `an object of ${members.map(([name, { wanted }]) => `"${name}" (${wanted})`).join(', ')}`;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isInteger(value: unknown, least: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= U32_MAX;
}
