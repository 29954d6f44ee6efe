// A plugin that asks for nothing that it may not have, and never ends.
import { output } from './windows.mjs';

for (let i = 0; ; i++) output.write(Buffer.from(String(i % 10)));
