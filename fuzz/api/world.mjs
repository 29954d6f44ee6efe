// What a program has: the package, the objects it was given, memory, and the one place where anything is called.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { describe } from './labels.mjs';
import { Ledger } from './ledger.mjs';
import { Memories } from './memories.mjs';
import { Pool } from './pool.mjs';
import { Random } from './random.mjs';
import { judge } from './verdict.mjs';

/** @typedef {import('./pool.mjs').Member} Member */
/** @typedef {import('./verdict.mjs').Circumstances} Circumstances */

const root = fileURLToPath(new URL('../..', import.meta.url));
const require = createRequire(import.meta.url);

/** Calls in getters that calls read, and so on: so deep, and no deeper. */
const DEEPEST = 3;
/** What takes longer is a finding. A call of normal size takes microseconds. */
const LONGEST_MS = 8000;

export class World {
  random = new Random();
  ledger = new Ledger();
  memories = new Memories(this.random);
  /** The built package, as programs get it. @type {any} */
  rdmavt = require(root);
  /** The native module itself, which nobody is meant to reach. @type {any} */
  native = require('node-gyp-build')(root);
  objects = new Pool(this.random, '', this.rdmavt, (member) => this.ledger.known(member));
  natives = new Pool(this.random, 'native ', this.native, (member) => this.ledger.known(member));
  /** Objects with an overwritten property. @type {WeakSet<object>} */
  tampered = new WeakSet();
  /** Shared memory of batches that another thread writes into. @type {WeakSet<object>} */
  scribbled = new WeakSet();
  /** The device that an object belongs to. @type {WeakMap<object, object>} */
  deviceOf = new WeakMap();
  #depth = 0;
  #journal;

  constructor(
    /** @type {import('./journal.mjs').Journal} */ journal,
    /** @type {boolean} */ verbose = false,
  ) {
    this.#journal = journal;
    this.verbose = verbose;
  }

  /** Whether hostile values may call back still. */
  get mayNest() {
    return this.#depth < DEEPEST;
  }

  /** Runs something while hostile values do not act: these programs stand on the same intrinsics as everybody. */
  alone(/** @type {() => void} */ run) {
    const depth = this.#depth;
    this.#depth = DEEPEST;
    try {
      run();
    } finally {
      this.#depth = depth;
    }
  }

  /** Writes down what is done next. */
  note(/** @type {string} */ text) {
    const entry = `${'> '.repeat(this.#depth)}${text}`;
    this.#journal.note(this.ledger.index, entry);
    if (this.verbose) console.log(`${this.ledger.index} ${entry}`);
  }

  /**
   * Calls something, keeps what it gives, and judges what it throws.
   *
   * @param {Member} member
   * @param {any} self
   * @param {unknown[]} args
   * @param {Circumstances & { construct?: boolean, newTarget?: any }} [how]
   * @returns {any} the result; undefined if it threw
   */
  call(member, self, args, how = {}) {
    const { name, key, kind } = member;
    const target =
      member.kind === 'method' || kind === 'getter' || kind === 'setter' ? `${describe(self)} ` : '';
    this.note(
      `${target}${how.construct && !name.includes('new ') ? 'new ' : ''}${name}(${args.map(describe).join(', ')})`,
    );
    const invoke = member.invoke ?? self[key];
    const construct = how.construct ?? kind === 'constructor';
    return this.attempt(
      name,
      () =>
        construct
          ? Reflect.construct(invoke, args, how.newTarget ?? invoke)
          : Reflect.apply(invoke, self, args),
      { ...how, ...this.#circumstancesOf(name, self, args) },
      self,
    );
  }

  /**
   * Runs something that calls the package.
   *
   * @param {string} name
   * @param {() => any} run
   * @param {Circumstances} [circumstances]
   * @param {any} [self] whose device the result belongs to
   */
  attempt(name, run, circumstances = {}, self = undefined) {
    this.#depth++;
    const begin = performance.now();
    try {
      const result = run();
      this.ledger.succeeded(name);
      if (result instanceof Promise) {
        // Not `catch`: what it rejects with is judged like what is thrown.
        const awaitsRelease = /\.(dereg|dealloc)Async$/.test(name);
        result.then(undefined, (exception) =>
          this.judge(name, exception, { ...circumstances, awaitsRelease }),
        );
      } else if (!circumstances.wrongThis) {
        this.#keep(result, self, circumstances.raw ? this.natives : this.objects);
      }
      return result;
    } catch (exception) {
      this.judge(name, exception, circumstances);
      return undefined;
    } finally {
      this.#depth--;
      const milliseconds = performance.now() - begin;
      if (milliseconds > LONGEST_MS)
        this.ledger.finding(`${name} took ${(milliseconds / 1000).toFixed(1)} s`);
    }
  }

  /**
   * @param {string} name of the call
   * @param {unknown} exception
   * @param {Circumstances} circumstances
   */
  judge(name, exception, circumstances) {
    const { name: kind, finding } = judge(exception, circumstances, this.rdmavt.RdmaError);
    this.ledger.threw(name, kind);
    if (finding) this.ledger.finding(`${name} ${finding}`);
  }

  /**
   * @param {any} result
   * @param {any} self
   * @param {Pool} pool
   */
  #keep(result, self, pool) {
    const device = typeof self === 'object' && self !== null ? (this.deviceOf.get(self) ?? self) : undefined;
    for (const object of pool.keep(result)) this.deviceOf.set(object, device ?? object);
  }

  /**
   * @param {string} name
   * @param {any} self
   * @param {unknown[]} args
   * @returns {Circumstances}
   */
  #circumstancesOf(name, self, args) {
    const objects = [self, ...args].filter((value) => typeof value === 'object' && value !== null);
    return {
      tampered: objects.some((object) => this.tampered.has(object)),
      scribbled: objects.some((object) => this.scribbled.has(object)),
    };
  }
}
