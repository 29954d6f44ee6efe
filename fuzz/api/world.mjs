// Holds the state of a program: the package, the objects that calls returned, and the memory. All calls go through this class.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import { describe } from './labels.mjs';
import { Ledger } from './ledger.mjs';
import { Memories } from './memories.mjs';
import { functionOf, Pool } from './pool.mjs';
import { Random } from './random.mjs';
import { judge } from './verdict.mjs';

/** @typedef {import('./pool.mjs').Member} Member */
/** @typedef {import('./verdict.mjs').Circumstances} Circumstances */

const root = fileURLToPath(new URL('../..', import.meta.url));
const require = createRequire(import.meta.url);

/** Maximum nesting depth of calls made by getters and traps inside other calls. */
const DEEPEST = 3;
/** Calls that take longer are reported. A typical call takes microseconds. */
const LONGEST_MS = 8000;
/** Methods whose promises a signal may reject. */
const TAKES_SIGNAL = /\.((dereg|dealloc)Async|write|read|send|recv|fetchAdd|compareSwap)$/;

export class World {
  random = new Random();
  ledger = new Ledger();
  memories = new Memories(this.random);
  /** The built package, as programs load it. @type {any} */
  rdmavt = require(root);
  /** The native module itself, which is not public. @type {any} */
  native = require('node-gyp-build')(root);
  objects = new Pool(this.random, '', this.rdmavt, (member) => this.ledger.known(member));
  natives = new Pool(this.random, 'native ', this.native, (member) => this.ledger.known(member));
  /** Objects with an overwritten property. @type {WeakSet<object>} */
  tampered = new WeakSet();
  /** Batches whose block another thread writes into. @type {WeakSet<object>} */
  scribbled = new WeakSet();
  /** Whether other threads may carry out the work requests of this thread, so that completions may come later. */
  sharesDevices = false;
  /** The device that an object belongs to. @type {WeakMap<object, object>} */
  deviceOf = new WeakMap();
  /** All completion queues and queue pairs of the program. @type {Set<WeakRef<object>>} */
  #queues = new Set();
  /** The endpoints of the program, also those that it has forgotten: open ones keep the process alive. @type {Set<any>} */
  #endpoints = new Set();
  /** Functions that close the native endpoints. @type {(() => void)[]} */
  #nativeEndpoints = [];
  #depth = 0;
  #journal;

  constructor(
    /** @type {import('./journal.mjs').Journal} */ journal,
    /** @type {boolean} */ verbose = false,
  ) {
    this.#journal = journal;
    this.verbose = verbose;
  }

  /** Whether hostile values may still make calls. */
  get mayNest() {
    return this.#depth < DEEPEST;
  }

  /**
   * Runs a function while hostile values do not act. Used while intrinsics are patched, because the fuzzer relies on them too.
   */
  alone(/** @type {() => void} */ run) {
    const depth = this.#depth;
    this.#depth = DEEPEST;
    try {
      run();
    } finally {
      this.#depth = depth;
    }
  }

  /** Writes the next action to the journal. */
  note(/** @type {string} */ text) {
    const entry = `${'> '.repeat(this.#depth)}${text}`;
    this.#journal.note(this.ledger.index, entry);
    if (this.verbose) console.log(`${this.ledger.index} ${entry}`);
  }

