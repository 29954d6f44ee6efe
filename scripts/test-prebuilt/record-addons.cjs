// Preloaded into every process of a test run, and every thread: writes down which of our add-ons it loads: the SHA-256 of
// its bytes and its path. The bytes tell of a test's copy, which is gone at the end, whether it was the prebuilt one.
'use strict';

const { createHash } = require('node:crypto');
const { appendFileSync, readFileSync } = require('node:fs');
const { basename } = require('node:path');

const record = process.env.RDMAVT_TEST_ADDONS;
const { dlopen } = process;

if (record !== undefined) {
  process.dlopen = function (module, file, ...flags) {
    if (basename(file).startsWith('rdmavt.')) {
      const hash = createHash('sha256').update(readFileSync(file)).digest('hex');
      appendFileSync(record, `${hash} ${file}\n`);
    }
    return dlopen.call(this, module, file, ...flags);
  };
}
