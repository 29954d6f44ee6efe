// A double of an NVMe-over-Fabrics target, for tests of hosts. It receives command capsules, moves data into and out of the host's
// memory by the keys of their descriptors, and answers with the specification's status codes. A list of descriptors is checked as a
// whole: one bad key, and no byte moves.
import { Access, CompletionError, RdmaError } from 'rdmavt';

import { BLOCK, IN_CAPSULE, planOf } from './commands.mjs';
import { COMMAND_BYTES, MOST_DESCRIPTORS, readDataPointer } from './sgl.mjs';
import { Status } from './status.mjs';

const CAPSULE = COMMAND_BYTES + IN_CAPSULE;
const RESPONSE = 16;
/** Receives of each queue, and so its most outstanding commands. */
const DEPTH = 8;
/** Do not retry: the same command would be refused again. */
const DNR = 1 << 14;

/** @typedef {import('rdmavt').QueuePair<'RC'>} RcQueuePair */
/** @typedef {{ status: number, result?: number, invalidate?: import('rdmavt').Rkey | undefined }} Answer */

/** A queue of the target, and the host's queue pair at its other end. */
class TargetQueue {
  /** @type {number | undefined} */
  id;
  #head = 0;
  #target;
  #host;
  #elements;
  #cq;

  /**
   * @param {TargetDouble} target
   * @param {RcQueuePair} host
   */
  constructor(target, host) {
    this.#target = target;
    this.#host = host;
    // The host's queue pair judges the keys: what it refuses here, its device would refuse to a target elsewhere.
    this.#elements = host.rkeyBatch(MOST_DESCRIPTORS);
    this.#cq = target.device.createCq(2 * DEPTH);
    this.qp = target.pd.createQp({ type: 'RC', sendCq: this.#cq, maxRecvWr: DEPTH, maxSendWr: DEPTH });
    this.qp.connect(host, { access: 0 }); // capsules and responses only
    for (let i = 0; i < DEPTH; i++) void this.#serve();
  }

  get blocks() {
    return this.#target.blocks;
  }

  get subsystem() {
    return this.#target.subsystem;
  }

  /** Receives one capsule after the other, until the queue pair is in the error state. */
  async #serve() {
    const slot = Buffer.alloc(CAPSULE + RESPONSE);
    const mr = this.#target.pd.regUserMr(slot, { access: Access.LocalWrite });
    const answer = slot.subarray(CAPSULE);
    try {
      for (;;) {
        const { byteLength } = await this.qp.recv({ addr: mr.start, length: CAPSULE, lkey: mr.lkey });
        // What is shorter than a command has no identifier to answer to: the connection ends, at both ends.
        if (byteLength < COMMAND_BYTES)
          return [this.qp, this.#host].forEach((qp) => qp.modify({ state: 'ERR' }));
        const capsule = slot.subarray(0, byteLength);
        const { status, result = 0, invalidate } = this.#carryOut(capsule);
        this.#head = (this.#head + 1) % DEPTH;
        answer.fill(0);
        answer.writeUInt32LE(result, 0);
        answer.writeUInt16LE(this.#head, 8);
        answer.writeUInt16LE(this.id ?? 0, 10);
        capsule.copy(answer, 12, 2, 4); // the command's identifier
        answer.writeUInt16LE((status | (status === Status.SUCCESS ? 0 : DNR)) << 1, 14);
        await this.qp.send(
          { addr: mr.start + BigInt(CAPSULE), length: RESPONSE, lkey: mr.lkey },
          invalidate === undefined ? {} : { invalidateRkey: invalidate },
        );
      }
    } catch (error) {
      // Both say that the connection has ended; the second one that this program has ended it.
      if (!(error instanceof CompletionError || (error instanceof RdmaError && error.code === 'EBADF')))
        throw error;
    } finally {
      mr.dereg();
    }
  }

  /**
   * Carries out a command: first what it says, then the form of its list, then the list's length, then its keys. The first thing that
   * is wrong is the answer, and nothing has moved.
   *
   * @param {Buffer} capsule
   * @returns {Answer}
   */
  #carryOut(capsule) {
    this.#target.explanation = undefined;
    const plan = planOf(capsule, this);
    const bytes = plan.write ?? plan.read;
    if (plan.status !== Status.SUCCESS || !bytes) return { status: plan.status };
    const pointer = readDataPointer(capsule, plan.write !== undefined);
    if (pointer.status !== Status.SUCCESS) return { status: pointer.status };
    const { elements, inCapsule } = pointer;
    const length = inCapsule?.length ?? elements.reduce((sum, element) => sum + element.length, 0);
    if (length !== bytes.length) return { status: Status.DATA_SGL_LENGTH_INVALID };
    if (inCapsule) bytes.set(inCapsule);
    else if (!this.#move(elements, bytes, plan.write !== undefined))
      return { status: Status.DATA_TRANSFER_ERROR };
    const invalidate = /** @type {import('rdmavt').Rkey | undefined} */ (pointer.invalidate);
    return { status: Status.SUCCESS, ...plan.finish?.(), invalidate };
  }

  /**
   * Moves bytes from or to the host's memory: all, or none.
   *
   * @param {import('./sgl.mjs').Element[]} list
   * @param {Uint8Array} bytes
   * @param {boolean} isToController
   * @returns whether they have moved
   */
  #move(list, bytes, isToController) {
    const elements = this.#elements;
    for (const [i, { address, length, key }] of list.entries())
      elements.set(i, address, length, /** @type {import('rdmavt').Rkey} */ (key));
    const right = isToController ? Access.RemoteRead : Access.RemoteWrite;
    try {
      // Holding all of them keeps the host from taking one back between the check and the copy.
      if (elements.acquire(list.length, right) < list.length) {
        this.#target.explanation = elements.explain(elements.firstRefusal);
        return false;
      }
      const moved = isToController
        ? elements.gather(bytes, list.length, right, { all: true })
        : elements.scatter(bytes, list.length, right, { all: true });
      return moved === bytes.length;
    } finally {
      elements.put();
    }
  }

  /** Ends the connection. */
  close() {
    this.qp.destroy();
    this.#cq.destroy();
  }
}

export class TargetDouble {
  /** Why the device refused the last command that was answered with `DATA_TRANSFER_ERROR`. @type {string | undefined} */
  explanation;
  /** @type {TargetQueue[]} */
  #queues = [];

  /**
   * @param {import('rdmavt').Device} device the host's: the double is in the process of the test
   * @param {object} [options]
   * @param {string} [options.subsystem] name (NQN) that hosts connect to
   * @param {number} [options.blocks] size of the one namespace in blocks of 512 bytes
   */
  constructor(device, { subsystem = 'nqn.2014-08.org.example:double', blocks = 128 } = {}) {
    this.subsystem = subsystem;
    /** The bytes of the namespace: a test may fill them, and look at them. */
    this.blocks = Buffer.alloc(blocks * BLOCK);
    this.device = device;
    this.pd = device.allocPd();
  }

  /**
   * Accepts a queue of the host: connects its queue pair with one of the target.
   *
   * @param {RcQueuePair} host in RESET
   */
  accept(host) {
    const queue = new TargetQueue(this, host);
    this.#queues.push(queue);
    return queue;
  }

  /** Ends all connections. The host's objects stay. */
  close() {
    for (const queue of this.#queues) queue.close();
    this.pd.dealloc({ cascade: true });
  }
}
