// A transformation of the bundled programs that esbuild does not offer.
import ts from 'typescript';

/**
 * Removes documentation comments, which the declarations in index.d.ts contain too. The other comments stay: they are short, and
 * name the module that the code is from.
 * @param {string} text
 */
export function withoutDocComments(text) {
  const file = ts.createSourceFile('program.js', text, ts.ScriptTarget.ES2022, true, ts.ScriptKind.JS);
  /** @type {Map<number, number>} the ends of the comments by their beginnings */
  const comments = new Map();
  /** @param {ts.Node} node */
  const collect = (node) => {
    for (const { pos, end } of ts.getLeadingCommentRanges(text, node.pos) ?? []) {
      if (text.startsWith('/**', pos)) comments.set(pos, end);
    }
    // Tokens, too: a comment may stand before a closing bracket.
    for (const child of node.getChildren(file)) if (!ts.isJSDoc(child)) collect(child);
  };
  collect(file);
  let result = '';
  let from = 0;
  for (const [pos, end] of [...comments].sort(([one], [other]) => one - other)) {
    // A comment on lines of its own takes its indentation and its last newline along.
    const line = text.lastIndexOf('\n', pos) + 1;
    const isAlone = text.slice(line, pos).trim() === '' && text[end] === '\n';
    result += text.slice(from, isAlone ? line : pos);
    from = isAlone ? end + 1 : end;
  }
  return result + text.slice(from);
}
