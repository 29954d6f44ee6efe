// Random capsules with their expected answers. The expectation comes from a table: a good capsule is made, up to two rows of the table
// spoil it, and the row that comes first says the answer. Numbers are those of the specification, and no code of the target is used.

/** @typedef {import('./host.mjs').Descriptor} Descriptor */
/** @typedef {'plain' | 'readable' | 'writable' | 'foreign' | 'gone' | 'fast'} Place */
/** @typedef {{ iova: bigint, rkey: number, length: number }} Region */
/** @typedef {Record<Place, Region>} Regions the host's memory, by what peers may do there */
/** @typedef {{ place: Place, offset: number, length: number, descriptor: Descriptor & { key: number } }} Piece of the host's memory */

/**
 * A capsule in the making.
 *
 * @typedef {object} Draft
 * @property {number} opcode
 * @property {'flush' | 'read' | 'write'} kind
 * @property {'none' | 'single' | 'list' | 'inline'} layout where the data are: inline is in the capsule
 * @property {number} flags
 * @property {number} nsid
 * @property {bigint} first block
 * @property {number} count of blocks
 * @property {Piece[]} pieces
 * @property {Descriptor} pointer SGL1 of a list or of inline data
 * @property {Buffer} data in the capsule
 */

/** @typedef {ReturnType<typeof randomNumbers>} Random */

const BLOCK = 512;
const BLOCKS = 128;
const MOST_BLOCKS = 32; // of a command
const MOST_INLINE = 8; // of data in the capsule
const MOST_LIST = 16;
const HIGHEST = 0xffffffffffffffffn;

/** Returns a generator of whole numbers below a limit (mulberry32). @param {number} seed */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return (/** @type {number} */ limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) % limit;
  };
}

/** @template T @param {Random} random @param {readonly T[]} list @returns {T} */
const oneOf = (random, list) => /** @type {T} */ (list[random(list.length)]);

/** @param {Draft} draft @param {Random} random */
const somePiece = ({ pieces }, random) => oneOf(random, pieces);

/** @param {Draft} draft */
const bytesOf = ({ count }) => count * BLOCK;

/**
 * A row of the table.
 *
 * @typedef {object} Row
 * @property {string} name what is wrong
 * @property {number} stage rows of a lower one come first
 * @property {number} status of the answer: type and code
 * @property {(draft: Draft) => boolean} applies
 * @property {(draft: Draft, random: Random, regions: Regions) => unknown} spoil
 */

const always = () => true;
/** @param {Draft} draft */
const hasBlocks = ({ kind }) => kind !== 'flush';
/** @param {Draft} draft */
const isList = ({ layout }) => layout === 'list';
/** @param {Draft} draft */
const isInline = ({ layout }) => layout === 'inline';
/** @param {Draft} draft */
const isSingle = ({ layout }) => layout === 'single';
/** @param {Draft} draft */
const hasPieces = ({ pieces }) => pieces.length > 0;
/** @param {Draft} draft */
const hasTwoPieces = (draft) => isList(draft) && draft.pieces.length > 1;
/** @param {Draft} draft */
const last = ({ pieces }) => /** @type {Piece} */ (pieces.at(-1));

/** Moves a piece to the start of another region. @param {Draft} draft @param {Random} random @param {Region} region */
function move(draft, random, { iova, rkey }) {
  Object.assign(somePiece(draft, random).descriptor, { address: iova, key: rkey });
}

