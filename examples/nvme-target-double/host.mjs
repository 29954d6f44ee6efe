// The host's side, as a test has it: writes capsules byte by byte, and sends them. It shares no code with the target, which it tests.
import { Access } from 'rdmavt';

const CAPSULE = 64 + 4096;
const RESPONSE = 16;

/**
 * A descriptor of 16 bytes. The fields of a keyed one are an address, a length of 3 bytes, and a key.
 *
 * @typedef {{ address: bigint, length: number, key?: number, id: number }} Descriptor `id` is the last byte: type and sub type
 */

/**
 * A command, as numbers. What is not given is 0.
 *
 * @typedef {object} Command
 * @property {number} opcode
 * @property {number} [flags] FUSE in bits 1:0, PSDT in bits 7:6; default 0x40: lists
 * @property {number} [nsid]
 * @property {Descriptor} [pointer] SGL1
 * @property {[at: number, bytes: number, value: bigint | number][]} [fields] others: place, width and value
 * @property {Descriptor[]} [segment] descriptors in the capsule
 * @property {Buffer} [data] in the capsule
 */

/** @param {Descriptor} descriptor */
function descriptorBytes({ address, length, key, id }) {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(address);
  bytes.writeUIntLE(length, 8, key === undefined ? 4 : 3);
  if (key !== undefined) bytes.writeUInt32LE(key, 11);
  bytes[15] = id;
  return bytes;
}

/**
 * Writes a capsule.
 *
 * @param {Command} command
 * @param {number} [cid] the command's identifier
 */
export function capsuleOf(
  { opcode, flags = 0x40, nsid = 0, pointer, fields = [], segment = [], data },
  cid = 0,
) {
  const bytes = Buffer.alloc(64);
  bytes[0] = opcode;
  bytes[1] = flags;
  bytes.writeUInt16LE(cid, 2);
  bytes.writeUInt32LE(nsid, 4);
  if (pointer) descriptorBytes(pointer).copy(bytes, 24);
  for (const [at, width, value] of fields) {
    if (width === 8) bytes.writeBigUInt64LE(BigInt(value), at);
    else bytes.writeUIntLE(Number(value), at, width);
  }
  return Buffer.concat([bytes, ...segment.map(descriptorBytes), ...(data ? [data] : [])]);
}

export class Host {
  #cq;
  #cid = 0;
  #capsule = Buffer.alloc(CAPSULE);
  #response = Buffer.alloc(RESPONSE);
  #places;

  /** @param {import('rdmavt').Device} device */
  constructor(device) {
    this.device = device;
    this.pd = device.allocPd();
    this.#cq = device.createCq(64);
    this.qp = this.pd.createQp({ type: 'RC', sendCq: this.#cq });
    this.#places = [this.#capsule, this.#response].map((bytes) =>
      this.pd.regUserMr(bytes, { access: Access.LocalWrite }),
    );
  }

  /**
   * Sends a capsule and waits for the answer.
   *
   * @param {Command | Buffer} command or the bytes of a capsule, as they are
   */
  async send(command) {
    const cid = (this.#cid = (this.#cid + 1) & 0xffff);
    const capsule = Buffer.isBuffer(command) ? command : capsuleOf(command, cid);
    const [from, to] = /** @type {[import('rdmavt').MemoryRegion, import('rdmavt').MemoryRegion]} */ (
      this.#places
    );
    const received = this.qp.recv({ addr: to.start, length: RESPONSE, lkey: to.lkey });
    received.catch(() => undefined); // the send fails with it
    capsule.copy(this.#capsule);
    await this.qp.send({ addr: from.start, length: capsule.length, lkey: from.lkey });
    const { byteLength, invalidatedRkey } = await received;
    const word = this.#response.readUInt16LE(14);
    if (byteLength !== RESPONSE) throw new Error(`a response of ${byteLength} bytes`);
    if (!Buffer.isBuffer(command) && this.#response.readUInt16LE(12) !== cid)
      throw new Error('an answer to another command');
    return {
      /** Type and code. */
      status: (word >> 1) & 0x7ff,
      doNotRetry: word >> 15 === 1,
      result: this.#response.readUInt32LE(0),
      head: this.#response.readUInt16LE(8),
      queue: this.#response.readUInt16LE(10),
      /** The key that the target has invalidated with the answer. */
      invalidatedRkey,
    };
  }

  /**
   * Sends Connect, which must be the first command of a queue.
   *
   * @param {string} subsystem
   * @param {number} queue 0: the admin queue
   * @param {number} [controller] that the admin queue's Connect has returned
   */
  connect(subsystem, queue, controller = 0xffff) {
    const data = Buffer.alloc(1024);
    data.writeUInt16LE(controller, 16);
    data.write(subsystem, 256);
    const pointer = { address: 0n, length: data.length, id: 0x01 }; // in the capsule, at offset 0
    const fields = /** @type {[number, number, number][]} */ ([
      [4, 1, 1], // Connect
      [42, 2, queue],
    ]);
    return this.send({ opcode: 0x7f, pointer, data, fields });
  }

  /**
   * Registers memory for one command, as hosts do that let the target's answer invalidate the key.
   *
   * @param {Buffer} bytes
   */
  fastRegister(bytes) {
    const mr = this.pd.allocMr({ maxNumSg: Math.ceil(bytes.length / 4096) + 1 }); // pages, wherever the first byte is
    const mapping = this.device.dma.map(bytes);
    mr.mapSg([{ addr: mapping.address, length: bytes.length }]);
    const access = Access.LocalWrite | Access.RemoteRead | Access.RemoteWrite;
    this.qp.fastRegMr(mr, { key: mr.rkey, access });
    return { mr, release: () => (mr.dereg(), mapping.unmap()) };
  }
}
