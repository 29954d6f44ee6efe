/**
 * Reads option objects. Only own properties count, so that a property on `Object.prototype` cannot grant a right. Every
 * enumerable name that is not an option is rejected, inherited or not, so that a misspelled option is not ignored.
 */
import { invalidType, propertiesOf, type Unchecked, unknownProperty } from './arguments';

const { hasOwn } = Object;

/** The given options, each read once. The prototype is empty and private, so a program cannot add properties to it. */
class Given {
  [name: string]: unknown;
}
Reflect.deleteProperty(Given.prototype, 'constructor');
Object.freeze(Object.setPrototypeOf(Given.prototype, null));

const NOTHING: Given = Object.freeze(new Given());

function isListed(name: string, names: readonly string[]): boolean {
  // A loop by index: a program may have replaced `includes` and the array iterator.
  for (let i = 0; i < names.length; i++) if (names[i] === name) return true;
  return false;
}

function listOf(names: readonly string[]): string {
  let text = '';
  for (let i = 0; i < names.length; i++) text += `${i === 0 ? '' : ', '}${names[i] ?? ''}`;
  return text;
}

/**
 * Reads an optional options argument. An own property that is `undefined` counts as not given. The exceptions are `access`, and
 * the `pd` that `share` restricts a token to: an `undefined` there is an error, because the default would grant other rights than
 * meant.
 *
 * @param names - the known options
 * @returns the given options; every property is read exactly once, in the object's order, because a getter may run any code
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`)
 */
export function optionsOf<T>(value: unknown, names: readonly (keyof T & string)[]): Unchecked<T> {
  return (value === undefined ? NOTHING : read(value, names)) as Unchecked<T>;
}

/** As {@link optionsOf}, for a required argument. */
export function requiredOptionsOf<T>(value: unknown, names: readonly (keyof T & string)[]): Unchecked<T> {
  return read(value, names) as Unchecked<T>;
}

/**
 * As {@link optionsOf}, but returns the caller's object without a copy, for frequent calls. The calling code must read each
 * option only once, only if it is an own property, and must reject an `access` that is `undefined` itself.
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

/** As {@link requiredOptionsOf}, for an option that is itself an object of options. `path`: its name, `'options.translation'`. */
export function nestedOptionsOf<T>(
  value: unknown,
  path: string,
  names: readonly (keyof T & string)[],
): Unchecked<T> {
  return read(value, names, path) as Unchecked<T>;
}

function read(value: unknown, names: readonly string[], path = 'options'): Given {
  const options = propertiesOf<Record<string, unknown>>(value, path);
  const given = new Given();
  for (const name in options) {
    if (!isListed(name, names)) throw unknownOption(name, names, options, path);
    if (!hasOwn(options, name)) continue;
    const option = options[name];
    if (option === undefined) {
      if (name === 'access') throw invalidType(`${path}.access`, 'of type number', undefined);
      if (name === 'pd') throw invalidType(`${path}.pd`, 'an instance of ProtectionDomain', undefined);
    } else {
      given[name] = option;
    }
  }
  return given;
}

function unknownOption(name: string, names: readonly string[], options: object, path = 'options'): TypeError {
  const inherited = hasOwn(options, name) ? '' : ' (it is an inherited property)';
  const known =
    names.length === 1 ? `the only option is ${listOf(names)}` : `the options are ${listOf(names)}`;
  const shown = name.length > 64 ? `${name.slice(0, 64)}...` : name;
  return unknownProperty(`${path}.${shown}`, `is not a known option${inherited}; ${known}`);
}
