// Rows of `resources()` describe the memory behind each region and mapping.
import { accepted } from '../support/answers';
import { open, PAGE, scene } from '../support/scene';
import { Peer } from '../support/workers';

describe('rows describe the memory', () => {
  test('by its kind, its offset in the buffer, and the buffer itself', () => {
    const { device, pd } = scene();
    const [plain, shared, memory] = [new ArrayBuffer(64), new SharedArrayBuffer(64), device.allocDm(PAGE)];
    for (const buffer of [plain, shared, memory.buffer, plain]) {
      pd.regUserMr(new DataView(buffer, 8, 16));
      device.dma.map(new Uint16Array(buffer, 4, 2));
    }
    const { regions, mappings, memories } = device.resources();
    const kinds = ['ArrayBuffer', 'SharedArrayBuffer', 'DeviceMemory', 'ArrayBuffer'];
    expect(regions.map((row) => row.memory)).toEqual(
      kinds.map((kind) => ({ kind, buffer: expect.any(Number), offset: 8, length: 16, detached: false })),
    );
    expect(mappings.map((row) => row.memory)).toEqual(
      kinds.map((kind) => ({ kind, buffer: expect.any(Number), offset: 4, length: 4, detached: false })),
    );
    const buffers = regions.map((row) => row.memory!.buffer);
    expect(mappings.map((row) => row.memory!.buffer)).toEqual(buffers);
    expect(new Set(buffers).size).toBe(3);
    expect([buffers[3], memories[0]!.buffer]).toEqual([buffers[0], buffers[2]]);
  });

  test('as detached when its buffer is, even if another buffer now has the same address', () => {
    const { device, pd } = scene();
    const buffer = new ArrayBuffer(64);
    pd.regUserMr(buffer);
    device.dma.map(buffer);
    const kept = new ArrayBuffer(8);
    pd.regUserMr(kept);
    const moved = structuredClone(buffer, { transfer: [buffer] }); // the new buffer usually has the same address
    pd.regUserMr(moved);
    const { regions, mappings } = device.resources();
    expect(regions.map((row) => row.memory!.detached)).toEqual([true, false, false]);
    expect(mappings.map((row) => row.memory!.detached)).toEqual([true]);
    expect(device.resources().toJSON().regions[0]!.memory!.detached).toBe(true);
  });

  test('of a WebAssembly memory that grew', () => {
    const { device, pd } = scene();
    const memory = new (globalThis as any).WebAssembly.Memory({ initial: 1, maximum: 4 });
    pd.regUserMr(new Uint8Array(memory.buffer, 16, 16));
    memory.grow(1);
    pd.regUserMr(new Uint8Array(memory.buffer, 16, 16));
    expect(device.resources().regions.map((row) => row.memory!.detached)).toEqual([true, false]);
  });

  test('registered by other threads, without access to their buffers', async () => {
    const { device, pd } = scene();
    const peer = new Peer({ token: device.share() });
    await peer.run((w, number) => {
      w.buffer = new ArrayBuffer(64);
      const other = w.device.importPd(number);
      other.regUserMr(new Uint8Array(w.buffer, 8, 8));
      other.regUserMr(new Uint8Array(new SharedArrayBuffer(32), 16));
    }, pd.id);
    const place = { buffer: expect.any(Number), length: expect.any(Number) };
    expect(device.resources().regions.map((row) => row.memory)).toEqual([
      { ...place, kind: 'ArrayBuffer', offset: 8, detached: undefined },
      { ...place, kind: 'SharedArrayBuffer', offset: 16, detached: false },
    ]);
    await peer.run((w) => structuredClone(w.buffer, { transfer: [w.buffer] }));
    expect(device.resources().toJSON().regions[0]!.memory!.detached).toBe(null);
    const theirs = await peer.run((w) => w.device.resources().regions.map((row: any) => row.memory.detached));
    expect(theirs).toEqual([true, false]);
  });
});

test('keySlots reports how full the key table is', () => {
  const device = open({ lkeyTableBits: 4 });
  const pd = device.allocPd();
  expect(device.keySlots).toEqual({ used: 0, max: 16 });
  const regions = Array.from({ length: 16 }, () => pd.regUserMr(Buffer.alloc(1)));
  expect(device.keySlots).toEqual({ used: 16, max: 16 });
  regions[3]!.dereg();
  const { used, max } = device.keyTable();
  expect(device.keySlots).toEqual({ used: used.length, max });
  const held = accepted(pd.acquire({ addr: regions[0]!.start, length: 1, lkey: regions[0]!.lkey }, 0));
  expect(() => regions[0]!.dereg()).toThrow();
  expect(device.keySlots.used).toBe(14); // a half-dead region has no slot
  held.put();
});
