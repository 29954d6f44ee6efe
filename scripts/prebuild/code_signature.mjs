// Checks the code signature of a Mach-O file. None of LLVM's tools compares the signature with the contents.
import { createHash } from 'node:crypto';

const CODE_DIRECTORY = 0xfade0c02;
const SHA256 = 2;

/**
 * Compares the signed hashes with the file. macOS kills a process that executes a page whose hash differs from the signed hash.
 * @param {Buffer} file
 * @param {number} start offset of the signature in bytes
 * @returns {string | undefined} a description of the fault; undefined if the signature is valid
 */
export function signatureFault(file, start) {
  const directory = start + file.readUInt32BE(start + 16); // the first blob
  if (file.readUInt32BE(directory) !== CODE_DIRECTORY) return 'signed without a code directory';
  const hashes = directory + file.readUInt32BE(directory + 16);
  const pages = file.readUInt32BE(directory + 28);
  const end = file.readUInt32BE(directory + 32);
  const hashBytes = file.readUInt8(directory + 36);
  const pageBytes = 1 << file.readUInt8(directory + 39);
  if (file.readUInt8(directory + 37) !== SHA256) return 'not signed with SHA-256';
  if (end !== start || pages !== Math.ceil(end / pageBytes)) return 'only partly signed';
  for (let page = 0; page < pages; page++) {
    const bytes = file.subarray(page * pageBytes, Math.min((page + 1) * pageBytes, end));
    const signed = file.subarray(hashes + page * hashBytes, hashes + (page + 1) * hashBytes);
    if (!createHash('sha256').update(bytes).digest().equals(signed))
      return `changed after signing (page ${page})`;
  }
  return undefined;
}
