// Preloaded into every process and thread of a test run. Records each of our add-ons that is loaded: the SHA-256 of the file, and
// its path. The hash shows whether a file was a copy of the prebuilt binary, even if a test has deleted the copy since.
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
