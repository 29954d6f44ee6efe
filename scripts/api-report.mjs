// Checks or updates docs/rdmavt.api.md, the report of the public API. A change of the package's exports shows up as a diff there.
//
//   node scripts/api-report.mjs           fails if the report differs from what lib/ exports
//   node scripts/api-report.mjs --write   updates the report
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const committed = join('docs', 'rdmavt.api.md');
const made = join('build', 'dist', 'rdmavt.api.md');

const build = spawnSync(process.execPath, [join(root, 'scripts', 'build-dist.mjs')], { stdio: 'inherit' });
if (build.status !== 0) process.exit(1);

if (process.argv.includes('--write')) {
  copyFileSync(join(root, made), join(root, committed));
} else if (readFileSync(join(root, committed), 'utf8') !== readFileSync(join(root, made), 'utf8')) {
  spawnSync('git', ['--no-pager', 'diff', '--no-index', committed, made], { cwd: root, stdio: 'inherit' });
  console.error(
    '\nThe public API has changed. If this is intended, update the report (npm run api) and commit it.',
  );
  process.exitCode = 1;
}
