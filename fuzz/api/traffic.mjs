// Keeps the queue pairs of a program busy: connects them, posts, polls, and brings them back when they are in error. Random calls
// alone would leave nearly all queue pairs in RESET or in error.
import { label } from './labels.mjs';

/** @typedef {import('./world.mjs').World} World */

/** Limit of remembered iterations. */
const MOST_ITERATIONS = 8;

export class Traffic {
  #world;
  #random;
  #plausible;
  /** @type {any[]} */
  #iterations = [];

  /**
   * @param {World} world
   * @param {import('./plausible.mjs').Plausible} plausible
   */
  constructor(world, plausible) {
    this.#world = world;
    this.#random = world.random;
    this.#plausible = plausible;
  }

  get #verbs() {
    return this.#plausible.verbs;
  }

  /** Calls a method of the package, with plausible arguments unless some are given. */
  #call(/** @type {string} */ name, /** @type {any} */ self, args = this.#arguments(name, self)) {
    const member = this.#world.member(name);
    return member && self ? this.#world.call(member, self, args) : undefined;
  }

  #arguments(/** @type {string} */ name, /** @type {any} */ self) {
    const member = this.#world.member(name);
    return member ? this.#plausible.arguments(member, self) : [];
  }

  /** Creates queues and connected queue pairs. */
  openScene(/** @type {any} */ device, /** @type {any} */ pd) {
    const random = this.#random;
    for (let i = 0; i < 3; i++)
      this.#call('Device.createCq', device, i === 0 ? [64] : this.#arguments('Device.createCq', device));
    this.#call('ProtectionDomain.createSrq', pd);
    this.#call('ProtectionDomain.createAh', pd, [{}]);
    for (const type of ['RC', 'RC', 'RC', 'RC', 'UC', 'UC', 'UD', 'UD'])
      this.#call('ProtectionDomain.createQp', pd, [this.#verbs.createQp(pd, type)]);
    if (random.chance(0.5)) this.#openEndpoint(device);
    if (random.chance(0.9)) this.#revive(device);
    for (let i = 0; i < 8; i++) this.step(device);
  }

  /** Opens an endpoint on a device, through which its queue pairs may be connected. Not every operating system has endpoints. */
  #openEndpoint(/** @type {any} */ device) {
    const member = this.#world.objects.free.find(({ name }) => name === 'new Endpoint');
    const options = { device, address: '127.0.0.1', port: 0, allowForeseeableKeys: true };
    if (member) this.#world.call(member, undefined, [label('{ address: 127.0.0.1 }', options)]);
  }

  /** Does something with the queue pairs of a device. */
  step(device = this.#plausible.one('Device')) {
    const random = this.#random;
    const qps = this.#verbs.queuePairs(device);
    if (!device || qps.length === 0) return;
    const qp = random.pick(qps);
    random.weighed([
      [4, () => this.#revive(device)],
      [10, () => this.#burst(qps)],
      [5, () => this.#receives(qps)],
      [5, () => this.#poll(device)],
      [3, () => this.#runEngine(device)],
      [5, () => this.#operations(qp)],
      [2, () => this.#wait(device)],
      [1, () => this.#call('QueuePair.modify', qp, [{ state: random.pick(['ERR', 'SQD', 'RTS', 'RESET']) }])],
      [1, () => this.#release(device)],
      [1, () => random.chance(0.3) && this.#destroy(qp)],
    ])();
  }

  /** Brings the queue pairs that are not ready to RTS, through RESET. */
  #revive(/** @type {any} */ device) {
    const verbs = this.#verbs;
    for (const qp of verbs.queuePairs(device)) {
      const state = verbs.read(() => qp.state);
      if (state === undefined || state === 'RTS') {
        if (state === 'RTS') this.#world.ledger.saw('queue pair in RTS');
        continue;
      }
      if (state !== 'RESET') this.#call('QueuePair.modify', qp, [{ state: 'RESET' }]);
    }
    for (const qp of verbs.queuePairs(device)) {
      if (verbs.read(() => qp.state) !== 'RESET') continue;
      this.#call(verbs.typeOf(qp) === 'UD' ? 'QueuePair.activate' : 'QueuePair.connect', qp);
    }
    // A broken queue loses all completions, so replace it when too many are broken.
    const cqs = this.#world.objects.objects('CompletionQueue');
    const broken = cqs.filter((cq) => verbs.read(() => /** @type {any} */ (cq).isBroken, true));
    for (const cq of broken) {
      if (this.#random.chance(0.3)) continue;
      for (const qp of verbs.queuePairs(device))
        if (verbs.read(() => qp.sendCq === cq || qp.recvCq === cq)) this.#destroy(qp);
      this.#call('CompletionQueue.destroy', cq, []);
      this.#world.objects.forget(cq);
    }
    if (broken.length > 0) this.#replenish(device);
  }

  /** Creates new queues and queue pairs in place of destroyed ones. */
  #replenish(/** @type {any} */ device) {
    const pd = this.#plausible.one('ProtectionDomain', device);
    if (this.#world.objects.objects('CompletionQueue').length < 4) this.#call('Device.createCq', device);
    const few = this.#verbs.queuePairs(device).length < 6;
    if (pd && few)
      for (let i = 0; i < 2; i++)
        this.#call('ProtectionDomain.createQp', pd, [this.#verbs.createQp(pd, 'RC')]);
  }

  #destroy(/** @type {any} */ qp) {
    this.#call('QueuePair.destroy', qp, []);
    this.#world.objects.forget(qp);
  }

  #burst(/** @type {any[]} */ qps) {
    for (let i = this.#random.dice(4); i >= 0; i--) this.#call('QueuePair.postSend', this.#random.pick(qps));
    if (this.#random.chance(0.3)) this.#packed(this.#random.pick(qps));
  }

  /** Posts work requests of a packed queue, some of them twice. */
  #packed(/** @type {any} */ qp) {
    const queue = this.#call('QueuePair.sendQueue', qp, [4]);
    if (typeof queue?.post !== 'function') return;
    for (let i = 0; i < 4; i++) this.#call('SendQueue.fill', queue, [i, this.#verbs.send(qp)]);
    this.#call('SendQueue.post', queue, [4, 0]);
    this.#call('SendQueue.setLocal', queue);
    this.#call('SendQueue.post', queue, [2, 2]);
  }

  #receives(/** @type {any[]} */ qps) {
    for (const qp of qps) {
      const srq = this.#verbs.read(() => qp.srq);
      if (srq) this.#call('SharedReceiveQueue.postRecv', srq);
      else this.#call('QueuePair.postRecv', qp);
    }
  }

  #poll(/** @type {any} */ device) {
    const { objects, deviceOf } = this.#world;
    for (const cq of objects.objects('CompletionQueue'))
      if (deviceOf.get(cq) === device) this.#call('CompletionQueue.poll', cq, [64]);
  }

  #runEngine(/** @type {any} */ device) {
    this.#call('Device.run', device);
    if (this.#random.chance(0.7)) this.#call('Device.fireTimers', device, []);
  }

  /** Starts operations with promises. */
  #operations(/** @type {any} */ qp) {
    for (let i = this.#random.dice(4); i >= 0; i--)
      this.#call(
        `QueuePair.${this.#random.pick(['write', 'read', 'send', 'recv', 'recv', 'fetchAdd', 'compareSwap'])}`,
        qp,
      );
  }

  /** Waits for completions by iteration or by event. */
  #wait(/** @type {any} */ device) {
    const random = this.#random;
    const cq = this.#plausible.one('CompletionQueue', device);
    if (!cq) return;
    if (random.chance(0.5)) {
      this.#call('CompletionQueue.on', cq);
      this.#call('CompletionQueue.arm', cq);
      if (random.chance(0.3)) this.#call('CompletionQueue.removeAllListeners', cq, []);
      return;
    }
    if (this.#iterations.length < MOST_ITERATIONS) {
      const iteration = this.#world.attempt('CompletionQueue.[Symbol.asyncIterator]', () =>
        cq[Symbol.asyncIterator](),
      );
      if (iteration) this.#iterations.push(label('an iteration', iteration));
    }
    if (this.#iterations.length === 0) return;
    const at = random.dice(this.#iterations.length);
    const iteration = this.#iterations[at];
    const circumstances = { tampered: this.#world.tampered.has(iteration) };
    this.#world.attempt('an iteration', () => iteration.next(), circumstances);
    if (random.chance(0.4)) {
      this.#iterations.splice(at, 1);
      this.#world.attempt('an iteration', () => iteration.return(), circumstances);
    }
  }

  /** Releases a region that work requests may use, and registers another one. */
  #release(/** @type {any} */ device) {
    const random = this.#random;
    const region = this.#plausible.region(device);
    if (!region) return;
    const name = this.#world.objects.objects('FastMemoryRegion').includes(region)
      ? 'FastMemoryRegion.dealloc'
      : 'MemoryRegion.dereg';
    this.#call(name, region, random.chance(0.3) ? [{ force: true }] : []);
    const pd = this.#plausible.one('ProtectionDomain', device);
    if (pd)
      this.#call('ProtectionDomain.regUserMr', pd, [
        label('registered memory', this.#world.memories.make().body()),
        { access: 31 },
      ]);
  }
}
