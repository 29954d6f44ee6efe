/** The newest release of each of these is what binaries are tried on. The first is the oldest that is supported. */
export const supportedNodes = /** @type {const} */ (['20', '22', '24', '26']);
