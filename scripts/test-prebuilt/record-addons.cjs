// Preloaded into every process of a test run, and every thread: writes down which of our add-ons it loads.
'use strict';

const { appendFileSync } = require('node:fs');
const { basename } = require('node:path');

const record = process.env.RDMAVT_TEST_ADDONS;
const { dlopen } = process;

if (record !== undefined) {
  process.dlopen = function (module, file, ...flags) {
    if (basename(file).startsWith('rdmavt.')) appendFileSync(record, `${file}\n`);
    return dlopen.call(this, module, file, ...flags);
  };
}
