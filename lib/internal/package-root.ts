/** Finds the installed package on disk. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const NAME = 'rdmavt';

/**
 * Finds the folder of this package: the parent of `dist`, or the parent of `lib` in the package's own tests.
 *
 * @param folder - folder of the calling module
 * @returns undefined in a bundle, which is not inside the package
 */
export function findPackageRoot(folder: string): string | undefined {
  const above = dirname(folder);
  return [above, dirname(above)].find((candidate) => isPackage(candidate));
}

function isPackage(folder: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: unknown };
    return manifest.name === NAME;
  } catch {
    return false;
  }
}
