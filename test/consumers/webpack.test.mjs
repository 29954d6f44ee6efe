// Tests bundles made by webpack.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundlingConsumer, withoutPackage } from './bundles.mjs';
import { tool } from './support.mjs';

/** The output of webpack without warnings. */
const CLEAN = 'webpack compiled successfully';

/**
 * @param {import('./support.mjs').Consumer} consumer
 * @param {object} options
 */
function bundle(consumer, options) {
  const common = {
    context: consumer.folder,
    entry: './app.mjs',
    target: 'node20',
    output: { path: consumer.path('out'), filename: 'app.js' },
  };
  consumer.write(
    'bundle.cjs',
    `const webpack = require(${JSON.stringify(tool('webpack'))});
     webpack(${JSON.stringify({ ...common, ...options })}, (error, stats) => {
       if (error) throw error;
       console.log(stats.toString({ preset: 'errors-warnings' }));
     });`,
  );
  const { stdout, stderr } = consumer.run(['bundle.cjs']);
  assert.equal(stderr, '');
  return stdout.trim();
}

test('works as an external package', (t) => {
  const consumer = bundlingConsumer(t);
  const said = bundle(consumer, { mode: 'production', externals: { rdmavt: 'commonjs rdmavt' } });
  assert.equal(said, CLEAN);
  consumer.good(['out/app.js']);
});

for (const mode of ['production', 'development']) {
  test(`works inside the bundle with the prebuilds beside it, ${mode}`, (t) => {
    const consumer = bundlingConsumer(t);
    assert.equal(bundle(consumer, { mode }), CLEAN);
    withoutPackage(consumer);
    consumer.good(['out/app.js']);
  });
}
