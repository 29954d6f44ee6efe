// Finds the functions that can be called: the members of all exports, and of all objects that calls return. New classes and
// methods are found without changes here.
import { label } from './labels.mjs';

/**
 * @typedef {object} Member
 * @property {string} name name including the class
 * @property {string | symbol} key
 * @property {'method' | 'getter' | 'setter' | 'static' | 'constructor'} kind
 * @property {Function} [invoke] the function as it was when the class was found, even if a program overwrites it later; undefined
 *   for functions that are own properties of each object
 */

/**
 * @typedef {object} Kind
 * @property {string} name
 * @property {Member[]} members members of its objects, including inherited ones
 * @property {object[]} objects
 */

/**
 * Returns the function of a member. `self` is an object that has it, because a function of a plain object is a property of it.
 * @param {Member} member
 * @param {any} self
 * @returns {any}
 */
export const functionOf = (member, self) => member.invoke ?? self[member.key];

/** Limit per kind. With more objects, related objects would rarely be used together. */
const MOST_OBJECTS = 60;

export class Pool {
  /** @type {Map<object | string, Kind>} by prototype, or by the names of an object's own functions */
  #kinds = new Map();
  /** Functions called without an object: statics, constructors, plain functions. @type {Member[]} */
  free = [];
  #random;
  #prefix;

  /**
   * @param {import('./random.mjs').Random} random
   * @param {string} prefix prefix of all names
   * @param {Record<string, any>} exports
   * @param {(member: string) => void} known called for every member that is found
   */
  constructor(random, prefix, exports, known) {
    this.#random = random;
    this.#prefix = prefix;
    this.known = known;
    for (const [name, value] of Object.entries(exports)) {
      if (typeof value !== 'function') continue;
      if (/^class\b/.test(Function.prototype.toString.call(value))) this.#addClass(name, value);
      else this.#addFree({ name: `${prefix}${name}`, key: name, kind: 'static', invoke: value });
    }
  }

  get kinds() {
    return [...this.#kinds.values()];
  }

  #addFree(/** @type {Member} */ member) {
    this.free.push(member);
    this.known(member.name);
  }

