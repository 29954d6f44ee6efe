// Checks prebuilt binaries: file format and processor, imports and exports, the oldest supported system, and whether
// node-gyp-build finds them.
//
//   node scripts/check-prebuild.mjs [TARGET...]        the binaries of these targets (default: all) in prebuilds/
//   node scripts/check-prebuild.mjs --as TARGET FILE   one file, checked by the rules for TARGET
//
// Needs LLVM's llvm-readobj. The exit status is 1 if a binary fails a check, and 2 if llvm-readobj is not installed.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { readBinary } from './prebuild/binary.mjs';
import { llvmSuffix, MissingLlvmError } from './prebuild/llvm.mjs';
import { problemsOf } from './prebuild/rules.mjs';
import { root, run } from './prebuild/run.mjs';
import { floors, pathOf, targetNamed, targets } from './prebuild/targets.mjs';

/** @typedef {import('./prebuild/targets.mjs').Target} Target */

/** Limit of the compressed size of all binaries together, which every user downloads. */
const MOST_PACKED_BYTES = 1_000_000;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { as: { type: 'string' } } });
let failed = 0;
let packed = 0;

try {
  llvmSuffix();
  await check();
  process.exitCode = failed ? 1 : 0;
} catch (error) {
  if (!(error instanceof MissingLlvmError)) throw error;
  console.error(`check-prebuild: ${error.message}`);
  process.exitCode = 2;
}

async function check() {
  if (values.as !== undefined) {
    const target = targetNamed(values.as);
    for (const file of positionals) report(file, problemsOf(file, target));
    return;
  }
  const wanted = positionals.length ? positionals.map(targetNamed) : targets;
  for (const target of wanted) await checkTarget(target);
  const total = `all binaries, compressed: ${(packed / 1024).toFixed(0)} KiB`;
  report(total, packed > MOST_PACKED_BYTES ? [`more than ${MOST_PACKED_BYTES} bytes`] : []);
}

/** @param {Target} target */
async function checkTarget(target) {
  const file = join(root, pathOf(target));
  if (!existsSync(file)) return report(target.name, [`${pathOf(target)} does not exist`]);
  packed += gzipSync(readFileSync(file), { level: 9 }).length;
  const problems = problemsOf(file, target);
  const found = await pathFoundBy(target);
  if (found !== file) problems.push(`node-gyp-build finds ${found} instead`);
  report(`${target.name.padEnd(18)} ${problems.length ? '' : summary(file)}`, problems);
}

/**
 * Returns the file that node-gyp-build loads on a machine of this target.
 * @param {Target} target
 */
async function pathFoundBy({ platform, arch, libc }) {
  const nodeGypBuild = createRequire(import.meta.url).resolve('node-gyp-build');
  const program = `console.log(require(${JSON.stringify(nodeGypBuild)}).path(process.argv[1]))`;
  const env = { PREBUILDS_ONLY: '1', npm_config_platform: platform, npm_config_arch: arch, LIBC: libc };
  const { stdout } = await run([process.execPath, '--eval', program, root], { env });
  return stdout.trim();
}

/** @param {string} file */
function summary(file) {
  const { libraries, imports, minimumOs } = readBinary(file);
  const versions = imports.flatMap(({ from }) => /^GLIBC_([\d.]+)$/.exec(from ?? '')?.[1] ?? []);
  const newest = versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
  const parts = [`${(statSync(file).size / 1024).toFixed(0)} KiB`];
  if (newest) parts.push(`glibc ${newest} (at most ${floors.glibc})`);
  if (minimumOs) parts.push(`macOS ${minimumOs}`);
  const functions = imports.filter(({ name }) => /^(napi|node_api)_/.test(name));
  parts.push(`${functions.length} Node-API functions`, `needs ${libraries.join(', ')}`);
  return parts.join(', ');
}

/**
 * @param {string} subject
 * @param {string[]} problems
 */
function report(subject, problems) {
  console.log(`${problems.length ? 'not ok' : 'ok'} ${subject}`);
  for (const problem of problems) console.log(`  ${problem}`);
  if (problems.length) failed++;
}
