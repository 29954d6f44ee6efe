// Writes the page of `rdmavt/inspect`: one HTML file with its script, its styles and the charting library inside, so that it loads
// nothing.
import { build } from 'esbuild';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The name of the page in dist/. */
export const PAGE = 'inspect.html';

/**
 * @param {string} root the checkout
 * @param {string} folder output folder
 */
export async function writeInspectPage(root, folder) {
  const source = join(root, 'lib', 'inspect', 'page');
  const chart = join(root, 'node_modules', 'uplot');
  const [script, styles] = await Promise.all([
    bundled({
      entryPoints: [join(source, 'main.ts')],
      bundle: true,
      format: 'iife',
      target: 'es2022',
      tsconfig: join(source, 'tsconfig.json'),
    }),
    bundled({
      stdin: {
        contents: `${readFileSync(join(chart, 'dist', 'uPlot.min.css'), 'utf8')}\n${readFileSync(join(source, 'page.css'), 'utf8')}`,
        loader: 'css',
      },
    }),
  ]);
  if (script.includes('</script')) throw new Error('the script would end its own element');
  if (styles.includes('</style')) throw new Error('the styles would end their own element');
  const license = readFileSync(join(chart, 'LICENSE'), 'utf8').trim();
  if (license.includes('-->')) throw new Error('the license of uPlot would end its comment');
  const html = readFileSync(join(source, 'page.html'), 'utf8')
    .replace(/\n\s*/g, ' ') // white space that nobody sees
    .replace('<head>', () => `\n<!-- This page contains uPlot:\n${license}\n-->\n<head>`)
    .replace('<style></style>', () => `<style>${styles.trim()}</style>`)
    .replace('<script></script>', () => `<script>${script.trim()}</script>`);
  writeFileSync(join(folder, PAGE), `${html.trim()}\n`);
}

/**
 * Returns what esbuild makes of one file.
 * @param {import('esbuild').BuildOptions} options
 */
async function bundled(options) {
  const { outputFiles } = await build({
    ...options,
    minify: true,
    write: false,
    charset: 'utf8',
    legalComments: 'none', // the page has the license of uPlot in full
    logLevel: 'warning',
  });
  return outputFiles?.[0]?.text ?? '';
}
