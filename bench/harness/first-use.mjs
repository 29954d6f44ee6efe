// Loads and uses the package in a new process. Prints the milliseconds that the import and the first use took, and the KiB that
// became resident per device with one region.
const { residentBytes } = await import('./resident.mjs');

/** Enough devices to make the growth of V8's heap negligible. */
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
  if (!pd.check(element, Access.LocalWrite).ok) throw new Error('the first check was refused');
  if (close) device.close({ cascade: true });
  return device;
};

const start = performance.now();
use(true);
const first = performance.now() - start;

for (let i = 0; i < DEVICES; i++) use(true); // allocate what the process needs only once
const before = residentBytes();
const kept = Array.from({ length: DEVICES }, () => use(false));
const resident = (residentBytes() - before) / DEVICES / 1024;
for (const device of kept) device.close({ cascade: true });

process.stdout.write(JSON.stringify({ load: loaded - begin, first, resident }));
