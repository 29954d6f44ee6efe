// Creates values meant to cause harm: of wrong types, with false properties, or that run code while the package reads them.
import { runInNewContext } from 'node:vm';
import { HostileMemory } from './hostile-memory.mjs';
import { label } from './labels.mjs';
import { hostileException } from './verdict.mjs';

/** @typedef {import('./world.mjs').World} World */

/** All property names that the package reads from objects, and some that JavaScript itself reads. */
const PROPERTIES =
  `lkeyTableBits keyPolicy remoteKeyZero trusted cascade address start iova access maxNumSg type maxPages maxMaps
  pageShift addr vaddr length lkey rkey last key offset pageSize force timeoutMs places coalesce put ordered byteLength
  byteOffset buffer constructor then 0 1 opcode wrId sges signaled solicited fence inline remoteAddr imm invalidateRkey
  compareAdd swap mr ah remoteQpn remoteQkey sendCq recvCq srq maxSendWr maxRecvWr sqSigAll state qkey av dlid kick
  limits engine limit maxWr maxSge`.split(/\s+/);

// prettier-ignore
const NUMBERS = [
  0, -0, 1, 2, 3, 5, 7, 8, 12, 16, 23, 24, 31, 32, 63, 64, 255, 256, 257, 4095, 4096, 4097, 65536, 2 ** 20, 2 ** 31 - 1,
  2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 1e300, -1, -2, -(2 ** 31), -(2 ** 53), 0.5, 1.5, -0.5,
  5e-324, NaN, Infinity, -Infinity,
];

// prettier-ignore
const BIGINTS = [
  0n, 1n, 8n, 4095n, 4096n, 0x100000n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 4096n,
  2n ** 64n - 8n, 2n ** 64n - 1n, 2n ** 64n, 2n ** 64n + 1n, -1n, -8n, -(2n ** 63n), -(2n ** 64n), 2n ** 2000n,
];

// prettier-ignore
const STRINGS = [
  '', 'x', '0', '8', '-1', 'MEM_REG', 'SG_GAPS', 'sequential', 'random', 'length', 'RC', 'UD', 'SEND', 'RDMA_READ', 'RESET', 'ERR', 'RTS', '\ud800', '__proto__',
  'a'.repeat(1e6),
];

/** Lengths that an array may claim to have. The package must not allocate memory or loop based on such a length alone. */
// prettier-ignore
const LENGTHS = [
  -1, 0, 1, 3, 256, 2 ** 31 - 1, 2 ** 32 - 1, 2 ** 32, 2 ** 40, 2 ** 53 - 1, Infinity, NaN, 1.5, '3', null, true,
  Symbol('length'), 5n, {},
];

export class Hostile {
  #world;
  #random;
  #memory;
  /** Does something in the middle of a call. program.mjs replaces this function. @type {() => void} */
  mischief = () => undefined;
  /** Returns a value that may be valid. program.mjs replaces this function. @type {() => unknown} */
  plausible = () => undefined;

  constructor(/** @type {World} */ world) {
    this.#world = world;
    this.#random = world.random;
    this.#memory = new HostileMemory(world, () => this.#trap());
  }

