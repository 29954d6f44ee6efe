// Programs in TSDoc comments: finds the `@example` blocks of a source file, compiles them, and runs them with the built package.
import { join } from 'node:path';
import * as ts from 'typescript';

import { type Outcome, runDocumented } from './documented-programs';

/** A fenced code block of an `@example` tag. */
export interface TsdocExample {
  /** Name of the class that the comment documents; undefined if it documents anything else. */
  className: string | undefined;
  /** The word after the opening fence. */
  language: string;
  text: string;
  /** Number of the line with the opening fence, from 1. */
  line: number;
}

const COMMENT = /\/\*\*(?<text>[\s\S]*?)\*\/(?:\s*export (?:abstract )?class (?<name>\w+))?/g;
const EXAMPLE = /^ *\* @example\n *\* ```(?<language>\w*)\n(?<code>[\s\S]*?)^ *\* ```$/gm;

/** Returns the code block of every `@example` tag of a TypeScript file, in order. */
export function examplesIn(source: string): TsdocExample[] {
  const examples: TsdocExample[] = [];
  for (const comment of source.matchAll(COMMENT)) {
    const { text = '', name } = comment.groups ?? {};
    for (const example of text.matchAll(EXAMPLE)) {
      const { language = '', code = '' } = example.groups ?? {};
      const fence = comment.index + '/**'.length + example.index + example[0].indexOf('```');
      examples.push({
        className: name,
        language,
        text: code.replace(/^ *\* ?/gm, ''),
        line: source.slice(0, fence).split('\n').length,
      });
    }
  }
  return examples;
}

/**
 * Type-checks TypeScript modules under the compiler options of this package, with the declarations of the built package.
 *
 * @param files - absolute paths; inside the package, so that its name resolves as it would in node_modules
 * @returns one line per error: file name, line and message
 */
export function typeErrorsOf(files: readonly string[]): string[] {
  const root = join(__dirname, '..', '..');
  const { options } = ts.convertCompilerOptionsFromJson(
    (ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config as { compilerOptions: object })
      .compilerOptions,
    root,
  );
  const program = ts.createProgram(files, {
    ...options,
    rootDir: root,
    noEmit: true,
    declaration: false,
    emitDeclarationOnly: false,
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
    const text = ts.flattenDiagnosticMessageText(messageText, ' ');
    if (file === undefined) return text;
    return `${file.fileName}:${String(file.getLineAndCharacterOfPosition(start).line + 1)}: ${text}`;
  });
}

/** Compiles a TypeScript program to an ES module and runs it, as {@link runDocumented} does. */
export function runExample(program: string, folder: string, name: string): Outcome {
  const { outputText } = ts.transpileModule(program, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  return runDocumented(outputText, folder, name);
}
