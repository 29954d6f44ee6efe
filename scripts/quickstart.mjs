// Goes from a fresh clone to a running example: installs, builds, and runs examples/block-store with the given arguments.
// Uses only Node's own modules, because it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

step('installing', 'npm ci --no-audit --no-fund');
step('building', 'npm run build');
const example = spawnSync(process.execPath, ['examples/block-store/main.mjs', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.exitCode = example.status ?? 1;

/**
 * Runs a command without showing its output. If the command fails, prints its output and exits.
 * @param {string} title
 * @param {string} command
 */
function step(title, command) {
  process.stderr.write(`${title} ... `);
  const start = performance.now();
  // Use a shell, because npm is a script on Windows.
  const { status, stdout, stderr } = spawnSync(command, {
    cwd: root,
    shell: true,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status !== 0) {
    process.stderr.write(`failed\n${stdout}${stderr}\n${command} failed (status ${status})\n`);
    process.exit(1);
  }
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1)} s\n`);
}
