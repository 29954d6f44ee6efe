// Disturbs a program between calls and in the middle of calls: resizes and transfers memory, collects garbage, overwrites batch
// blocks, closes devices, starts and terminates threads.
import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';
import { label } from './labels.mjs';
import { functionOf } from './pool.mjs';
import { isOfEmitter } from './verbs.mjs';

/** @typedef {import('./world.mjs').World} World */

const MOST_WORKERS = 5;

export class Mischief {
  #world;
  #random;
  #hostile;
  #plausible;
  #stop = new Int32Array(new SharedArrayBuffer(4));
  /** @type {Worker | undefined} */
  #scribbler;
  /** @type {Set<Worker>} */
  #workers = new Set();
  #started = 0;

  /**
   * @param {World} world
   * @param {import('./hostile.mjs').Hostile} hostile
   * @param {import('./plausible.mjs').Plausible} plausible
   * @param {{ threads: boolean, seed: number, journal: string }} options `threads`: whether to use other threads
   */
  constructor(world, hostile, plausible, options) {
    this.#world = world;
    this.#random = world.random;
    this.#hostile = hostile;
    this.#plausible = plausible;
    this.options = options;
  }

  /** Does one of the things that may happen between two calls. */
  between() {
    const { options } = this;
    this.#random.weighed([
      [6, () => this.#memoryGoes()],
      [4, () => this.#overwrite()],
      [3, () => this.#patchIntrinsic()],
      [2, () => this.#collect()],
      [2, () => this.#language()],
      [2, () => this.#tamper()],
      [2, () => this.#forget()],
      [1, () => this.#dispose()],
      [options.threads ? 4 : 0, () => this.#startScribbler()],
      [options.threads ? 3 : 0, () => this.#startWorker()],
    ])();
  }

  /** Does one of the things that may happen while the package reads a hostile value. @param {() => void} anyCall */
  inside(anyCall) {
    this.#random.weighed([
      [5, anyCall],
      [4, () => this.#memoryGoes()],
      [3, () => this.#overwrite()],
      [1, () => this.#collect()],
      [1, () => this.#dispose()],
      [1, () => this.#forget()],
    ])();
  }

  /** Terminates the other threads. */
  async end() {
    Atomics.store(this.#stop, 0, 1);
    const left = [...this.#workers, ...(this.#scribbler ? [this.#scribbler] : [])];
    await Promise.all(left.map((worker) => worker.terminate()));
  }

  #memoryGoes() {
    const { memories } = this.#world;
    const transfer = this.#random.chance(0.5);
    this.#world.note(transfer ? 'memory is transferred' : 'memory is resized');
    if (transfer) memories.transfer();
    else memories.resize();
  }

  #collect() {
    this.#world.note('garbage is collected');
    /** @type {any} */ (globalThis).gc?.({ type: this.#random.pick(['minor', 'major']) });
  }

  #forget() {
    this.#world.note('objects are dropped');
    this.#world.objects.forgetMany(0.2);
    this.#world.natives.forgetMany(0.2);
  }

  /** Disposes of a random object; a device or domain with everything in it. */
  #dispose() {
    const { objects } = this.#world;
    const kind = objects.anyKind();
    const member = kind?.members.find(
      ({ key }) => key === Symbol.dispose || key === Symbol.for('nodejs.dispose'),
    );
    // Rarely dispose of devices and domains, because little is left to test afterwards.
    if (!kind || !member || (/^(Device|ProtectionDomain)$/.test(kind.name) && this.#random.chance(0.8)))
      return;
    this.#world.call(member, this.#random.pick(kind.objects), []);
  }

  /** Overwrites words of a batch block, through any view of the batch (`view`, `words` and others). */
  #overwrite() {
    const batch = this.#plausible.one('CheckBatch');
    // A tampered property may hold a view of any other memory, including its rims.
    if (batch && this.#world.tampered.has(batch)) return;
    const view =
      batch && this.#random.pick(Object.values(batch).filter((value) => ArrayBuffer.isView(value)));
    if (!view) return;
    this.#world.note('a block is overwritten');
    const words = new Uint32Array(view.buffer);
    for (let i = this.#random.dice(20); i > 0; i--) {
      const value = this.#random.pick([this.#random.bits(), 0, 8, 64, 0xffffffff, this.#plausible.key()]);
      words[this.#random.dice(this.#random.chance(0.5) ? 16 : words.length)] = value;
    }
  }

  /** Uses an object in ways that JavaScript offers for all objects. */
  #language() {
    const object = this.#world.objects.anyObject();
    if (!object) return;
    const random = this.#random;
    const [name, use] = random.pick([
      ['inspect', () => inspect(object)],
      ['JSON', () => JSON.stringify(object)],
      ['structuredClone', () => structuredClone(object)],
      ['keys', () => Object.entries(object)],
      ['string', () => `${object}`],
      ['freeze', () => Object.isFrozen(object) || Object.preventExtensions(object)],
    ]);
    this.#world.note(`${name} of an object`);
    try {
      use();
    } catch (error) {
      // Operations such as cloning may throw for an object, but must return and throw only errors.
      if (!(error instanceof Error)) this.#world.ledger.finding(`${name} threw ${String(error)}`);
    }
  }

  /** Overwrites a property of an object. */
  #tamper() {
    const object = this.#world.objects.anyObject();
    const keys = object ? Object.keys(object) : [];
    if (!object || keys.length === 0 || this.#random.chance(0.7)) return;
    const key = this.#random.pick(keys);
    this.#world.note(`${key} of an object is overwritten`);
    this.#world.tampered.add(object);
    Reflect.set(object, key, this.#hostile.value());
  }

  /** Makes one call while an intrinsic function that the package may rely on is replaced. */
  #patchIntrinsic() {
    const { objects } = this.#world;
    const kind = objects.anyKind();
    if (!kind) return;
    const self = this.#random.pick(kind.objects);
    const member = this.#random.pick(kind.members);
    if (isOfEmitter(member.key)) return;
    const args = this.#random.chance(0.7)
      ? this.#plausible.arguments(member, self)
      : [this.#hostile.value(), this.#hostile.value()];
    const hostile = this.#hostile.value();
    /** @type {[any, string, unknown][]} */
    const patches = [
      [Array.prototype, 'map', () => hostile],
      [Array.prototype, 'push', () => 0],
      [Array, 'isArray', () => true],
      [Array, 'from', () => hostile],
      [Uint32Array, 'from', () => hostile],
      [Number, 'isInteger', () => true],
      [Math, 'min', () => 2 ** 33],
      [Math, 'floor', (/** @type {number} */ x) => x],
      [WeakMap.prototype, 'get', () => hostile],
      [globalThis, 'BigInt', () => hostile],
      [globalThis, 'Number', () => hostile],
      [globalThis, 'BigUint64Array', Array],
      [globalThis, 'SharedArrayBuffer', ArrayBuffer],
      [globalThis, 'Uint8Array', Float64Array],
    ];
    const [owner, name, patch] = this.#random.pick(patches);
    const original = Object.getOwnPropertyDescriptor(owner, name);
    const invoke = functionOf(member, self);
    this.#world.note(`${member.name} while ${name} is patched`);
    this.#world.alone(() => {
      try {
        Object.defineProperty(owner, name, { value: patch, configurable: true, writable: true });
        const result = Reflect.apply(invoke, self, args);
        if (result instanceof Promise) result.then(undefined, () => undefined);
      } catch {
        // Any exception is permitted here, because the patch itself may throw.
      } finally {
        if (original) Object.defineProperty(owner, name, original);
        else delete owner[name]; // the property was inherited
      }
    });
  }

  #startScribbler() {
    const batch = this.#plausible.one('CheckBatch');
    if (!batch || !ArrayBuffer.isView(batch.words)) return;
    if (!this.#scribbler) {
      this.#world.note('a thread begins to write into blocks');
      const hints = [
        0,
        1,
        4,
        8,
        64,
        4096,
        256,
        512,
        0x100000,
        0xffffffff,
        this.#plausible.key(),
        this.#plausible.key(),
      ];
      const workerData = { seed: this.#random.bits(), stop: this.#stop, hints };
      this.#scribbler = this.#run('scribbler.mjs', workerData);
    }
    const { buffer } = batch.words;
    if (!(buffer instanceof SharedArrayBuffer)) return; // the property `words` was overwritten
    this.#world.scribbled.add(batch);
    this.#scribbler.postMessage(buffer);
  }

  /** Starts a thread that runs random calls itself, and terminates it at a random time. */
  #startWorker() {
    if (this.#workers.size > 0 || this.#started >= MOST_WORKERS) return;
    const number = ++this.#started;
    this.#world.note(`worker ${number} begins`);
    const journal = `${this.options.journal}.worker-${number}`;
    const token = this.#token();
    const worker = this.#run('program.mjs', {
      token,
      seed: this.#random.bits(),
      calls: 1e9,
      journal,
      threads: false,
    });
    this.#workers.add(worker);
    // Creating queue pairs takes longer than starting.
    const delay = this.#random.dice(token ? 1000 : 80);
    worker.once('message', () =>
      setTimeout(() => {
        this.#world.ledger.account.workers++;
        void worker.terminate();
      }, delay),
    );
    worker.on('message', ({ finding, state }) => {
      if (state) this.#world.ledger.saw(state);
      if (finding) this.#world.ledger.finding(`worker ${number}: ${finding}`);
    });
    worker.once('exit', () => this.#workers.delete(worker));
  }

  /** Returns the token of a device that a worker may use together with this thread; undefined if there is none. */
  #token() {
    if (this.#random.chance(0.3)) return undefined;
    try {
      const token = /** @type {any} */ (this.#plausible.one('Device')).share();
      if (typeof token !== 'string') return undefined;
      this.#world.sharesDevices = true;
      return token;
    } catch {
      return undefined; // there is no device, or it is closed or restricted
    }
  }

  /**
   * @param {string} file
   * @param {object} workerData
   */
  #run(file, workerData) {
    const worker = new Worker(new URL(file, import.meta.url), { workerData, execArgv: [] });
    EventEmitter.prototype.on.call(worker, 'error', (error) =>
      this.#world.ledger.finding(`${file} ended by ${error?.stack ?? error}`),
    );
    return label('a worker', worker);
  }
}
