// Checks the prebuilt binaries and then runs them, as far as one machine (Debian 12, x64) can:
//   npm run prebuild:verify                     all targets
//   npm run prebuild:verify -- linux-arm64-glibc ...
//
// Needs the binaries that `npm run prebuild` builds for these targets. Installs missing tools, like prebuild.mjs.
import { run, timed } from './prebuild/run.mjs';
import { targetNamed } from './prebuild/targets.mjs';
import { verifyArm64, verifyMusl, verifyX64 } from './prebuild/verify/linux.mjs';
import { installPackage } from './prebuild/verify/package.mjs';
import { verifyWindows } from './prebuild/verify/windows.mjs';

/** @type {Record<string, (smoke: string) => Promise<void>>} */
const verifications = {
  'linux-x64-musl': verifyMusl,
  'win32-x64': verifyWindows,
  'linux-x64-glibc': verifyX64,
  'linux-arm64-glibc': verifyArm64,
};

const wanted = process.argv.slice(2).map((name) => targetNamed(name).name);
for (const name of wanted) {
  if (!verifications[name])
    throw new Error(`${name} cannot run on this machine; check it with npm run check:prebuild`);
}

await run(['npm', 'run', 'build:ts']);
console.log((await run([process.execPath, 'scripts/check-prebuild.mjs', ...wanted])).stdout.trim());
const smoke = await installPackage();
for (const [name, verify] of Object.entries(verifications)) {
  if (wanted.length && !wanted.includes(name)) continue;
  try {
    await timed(name, () => verify(smoke));
  } catch (error) {
    // Continue with the other targets.
    console.error(`${name}: ${/** @type {Error} */ (error).message}`);
    process.exitCode = 1;
  }
}
