// Paths of the core fuzzer's sources and output.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const fuzzDirectory = join(root, 'fuzz', 'core');
export const coreDirectory = join(root, 'native', 'core');
export const wireDirectory = join(root, 'native', 'wire');
/** All output except the kept corpus is below this directory. */
export const work = join(root, 'build', 'fuzz');
export const findings = join(work, 'findings');
