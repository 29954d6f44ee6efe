// Tests bundles made by Rollup.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { bundlingConsumer, withoutPackage } from './bundles.mjs';
import { tool } from './support.mjs';

const rollup = join(tool('rollup'), 'dist', 'bin', 'rollup');
/** @param {string} file */
const quoted = (file) => JSON.stringify(pathToFileURL(file).href);

/**
 * @param {import('./support.mjs').Consumer} consumer
 * @param {string} output
 * @param {string} options
 */
function bundle(consumer, output, options) {
  consumer.write('rollup.config.mjs', `export default { input: 'app.mjs', output: ${output}, ${options} };`);
  return consumer.run([rollup, '--config', '--silent']);
}

for (const [format, file] of [
  ['cjs', 'out/app.cjs'],
  ['es', 'out/app.mjs'],
]) {
  test(`works as an external package, format ${format}`, (t) => {
    const consumer = bundlingConsumer(t);
    const output = JSON.stringify({ file, format });
    bundle(consumer, output, `external: ['rdmavt', /^node:/]`);
    consumer.good([file ?? '']);
  });
}

test('works inside the bundle as cjs with the prebuilds beside it', (t) => {
  const consumer = bundlingConsumer(t);
  consumer.write(
    'rollup.config.mjs',
    `import commonjs from ${quoted(join(tool('rollupCommonjs'), 'dist', 'es', 'index.js'))};
     import { nodeResolve } from ${quoted(join(tool('rollupNodeResolve'), 'dist', 'es', 'index.js'))};
     export default {
       input: 'app.mjs',
       output: { file: 'out/app.cjs', format: 'cjs' },
       plugins: [nodeResolve({ preferBuiltins: true }), commonjs()],
     };`,
  );
  const { stdout, stderr } = consumer.run([rollup, '--config', '--failAfterWarnings']);
  assert.equal(stdout, '');
  assert.doesNotMatch(stderr, /warn|\(!\)/i);
  withoutPackage(consumer);
  consumer.good(['out/app.cjs']);
});
