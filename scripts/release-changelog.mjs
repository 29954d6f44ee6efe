// Updates CHANGELOG.md for a release: moves the entries under [Unreleased] to a section with the new version and date. npm runs
// it as the `version` hook.
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/**
 * Returns the text of a version's section, or an empty string if there is none.
 * @param {string} changelog
 * @param {string} version
 */
export function sectionOf(changelog, version) {
  const sections = changelog.split(/^## /m).slice(1);
  const section = sections.find((text) => text.startsWith(`[${version}]`)) ?? '';
  return section.slice(section.indexOf('\n') + 1).trim();
}

/**
 * Returns the changelog with the entries under [Unreleased] moved to a section of the new version.
 * @param {string} changelog
 * @param {string} version
 * @param {string} day as YYYY-MM-DD
 */
export function released(changelog, version, day) {
  return changelog.replace(/^## \[Unreleased\]\n/m, `## [Unreleased]\n\n## [${version}] - ${day}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  const day = new Date().toISOString().slice(0, 10);
  writeFileSync('CHANGELOG.md', released(readFileSync('CHANGELOG.md', 'utf8'), version, day));
}
