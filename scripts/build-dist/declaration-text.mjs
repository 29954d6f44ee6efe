// What neither tsc nor API Extractor does to declarations.
import ts from 'typescript';

/**
 * Replaces constructors that are @internal by ones that nobody can call. If they were left out, as `stripInternal` and API
 * Extractor do, the class would have the default constructor, and `new Sge()` would compile.
 * @param {string} text of a module's declarations
 */
export function closeInternalConstructors(text) {
  const file = parse(text);
  /** @type {Edit[]} */
  const edits = [];
  for (const statement of file.statements) {
    if (!ts.isClassDeclaration(statement)) continue;
    const isAbstract = has(statement, ts.SyntaxKind.AbstractKeyword);
    for (const member of statement.members) {
      if (!ts.isConstructorDeclaration(member) || !isInternal(member)) continue;
      // The declarations of a subclass need one that they may call.
      const access = isAbstract ? 'protected' : 'private';
      edits.push({ from: member.getFullStart(), to: member.end, text: `\n    ${access} constructor();` });
    }
  }
  return applyEdits(text, edits);
}

/**
 * Exports as types what the program does not have: `export { type Region }` becomes `export class Region` in a rollup, and an
 * import of a value that is not there would compile. Throws if the program has values that are not declared.
 * @param {string} text of the rolled-up declarations
 * @param {readonly string[]} values the names that the program exports
 */
export function exportOnlyValues(text, values) {
  const file = parse(text);
  /** @type {Edit[]} */
  const edits = [];
  /** @type {string[]} */
  const types = [];
  const undeclared = new Set(values);
  for (const statement of file.statements) {
    const keyword = has(statement, ts.SyntaxKind.ExportKeyword);
    if (!keyword) continue;
    for (const name of valueNames(statement)) {
      if (undeclared.delete(name)) continue;
      types.push(name);
      edits.push({ from: keyword.getStart(file), to: keyword.end + 1, text: '' });
    }
  }
  if (undeclared.size) throw new Error(`exported and not declared: ${[...undeclared].join(', ')}`);
  if (types.length) {
    edits.push({ from: text.length, to: text.length, text: `\nexport type { ${types.join(', ')} }\n` });
  }
  return applyEdits(text, edits);
}

/** @typedef {{ from: number, to: number, text: string }} Edit */

/** @param {string} text */
function parse(text) {
  return ts.createSourceFile('index.d.ts', text, ts.ScriptTarget.ES2022, true);
}

/**
 * @param {ts.Node} node
 * @param {ts.SyntaxKind} kind
 */
function has(node, kind) {
  return ts.canHaveModifiers(node)
    ? ts.getModifiers(node)?.find((modifier) => modifier.kind === kind)
    : undefined;
}

/** @param {ts.Node} node */
function isInternal(node) {
  return ts.getJSDocTags(node).some((tag) => tag.tagName.text === 'internal');
}

/** @param {ts.Statement} statement */
function valueNames(statement) {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => name.getText());
  }
  if (
    ts.isClassDeclaration(statement) ||
    ts.isFunctionDeclaration(statement) ||
    ts.isEnumDeclaration(statement)
  ) {
    return statement.name ? [statement.name.text] : [];
  }
  return [];
}

/**
 * @param {string} text
 * @param {Edit[]} edits that do not overlap
 */
function applyEdits(text, edits) {
  for (const edit of [...edits].sort((one, other) => other.from - one.from)) {
    text = text.slice(0, edit.from) + edit.text + text.slice(edit.to);
  }
  return text;
}
