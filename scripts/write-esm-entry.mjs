// Writes dist/index.mjs and dist/index.d.mts after tsc: `import { Device } from 'rdmavt'`.
//
// Node finds the named exports of a CommonJS module by scanning its text, which does not see through every `export *`;
// so the entry names each. The names come from the types that tsc has just written, so the list cannot go stale, and the
// add-on need not be there. Both entries share the one CommonJS module: no class exists twice.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const declarations = fileURLToPath(new URL('../dist/index.d.ts', import.meta.url));
const options = { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16, types: [] };
const program = ts.createProgram([declarations], options);
const checker = program.getTypeChecker();

const source = program.getSourceFile(declarations);
const entry = source && checker.getSymbolAtLocation(source);
if (!entry) throw new Error('dist/index.d.ts is missing or exports nothing');

const names = checker
  .getExportsOfModule(entry)
  .filter((symbol) => isValue(symbol))
  .map((symbol) => symbol.name)
  .sort();

const generated = '// Written by scripts/write-esm-entry.mjs.\n';
const list = names.map((name) => `  ${name},\n`).join('');
writeFileSync(
  new URL('../dist/index.mjs', import.meta.url),
  `${generated}import rdmavt from './index.js';\n\nexport const {\n${list}} = rdmavt;\n`,
);
writeFileSync(new URL('../dist/index.d.mts', import.meta.url), `${generated}export * from './index.js';\n`);

/**
 * Whether the export exists at run time: not an interface or type alias, and not exported by `export type`.
 * @param {ts.Symbol} symbol
 */
function isValue(symbol) {
  if (symbol.declarations?.some((node) => ts.isTypeOnlyImportOrExportDeclaration(node))) return false;
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  return (target.flags & ts.SymbolFlags.Value) !== 0;
}