  /**
   * Makes a call, keeps the objects it returns, and judges its exception.
   *
   * @param {Member} member
   * @param {any} self
   * @param {unknown[]} args
   * @param {Circumstances & { construct?: boolean, newTarget?: any }} [how]
   * @returns {any} the result; undefined if it threw
   */
  call(member, self, args, how = {}) {
    const { name, kind } = member;
    const target =
      member.kind === 'method' || kind === 'getter' || kind === 'setter' ? `${describe(self)} ` : '';
    this.note(
      `${target}${how.construct && !name.includes('new ') ? 'new ' : ''}${name}(${args.map(describe).join(', ')})`,
    );
    const invoke = functionOf(member, self);
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
   * Runs a function that calls the package, keeps the objects it returns, and judges its exception.
   *
   * @param {string} name
   * @param {() => any} run
   * @param {Circumstances} [circumstances]
   * @param {any} [self] the result belongs to the same device as this object
   */
  attempt(name, run, circumstances = {}, self = undefined) {
    this.#depth++;
    const begin = performance.now();
    try {
      const result = run();
      this.ledger.succeeded(name);
      if (result instanceof Promise) {
        // Judge a rejection like an exception.
        const hasSignal = TAKES_SIGNAL.test(name);
        result.then(
          (value) => {
            this.ledger.saw(`${name} resolved`);
            this.saw(value);
          },
          (exception) => {
            this.ledger.saw(`${name} rejected`);
            this.judge(name, exception, { ...circumstances, hasSignal });
          },
        );
      } else if (!circumstances.wrongThis && !circumstances.tampered) {
        // The result for a tampered object may have hostile values in it, such as an impostor of a native class.
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
   * Records an exception, with a finding if it is not permitted.
   *
   * @param {string} name of the call
   * @param {unknown} exception
   * @param {Circumstances} circumstances
   */
  judge(name, exception, circumstances) {
    const { name: kind, finding } = judge(exception, circumstances, this.rdmavt);
    if (kind.startsWith('CompletionError ')) this.ledger.saw(kind);
    this.ledger.threw(name, kind);
    if (finding) this.ledger.finding(`${name} ${finding}`);
  }

  /**
   * Keeps the objects in a result and records the device they belong to.
   *
   * @param {any} result
   * @param {any} self
   * @param {Pool} pool
   */
  #keep(result, self, pool) {
    this.saw(result);
    if (typeof result?.takeRefusal === 'function' && !types.isProxy(result)) {
      const { close } = result; // now: the program may change its prototype later
      this.#nativeEndpoints.push(() => close.call(result));
    }
    const device = typeof self === 'object' && self !== null ? (this.deviceOf.get(self) ?? self) : undefined;
    for (const object of pool.keep(result)) this.deviceOf.set(object, device ?? object);
  }

  /** Counts the statuses of completions, and remembers queues that may keep the process alive. */
  saw(/** @type {any} */ value) {
    const { Completion, CompletionQueue, Endpoint, QueuePair } = this.rdmavt;
    if (types.isProxy(value)) return; // a hostile value
    if (Array.isArray(value)) for (const element of value.slice(0, 100)) this.saw(element);
    if (value instanceof Completion && typeof value.status === 'string')
      this.ledger.saw(`completion ${value.status}`);
    if (value instanceof CompletionQueue || value instanceof QueuePair) this.#queues.add(new WeakRef(value));
    if (value instanceof Endpoint) this.#endpoints.add(value);
  }

  /** Lets no endpoint, and no promise, iteration or listener of a queue keep the process alive. */
  letGo() {
    const { CompletionQueue, Endpoint, QueuePair } = this.rdmavt;
    for (const endpoint of this.#endpoints) {
      try {
        if (endpoint instanceof Endpoint) Endpoint.prototype.close.call(endpoint);
      } catch {
        // An impostor.
      }
    }
    for (const close of this.#nativeEndpoints) close();
    for (const reference of this.#queues) {
      const queue = reference.deref();
      try {
        if (queue instanceof CompletionQueue) CompletionQueue.prototype.unref.call(queue);
        // Ends the operations that wait for room in the send queue: their timers keep the process alive.
        if (queue instanceof QueuePair) QueuePair.prototype.modify.call(queue, { state: 'RESET' });
        if (queue instanceof QueuePair) QueuePair.prototype.destroy.call(queue);
      } catch {
        // The queue pair has no queues or is destroyed.
      }
    }
  }

  /** Returns a member of an exported class by its name; undefined if the class does not have it. */
  member(/** @type {string} */ name) {
    const [type = ''] = name.split('.');
    return this.objects.kinds
      .find((kind) => kind.name === type)
      ?.members.find((member) => member.name === name);
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