  /** Returns a random value of any type. @returns {any} */
  value(depth = 0) {
    const makers = [
      [6, () => this.primitive()],
      [6, () => this.#memory.any()],
      [6, () => this.object(depth)],
      [5, () => this.array(depth)],
      [4, () => this.impostor()],
      [2, () => this.function()],
      [2, () => this.foreign()],
      [4, () => this.plausible()],
    ];
    const value = this.#random.weighed(/** @type {[number, () => any][]} */ (makers))();
    return this.#random.chance(0.15) ? this.proxy(value) : value;
  }

  /** @returns {any} */
  primitive() {
    /** @type {[number, () => unknown][]} */
    const makers = [
      [6, () => this.#random.pick(NUMBERS)],
      [4, () => this.#random.pick(BIGINTS)],
      [1, () => this.#random.pick(STRINGS)],
      [1, () => this.#random.pick([Symbol('construction'), Symbol.iterator, Symbol.for('nodejs.dispose')])],
      [2, () => this.#random.pick([undefined, null, true, false])],
      // A bigint of half a million decimal digits: the package must reject it without computing with it.
      [this.#random.chance(0.02) ? 1 : 0, () => 1n << 1_500_000n],
    ];
    return this.#random.weighed(makers)();
  }

  /** @returns {any} */
  function() {
    const random = this.#random;
    const trap = () => this.#trap();
    return random.pick([
      () => label('an arrow function', () => 1),
      () => label('a class', class {}),
      () =>
        label(
          'a class with a symbol as name',
          class {
            static name = Symbol('name');
          },
        ),
      () =>
        label(
          'a class with a getter as name',
          class {
            static get name() {
              trap();
              return 'x';
            }
          },
        ),
      () =>
        label(
          'a class with an object as name',
          class {
            /** @type {unknown} */
            static name = { __proto__: null };
          },
        ),
      () => label('a class of the package', random.pick(Object.values(this.#world.rdmavt))),
      () => label('a bound function', trap.bind(undefined)),
      () => label('a function that acts', () => this.#trap()),
      () => revoked('function', () => 1),
    ])();
  }

  /** @returns {any} */
  object(depth = 0) {
    const random = this.#random;
    const fill = (/** @type {any} */ object) => {
      for (const name of PROPERTIES) if (random.chance(0.5)) object[name] = this.#field(depth);
      return object;
    };
    return random.weighed([
      [1, () => label('{}', {})],
      [3, () => label('an object', fill({}))],
      [2, () => label('an object without prototype', fill({ __proto__: null }))],
      [1, () => label('a frozen object', Object.freeze(fill({})))],
      [5, () => this.#acting()],
      [
        1,
        () =>
          label(
            'something boxed',
            random.pick([Object(1n), Object(8), Object('x'), Object(true), Object(Symbol())]),
          ),
      ],
      [
        1,
        () =>
          label(
            'something built in',
            random.pick([new Map(), new Date(), /x/, new Error('x'), globalThis, Math, Atomics]),
          ),
      ],
      [1, () => label('something convertible', this.#convertible())],
      [1, () => label('a module', random.pick([this.#world.rdmavt, this.#world.native]))],
      [1, () => revoked('object', {})],
    ])();
  }

  /** Returns an object whose getters run code. */
  #acting() {
    const object = {};
    const active = this.#random.dice(6);
    for (const name of PROPERTIES) {
      const value = this.#field(0);
      if (this.#random.dice(6) === active) {
        Object.defineProperty(object, name, {
          enumerable: true,
          get: () => {
            this.#trap();
            return value;
          },
        });
      } else if (this.#random.chance(0.7)) {
        Object.defineProperty(object, name, { enumerable: true, value });
      }
    }
    return label('an object with getters that act', object);
  }

  /** Returns a copy of a valid value whose getters or traps run code while the package reads the value. @returns {any} */
  acting(/** @type {any} */ value) {
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
    if (this.#random.chance(0.3)) return this.proxy(value);
    const copy = Array.isArray(value) ? [] : {};
    for (const key of Object.keys(value)) {
      const property = this.#random.chance(0.4) ? this.#actingInside(value[key]) : value[key];
      const act = this.#random.chance(0.6);
      Object.defineProperty(copy, key, {
        enumerable: true,
        configurable: true,
        get: () => {
          if (act) this.#trap();
          return property;
        },
      });
    }
    return label('a valid value with getters that act', copy);
  }

  /** Does the same as `acting` to a property of a valid value, such as the elements of a work request, but not to objects of classes. */
  #actingInside(/** @type {any} */ value) {
    const isPlain =
      typeof value === 'object' &&
      value !== null &&
      (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype);
    return isPlain ? this.acting(value) : value;
  }

  /** Returns a value for a property, mostly one that is valid for some property. */
  #field(/** @type {number} */ depth) {
    if (this.#random.chance(0.5)) return this.plausible();
    return this.#random.chance(0.6) || depth > 1 ? this.primitive() : this.value(depth + 2);
  }

  #convertible() {
    const act = () => {
      this.#trap();
      return this.primitive();
    };
    return { valueOf: act, toString: act, [Symbol.toPrimitive]: this.#random.chance(0.5) ? act : undefined };
  }

  /** @returns {any} */
  array(depth = 0) {
    const random = this.#random;
    const trap = () => this.#trap();
    const make = () =>
      depth > 1 ? this.primitive() : random.chance(0.6) ? this.plausible() : this.value(depth + 1);
    const list = Array.from({ length: random.dice(5) }, make);
    return random.weighed([
      [4, () => label(`an array of ${list.length}`, list)],
      [1, () => label('an array with holes', Object.assign(new Array(5), { 1: make(), 3: make() }))],
      [
        2,
        () => label('a huge sparse array', sparse(random.pick([2 ** 24, 2 ** 28, 2 ** 31 - 1, 2 ** 32 - 1]))),
      ],
      [
        2,
        () => {
          const array = [...list, 1, 2];
          Object.defineProperty(array, random.dice(array.length), { get: () => (trap(), make()) });
          return label('an array with a getter', array);
        },
      ],
      [
        2,
        () => {
          const array = [...list];
          Object.defineProperty(array, 0, {
            get: () => {
              trap();
              array.length = random.pick([0, 1, 100]);
              return make();
            },
          });
          return label('an array that changes', array);
        },
      ],
      [
        3,
        () => {
          const length = random.pick(LENGTHS);
          return label(
            `an array of length ${String(length)}`,
            new Proxy(list, {
              get: (target, key, receiver) =>
                key === 'length' ? (trap(), length) : Reflect.get(target, key, receiver),
            }),
          );
        },
      ],
      [
        1,
        () => {
          class Species extends /** @type {any} */ (Array) {
            static get [Symbol.species]() {
              trap();
              return Object;
            }
          }
          return label('an array with a species', Species.from(list));
        },
      ],
      [1, () => label('something like an array', { ...list, length: random.pick([3, 2 ** 32]) })],
      [1, () => label('an array of another realm', runInNewContext('[1n, 2n]'))],
      [1, () => revoked('array', [])],
    ])();
  }

  /** Returns objects that pretend to be of a class of the package. @returns {any} */
  impostor() {
    const random = this.#random;
    const { objects, natives } = this.#world;
    const real = objects.anyObject() ?? {};
    return random.weighed([
      [4, () => real],
      [2, () => natives.anyObject()],
      [2, () => label('a proxy of an object', new Proxy(real, {}))],
      [2, () => label('an object with its prototype', Object.create(Object.getPrototypeOf(real)))],
      [1, () => label('a child of an object', Object.create(real))],
      [
        1,
        () => {
          const native = natives.anyObject() ?? {};
          return label(
            'a native object with another prototype',
            Object.setPrototypeOf(native, Object.getPrototypeOf(natives.anyObject() ?? {})),
          );
        },
      ],
      [1, () => label('a prototype', Object.getPrototypeOf(real))],
    ])();
  }

  /** Returns a value of another realm, where `instanceof` and the intrinsics differ. */
  foreign() {
    return label(
      'a value of another realm',
      runInNewContext(
        this.#random.pick([
          'new Uint8Array(64)',
          'new ArrayBuffer(64)',
          'new SharedArrayBuffer(64)',
          'new BigUint64Array(4)',
          'new Uint32Array([1, 2])',
          'new DataView(new ArrayBuffer(8))',
          '({ addr: 0x100000n, vaddr: 0n, length: 8, lkey: 256, rkey: 256, access: 31 })',
          '[8, 8]',
          '(() => 1)',
          'new Proxy([], {})',
          'Object.create(null)',
        ]),
      ),
    );
  }

  /** Returns a proxy around a value. Its traps run code. */
  proxy(/** @type {any} */ target) {
    if ((typeof target !== 'object' && typeof target !== 'function') || target === null) return target;
    const act = () => this.#trap();
    /** @type {Record<string, unknown>} */
    const handler = {};
    for (const name of Reflect.ownKeys(Reflect)) {
      const real = /** @type {any} */ (Reflect)[name];
      if (typeof name !== 'string' || typeof real !== 'function') continue;
      handler[name] = (/** @type {unknown[]} */ ...args) => {
        act();
        return real(...args);
      };
    }
    return label('a proxy whose traps act', new Proxy(target, handler));
  }

  #trap() {
    const world = this.#world;
    if (!world.mayNest) return;
    if (this.#random.chance(0.05)) throw hostileException(this.#random);
    if (this.#random.chance(0.8)) this.mischief();
  }
}

/**
 * @param {string} name
 * @param {object} target
 */
function revoked(name, target) {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return label(`a revoked ${name}`, proxy);
}

/**
 * Returns a sparse array. Unlike `new Array(length)`, it takes little memory: the element at the end makes V8 use a hash table.
 */
function sparse(/** @type {number} */ length) {
  /** @type {unknown[]} */
  const array = [];
  array[2 ** 32 - 2] = 0;
  array.length = length;
  return array;
}
