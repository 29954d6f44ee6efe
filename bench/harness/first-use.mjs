// Loads the package and uses it once, in a process that has not done either: prints what took how many milliseconds, and how much more
// memory was resident after the first region.
const { residentBytes } = await import('./resident.mjs');

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

// The second device, so that what the process needs once for all devices is there.
residentBytes();
const before = residentBytes();
const device = use(false);
const resident = (residentBytes() - before) / 1024;
device.close({ cascade: true });

process.stdout.write(JSON.stringify({ load: loaded - begin, first, resident }));
