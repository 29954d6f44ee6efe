/**
 * Objects of options. What a program has put on `Object.prototype` must not become a right, and a misspelt name must not be
 * overlooked. So only own properties count, and every enumerable name that is not an option is refused, inherited or not.
 */
import { invalidType, propertiesOf, type Unchecked, unknownProperty } from './arguments';

const { hasOwn } = Object;

/** The options that were given, each read once. Its prototype is empty: a program cannot reach it. */
class Given {
  [name: string]: unknown;
}
Reflect.deleteProperty(Given.prototype, 'constructor');
Object.freeze(Object.setPrototypeOf(Given.prototype, null));

const NOTHING: Given = Object.freeze(new Given());

function isListed(name: string, names: readonly string[]): boolean {
  // By index: a program may have replaced `includes` and the iterator of arrays.
  for (let i = 0; i < names.length; i++) if (names[i] === name) return true;
  return false;
}

function listOf(names: readonly string[]): string {
  let text = '';
  for (let i = 0; i < names.length; i++) text += `${i === 0 ? '' : ', '}${names[i] ?? ''}`;
  return text;
}

/**
 * Reads an argument of options that may be left out. An own property that is `undefined` counts as not given, except `access`, and the `pd`
 * that `share` restricts a token to: rights that were meant to be named and are missing must not silently be others.
 *
 * @param names - the options there are
 * @returns the given ones; every property is read exactly once, in the object's order, because a getter may run any code
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`)
 */
export function optionsOf<T>(value: unknown, names: readonly (keyof T & string)[]): Unchecked<T> {
  return (value === undefined ? NOTHING : read(value, names)) as Unchecked<T>;
}

/** As {@link optionsOf}, for an argument that must be given. */
export function requiredOptionsOf<T>(value: unknown, names: readonly (keyof T & string)[]): Unchecked<T> {
  return read(value, names) as Unchecked<T>;
}

/**
 * As {@link optionsOf}, without a copy, for a call that is made very often. The caller reads each option once, and only if it is an own
 * property; and it judges an `access` that is there and undefined.
 */
export function namedOptionsOf<T extends object>(
  value: unknown,
  names: readonly (keyof T & string)[],
): Unchecked<T> {
  if (value === undefined) return NOTHING as Unchecked<T>;
  const options = propertiesOf<T>(value, 'options');
  for (const name in options) if (!isListed(name, names)) throw unknownOption(name, names, options);
  return options;
}

function read(value: unknown, names: readonly string[]): Given {
  const options = propertiesOf<Record<string, unknown>>(value, 'options');
  const given = new Given();
  for (const name in options) {
    if (!isListed(name, names)) throw unknownOption(name, names, options);
    if (!hasOwn(options, name)) continue;
    const option = options[name];
    if (option === undefined) {
      if (name === 'access') throw invalidType('options.access', 'of type number', undefined);
      if (name === 'pd') throw invalidType('options.pd', 'an instance of ProtectionDomain', undefined);
    } else {
      given[name] = option;
    }
  }
  return given;
}

function unknownOption(name: string, names: readonly string[], options: object): TypeError {
  const inherited = hasOwn(options, name) ? '' : ' (it is inherited)';
  const known = names.length === 1 ? `the only one is ${listOf(names)}` : `there are ${listOf(names)}`;
  const shown = name.length > 64 ? `${name.slice(0, 64)}...` : name;
  return unknownProperty(`options.${shown}`, `is not an option${inherited}; ${known}`);
}
