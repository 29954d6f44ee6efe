// TypeScript programs: several compiler versions, strict, with library declarations checked, and without the types of Node.
import { join } from 'node:path';
import { test } from 'node:test';
import { installedConsumer, tool } from './support.mjs';

const options = {
  strict: true,
  target: 'es2022',
  lib: ['es2022'],
  types: [],
  skipLibCheck: false,
  outDir: 'out',
  rootDir: '.',
};

for (const [version, compiler] of /** @type {const} */ ([
  ['5.4', 'typescript5_4'],
  ['5.9', 'typescript5_9'],
  ['6.0', 'typescript6_0'],
  ['7.0', 'typescript7_0'],
])) {
  const tsc = join(tool(compiler), 'bin', 'tsc');

  test(`TypeScript ${version} accepts the types with moduleResolution node16, from an ES module and from CommonJS`, (t) => {
    const consumer = installedConsumer(t);
    consumer.copyProgram('typed.ts', 'imports.mts');
    consumer.copyProgram('typed.ts', 'requires.cts');
    consumer.copyProgram('typed-testing.ts', 'testing-imports.mts');
    consumer.copyProgram('typed-testing.ts', 'testing-requires.cts');
    consumer.write('tsconfig.json', {
      compilerOptions: { ...options, module: 'node16', moduleResolution: 'node16' },
    });
    consumer.run([tsc]);
    consumer.good(['out/imports.mjs']);
    consumer.good(['out/requires.cjs']);
    consumer.good(['out/testing-imports.mjs']);
    consumer.good(['out/testing-requires.cjs']);
  });

  test(`TypeScript ${version} accepts the types with moduleResolution bundler`, (t) => {
    const consumer = installedConsumer(t, { type: 'module' });
    consumer.copyProgram('typed.ts');
    consumer.copyProgram('typed-testing.ts');
    consumer.write('tsconfig.json', {
      compilerOptions: { ...options, module: 'esnext', moduleResolution: 'bundler' },
    });
    consumer.run([tsc]);
    consumer.good(['out/typed.js']);
    consumer.good(['out/typed-testing.js']);
  });
}
