/** The page: one file that the build writes, with its script and its styles inside. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findPackageRoot } from '../internal/package-root';

export interface PageFile {
  readonly html: Buffer;
  /** The Content-Security-Policy with which it must be served. */
  readonly policy: string;
}

let loaded: PageFile | undefined;

/**
 * Returns the page, which is read once.
 *
 * @throws Error if the file cannot be read: the package is not whole, or a bundler has taken the code without it
 */
export function pageFile(): PageFile {
  if (loaded !== undefined) return loaded;
  const installed = findPackageRoot(__dirname);
  // A bundle has the page in its own folder, as it has the binaries.
  const folder = installed === undefined ? __dirname : join(installed, 'dist');
  return (loaded = readPage(join(folder, 'inspect.html')));
}

function readPage(file: string): PageFile {
  const html = readFileSync(file, 'utf8');
  return { html: Buffer.from(html), policy: policyOf(html) };
}

/**
 * Returns the policy for a page: only its own script and styles run, by their hashes, it may connect to its own server only, and
 * nothing else is loaded, from wherever.
 */
export function policyOf(html: string): string {
  const hashes = (element: string): string =>
    [...html.matchAll(new RegExp(`<${element}>([\\s\\S]*?)</${element}>`, 'g'))]
      .map(([, text = '']) => ` 'sha256-${createHash('sha256').update(text).digest('base64')}'`)
      .join('');
  return [
    "default-src 'none'",
    `script-src${hashes('script')}`,
    `style-src${hashes('style')}`,
    "connect-src 'self'",
    'img-src data:', // the icon, which is in the page
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ');
}
