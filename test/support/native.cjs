// The native module itself, for programs that pass by what stands before it in lib/. $RDMAVT_PREBUILD is heeded, as by the package.
'use strict';

const { join } = require('node:path');

exports.native = require('node-gyp-build')(join(__dirname, '..', '..'));
