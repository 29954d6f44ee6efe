// Refuses a release that is not ready. npm's hooks run it (package.json, RELEASING.md):
//
//   node scripts/release-check.mjs version   before `npm version` changes anything
//   node scripts/release-check.mjs publish   before `npm publish` uploads anything
//
// Checks the current directory, which is the package when npm runs this script.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { pathOf, targets } from './prebuild/targets.mjs';
import { sectionOf } from './release-changelog.mjs';

const stage = process.argv[2];
if (stage !== 'version' && stage !== 'publish') {
  console.error('usage: node scripts/release-check.mjs version | publish');
  process.exit(2);
}

/** @type {{ version: string }} */
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const changelog = readFileSync('CHANGELOG.md', 'utf8');
/** @type {string[]} */
const problems = [];

const dirty = git('status', '--porcelain');
if (dirty) problems.push(`the tree is dirty:\n${dirty}`);

const missing = targets.map(pathOf).filter((file) => !existsSync(file));
if (missing.length) problems.push(`prebuilt binaries are missing:\n${missing.join('\n')}`);

if (stage === 'version') {
  if (!sectionOf(changelog, 'Unreleased')) problems.push('CHANGELOG.md has nothing under [Unreleased]');
} else {
  if (!sectionOf(changelog, version)) problems.push(`CHANGELOG.md has no section [${version}]`);
  const tag = `v${version}`;
  if (!git('tag', '--points-at', 'HEAD').split('\n').includes(tag)) {
    problems.push(`this commit is not tagged ${tag}: publish only a commit that \`npm version\` created`);
  }
}

for (const problem of problems) console.error(`release: ${problem.trimEnd().replaceAll('\n', '\n  ')}`);
if (problems.length) process.exit(1);
console.log(`release: ready to ${stage}`);

/** @param {string[]} args */
function git(...args) {
  return execFileSync('git', args, { encoding: 'utf8' }).trimEnd();
}
