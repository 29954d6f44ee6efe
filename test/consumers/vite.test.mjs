// Tests server bundles made by Vite, and tests run by Vitest.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { bundlingConsumer, withoutPackage } from './bundles.mjs';
import { installedConsumer, nodeOf, tool } from './support.mjs';

/**
 * @param {import('./support.mjs').Consumer} consumer
 * @param {object} config
 */
function build(consumer, config) {
  consumer.write('vite.config.mjs', `export default ${JSON.stringify(config)};`);
  const vite = join(tool('vite'), 'bin', 'vite.js');
  consumer.run([vite, 'build', '--ssr', 'app.mjs', '--outDir', 'out', '--logLevel', 'warn']);
}

test('Vite leaves an installed package out of a server bundle', (t) => {
  const consumer = bundlingConsumer(t);
  build(consumer, {});
  consumer.good(['out/app.mjs']);
});

test('Vite includes the package in a cjs server bundle with the prebuilds beside it', (t) => {
  const consumer = bundlingConsumer(t);
  const output = { format: 'cjs', entryFileNames: 'app.cjs' };
  build(consumer, { ssr: { noExternal: true }, build: { rolldownOptions: { output } } });
  withoutPackage(consumer);
  consumer.good(['out/app.cjs']);
});

for (const pool of ['forks', 'threads']) {
  test(`works in Vitest, pool ${pool}`, (t) => {
    const consumer = installedConsumer(t, { type: 'module' });
    consumer.copyProgram('vitest.test.mjs');
    consumer.copyProgram('testing.vitest.mjs');
    const vitest = join(tool('vitest'), 'vitest.mjs');
    // The tests import 'vitest', which is installed with the tool.
    consumer.write(
      'vitest.config.mjs',
      `export default { test: { globals: true, pool: '${pool}', include: ['vitest.test.mjs', 'testing.vitest.mjs'] } };`,
    );
    const { stdout } = consumer.run([vitest, 'run', '--no-color'], { node: nodeOf(26) });
    assert.match(stdout, /^ +Tests +4 passed \(4\)$/m);
  });
}
