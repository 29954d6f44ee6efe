// Calls the native module directly, without the checks in lib/. The native module's own checks must suffice.
import { layoutNumber } from '../../scripts/layout.mjs';
import { CommandBlock } from './command-block.mjs';
import { label } from './labels.mjs';
import { NativeQueues } from './native-queues.mjs';
import { DMA, PAGE } from './plausible.mjs';

/** @typedef {import('./world.mjs').World} World */

const HEADER_BYTES = layoutNumber('RVT_BLOCK_HEADER_BYTES');
const SGE_WORDS = layoutNumber('RVT_PACKED_SGE_BYTES') / 4;
/** Limit of remembered names of elements and of regions. */
const MOST_NAMES = 40;
/** The functions that read their parameters from the command block. */
const COMMANDS =
  'checkOne placeOne acquireOne explainAccess describeSge putOne copyOut copyIn fetchAdd compareSwap regUserMr reregMr queryMr releaseMr stampOfKey countMr mapPhys mapSg allocMw queryMw deallocMw leaseMr'.split(
    ' ',
  );
/** Calls that create a region and store its name in the command block. */
const MAKES_REGION = /^(regUserMr|getDmaMr|allocMr|allocFmr|allocMw|leaseMr)$/;

/** A pcap file with one packet: an RDMA WRITE of one byte. */
const CAPTURE = new Uint8Array(
  Buffer.from(
    'd4c3b2a1020004000000000000000000ffff000001000000faf40a6b33be07004e0000004e000000525400aaaaaa52540a00' +
      '020f0800450000409665400040118c370a00020f0a000202d32612b7002c00000a30ffff00000102800007d7000010000000' +
      '4000eab3cf000000000103000000ce5d95d7',
    'hex',
  ),
);

/** Returns the size in bytes of a batch block. @param {number} capacity @param {boolean} places */
export function blockBytes(capacity, places, accesses = false) {
  const leftOut = places ? 0 : layoutNumber('RVT_BLOCK_VERDICTS') - layoutNumber('RVT_BLOCK_REGIONS');
  return (
    HEADER_BYTES + capacity * (layoutNumber(accesses ? 'RVT_BLOCK_END' : 'RVT_BLOCK_ACCESSES') - leftOut)
  );
}

export class Natives {
  #world;
  #random;
  #hostile;
  #plausible;
  #command;
  #queues;
  /** Blocks of batches, which this program overwrites. @type {Uint8Array[]} */
  #blocks = [];
  /** Names of acquired elements. Each name keeps its holder alive. @type {import('./command-block.mjs').NativeElement[]} */
  #elements = [];
  /** @type {import('./command-block.mjs').NativeRegion[]} */
  #regions = [];

