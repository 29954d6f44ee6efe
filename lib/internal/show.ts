/**
 * How objects show themselves: `toString`, `toJSON`, `util.inspect`. None of them throws, whatever became of the object, and none
 * needs `node:util`: the symbol is registered, so every runtime that knows it finds it.
 */

/** What an object says of itself: nothing that JSON cannot hold. Addresses and keys are hex strings, `"0x1000"`. */
export interface Shown {
  /** Name of its class. */
  class: string;
}

type Value = string | number | boolean | readonly string[] | null | undefined;

const inspectCustom: unique symbol = Symbol.for('nodejs.util.inspect.custom') as never;

/** What `describe` says of an object; only the name of its class if it cannot say anything. */
export function jsonOf<T extends object, Json extends Shown>(
  name: Json['class'],
  object: T,
  describe: (object: T) => Json,
): Json {
  try {
    return describe(object);
  } catch {
    // A prototype, an object of another class, a stack at its end, a property that a program has replaced.
    return { class: name } as Json;
  }
}

/** Fields that have a shorter way to be told in text; '' leaves one out, since another one says it. */
const words: Readonly<Record<string, ((value: Value) => string) | undefined>> = {
  __proto__: null as never,
  class: () => '',
  kind: (kind) => String(kind).toLowerCase(),
  id: (id) => `#${String(id)}`,
  state: String,
  access: (names) => rightsText(names as readonly string[]),
  lkey: (key) => `key ${String(key)}`,
  rkey: () => '', // as lkey
  start: () => '', // a name of its own only where somebody chose it
};

function rightsText(names: readonly string[]): string {
  // Local reading needs no bit: every region grants it.
  return names.length === 0 ? 'LocalRead' : names.join('|');
}

/** The same in one line: `MemoryRegion { user #1 key 0x1000 ... Valid }`. */
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
 * Gives a class its tag (`[object MemoryRegion]`) and what `util.inspect` and `console.log` call.
 *
 * @param text - as `toString`
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
