// Builds the prebuilt binaries of all targets on one machine (Debian 12, x64), and checks each:
//   npm run prebuild -- --all
//   npm run prebuild -- linux-x64-glibc darwin-arm64 ...
//
// Installs missing tools: Debian's compilers with apt-get (as root), zig from npm into build/prebuild/tools.
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { relative } from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    all: { type: 'boolean', default: false },
    jobs: { type: 'string', default: String(availableParallelism()) },
    help: { type: 'boolean', default: false },
  },
});

// npm also runs this script before `npm run build`, because of its name. Without arguments, it does nothing and loads nothing.
if (values.all || values.help || positionals.length) await main();

async function main() {
  const { build } = await import('./prebuild/build.mjs');
  const { installSystemPackages } = await import('./prebuild/install.mjs');
  const { problemsOf } = await import('./prebuild/rules.mjs');
  const { root } = await import('./prebuild/run.mjs');
  const { targetNamed, targets } = await import('./prebuild/targets.mjs');

  if (values.help) {
    const names = targets.map(({ name }) => name).join(' ');
    console.log(`usage: npm run prebuild -- [--jobs N] (--all | TARGET...)\ntargets: ${names}`);
    return;
  }
  await installSystemPackages({ 'llvm-readobj-14': 'llvm-14' }); // needed to check the binaries
  for (const target of values.all ? targets : positionals.map(targetNamed)) {
    const start = performance.now();
    const { file, compiler } = await build(target, Number(values.jobs));
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const size = `${(statSync(file).size / 1024).toFixed(0)} KiB`;
    const columns = [target.name.padEnd(18), size.padStart(8), `${seconds.padStart(6)} s`];
    console.log([...columns, relative(root, file), compiler].join('  '));
    for (const problem of problemsOf(file, target)) {
      console.error(`prebuild: ${target.name}: ${problem}`);
      process.exitCode = 1;
    }
  }
}