  /**
   * @param {World} world
   * @param {import('./hostile.mjs').Hostile} hostile
   * @param {import('./plausible.mjs').Plausible} plausible
   */
  constructor(world, hostile, plausible) {
    this.#world = world;
    this.#random = world.random;
    this.#hostile = hostile;
    this.#plausible = plausible;
    this.#command = new CommandBlock(world.native);
    this.#queues = new NativeQueues(world, {
      target: () => this.#target(),
      region: () => this.#region(),
      one: (name) => this.#one(name),
    });
    for (const name of COMMANDS) world.ledger.known(`native done ${name}`);
  }

  /** Makes a random call. Most arguments are valid. */
  call() {
    const { natives } = this.#world;
    const kind = this.#random.chance(0.45) ? undefined : natives.anyKind();
    const how = { raw: true };
    if (!kind) {
      const member = this.#random.pick(natives.free);
      // Another callback in place of the package's own would let no event of the program be delivered any more.
      if (/^await/.test(String(member.key)) && this.#random.chance(0.98)) return;
      this.#invoke(member, this.#world.native, how);
      return;
    }
    // Rarely close or release objects, because little is left to test afterwards.
    const member = this.#random.pick(kind.members);
    if (/close|dealloc|destroy|release|unmap/.test(String(member.key)) && this.#random.chance(0.7)) return;
    const self = this.#random.chance(0.9) ? this.#random.pick(kind.objects) : this.#hostile.impostor();
    if (member.invoke === undefined && typeof (/** @type {any} */ (self)?.[member.key]) !== 'function')
      return;
    if (kind.name.includes('{check') && this.#random.chance(0.7)) this.#fillBlocks();
    this.#invoke(member, self, how);
  }

  /**
   * Fills the command block, makes the call, and remembers the name of what the call created.
   *
   * @param {import('./pool.mjs').Member} member
   * @param {any} self
   * @param {import('./verdict.mjs').Circumstances} how
   */
  #invoke(member, self, how) {
    const key = String(member.key);
    const args = this.#arguments(member.name.replace(/^native /, ''), key);
    // Takes the place of the package's own listener, which is called while the process exits. An exception then, of a class for
    // instance, keeps this process alive, because it handles uncaught exceptions. No program can set the listener.
    if (key === 'onLeak' && typeof args[0] === 'function') args[0] = quiet(args[0]);
    const holder = {};
    const checker = this.#fillCommand(key, holder);
    const result = this.#world.call(member, self, args, how);
    if (member.name === 'native NativeCompletionQueue.poll') this.#queues.count(args[0], result);
    const { answer, isAnswered } = this.#command;
    // These calls do not throw: their answer word says whether they succeeded.
    if (isAnswered && (answer === 0 || (key === 'mapSg' && answer > 0)))
      this.#world.ledger.done(`native done ${key}`);
    if (this.#random.chance(0.02)) this.forget(0.5);
    if ((key === 'acquireOne' || key === 'take') && answer === 0)
      this.#remember(this.#elements, this.#command.element(holder));
    if (MAKES_REGION.test(key) && (result === 0 || (result === undefined && answer === 0)))
      this.#remember(this.#regions, this.#command.region(checker));
  }

  /** @template T @param {T[]} names @param {T} name */
  #remember(names, name) {
    names.push(name);
    if (names.length > MOST_NAMES) names.splice(this.#random.dice(MOST_NAMES >> 1), MOST_NAMES >> 2);
  }

  /** Drops names with their holders, so that the garbage collector puts the references of the elements. */
  forget(/** @type {number} */ probability) {
    this.#elements = this.#elements.filter(() => !this.#random.chance(probability));
  }

  /**
   * Opens a native device that contains an object of every kind that native calls take.
   *
   * @param {(name: string, make: () => any) => any} part runs one step, which may fail
   * @param {Uint8Array} bytes memory to register
   */
  openScene(part, bytes) {
    const { native } = this.#world;
    const device = part('openDevice', () =>
      native.openDevice(8, false, true, this.#random.chance(0.5), this.#queues.limits()),
    );
    const pd = device && part('NativeDevice.allocPd', () => device.allocPd(false));
    if (!pd) return;
    const qp = part('NativeProtectionDomain.createCheckQp', () => pd.createCheckQp());
    const checker = pd.number();
    const command = this.#command;
    const made = () => this.#remember(this.#regions, command.region(checker));
    part('NativeDevice.mapDma', () => device.mapDma(bytes, DMA));
    command.store({ checker, access: 31, flags: 3 }, { start: 0x1000n, iova: 0x1000n });
    part('regUserMr', () => native.regUserMr(bytes));
    if (command.answer !== 0) return;
    made();
    const { lkey } = command.targetOf(command.region(checker), true);
    for (const [asker, length, access] of [
      [checker, 64, 1],
      [qp?.number(), 8, 8],
    ]) {
      const holder = {};
      const cell = native.bindCell(holder);
      command.store({ checker: asker, length, key: lkey, access, cell, lastCell: 0 }, { address: 0x1000n });
      part('acquireOne', () => native.acquireOne());
      if (command.answer === 0) this.#remember(this.#elements, command.element(holder));
    }
    part('createSgeState', () => native.createSgeState(CommandBlock.elementNames(this.#elements.slice(-1))));
    if (part('NativeProtectionDomain.allocFmr', () => [pd.allocFmr(31, 4, 1, 12)])?.[0] === 0) {
      const fmr = command.region(checker);
      made();
      command.storeRegion(fmr);
      command.store({}, { iova: 0 });
      part('mapPhys', () => native.mapPhys(BigUint64Array.from([DMA])));
    }
    if (part('NativeProtectionDomain.allocMr', () => [pd.allocMr(0, 4)])?.[0] === 0) {
      const mr = command.region(checker);
      made();
      command.storeRegion(mr);
      command.store({ length: PAGE }, { address: 0 });
      part('mapSg', () => native.mapSg(BigUint64Array.from([DMA, BigInt(PAGE)])));
      if (command.answer > 0) this.#world.ledger.done('native done mapSg');
    }
    this.#queues.openScene(part, device, pd);
    const block = new Uint8Array(new SharedArrayBuffer(blockBytes(4, false)));
    part('createBatch', () => native.createBatch(pd, block, 4, false, false));
  }

  /**
   * Fills the command block for the next call, mostly with valid values.
   *
   * @param {string} key
   * @param {object} holder holder of the cell for a new element
   * @returns {number} the number of the domain or queue pair in the block
   */
  #fillCommand(key, holder) {
    const random = this.#random;
    const p = this.#plausible;
    const { lkey, address } = this.#target();
    const checker = random.chance(0.9)
      ? this.#checker(key)
      : random.pick([0, random.dice(99), random.bits()]);
    const last = this.#element();
    // Bind a new cell. The number of an arbitrary cell could be one that the package uses, which would break the package
    // permanently.
    const cell = /^(acquireOne|take)$/.test(key) && random.chance(0.95) ? this.#bind(holder) : 0;
    this.#command.store(
      {
        checker,
        access: p.access(),
        flags: random.dice(key === 'reregMr' ? 64 : 8),
        newChecker: random.chance(0.5) ? this.#checker('regUserMr') : random.dice(99),
        length: key === 'mapSg' ? 4096 : random.pick([0, 8, 8, 64, p.length()]),
        key: lkey,
        cell,
        lastCell: last.cell,
        lastGeneration: last.generation,
        mode: random.pick([0, 0, 0, 1, 2, 3]),
      },
      {
        address: /^(copy|map)/.test(key) ? random.pick([0, 0, 4, 2 ** 32 - 1]) : address,
        start: this.#long(),
        iova: this.#long(),
        operand: this.#long(),
        compare: this.#long(),
      },
    );
    if (!/^(acquireOne|take)$/.test(key) && random.chance(0.9)) this.#command.storeElement(this.#element());
    const region = this.#region();
    if (/^(reregMr|queryMr|releaseMr|countMr|mapPhys|mapSg|fastRegMr|queryMw|deallocMw|leaseMr)$/.test(key))
      this.#command.storeRegion(region);
    if (random.chance(0.1)) this.#scribble();
    return checker;
  }

  /** Overwrites random words of the command block, but never names a valid cell for a new element (see #fillCommand). */
  #scribble() {
    const { words } = this.#command;
    const random = this.#random;
    for (let i = 0; i < 3; i++) {
      const at = random.dice(words.length);
      words[at] = random.pick([0, 1, 2, 0xffff_ffff, 0x8000_0000, random.dice(1000), random.bits()]);
    }
    this.#command.store({ cell: random.pick([0, 0xffff_ffff, 1_000_000]) });
  }

  #bind(/** @type {object} */ holder) {
    return (
      this.#world.attempt('native bindCell', () => this.#world.native.bindCell(holder), { raw: true }) ?? 0
    );
  }

  /** Returns the number of a random domain, or of a queue pair if the call accepts both. */
  #checker(/** @type {string} */ key) {
    const domain = /Mr$/.test(key) || this.#random.chance(0.5);
    const object = this.#one(domain ? 'NativeProtectionDomain' : 'NativeQueuePair');
    try {
      return object?.number() ?? 0;
    } catch {
      return 0; // no longer an object of this class
    }
  }

  #long() {
    return BigInt.asUintN(64, BigInt(this.#plausible.address()));
  }

  /** Returns the name of an element that is held, was held, or never existed. */
  #element() {
    const random = this.#random;
    const known = this.#elements.length
      ? random.pick(this.#elements)
      : { holder: {}, cell: 0, generation: 0 };
    if (random.chance(0.9)) return known;
    return random.pick([
      { ...known, generation: (known.generation + random.pick([1, -1])) >>> 0 },
      { ...known, cell: 0 },
      { ...known, cell: random.bits(), generation: 1 },
    ]);
  }

  /** Returns the name of a region that exists, existed, or never existed. */
  #region() {
    const random = this.#random;
    const known = this.#regions.length
      ? random.pick(this.#regions)
      : { checker: 0, index: 0, generation: 0n };
    if (random.chance(0.85)) return known;
    return random.pick([
      { ...known, generation: BigInt.asUintN(64, known.generation + random.pick([1n, 2n, -2n])) },
      { ...known, index: random.pick([known.index + 1, random.dice(600), random.bits()]), generation: 1n },
      { ...known, checker: random.pick([0, random.dice(40), random.bits()]) },
    ]);
  }

  /** Fills batch blocks with headers and elements that the package itself would never write. */
  #fillBlocks() {
    for (const block of this.#blocks) {
      const words = new Uint32Array(block.buffer, block.byteOffset & -4);
      const random = this.#random;
      const { lkey, address } = this.#target();
      words.set([
        random.pick([0, 1, 4, 5, 17, 1000, 2 ** 32 - 1, random.bits()]),
        this.#plausible.access(),
        random.dice(2),
      ]);
      const first = HEADER_BYTES / 4;
      for (let at = first; at + SGE_WORDS <= words.length && at < first + 4 * SGE_WORDS; at += SGE_WORDS) {
        words.set([Number(address & 0xffffffffn), Number(address >> 32n), random.pick([0, 8, 64]), lkey], at);
      }
    }
  }

  /**
   * @param {string} name
   * @param {string} key
   */
  #arguments(name, key) {
    const random = this.#random;
    const right = this.#queues.arguments(name) ?? this.#shape(key);
    if (!right || random.chance(0.25))
      return Array.from({ length: random.dice(5) }, () => this.#hostile.value());
    // Sometimes replace one argument, drop one, or add one.
    if (random.chance(0.2) && right.length) right[random.dice(right.length)] = this.#hostile.value();
    if (random.chance(0.05)) right.pop();
    if (random.chance(0.05)) right.push(this.#hostile.value());
    return right;
  }

  /** @returns {any} */
  #one(/** @type {string} */ name) {
    const objects = this.#world.natives.objects(`native ${name}`);
    return objects.length ? this.#random.pick(objects) : undefined;
  }

  /** Returns a list of names. Some are invalid, and sometimes the length of the list is. */
  #names(/** @type {'element' | 'region'} */ kind) {
    const random = this.#random;
    const list =
      kind === 'element'
        ? CommandBlock.elementNames(Array.from({ length: random.dice(4) }, () => this.#element()))
        : CommandBlock.regionNames(Array.from({ length: random.dice(4) }, () => this.#region()));
    return label(`names of ${kind}s`, random.chance(0.05) ? list.subarray(1) : list);
  }

  #u64() {
    const address = this.#plausible.address();
    return this.#random.chance(0.9) ? BigInt(address) : address;
  }

  #bytes() {
    const { memories } = this.#world;
    const memory = memories.any();
    return label('bytes', memory.whole ? memory.body() : memories.make().body());
  }

  /** Returns a block for `words` words of work requests, mostly one that can be used. */
  #wrBlock(/** @type {number} */ words) {
    const bytes = (layoutNumber('RVT_WR_HEADER_WORDS') + words) * 4;
    const buffer = new (this.#random.chance(0.9) ? SharedArrayBuffer : ArrayBuffer)(bytes);
    const block = label(`a block of ${words} words`, new Uint8Array(buffer));
    this.#blocks.push(block);
    if (this.#blocks.length > 8) this.#blocks.shift();
    return block;
  }

  /** Returns the arguments that create a packed queue, mostly for a queue pair that takes 4 SGEs. */
  #wrQueue(/** @type {string} */ wrWords, /** @type {boolean} */ shared) {
    const capacity = this.#random.pick([1, 4, 16]);
    const sges = this.#random.pick([4, 4, 4, 1, 2]);
    return [
      this.#one(shared ? 'NativeSharedReceiveQueue' : 'NativeQueuePair'),
      this.#wrBlock(capacity * (layoutNumber(wrWords) + 4 * sges)),
      this.#random.chance(0.9) ? capacity : this.#random.pick([0, 5, 2 ** 20, 2 ** 20 + 1]),
    ];
  }

  /** Returns the arguments that create a reader of capture files, mostly with a block of the right size. */
  #packetReader() {
    const rows = this.#random.pick([1, 2, 16]);
    const bytes = layoutNumber('RVT_WIRE_ROWS_AT') + rows * layoutNumber('RVT_WIRE_ROW_BYTES');
    const buffer = new (this.#random.chance(0.9) ? SharedArrayBuffer : ArrayBuffer)(bytes);
    return [
      label(`a block of ${rows} rows`, new Uint8Array(buffer)),
      this.#random.chance(0.9) ? rows : this.#random.pick([0, 17, 65537]),
    ];
  }

  /** Returns a piece of a capture file with one WRITE, sometimes damaged, or other bytes. */
  #chunk() {
    if (this.#random.chance(0.2)) return this.#bytes();
    const file = CAPTURE.slice();
    while (this.#random.chance(0.5)) file[this.#random.dice(file.length)] = this.#random.dice(256);
    const end = this.#random.pick([file.length, file.length, 24, 30, 41, 90]);
    return label(`a capture of ${end} bytes`, file.subarray(this.#random.pick([0, 0, 0, 24, 40]), end));
  }

  #block() {
    const capacity = this.#random.pick([1, 4, 16]);
    const places = this.#plausible.flag();
    const accesses = this.#plausible.flag();
    const bytes = blockBytes(capacity, places, accesses);
    const shift = this.#random.pick([0, 0, 0, 0, 8, 4]);
    const buffer = new (this.#random.chance(0.9) ? SharedArrayBuffer : ArrayBuffer)(bytes + shift);
    const block = label(`a block of ${capacity}`, new Uint8Array(buffer, shift, bytes));
    this.#blocks.push(block);
    if (this.#blocks.length > 8) this.#blocks.shift();
    return [
      this.#one(this.#plausible.flag() ? 'NativeProtectionDomain' : 'NativeQueuePair'),
      block,
      // Sometimes pass a capacity that does not match the size of the block.
      this.#random.chance(0.8) ? capacity : this.#random.pick([0, 5, 17, 2 ** 16, 2 ** 20]),
      places,
      accesses,
    ];
  }

  /** @returns {unknown[] | undefined} */
  #shape(/** @type {string} */ key) {
    const p = this.#plausible;
    const random = this.#random;
    /** @type {Record<string, () => unknown[]>} */
    const shapes = {
      openDevice: () => [
        random.pick([1, 4, 8, 23, 24]),
        p.flag(),
        p.flag(),
        p.flag(),
        this.#queues.limits(),
        ...this.#queues.faults(),
      ],
      unmapFmr: () => [this.#names('region')],
      deregMany: () => [this.#names('region'), p.flag()],
      createSgeState: () => [this.#names('element')],
      bindCell: () => [label('a holder', {})],
      createBatch: () => this.#block(),
      createPostBlock: () => [this.#wrBlock(random.pick([0, 28, 64, 400]))],
      createSendQueue: () => this.#wrQueue('RVT_SEND_WR_WORDS', false),
      createRecvQueue: () => this.#wrQueue('RVT_RECV_WR_WORDS', p.flag()),
      createPacketReader: () => this.#packetReader(),
      createEndpoint: () => [
        this.#one('NativeDevice'),
        random.pick(['127.0.0.1', '127.0.0.1', '::1', '::', '', 'x'.repeat(200)]),
        random.pick([0, 0, 0, 65535, 65536]),
        random.pick([0, 1, 16]),
        random.pick([1, 3, 3, 5, 7, 0, 2 ** 32 - 1]), // ANY_KEYS, MEMORY, BY_THREAD
      ],
      connect: () => [
        this.#one('NativeQueuePair'),
        random.pick(['127.0.0.1', '::1', '']),
        random.pick([4791, 1, 0]),
      ],
      reference: () => [p.flag()],
      takeRefusal: () => [
        label('words', new Uint32Array(layoutNumber('RVT_WIRE_REFUSAL_WORDS') - random.pick([0, 0, 0, 1]))),
      ],
      feed: () => [
        this.#packet(),
        random.pick(['127.0.0.1', '127.0.0.1', '::1', 'here']),
        random.pick([4791, 0, 65536]),
        random.pick([-1, 0, 65535]),
      ],
      read: () => [this.#chunk(), random.pick([0, 0, 0, 1, 100, 2 ** 31])],
      end: () => [],
      commandBlock: () => [
        label('a command block', new Uint8Array(new SharedArrayBuffer(layoutNumber('RVT_COMMAND_BYTES')))),
      ],
      ...Object.fromEntries(
        COMMANDS.filter((name) => !/^(copy[IO]|explain|regUserMr|map)/.test(name)).map((name) => [
          name,
          () => [],
        ]),
      ),
      explainAccess: () => [
        label('rows', new BigUint64Array(layoutNumber('RVT_EXPLAINED_COUNT') - random.pick([0, 0, 0, 1]))),
      ],
      takeFailure: () => [
        label('numbers', new BigUint64Array(layoutNumber('RVT_FAILURE_NUMBERS') - random.pick([0, 0, 0, 1]))),
      ],
      heldElements: () => [this.#one('NativeDevice')],
      placeOfView: () => [this.#bytes()],
      close: () => [p.flag()],
      allocPd: () => [p.flag()],
      mapDma: () => [this.#bytes(), random.pick([undefined, DMA, DMA + BigInt(random.dice(9) * PAGE)])],
      counters: () => [p.flag(), label('counters', new BigUint64Array(random.pick([64, 64, 1])))],
      allocDm: () => [random.pick([4096, 64, 0, 2 ** 53 - 1]), p.flag()],
      importPd: () => [random.dice(4)],
      importDm: () => [random.dice(4)],
      reportLeaks: () => [p.flag()],
      dealloc: () => [p.flag()],
      regUserMrTest: () => [this.#u64(), this.#u64(), this.#u64()],
      regUserMr: () => [this.#bytes()],
      getDmaMr: () => [p.access()],
      allocMr: () => [random.pick([0, 0, 0, 1, 5]), random.pick([0, 4, 2 ** 32 - 1])],
      allocFmr: () => [p.access(), random.pick([4, 0, -1, 2 ** 53 - 1]), 1, random.pick([12, 0, 31])],
      acquire: () => [p.flag()],
      fastRegMr: () => [this.#key(), p.access(), random.pick([undefined, this.#u64()])],
      invalidateRkey: () => [this.#key()],
      mapSg: () => [label('pairs', BigUint64Array.from([DMA, 4096n, DMA + 8192n, 4096n]))],
      mapPhys: () => [label('pages', BigUint64Array.from([DMA, DMA + 4096n]))],
      copyTo: () => [this.#one('{check,checkPacked...}')],
      nextLength: () => [p.length()],
      update: () => [p.length(), p.flag()],
      skip: () => [p.length(), p.flag()],
      hasLkey: () => [this.#key()],
      // These two functions exist for elements and for walks. Walks take all arguments, elements only some of them.
      copyIn: () => [this.#bytes(), p.flag(), p.flag()],
      copyOut: () => [this.#bytes(), p.flag()],
      walk: () => [label('steps', Uint32Array.from([0, 8, 4])), p.flag()],
      checkPacked: () => [this.#bytes()],
      take: () => [random.dice(5)],
      gather: () => [this.#bytes()],
      scatter: () => [this.#bytes()],
      put: () => (p.flag() ? [random.dice(3)] : []),
    };
    return shapes[key]?.();
  }

  /** Returns the payload of a UDP datagram: mostly a packet of RC, whose ICRC is almost never right. */
  #packet() {
    const packet = new Uint8Array(this.#random.pick([0, 15, 16, 28, 60, 300, 4164, 5000]));
    for (let i = 0; i < packet.length; i++) packet[i] = this.#random.dice(256);
    packet.set([this.#random.dice(24), 0x40, 0xff, 0xff].slice(0, packet.length));
    return label(`${packet.length} bytes of a packet`, packet);
  }

  /** Returns the key and the address of a random region. */
  #target() {
    return this.#command.targetOf(this.#regions.length ? this.#region() : undefined, this.#plausible.flag());
  }

  #key() {
    return this.#random.chance(0.8) ? this.#target().lkey : this.#plausible.key();
  }
}

/** Returns a function that calls `callback` and ignores what it throws. */
function quiet(/** @type {Function} */ callback) {
  return (/** @type {unknown[]} */ ...args) => {
    try {
      callback(...args);
    } catch {
      // The callback is a value of the fuzzer.
    }
  };
}
