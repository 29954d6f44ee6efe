// The data pointer of a command: a scatter-gather list of keyed descriptors, or data in the capsule itself. This file judges its form;
// whether keys, bounds and rights are good is for the host's device to say.
import { Status } from './status.mjs';

/** Bytes of a command, in front of what else is in its capsule. */
export const COMMAND_BYTES = 64;
/** Most keyed descriptors of a command: MSDBD in the Identify Controller data. */
export const MOST_DESCRIPTORS = 16;

const DESCRIPTOR_BYTES = 16;
const POINTER_AT = 24;
/** Descriptor types, and their sub types; the last one is of the RDMA transport. */
const Type = { DATA_BLOCK: 0, SEGMENT: 2, LAST_SEGMENT: 3, KEYED_DATA_BLOCK: 4 };
const Subtype = { ADDRESS: 0, OFFSET: 1, INVALIDATE_KEY: 15 };

/**
 * @typedef {{ address: bigint, length: number, key: number }} Element a range of the host's memory
 * @typedef {object} DataPointer
 * @property {number} status `SUCCESS`, or what is wrong with the form
 * @property {Element[]} elements
 * @property {Buffer} [inCapsule] the data, if they are in the capsule
 * @property {number} [invalidate] the key that the host wants to be invalidated with the answer
 */

/**
 * Reads a descriptor. Its last byte has the type in the high half and the sub type in the low one.
 *
 * @param {Buffer} bytes
 * @param {number} at
 */
function descriptorAt(bytes, at) {
  const type = bytes.readUInt8(at + 15) >> 4;
  const isKeyed = type === Type.KEYED_DATA_BLOCK;
  return {
    type,
    subtype: bytes.readUInt8(at + 15) & 15,
    address: bytes.readBigUInt64LE(at),
    length: isKeyed ? bytes.readUIntLE(at + 8, 3) : bytes.readUInt32LE(at + 8),
    key: isKeyed ? bytes.readUInt32LE(at + 11) : 0,
  };
}

/** @typedef {ReturnType<typeof descriptorAt>} Descriptor */

/** @param {number} status @returns {DataPointer} */
const refuse = (status) => ({ status, elements: [] });

/**
 * Returns the bytes behind the command to which a descriptor points; undefined if it points outside.
 *
 * @param {Buffer} capsule
 * @param {Descriptor} descriptor of sub type OFFSET
 */
function insideCapsule(capsule, { address, length }) {
  const room = capsule.length - COMMAND_BYTES;
  if (address > BigInt(room) || length > room - Number(address)) return undefined; // no sum: it could wrap
  const start = COMMAND_BYTES + Number(address);
  return capsule.subarray(start, start + length);
}

/** @param {Descriptor[]} descriptors @returns {DataPointer} */
function keyedList(descriptors) {
  const last = descriptors.length - 1;
  /** @type {number[]} */
  const invalidated = [];
  for (const [i, { type, subtype, key }] of descriptors.entries()) {
    if (type === Type.SEGMENT || type === Type.LAST_SEGMENT)
      return refuse(i === last ? Status.INVALID_SGL_SEGMENT : Status.INVALID_SGL_COUNT);
    if (type !== Type.KEYED_DATA_BLOCK) return refuse(Status.SGL_TYPE_INVALID);
    if (subtype === Subtype.INVALIDATE_KEY) invalidated.push(key);
    else if (subtype !== Subtype.ADDRESS) return refuse(Status.SGL_TYPE_INVALID);
  }
  // The answer is one SEND_WITH_INV, which takes one key.
  if (invalidated.length > 1) return refuse(Status.INVALID_FIELD);
  const elements = descriptors.filter(({ length }) => length > 0); // an empty one is valid, and moves nothing
  return { status: Status.SUCCESS, elements, ...(invalidated.length > 0 && { invalidate: invalidated[0] }) };
}

/**
 * Reads the data pointer of a command.
 *
 * @param {Buffer} capsule as it was received, at least 64 bytes
 * @param {boolean} isToController whether the data go from the host to the controller: only these may be in the capsule
 * @returns {DataPointer}
 */
export function readDataPointer(capsule, isToController) {
  const first = descriptorAt(capsule, POINTER_AT);
  const { type, subtype, length } = first;
  if (type === Type.KEYED_DATA_BLOCK) return keyedList([first]);
  if (type === Type.DATA_BLOCK && subtype === Subtype.OFFSET) {
    if (!isToController) return refuse(Status.INVALID_FIELD);
    const inCapsule = insideCapsule(capsule, first);
    return inCapsule
      ? { status: Status.SUCCESS, elements: [], inCapsule }
      : refuse(Status.SGL_OFFSET_INVALID);
  }
  if (type !== Type.LAST_SEGMENT || subtype !== Subtype.OFFSET) return refuse(Status.SGL_TYPE_INVALID);
  if (length === 0 || length % DESCRIPTOR_BYTES !== 0) return refuse(Status.INVALID_SGL_SEGMENT);
  const segment = insideCapsule(capsule, first);
  if (!segment) return refuse(Status.SGL_OFFSET_INVALID);
  const count = length / DESCRIPTOR_BYTES;
  if (count > MOST_DESCRIPTORS) return refuse(Status.INVALID_SGL_COUNT);
  return keyedList(Array.from({ length: count }, (_, i) => descriptorAt(segment, i * DESCRIPTOR_BYTES)));
}
