// Loads the package and uses it, in a process that has not done either: prints how many milliseconds the import and the first use took,
// and how many KiB became resident with a device and its first region.
const { residentBytes } = await import('./resident.mjs');
const { summary } = await import('./rounds.mjs');

const DEVICES = 15;

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

// The median of some devices: what the process needs once for all of them is there, and the engine's heap grows beside a few of them.
const kept = [];
const growths = [];
for (let i = 0; i < DEVICES; i++) {
  const before = residentBytes();
  kept.push(use(false));
  growths.push((residentBytes() - before) / 1024);
}
const resident = summary(growths).median;
for (const device of kept) device.close({ cascade: true });

process.stdout.write(JSON.stringify({ load: loaded - begin, first, resident }));
