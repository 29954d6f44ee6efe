// The declarations in dist/: one file, made from those of all modules, without what is internal; and the report of the API.
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor';
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { closeInternalConstructors, exportOnlyValues } from './declaration-text.mjs';

/** What the package exports, as text: compared with the one in docs/ by scripts/api-report.mjs. */
export const REPORT = 'rdmavt.api.md';

/**
 * Rejects if the sources do not compile.
 * @param {string} root the checkout
 * @param {string} work a folder for the declarations of the modules and for the report
 * @param {string} folder where to write
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
            types: [], // those of Node are not needed: whoever has none can use the package
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
          // Everything that is exported is public: there are no release tags but @internal.
          'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None },
          // A type that another one is made of (`typeof names`) is declared and not exported. The report shows it.
          'ae-forgotten-export': { logLevel: ExtractorLogLevel.None },
          'ae-undocumented': { logLevel: ExtractorLogLevel.None },
          // It asks for selectors where a type and a value have one name; TypeScript does not know those.
          'ae-unresolved-link': { logLevel: ExtractorLogLevel.None },
        },
        // Its syntax is stricter than what editors show.
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
  });
  const { errorCount } = Extractor.invoke(config, {
    localBuild: true, // writes the report; it is compared elsewhere
    messageCallback: (message) => {
      message.handled = true;
      if (message.logLevel === ExtractorLogLevel.Error) {
        process.stderr.write(`${message.formatMessageWithLocation(root)}\n`);
      }
    },
  });
  if (errorCount) throw new Error('API Extractor finds faults in the declarations');
  const names = await values;
  rewrite(result, (text) => exportOnlyValues(text, names));
  writeFileSync(
    join(folder, 'index.d.mts'),
    "// Written by scripts/build-dist/declarations.mjs.\nexport * from './index.js';\n",
  );
}

/**
 * @param {string} root
 * @param {string} outDir
 * @returns {Promise<void>}
 */
function compile(root, outDir) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const child = spawn(process.execPath, [tsc, '-p', join(root, 'tsconfig.json'), '--outDir', outDir], {
    cwd: root,
    // Standard output may be read as JSON by who runs `npm pack --json`.
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
