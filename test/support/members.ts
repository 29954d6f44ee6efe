// Every class of the package with all its methods and getters, for tests that call each of them on wrong objects.
import { EventEmitter } from 'node:events';
import {
  AddressHandle,
  CheckBatch,
  Checker,
  CompletionQueue,
  CompletionRing,
  Device,
  DeviceMemory,
  DmaMapping,
  DmaSpace,
  Endpoint,
  FastMemoryRegion,
  Lease,
  MemoryRegion,
  MemoryWindow,
  ProtectionDomain,
  QueuePair,
  RegionUse,
  RegistrationCache,
  Sge,
  SgeState,
  RecvQueue,
  SendQueue,
  SharedReceiveQueue,
} from '../../lib';
import { accepted } from './answers';
import { ALL, DMA, dmaPages, PAGE, scene } from './scene';

/** Whether the operating system has endpoints. */
export const hasEndpoints = process.platform === 'linux';

/** Creates one object of each class. */
export function everything() {
  const { device, pd, qp } = scene({ lkeyTableBits: 5 });
  dmaPages(device, 2);
  const mr = pd.regUserMr(Buffer.alloc(64), { access: ALL });
  const sg = pd.allocMr({ maxNumSg: 4 });
  const fmr = pd.allocFmr({ maxPages: 4, access: ALL });
  fmr.mapPhys([DMA], 0);
  const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, ALL));
  const mapping = device.dma.map(Buffer.alloc(8));
  const state = new SgeState([accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0))]);
  const batch = pd.lkeyBatch(4);
  batch.set(0, mr.start, 8, mr.lkey);
  const block = qp.checker();
  const memory = device.allocDm(PAGE);
  const cq = device.createCq(4);
  const { ring } = device.createCq(4, { ring: true });
  const srq = pd.createSrq({ maxWr: 4 });
  const ah = pd.createAh();
  const mw = pd.allocMw();
  const lease = pd.regUserMr(Buffer.alloc(8), { access: ALL }).advertise({ expiresInMs: 3_600_000 });
  const cache = new RegistrationCache(pd);
  return {
    device,
    dma: device.dma,
    pd,
    qp,
    mr,
    sg,
    fmr,
    sge,
    mapping,
    state,
    batch,
    block,
    memory,
    cq,
    ring,
    srq,
    ah,
    mw,
    lease,
    cache,
    use: cache.get(Buffer.alloc(64), ALL),
    sends: pd.createQp({ type: 'RC', sendCq: device.createCq(4) }).sendQueue(1),
    receives: srq.recvQueue(1),
    endpoint: hasEndpoints ? new Endpoint({ device, address: '127.0.0.1', port: 0 }) : undefined,
  };
}
export type All = ReturnType<typeof everything>;

/** The classes of the package, and how to get an object of each. */
export const classes: [string, any, (all: All) => any][] = [
  ['Device', Device, ({ device }) => device],
  ['DeviceMemory', DeviceMemory, ({ memory }) => memory],
  ['DmaSpace', DmaSpace, ({ dma }) => dma],
  ['DmaMapping', DmaMapping, ({ mapping }) => mapping],
  ['ProtectionDomain', ProtectionDomain, ({ pd }) => pd],
  ['QueuePair', QueuePair, ({ qp }) => qp],
  ['MemoryRegion', MemoryRegion, ({ sg }) => sg],
  ['FastMemoryRegion', FastMemoryRegion, ({ fmr }) => fmr],
  ['Sge', Sge, ({ sge }) => sge],
  ['SgeState', SgeState, ({ state }) => state],
  ['CheckBatch', CheckBatch, ({ batch }) => batch],
  ['Checker', Checker, ({ block }) => block],
  ['CompletionQueue', CompletionQueue, ({ cq }) => cq],
  ['CompletionRing', CompletionRing, ({ ring }) => ring],
  ['SharedReceiveQueue', SharedReceiveQueue, ({ srq }) => srq],
  ['SendQueue', SendQueue, ({ sends }) => sends],
  ['RecvQueue', RecvQueue, ({ receives }) => receives],
  ['AddressHandle', AddressHandle, ({ ah }) => ah],
  ['MemoryWindow', MemoryWindow, ({ mw }) => mw],
  ['Lease', Lease, ({ lease }) => lease],
  ['RegistrationCache', RegistrationCache, ({ cache }) => cache],
  ['RegionUse', RegionUse, ({ use }) => use],
  ...(hasEndpoints
    ? [['Endpoint', Endpoint, ({ endpoint }: All) => endpoint] as [string, any, (all: All) => any]]
    : []),
];

