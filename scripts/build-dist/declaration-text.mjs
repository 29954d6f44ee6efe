// Transformations of type declarations that neither tsc nor API Extractor offers.
import ts from 'typescript';

/**
 * Replaces constructors marked @internal with private or protected ones. If they were removed instead, as `stripInternal` and API
 * Extractor do, the class would get the default constructor and `new Sge()` would compile.
 * @param {string} text the declarations of a module
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
      // Subclasses must be able to call the constructor of an abstract class.
      const access = isAbstract ? 'protected' : 'private';
      edits.push({ from: member.getFullStart(), to: member.end, text: `\n    ${access} constructor();` });
    }
  }
  return applyEdits(text, edits);
}

/**
 * Turns exported names that the program does not have as values into type exports. API Extractor turns `export { type Region }`
 * into `export class Region`, so an import of the missing value would compile. Throws if the program has values without a
 * declaration.
 * @param {string} text the rolled-up declarations
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
  if (undeclared.size) throw new Error(`exported but not declared: ${[...undeclared].join(', ')}`);
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

/** Returns the names of the values that a statement declares. @param {ts.Statement} statement */
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
 * @param {Edit[]} edits must not overlap
 */
function applyEdits(text, edits) {
  for (const edit of [...edits].sort((one, other) => other.from - one.from)) {
    text = text.slice(0, edit.from) + edit.text + text.slice(edit.to);
  }
  return text;
}