  /**
   * @param {string} name
   * @param {any} type
   */
  #addClass(name, type) {
    this.#kindOf(type.prototype, name);
    this.#addFree({ name: `${this.#prefix}new ${name}`, key: name, kind: 'constructor', invoke: type });
    for (const key of Reflect.ownKeys(type)) {
      const { value } = Object.getOwnPropertyDescriptor(type, key) ?? {};
      if (typeof value !== 'function' || key === 'prototype') continue;
      this.#addFree({
        name: `${this.#prefix}static ${name}.${String(key)}`,
        key,
        kind: 'static',
        invoke: value,
      });
    }
  }

  /**
   * @param {any} prototype
   * @param {string} name
   * @returns {Kind}
   */
  #kindOf(prototype, name) {
    const found = this.#kinds.get(prototype);
    if (found) return found;
    const members = membersOf(prototype, `${this.#prefix}${name}`);
    for (const member of members) this.known(member.name);
    const kind = { name: `${this.#prefix}${name}`, members, objects: [] };
    this.#kinds.set(prototype, kind);
    return kind;
  }

  /** Returns the kind of an object that a call returned; undefined for plain data. @returns {Kind | undefined} */
  #kindOfObject(/** @type {any} */ object) {
    const prototype = Object.getPrototypeOf(object);
    if (prototype === null) return undefined;
    if (prototype === Object.prototype) {
      const keys = Object.keys(object).filter((key) => typeof object[key] === 'function');
      if (keys.length === 0) return undefined;
      const shape = keys.join();
      let kind = this.#kinds.get(shape);
      if (!kind) {
        const name = `${this.#prefix}{${keys.slice(0, 2).join()}...}`;
        const members = keys.map((key) => ({
          name: `${name}.${key}`,
          key,
          kind: /** @type {const} */ ('method'),
        }));
        for (const member of members) this.known(member.name);
        this.#kinds.set(shape, (kind = { name, members, objects: [] }));
      }
      return kind;
    }
    const known = this.#kinds.get(prototype);
    if (known) return known;
    // Classes of the package that are not exported count too; built-in classes do not.
    const { constructor } = prototype;
    if (typeof constructor !== 'function' || isBuiltIn(constructor)) return undefined;
    return this.#kindOf(prototype, constructor.name || 'nameless');
  }

  /** Keeps all objects in a result for later calls. @returns {object[]} the objects that are new */
  keep(/** @type {any} */ value, depth = 0) {
    if (typeof value !== 'object' || value === null || depth > 3 || ArrayBuffer.isView(value)) return [];
    if (Array.isArray(value)) return value.slice(0, 20).flatMap((element) => this.keep(element, depth + 1));
    const kind = this.#kindOfObject(value);
    if (!kind) {
      if (Object.getPrototypeOf(value) !== Object.prototype) return [];
      return Object.values(value).flatMap((element) => this.keep(element, depth + 1));
    }
    if (kind.objects.includes(value)) return [];
    kind.objects.push(label(kind.name, value));
    if (kind.objects.length > MOST_OBJECTS) {
      // Remove objects at a random position, so that some old objects survive.
      kind.objects.splice(this.#random.dice(MOST_OBJECTS >> 1), MOST_OBJECTS >> 2);
    }
    return [value];
  }

  forget(/** @type {object} */ object) {
    for (const { objects } of this.#kinds.values()) {
      const at = objects.indexOf(object);
      if (at >= 0) objects.splice(at, 1);
    }
  }

  /** Drops many objects, so that the garbage collector can collect them. */
  forgetMany(/** @type {number} */ probability) {
    for (const kind of this.#kinds.values()) {
      kind.objects = kind.objects.filter(() => !this.#random.chance(probability));
    }
  }

  /** Returns all objects of a kind, given by name. */
  objects(/** @type {string} */ name) {
    return this.kinds.find((kind) => kind.name === name)?.objects ?? [];
  }

  /** Returns a random object. All kinds are equally likely. Undefined while there are no objects. */
  anyObject() {
    const kinds = this.kinds.filter(({ objects }) => objects.length > 0);
    return kinds.length ? this.#random.pick(this.#random.pick(kinds).objects) : undefined;
  }

  /** Returns a random kind that has objects and members. */
  anyKind() {
    const kinds = this.kinds.filter(({ objects, members }) => objects.length > 0 && members.length > 0);
    if (kinds.length === 0) return undefined;
    // Prefer kinds with many members.
    return this.#random.weighed(kinds.map((kind) => [1 + Math.min(kind.members.length, 10), kind]));
  }
}

/**
 * Returns the members of a prototype, including inherited ones.
 *
 * @param {any} prototype
 * @param {string} name
 * @returns {Member[]}
 */
function membersOf(prototype, name) {
  /** @type {Map<string | symbol, Member>} */
  const members = new Map();
  for (let level = prototype; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    if (level === Error.prototype) break;
    for (const key of Reflect.ownKeys(level)) {
      if (key === 'constructor' || members.has(key)) continue;
      const { value, get, set } = Object.getOwnPropertyDescriptor(level, key) ?? {};
      const full = `${name}.${typeof key === 'symbol' ? `[${key.description}]` : key}`;
      if (typeof value === 'function') members.set(key, { name: full, key, kind: 'method', invoke: value });
      else if (get) members.set(key, { name: full, key, kind: 'getter', invoke: get });
      if (set) members.set(key, { name: `${full}=`, key, kind: 'setter', invoke: set });
    }
  }
  return [...members.values()];
}

/** Returns whether a class is built into JavaScript or Node. */
function isBuiltIn(/** @type {Function} */ constructor) {
  return (
    !constructor.name.startsWith('Native') &&
    /\[native code\]/.test(Function.prototype.toString.call(constructor))
  );
}