/** Returns the name of a member. The disposal symbols have other names in early versions of Node. */
const nameOf = (name: string | symbol): string =>
  String(name).replace(/^Symbol\((Symbol|nodejs)\.(\w+)\)$/, '@@$2');

/** Returns every method and getter of a class by name, with calls that pass valid arguments. */
function members(prototype: any): [name: string, use: (self: unknown) => unknown][] {
  // A batch takes a count; a domain and a queue pair both accept this request.
  const request = { addr: 0, vaddr: 0, length: 0, lkey: 256, rkey: 256 };
  const judged = prototype === CheckBatch.prototype ? [1, 0] : [request, 4];
  const args: Record<string, unknown[]> = {
    importPd: [1],
    importDm: [1],
    allocDm: [4096],
    map: [Buffer.alloc(8)],
    regUserMr: [Buffer.alloc(8)],
    get: [Buffer.alloc(8), 0],
    allocMr: [{ maxNumSg: 1 }],
    allocFmr: [{ maxPages: 1 }],
    acquire: judged,
    check: judged,
    deregMany: [[]],
    lkeyBatch: [1],
    rkeyBatch: [1],
    mapSg: [[{ addr: DMA, length: 8 }]],
    rereg: [{ access: 1 }],
    mapPhys: [[DMA], 0],
    copyTo: [Buffer.alloc(8)],
    copyFrom: [Buffer.alloc(8)],
    copyIn: [Buffer.alloc(8)],
    copyOut: [Buffer.alloc(8)],
    fetchAdd: [1],
    compareSwap: [1, 1],
    walk: [[8]],
    nextLength: [8],
    update: [8],
    skip: [8],
    hasLkey: [256],
    invalidateRkey: [256],
    refusal: [1, 0, 0, 4],
    checkPacked: [Buffer.alloc(16), 0],
    set: [0, 0, 0, 0],
    take: [0],
    gather: [Buffer.alloc(8), 1, 0],
    scatter: [Buffer.alloc(8), 1, 1],
    reason: [0],
    explain: [0],
    regionOf: [Buffer.alloc(8)],
    regionsOf: [Buffer.alloc(8)],
    createCq: [1],
    createSrq: [{ maxWr: 1 }],
    postRecv: [[]],
    modify: [{}],
    resize: [1],
    poll: [],
    sendQueue: [1],
    recvQueue: [1],
    fill: [0, { opcode: 'SEND' }],
    post: [0],
    setLocal: [0, 0, 0, 256],
    setRemote: [0, 0, 256],
    setId: [0, 0],
    setSignaled: [0, true],
    listen: [1, () => {}],
  };
  const found: [string, (self: unknown) => unknown][] = [];
  // Node's methods of EventEmitter accept every object, and so do the overriding ones, which have nothing to do for it.
  const emitter = Object.getPrototypeOf(CompletionQueue.prototype);
  expect(Object.getPrototypeOf(emitter)).toBe(EventEmitter.prototype);
  for (
    let level = prototype;
    level && level !== Object.prototype && level !== emitter;
    level = Object.getPrototypeOf(level)
  ) {
    for (const name of Reflect.ownKeys(level)) {
      const { value, get } = Object.getOwnPropertyDescriptor(level, name)!;
      if (name === 'constructor') continue;
      const call = get ?? value;
      if (typeof call !== 'function') continue; // Symbol.toStringTag is not a method.
      found.push([nameOf(name), (self) => Reflect.apply(call, self, args[nameOf(name)] ?? [])]);
    }
  }
  return found;
}

/** Members that print an object: they never throw, whatever object they are called on (api/show.test.ts). */
const SHOWING = ['toString', 'toJSON', 'Symbol(nodejs.util.inspect.custom)'];

/**
 * Returns every method and getter except fastRegMr, the printing members, and two members of CheckBatch that read only public
 * properties and therefore accept every object.
 */
export const methodsOf = (type: any) =>
  members(type.prototype).filter(
    ([name]) =>
      name !== 'fastRegMr' &&
      !SHOWING.includes(name) &&
      !(type === CheckBatch && ['set', 'reason'].includes(name)),
  );
