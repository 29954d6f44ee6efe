// Prints `good` if the stack of creation shows the program's own code, even if the program and the package are bundled into one
// file.
import assert from 'node:assert/strict';
import { Device } from 'rdmavt';

const device = new Device({ captureStacks: true });

function creator() {
  return device.allocPd();
}

creator();
const [pd] = device.resources().pds;
assert.match(pd?.stack ?? '', /\bat creator \(/);
device.close({ cascade: true });
console.log('good');
