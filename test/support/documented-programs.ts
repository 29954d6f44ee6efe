// Programs in Markdown documents: finds them, reads the output that their comments promise, and runs them.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A fenced code block of a Markdown document. */
export interface CodeBlock {
  /** The word after the opening fence; empty if there is none. */
  language: string;
  text: string;
  /** Number of the line with the opening fence, from 1. */
  line: number;
}

/** Returns every fenced code block of a document, in order. */
export function codeBlocksIn(markdown: string): CodeBlock[] {
  return [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    language: match[1] ?? '',
    text: match[2] ?? '',
    line: markdown.slice(0, match.index).split('\n').length,
  }));
}

/** Returns the JavaScript programs of a document. */
export function programsIn(markdown: string): CodeBlock[] {
  return codeBlocksIn(markdown).filter(({ language }) => language === 'js');
}

/** Returns the shell commands of a document, one per line, without their comments. */
export function commandsIn(markdown: string): string[] {
  return codeBlocksIn(markdown)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text }) => text.split('\n'))
    .map((text) => text.replace(/(^|\s+)#.*$/, '').trim())
    .filter((text) => text !== '');
}

/** Returns the lines that a program promises to print: the comments behind its `console.log` statements. */
export function promisedOutput(program: string): string[] {
  return program.split('\n').flatMap((line) => /\bconsole\.log\(.*\); \/\/ (.*)$/.exec(line)?.[1] ?? []);
}

/** What a documented program did. */
export interface Outcome {
  status: number | null;
  stderr: string;
  /** The lines of its standard output. */
  lines: string[];
}

/**
 * Runs a program as an ES module in a process of its own. A program that does not end within 60 s is killed.
 *
 * @param folder - where its file goes; a folder inside the package, so that `import ... from 'rdmavt'` finds the package by its own
 *   name, as it would in node_modules
 * @param name - of the file, without extension
 */
export function runDocumented(text: string, folder: string, name: string): Outcome {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, text);
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
    encoding: 'utf8',
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  return { status, stderr, lines: stdout.trimEnd().split('\n') };
}

/** What the running text of a document names between backquotes. */
export interface Named {
  /** Files and folders of the repository. */
  paths: string[];
  /** Scripts of package.json, by `npm run NAME`. */
  scripts: string[];
}

/** Returns the files and the scripts that a document names outside of its code blocks. */
export function namedIn(markdown: string): Named {
  const words = [...markdown.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(
    (match) => match[1] ?? '',
  );
  return {
    paths: words.filter((word) =>
      /^(test|native|lib|scripts|docs|examples|bench|\.ci)\/[\w./-]+$/.test(word),
    ),
    scripts: words.flatMap((word) => /^npm run ([\w:]+)/.exec(word)?.[1] ?? []),
  };
}
