// A plugin that reads on behind its input, where the memory of the next plugin is.
import { input, output } from './windows.mjs';

output.write(input.read(1, input.length));
