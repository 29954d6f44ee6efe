// Loads the package and uses it, in a process that has not done either: prints how many milliseconds the import and the first use took,
// and how many KiB became resident with a device and its first region.
const { residentBytes } = await import('./resident.mjs');

/** So many that what the engine's heap grows by beside them does not count. */
const DEVICES = 128;

const begin = performance.now();
const { Access, Device } = await import('rdmavt');
const loaded = performance.now();

const memory = new Uint8Array(4096).fill(1);
/** @param {boolean} close */
const use = (close) => {
  const device = new Device({ keyPolicy: 'random' });
  const pd = device.allocPd();
  const region = pd.regUserMr(memory, { access: Access.LocalWrite });
  const element = { addr: region.start, length: memory.length, lkey: region.lkey };
  if (!pd.check(element, Access.LocalWrite).ok) throw new Error('the first check is refused');
  if (close) device.close({ cascade: true });
  return device;
};

const start = performance.now();
use(true);
const first = performance.now() - start;

for (let i = 0; i < DEVICES; i++) use(true); // what the process needs once for all of them is there
const before = residentBytes();
const kept = Array.from({ length: DEVICES }, () => use(false));
const resident = (residentBytes() - before) / DEVICES / 1024;
for (const device of kept) device.close({ cascade: true });

process.stdout.write(JSON.stringify({ load: loaded - begin, first, resident }));
