// Status codes of completions (NVM Express Base Specification, "Status Field"): the type of the code in bits 10:8, the code in bits 7:0.

/** @enum {number} */
export const Status = Object.freeze({
  SUCCESS: 0x000,
  INVALID_OPCODE: 0x001,
  INVALID_FIELD: 0x002,
  DATA_TRANSFER_ERROR: 0x004,
  INVALID_NAMESPACE: 0x00b,
  COMMAND_SEQUENCE_ERROR: 0x00c,
  INVALID_SGL_SEGMENT: 0x00d,
  INVALID_SGL_COUNT: 0x00e,
  DATA_SGL_LENGTH_INVALID: 0x00f,
  SGL_TYPE_INVALID: 0x011,
  SGL_OFFSET_INVALID: 0x016,
  LBA_OUT_OF_RANGE: 0x080,
  CONNECT_INCOMPATIBLE_FORMAT: 0x180,
  CONNECT_INVALID_PARAMETERS: 0x182,
});

/** Returns the name of a status. @param {number} status */
export function statusName(status) {
  return Object.entries(Status).find(([, code]) => code === status)?.[0] ?? `0x${status.toString(16)}`;
}
