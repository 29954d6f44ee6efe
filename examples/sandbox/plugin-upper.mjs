// A plugin that does its work: writes its input in capital letters.
import { input, output } from './windows.mjs';

output.write(Buffer.from(input.read().toString('latin1').toUpperCase(), 'latin1'));
