// Checks what `npm pack` would publish: nothing outside of the whitelist, nothing missing, nothing run on install.
// (That every kind of importer resolves the entries is publint's to check.)
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** @type {{ bin: Record<string, string>, main: string, scripts: Record<string, string> }} */
const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

const allowed = [
  /^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/,
  /^dist\/.+\.(js|mjs|d\.ts|d\.mts|js\.map)$/,
  /^scripts\/bench\/(harness\/)?[\w-]+\.mjs$/,
  /^prebuilds\/[\w-]+\/[\w.-]+\.node$/,
];
const required = [
  'package.json',
  'LICENSE',
  'CHANGELOG.md',
  manifest.main.replace('./', ''),
  'dist/index.mjs',
  'dist/index.d.ts',
  'dist/index.d.mts',
  'scripts/bench/bench.mjs', // rdmavt bench
  ...Object.values(manifest.bin),
];

const files = packedFiles();
/** @type {string[]} */
const problems = [];
for (const file of files) {
  if (!allowed.some((pattern) => pattern.test(file))) problems.push(`would be published: ${file}`);
}
for (const file of required) {
  if (!files.includes(file)) problems.push(`would be missing: ${file}`);
}
for (const script of ['preinstall', 'install', 'postinstall']) {
  if (manifest.scripts[script]) problems.push(`runs a script on install: ${script}`);
}

for (const problem of problems) console.error(`package: ${problem}`);
console.log(`package: ${files.length} files, ${problems.length} problems`);
process.exitCode = problems.length ? 1 : 0;

/** @returns {string[]} */
function packedFiles() {
  // A shell, because npm is a script on Windows.
  const { status, stdout, stderr } = spawnSync('npm pack --dry-run --json --ignore-scripts', {
    cwd: root,
    shell: true,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`npm pack failed: ${stderr}`);
  /** @type {[{ files: { path: string }[] }]} */
  const [pack] = JSON.parse(stdout);
  return pack.files.map(({ path }) => path);
}
