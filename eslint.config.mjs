import eslint from '@eslint/js';
import prettier from 'eslint-config-prettier';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

import { roomRules } from './eslint.rooms.mjs';

export default defineConfig(
  globalIgnores(['build/', 'dist/', 'prebuilds/', 'coverage/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.check.json', './lib/inspect/page/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      // Numbers and booleans may appear in messages without conversion: `lkey ${key}`.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      // A parameter that an interface requires but the function does not use is called `_name`.
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', caughtErrors: 'all' }],
      // The package uses bit masks and enums throughout: `Access.LocalWrite | Access.RemoteRead`.
      '@typescript-eslint/no-unsafe-enum-comparison': 'off',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      // Arrow functions may return the result of a void call in shorthand form.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      eqeqeq: 'error',
    },
  },
  {
    // A program can replace the array iterator with one that never ends, or one that keeps the native objects it is passed.
    files: ['lib/internal/**/*.ts', 'lib/verbs/**/*.ts'],
    // So these files loop by index. eslint.rooms.mjs forbids `for ... of` here.
    rules: { '@typescript-eslint/prefer-for-of': 'off' },
  },
  {
    // Packets and requests are rows of numbers in typed arrays; numbers that are read there become enum values.
    files: ['lib/explain/**/*.ts'],
    rules: { '@typescript-eslint/no-unsafe-enum-assignment': 'off' },
  },
  {
    // Generated. The end of a part of an array can have the index of the next part's first word.
    files: ['lib/internal/layout.ts'],
    rules: { '@typescript-eslint/no-duplicate-enum-values': 'off' },
  },
  {
    // Tests pass wrong values on purpose, and read results without type checks.
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/explicit-module-boundary-types': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/ban-ts-comment': ['error', { 'ts-expect-error': false }],
      // `using region = ...` keeps an object until the end of the block without reading it.
      '@typescript-eslint/no-unused-vars': [
        'error',
        {
          argsIgnorePattern: '^_',
          varsIgnorePattern: '^_',
          caughtErrors: 'none',
          ignoreUsingDeclarations: true,
        },
      ],
    },
  },
  {
    // tsc checks these files too (tsconfig.check.json), and detects undefined names.
    files: ['**/*.{js,cjs,mjs}'],
    rules: { 'no-undef': 'off', 'no-unused-vars': ['error', { argsIgnorePattern: '^_' }] },
  },
  ...roomRules,
  prettier,
);
