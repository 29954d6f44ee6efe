// Installation from a git repository, which has neither dist/ nor binaries: npm builds dist/ with `prepare`, and `rdmavt build`
// builds the binary.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { copyCheckout } from '../../scripts/checkout.mjs';
import { emptyConsumer, nodeOf, tool } from './support.mjs';

/** @typedef {import('./support.mjs').Consumer} Consumer */

const REQUIRE = `
  try { require('rdmavt'); console.log('loaded'); } catch ({ code, buildCommand }) { console.log(code + ' ' + buildCommand); }`;

/**
 * Creates a repository with a commit of the checkout. Returns its address in the form that npm 12 installs.
 * @param {Consumer} consumer
 */
function repository(consumer) {
  const folder = consumer.path('repository');
  copyCheckout(folder);
  const git = (/** @type {string[]} */ ...args) =>
    execFileSync('git', args, {
      cwd: folder,
      env: {
        ...process.env,
        // Ignore the git configuration of the user, such as signing and hooks.
        GIT_CONFIG_GLOBAL: consumer.path('none'),
        GIT_CONFIG_NOSYSTEM: '1',
        ...{ GIT_AUTHOR_NAME: 'nobody', GIT_AUTHOR_EMAIL: 'nobody@example.invalid' },
        ...{ GIT_COMMITTER_NAME: 'nobody', GIT_COMMITTER_EMAIL: 'nobody@example.invalid' },
      },
    });
  git('init', '--quiet');
  git('add', '--all');
  git('commit', '--quiet', '--message', 'a commit');
  return `git+${pathToFileURL(folder).href}`;
}

/** @param {Consumer} consumer @param {string[]} args */
function npm12(consumer, ...args) {
  // npm starts git and another npm in the clone, which must use the same registry.
  const env = { PATH: process.env.PATH, npm_config_registry: process.env.RDMAVT_REGISTRY };
  const command = [join(tool('npm12'), 'bin', 'npm-cli.js'), ...args, '--no-audit', '--no-fund'];
  return consumer.try(command, { node: nodeOf(26), env });
}

test('npm 12 refuses a git dependency by default', (t) => {
  const consumer = emptyConsumer(t);
  const { status, stderr } = npm12(consumer, 'install', repository(consumer));
  assert.notEqual(status, 0);
  assert.match(stderr, /EALLOWGIT/);
});

test('npm 12 with --allow-git=root builds dist; the error names the command that builds the binary, and the command works', (t) => {
  const consumer = emptyConsumer(t);
  const installed = npm12(consumer, 'install', '--allow-git=root', repository(consumer));
  assert.equal(installed.status, 0, installed.stdout + installed.stderr);
  assert.match(installed.stdout, /^added 2 packages in /m);

  const cli = join(consumer.installed, 'dist', 'cli.js');
  assert.equal(consumer.run(['--eval', REQUIRE]).stdout, `ERR_RDMAVT_NO_BINARY node "${cli}" build\n`);
  const env = { PATH: process.env.PATH }; // The build needs a compiler.
  consumer.run([cli, 'build'], { env });
  assert(existsSync(join(consumer.installed, 'build', 'Release', 'rdmavt.node')));
  for (const program of ['smoke.cjs', 'smoke.mjs']) {
    consumer.copyProgram(program);
    consumer.good([program]);
  }
});
