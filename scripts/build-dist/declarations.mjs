// Writes the declarations in dist/: one file with the declarations of all modules except internal ones. Also writes the API
// report.
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { closeInternalConstructors, exportOnlyValues } from './declaration-text.mjs';

/** The public API as text. scripts/api-report.mjs compares it with the report in docs/. */
export const REPORT = 'rdmavt.api.md';

/** The folder of the helpers for tests. */
const TESTING = 'testing';
const MODULE_ENTRY = "// Written by scripts/build-dist/declarations.mjs.\nexport * from './index.js';\n";

/**
 * Compiles the declarations of all modules, merges them into index.d.ts and writes the API report. Rejects if the sources do not
 * compile.
 * @param {string} root the checkout
 * @param {string} work a folder for the declarations of the modules and for the report
 * @param {string} folder output folder
 * @param {Promise<readonly string[]>} values the names of the values that the program exports
 */
export async function rollUpDeclarations(root, work, folder, values) {
  const modules = join(work, 'modules');
  await compile(root, modules);
  for (const name of readdirSync(modules, { recursive: true, encoding: 'utf8' })) {
    if (name.endsWith('.d.ts')) rewrite(join(modules, name), closeInternalConstructors);
  }
  const result = join(folder, 'index.d.ts');

  const config = ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, 'package.json'),
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: join(modules, 'index.d.ts'),
      newlineKind: 'lf',
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            module: 'node16',
            moduleResolution: 'node16',
            target: 'ES2022',
            lib: ['ES2022', 'ESNext.Disposable'],
            types: [], // the declarations must work for users without @types/node
            strict: true,
          },
          files: [join(modules, 'index.d.ts')],
        },
      },
      apiReport: {
        enabled: true,
        reportFileName: REPORT,
        reportFolder: work,
        reportTempFolder: join(work, 'temporary'),
        includeForgottenExports: true,
      },
      docModel: { enabled: false },
      tsdocMetadata: { enabled: false },
      dtsRollup: { enabled: true, untrimmedFilePath: '', publicTrimmedFilePath: result },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.Error },
          // All exports are public; @internal is the only release tag.
          'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None },
          // A type that is used only by another type (`typeof names`) is declared but not exported. The report still shows it.
          'ae-forgotten-export': { logLevel: ExtractorLogLevel.None },
          'ae-undocumented': { logLevel: ExtractorLogLevel.None },
          // API Extractor requires a selector in links to a name that is both a type and a value, but TypeScript does not support
          // selectors.
          'ae-unresolved-link': { logLevel: ExtractorLogLevel.None },
        },
        // TSDoc's syntax is stricter than the syntax that editors accept.
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
  });
  const { errorCount } = Extractor.invoke(config, {
    localBuild: true, // write the report; scripts/api-report.mjs compares it
    messageCallback: (message) => {
      message.handled = true;
      if (message.logLevel === ExtractorLogLevel.Error) {
        process.stderr.write(`${message.formatMessageWithLocation(root)}\n`);
      }
    },
  });
  if (errorCount) throw new Error('API Extractor reports errors in the declarations');
  const names = await values;
  rewrite(result, (text) => exportOnlyValues(text, names));
  writeFileSync(join(folder, 'index.d.mts'), MODULE_ENTRY);
  // The declarations of the helpers for tests refer to ../index, and need not be merged.
  mkdirSync(join(folder, TESTING), { recursive: true });
  for (const name of readdirSync(join(modules, TESTING))) {
    copyFileSync(join(modules, TESTING, name), join(folder, TESTING, name));
  }
  writeFileSync(join(folder, TESTING, 'index.d.mts'), MODULE_ENTRY);
}

/**
 * Compiles the declarations of all modules in lib/. Rejects if tsc reports errors.
 * @param {string} root
 * @param {string} outDir
 * @returns {Promise<void>}
 */
function compile(root, outDir) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const child = spawn(process.execPath, [tsc, '-p', join(root, 'tsconfig.json'), '--outDir', outDir], {
    cwd: root,
    // The caller's standard output may be parsed as JSON (`npm pack --json`), so tsc must print to standard error.
    stdio: ['ignore', process.stderr, 'inherit'],
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status) => {
      if (status === 0) resolve();
      else reject(new Error('lib/ does not compile'));
    });
  });
}

/**
 * @param {string} file
 * @param {(text: string) => string} change
 */
function rewrite(file, change) {
  writeFileSync(file, change(readFileSync(file, 'utf8')));
}
