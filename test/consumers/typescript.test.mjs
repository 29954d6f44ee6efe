// TypeScript programs: the repository's compiler, strict, with declarations of libraries checked, and without the types of Node.
import { join } from 'node:path';
import { test } from 'node:test';
import { installedConsumer, root } from './support.mjs';

const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const options = {
  strict: true,
  target: 'es2022',
  lib: ['es2022'],
  types: [],
  skipLibCheck: false,
  outDir: 'out',
};

test('moduleResolution node16, from an ES module and from CommonJS', (t) => {
  const consumer = installedConsumer(t);
  consumer.copyProgram('typed.ts', 'imports.mts');
  consumer.copyProgram('typed.ts', 'requires.cts');
  consumer.write('tsconfig.json', {
    compilerOptions: { ...options, module: 'node16', moduleResolution: 'node16' },
  });
  consumer.run([tsc]);
  consumer.good(['out/imports.mjs']);
  consumer.good(['out/requires.cjs']);
});

test('moduleResolution bundler', (t) => {
  const consumer = installedConsumer(t, { type: 'module' });
  consumer.copyProgram('typed.ts');
  consumer.write('tsconfig.json', {
    compilerOptions: { ...options, module: 'esnext', moduleResolution: 'bundler' },
  });
  consumer.run([tsc]);
  consumer.good(['out/typed.js']);
});
