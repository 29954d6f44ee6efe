// The commands that the double knows: what each says is checked here, before its data pointer is read.
import { MOST_DESCRIPTORS } from './sgl.mjs';
import { Status } from './status.mjs';

/** Bytes of a logical block. */
export const BLOCK = 512;
/** Most bytes of a read or write. */
export const MOST_TRANSFER = 16384;
/** Most bytes of a capsule behind the command. */
export const IN_CAPSULE = 4096;

const FABRICS = 0x7f;
const CONNECT = 0x01;
const Admin = { IDENTIFY: 0x06 };
const Io = { FLUSH: 0x00, WRITE: 0x01, READ: 0x02 };
const ALL_NAMESPACES = 0xffffffff;
const CONTROLLER = 1;
const CONNECT_BYTES = 1024;
const IDENTIFY_BYTES = 4096;

/**
 * What a command wants.
 *
 * @typedef {object} Plan
 * @property {number} status `SUCCESS`, or why the command is refused
 * @property {Uint8Array} [read] bytes that the host gets
 * @property {Uint8Array} [write] where the host's bytes go
 * @property {() => { status: number, result?: number }} [finish] what is done when they are there
 */

/**
 * What the commands of a queue act upon.
 *
 * @typedef {object} Queue
 * @property {number | undefined} id undefined: not connected; 0: the admin queue
 * @property {Buffer} blocks the namespace
 * @property {string} subsystem its name (NQN)
 */

/** @param {number} status @returns {Plan} */
const refuse = (status) => ({ status });

/** @param {Buffer} command @param {Queue} queue @returns {Plan} */
function connect(command, queue) {
  if (command.readUInt8(4) !== CONNECT) return refuse(Status.INVALID_FIELD);
  if (command.readUInt16LE(40) !== 0) return refuse(Status.CONNECT_INCOMPATIBLE_FORMAT);
  if (queue.id !== undefined) return refuse(Status.COMMAND_SEQUENCE_ERROR);
  const id = command.readUInt16LE(42);
  const data = Buffer.alloc(CONNECT_BYTES);
  const finish = () => {
    const controller = data.readUInt16LE(16);
    const subsystem = data.toString('latin1', 256, 512).replace(/\0.*$/s, '');
    // The admin queue takes any controller, the others must name the one that it got.
    const isGood = subsystem === queue.subsystem && controller === (id === 0 ? 0xffff : CONTROLLER);
    if (!isGood) return { status: Status.CONNECT_INVALID_PARAMETERS };
    queue.id = id;
    return { status: Status.SUCCESS, result: CONTROLLER };
  };
  return { status: Status.SUCCESS, write: data, finish };
}

/** @param {Queue} queue */
function identifyController({ subsystem }) {
  const data = Buffer.alloc(IDENTIFY_BYTES);
  data.write('DOUBLE'.padEnd(20), 4);
  data.write('rdmavt NVMe-oF target double'.padEnd(40), 24);
  data.write('1'.padEnd(8), 64);
  data.writeUInt8(Math.log2(MOST_TRANSFER / 4096), 77); // MDTS, in pages of 4096 bytes
  data.writeUInt16LE(CONTROLLER, 78);
  data.writeUInt32LE(0x00010400, 80); // version 1.4
  data.writeUInt8(0x66, 512); // a command has 64 bytes
  data.writeUInt8(0x44, 513); // a completion has 16
  data.writeUInt32LE(1, 516); // namespaces
  data.writeUInt32LE((1 << 0) | (1 << 2) | (1 << 20), 536); // lists, keyed descriptors, offsets into the capsule
  data.write(subsystem, 768);
  data.writeUInt32LE((64 + IN_CAPSULE) / 16, 1792);
  data.writeUInt32LE(1, 1796); // a response has 16 bytes
  data.writeUInt8(MOST_DESCRIPTORS, 1803);
  return data;
}

/** @param {Queue} queue */
function identifyNamespace({ blocks }) {
  const data = Buffer.alloc(IDENTIFY_BYTES);
  for (const at of [0, 8, 16]) data.writeBigUInt64LE(BigInt(blocks.length / BLOCK), at); // size, capacity, use
  data.writeUInt8(Math.log2(BLOCK), 130);
  return data;
}

/** @param {Buffer} command @param {Queue} queue @returns {Plan} */
function identify(command, queue) {
  const nsid = command.readUInt32LE(4);
  switch (command.readUInt8(40)) {
    case 0:
      if (nsid !== 1) return refuse(Status.INVALID_NAMESPACE);
      return { status: Status.SUCCESS, read: identifyNamespace(queue) };
    case 1:
      return { status: Status.SUCCESS, read: identifyController(queue) };
    case 2: {
      const list = Buffer.alloc(IDENTIFY_BYTES); // ids of namespaces above the given one
      if (nsid === 0) list.writeUInt32LE(1);
      return { status: Status.SUCCESS, read: list };
    }
    default:
      return refuse(Status.INVALID_FIELD);
  }
}

/** @param {Buffer} command @param {Queue} queue @returns {Plan} */
function readOrWrite(command, { blocks }) {
  if (command.readUInt32LE(4) !== 1) return refuse(Status.INVALID_NAMESPACE);
  const first = command.readBigUInt64LE(40);
  const count = command.readUInt16LE(48) + 1;
  const all = blocks.length / BLOCK;
  if (count * BLOCK > MOST_TRANSFER) return refuse(Status.INVALID_FIELD);
  if (first >= BigInt(all) || count > all - Number(first)) return refuse(Status.LBA_OUT_OF_RANGE); // no sum: it could wrap
  const bytes = blocks.subarray(Number(first) * BLOCK, (Number(first) + count) * BLOCK);
  return { status: Status.SUCCESS, [command[0] === Io.WRITE ? 'write' : 'read']: bytes };
}

/**
 * Judges what a command says, apart from its data pointer.
 *
 * @param {Buffer} command
 * @param {Queue} queue that it came by
 * @returns {Plan}
 */
export function planOf(command, queue) {
  const opcode = command.readUInt8(0);
  const isConnect = opcode === FABRICS;
  if (queue.id === undefined && !isConnect) return refuse(Status.COMMAND_SEQUENCE_ERROR);
  const known = queue.id === 0 ? Object.values(Admin) : Object.values(Io);
  if (!isConnect && !known.includes(opcode)) return refuse(Status.INVALID_OPCODE);
  // Over fabrics every command uses lists (PSDT 01b); no commands are fused here.
  const flags = command.readUInt8(1);
  if ((flags & 3) !== 0 || flags >> 6 !== 1) return refuse(Status.INVALID_FIELD);
  if (isConnect) return connect(command, queue);
  if (queue.id === 0) return identify(command, queue);
  if (opcode !== Io.FLUSH) return readOrWrite(command, queue);
  const nsid = command.readUInt32LE(4);
  return refuse(nsid === 1 || nsid === ALL_NAMESPACES ? Status.SUCCESS : Status.INVALID_NAMESPACE);
}
