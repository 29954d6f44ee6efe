/** Binaries are tested on the newest release of each of these major versions. The first one is the oldest supported version. */
export const supportedNodes = /** @type {const} */ (['20', '22', '24', '26']);
