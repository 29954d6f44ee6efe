/**
 * Implements `toString`, `toJSON` and `util.inspect` of this package's objects. None of them throws, not even for closed objects.
 * `node:util` is not needed: the symbol for custom inspection is registered globally.
 */

/** Description of an object, in values that JSON can represent. Addresses and keys are hex strings, `"0x1000"`. */
export interface Shown {
  /** Name of the object's class. */
  class: string;
}

type Value = string | number | boolean | readonly string[] | null | undefined;

const inspectCustom: unique symbol = Symbol.for('nodejs.util.inspect.custom') as never;

/** Returns the description that `describe` gives of an object; only the class name if `describe` throws. */
export function jsonOf<T extends object, Json extends Shown>(
  name: Json['class'],
  object: T,
  describe: (object: T) => Json,
): Json {
  try {
    return describe(object);
  } catch {
    // `describe` throws for a prototype, an object of another class, or a stack overflow.
    return { class: name } as Json;
  }
}

/** Shorter text forms of some fields; '' leaves the field out. */
const words: Readonly<Record<string, ((value: Value) => string) | undefined>> = {
  __proto__: null as never,
  class: () => '',
  kind: (kind) => String(kind).toLowerCase(),
  id: (id) => `#${String(id)}`,
  state: String,
  access: (names) => rightsText(names as readonly string[]),
  lkey: (key) => `key ${String(key)}`,
  rkey: () => '', // always equal to lkey
  start: () => '', // equal to iova unless the program chose other addresses
};

function rightsText(names: readonly string[]): string {
  // Local reads need no access bit: every region grants them.
  return names.length === 0 ? 'LocalRead' : names.join('|');
}

/** Returns the description as one line: `MemoryRegion { user #1 key 0x1000 ... Valid }`. */
export function textOf<T extends object, Json extends Shown>(
  name: Json['class'],
  object: T,
  describe: (object: T) => Json,
): string {
  try {
    const shown = describe(object) as unknown as Record<string, Value>;
    let text = '';
    const fields = Object.keys(shown);
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i] ?? '';
      const value = shown[field];
      if (value === undefined || value === null) continue;
      const word = words[field]?.(value) ?? `${field} ${String(value)}`;
      if (word !== '') text += ` ${word}`;
    }
    return `${name} {${text} }`;
  } catch {
    return `${name} {}`;
  }
}

/**
 * Defines the tag of a class (`[object MemoryRegion]`) and the method that `util.inspect` and `console.log` call.
 *
 * @param text - returns the same text as `toString`
 */
export function showAs(
  type: { readonly prototype: object },
  name: string,
  text: (object: never) => string,
): void {
  const { prototype } = type;
  Object.defineProperty(prototype, Symbol.toStringTag, { value: name, configurable: true });
  Object.defineProperty(prototype, inspectCustom, {
    value(this: never, depth: unknown): string {
      return typeof depth === 'number' && depth < 0 ? `[${name}]` : text(this);
    },
    configurable: true,
    writable: true,
  });
}