/** @type {readonly Row[]} */
export const table = [
  {
    name: 'unknown opcode',
    stage: 1,
    status: 0x001,
    applies: always,
    spoil: (draft, random) =>
      (draft.opcode = oneOf(random, [0x04, 0x05, 0x06, 0x09, 0x0d, 0x50, 0x7e, 0x80, 0xff])),
  },
  {
    name: 'fused',
    stage: 2,
    status: 0x002,
    applies: always,
    spoil: (draft, random) => (draft.flags = 0x41 + random(3)),
  },
  {
    name: 'no list (PSDT)',
    stage: 2,
    status: 0x002,
    applies: always,
    spoil: (draft, random) => (draft.flags = oneOf(random, [0x00, 0x80, 0xc0])),
  },
  {
    name: 'no such namespace',
    stage: 3,
    status: 0x00b,
    applies: always,
    spoil: (draft, random) => (draft.nsid = oneOf(random, [0, 2, 0x80000001, 0xfffffffe])),
  },
  {
    name: 'all namespaces',
    stage: 3,
    status: 0x00b,
    applies: hasBlocks,
    spoil: (draft) => (draft.nsid = 0xffffffff),
  },
  {
    name: 'too many blocks',
    stage: 4,
    status: 0x002,
    applies: hasBlocks,
    spoil: (draft, random) => (draft.count = oneOf(random, [33, 128, 65536])),
  },
  {
    name: 'behind the last block',
    stage: 5,
    status: 0x080,
    applies: hasBlocks,
    spoil: (draft, random) =>
      (draft.first = oneOf(random, [
        BigInt.asUintN(64, BigInt(BLOCKS - draft.count + 1)),
        BigInt(BLOCKS),
        1n << 32n,
        HIGHEST,
      ])),
  },

  {
    name: 'descriptor of another type',
    stage: 6,
    status: 0x011,
    applies: hasBlocks,
    spoil: (draft, random) =>
      (pointerOf(draft).id = oneOf(random, [0x10, 0x11, 0x21, 0x20, 0x50, 0x5a, 0x60, 0xf0])),
  },
  {
    name: 'keyed, of another sub type',
    stage: 6,
    status: 0x011,
    applies: isSingle,
    spoil: (draft, random) => (pointerOf(draft).id = 0x41 + random(14)),
  },
  {
    name: 'list, not an offset',
    stage: 6,
    status: 0x011,
    applies: isList,
    spoil: (draft, random) => (draft.pointer.id = oneOf(random, [0x30, 0x32, 0x3f])),
  },
  {
    name: 'in the capsule, not an offset',
    stage: 6,
    status: 0x011,
    applies: isInline,
    spoil: (draft, random) => (draft.pointer.id = oneOf(random, [0x00, 0x02, 0x0f])),
  },
  {
    name: 'another type in the list',
    stage: 6,
    status: 0x011,
    applies: isList,
    spoil: (draft, random) =>
      (somePiece(draft, random).descriptor.id = oneOf(random, [0x00, 0x01, 0x10, 0x41, 0x4e, 0x5a, 0xff])),
  },
  {
    name: 'list of no bytes',
    stage: 6,
    status: 0x00d,
    applies: isList,
    spoil: (draft) => (draft.pointer.length = 0),
  },
  {
    name: 'list of half a descriptor',
    stage: 6,
    status: 0x00d,
    applies: isList,
    spoil: (draft, random) => (draft.pointer.length -= 1 + random(15)),
  },
  {
    name: 'another segment at the end',
    stage: 6,
    status: 0x00d,
    applies: isList,
    spoil: (draft, random) => (last(draft).descriptor.id = oneOf(random, [0x20, 0x21, 0x30, 0x31])),
  },
  {
    name: 'another segment before the end',
    stage: 6,
    status: 0x00e,
    applies: hasTwoPieces,
    spoil: (draft, random) =>
      (oneOf(random, draft.pieces.slice(0, -1)).descriptor.id = oneOf(random, [0x21, 0x31])),
  },
  {
    name: 'too many descriptors',
    stage: 6,
    status: 0x00e,
    applies: isList,
    spoil: (draft) => {
      const { place, offset, descriptor } = last(draft);
      while (draft.pieces.length <= MOST_LIST)
        draft.pieces.push({ place, offset, length: 0, descriptor: { ...descriptor, length: 0, id: 0x40 } });
      draft.pointer.length = 16 * draft.pieces.length;
    },
  },
  {
    name: 'list behind the capsule',
    stage: 6,
    status: 0x016,
    applies: isList,
    spoil: (draft, random) =>
      (draft.pointer.address = oneOf(random, [1n, 1n << 16n, HIGHEST, HIGHEST - 15n])),
  },
  {
    name: 'data behind the capsule',
    stage: 6,
    status: 0x016,
    applies: isInline,
    spoil: (draft, random) =>
      (draft.pointer.address = oneOf(random, [2n, 1n << 16n, HIGHEST, HIGHEST - BigInt(bytesOf(draft) - 1)])),
  },
  {
    name: 'read into the capsule',
    stage: 6,
    status: 0x002,
    applies: ({ kind }) => kind === 'read',
    spoil: (draft) => {
      draft.layout = 'inline';
      draft.data = Buffer.alloc(Math.min(bytesOf(draft), MOST_INLINE * BLOCK));
      draft.pointer = { address: 0n, length: draft.data.length, id: 0x01 };
    },
  },
  {
    name: 'two keys to invalidate',
    stage: 6,
    status: 0x002,
    applies: hasTwoPieces,
    spoil: (draft) => {
      for (const { descriptor } of draft.pieces.slice(0, 2)) descriptor.id = 0x4f;
    },
  },

  {
    name: 'data too short',
    stage: 7,
    status: 0x00f,
    applies: hasBlocks,
    spoil: (draft) => lengthen(draft, -1),
  },
  {
    name: 'data too long',
    stage: 7,
    status: 0x00f,
    applies: hasPieces,
    spoil: (draft, random) => lengthen(draft, oneOf(random, [1, 512, 0x800000])),
  },

  {
    name: 'key 0',
    stage: 8,
    status: 0x004,
    applies: hasPieces,
    spoil: (draft, random) => (somePiece(draft, random).descriptor.key = 0),
  },
  {
    name: 'guessed key',
    stage: 8,
    status: 0x004,
    applies: hasPieces,
    spoil: (draft, random) => {
      const { descriptor } = somePiece(draft, random);
      descriptor.key = (descriptor.key ^ (1 + random(255))) >>> 0; // the low byte: the slot stays, the key is another one
    },
  },
  {
    name: 'key that was taken back',
    stage: 8,
    status: 0x004,
    applies: hasPieces,
    spoil: (draft, random, { gone }) => move(draft, random, gone),
  },
  {
    name: 'memory of another domain',
    stage: 8,
    status: 0x004,
    applies: hasPieces,
    spoil: (draft, random, { foreign }) => move(draft, random, foreign),
  },
  {
    name: 'memory without the right',
    stage: 8,
    status: 0x004,
    applies: hasPieces,
    spoil: (draft, random, regions) =>
      move(draft, random, draft.kind === 'write' ? regions.writable : regions.readable),
  },
  {
    name: 'past the end of the region',
    stage: 8,
    status: 0x004,
    applies: hasPieces,
    spoil: (draft, random, regions) => {
      const { place, length, descriptor } = somePiece(draft, random);
      const { iova, length: all } = regions[place];
      descriptor.address = oneOf(random, [iova + BigInt(all - length + 1), iova + BigInt(all), HIGHEST]);
    },
  },
  {
    name: 'before the region',
    stage: 8,
    status: 0x004,
    applies: hasPieces,
    spoil: (draft, random, regions) => {
      const { place, descriptor } = somePiece(draft, random);
      descriptor.address = oneOf(random, [regions[place].iova - 1n, 0n]);
    },
  },
];

