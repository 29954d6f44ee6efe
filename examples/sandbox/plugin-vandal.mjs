// A plugin that writes into its input, though it may only read it.
import { input } from './windows.mjs';

input.write(Buffer.from('gone'));
