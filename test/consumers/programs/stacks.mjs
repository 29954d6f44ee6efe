// Where an object was created, as the program that created it is told: also where it and the package are one file. Prints `good`.
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
