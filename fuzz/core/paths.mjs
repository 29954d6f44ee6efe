// Where the fuzzer of the core finds and keeps things.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const fuzzDirectory = join(root, 'fuzz', 'core');
export const coreDirectory = join(root, 'native', 'core');
/** Everything that is written but the kept corpus. */
export const work = join(root, 'build', 'fuzz');
export const findings = join(work, 'findings');
