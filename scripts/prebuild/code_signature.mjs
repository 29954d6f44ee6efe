// The signature in a Mach-O file: none of LLVM's programs compares it with the file.
import { createHash } from 'node:crypto';

const CODE_DIRECTORY = 0xfade0c02;
const SHA256 = 2;

/**
 * A Mac kills the process that runs a page whose hash is not the one that was signed.
 * @param {Buffer} file
 * @param {number} start of the signature
 * @returns {string | undefined} undefined if it is right
 */
export function signatureFault(file, start) {
  const directory = start + file.readUInt32BE(start + 16); // the first blob
  if (file.readUInt32BE(directory) !== CODE_DIRECTORY) return 'signed without a code directory';
  const hashes = directory + file.readUInt32BE(directory + 16);
  const pages = file.readUInt32BE(directory + 28);
  const end = file.readUInt32BE(directory + 32);
  const hashBytes = file.readUInt8(directory + 36);
  const pageBytes = 1 << file.readUInt8(directory + 39);
  if (file.readUInt8(directory + 37) !== SHA256) return 'signed with another hash than SHA-256';
  if (end !== start || pages !== Math.ceil(end / pageBytes)) return 'signed only in part';
  for (let page = 0; page < pages; page++) {
    const bytes = file.subarray(page * pageBytes, Math.min((page + 1) * pageBytes, end));
    const signed = file.subarray(hashes + page * hashBytes, hashes + (page + 1) * hashBytes);
    if (!createHash('sha256').update(bytes).digest().equals(signed))
      return `changed after signing (page ${page})`;
  }
  return undefined;
}