/** Returns SGL1: of one piece its own descriptor. @param {Draft} draft @returns {Descriptor} */
function pointerOf(draft) {
  return draft.layout === 'single' ? last(draft).descriptor : draft.pointer;
}

/**
 * Makes the data longer or shorter. In a list the first descriptor: another row may have added empty ones at the end.
 *
 * @param {Draft} draft
 * @param {number} more bytes
 */
function lengthen({ layout, pointer, pieces: [first] }, more) {
  const descriptor = layout === 'inline' ? pointer : first?.descriptor;
  if (descriptor) descriptor.length += more;
}

/**
 * Returns pieces of random lengths, at random places of the memory that a peer may use.
 *
 * @param {Random} random
 * @param {Regions} regions
 * @param {number} bytes
 * @param {number} count of pieces
 * @param {boolean} isWrite
 */
function piecesOf(random, regions, bytes, count, isWrite) {
  const cuts = Array.from({ length: count - 1 }, () => 1 + random(bytes - 1)).sort((a, b) => a - b);
  const ends = [...new Set(cuts), bytes];
  /** @type {Place[]} */
  const places = ['plain', isWrite ? 'readable' : 'writable', 'fast'];
  /** @type {Piece[]} */
  const pieces = [];
  let start = 0;
  for (const end of ends) {
    const length = end - start;
    const place = oneOf(random, places);
    const region = regions[place];
    const offset = random(region.length - length + 1);
    const descriptor = { address: region.iova + BigInt(offset), length, key: region.rkey, id: 0x40 };
    pieces.push({ place, offset, length, descriptor });
    start = end;
  }
  // In every second capsule, on average, the host asks the target to invalidate the key of its fast registration with the answer.
  const fast = pieces.find(({ place }) => place === 'fast');
  if (fast && random(2) === 0) fast.descriptor.id = 0x4f;
  return pieces;
}

/** @param {Random} random @param {Regions} regions @returns {Draft} a good capsule */
function goodCapsule(random, regions) {
  const kind = oneOf(
    random,
    /** @type {const} */ (['flush', 'read', 'read', 'read', 'write', 'write', 'write']),
  );
  /** @type {Draft['layout'][]} */
  const layouts = kind === 'write' ? ['single', 'list', 'list', 'inline'] : ['single', 'list', 'list'];
  const layout = kind === 'flush' ? 'none' : oneOf(random, layouts);
  const count = 1 + random(layout === 'inline' ? MOST_INLINE : MOST_BLOCKS);
  const bytes = count * BLOCK;
  const pieces =
    layout === 'single' || layout === 'list'
      ? piecesOf(random, regions, bytes, layout === 'list' ? 1 + random(6) : 1, kind === 'write')
      : [];
  const data = Buffer.alloc(layout === 'inline' ? bytes : 0).map(() => random(256));
  return {
    opcode: { flush: 0, write: 1, read: 2 }[kind],
    kind,
    layout,
    flags: 0x40,
    nsid: kind === 'flush' ? oneOf(random, [1, 0xffffffff]) : 1,
    first: BigInt(random(BLOCKS - count + 1)),
    count,
    pieces,
    pointer:
      layout === 'inline'
        ? { address: 0n, length: bytes, id: 0x01 }
        : { address: 0n, length: 16 * pieces.length, id: 0x31 },
    data: Buffer.from(data),
  };
}

/**
 * Makes a random capsule.
 *
 * @param {Random} random
 * @param {Regions} regions
 */
export function randomCapsule(random, regions) {
  const draft = goodCapsule(random, regions);
  const good = { ...draft, pieces: draft.pieces.map((piece) => ({ ...piece })) };
  /** @type {Row[]} */
  const rows = [];
  for (let wanted = oneOf(random, [0, 0, 1, 1, 1, 2]); wanted > 0; wanted--) {
    const stages = rows.map(({ stage }) => stage);
    const row = oneOf(
      random,
      table.filter(({ applies, stage }) => applies(good) && !stages.includes(stage)),
    );
    rows.push(row);
  }
  rows.sort((a, b) => a.stage - b.stage);
  for (const row of rows) row.spoil(draft, random, regions);
  /** @type {import('./host.mjs').Command} */
  const command = {
    opcode: draft.opcode,
    flags: draft.flags,
    nsid: draft.nsid,
    fields: [
      [40, 8, draft.first],
      [48, 2, draft.count - 1],
    ],
    ...(draft.layout !== 'none' && { pointer: pointerOf(draft) }),
    ...(draft.layout === 'list' && { segment: draft.pieces.map(({ descriptor }) => descriptor) }),
    data: draft.data,
  };
  const invalidated = good.pieces.find(({ descriptor }) => descriptor.id === 0x4f)?.descriptor.key;
  return {
    command,
    rows,
    status: rows[0]?.status ?? 0,
    good,
    invalidated: rows.length === 0 ? invalidated : undefined,
  };
}
