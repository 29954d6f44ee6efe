// The native module itself, for programs that bypass the checks in lib/. Like the package, it respects $RDMAVT_PREBUILD.
'use strict';

const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..', '..');
const layout = readFileSync(join(root, 'lib', 'internal', 'layout.ts'), 'utf8');

/** Returns the members of an enum of layout.ts by name, without the member that counts them. */
function numbersOf(name) {
  const [, body] = new RegExp(`^export enum ${name} \\{\n([^}]*)^\\}`, 'm').exec(layout);
  return Object.fromEntries(
    [...body.matchAll(/^ {2}(\w+) = (\d+),$/gm)]
      .filter(([, key]) => key !== 'Count')
      .map(([, key, value]) => [key, Number(value)]),
  );
}

const [Word, RegionField, SgeField, PlaceField, SgOutcomeField, ElementName, RegionName, CommandFlag] = [
  'CommandWord',
  'RegionField',
  'SgeField',
  'PlaceField',
  'SgOutcomeField',
  'ElementNameWord',
  'RegionNameWord',
  'CommandFlag',
].map(numbersOf);
const COMMAND_BYTES = Number(/COMMAND_BYTES = (\d+)/.exec(layout)[1]);
const [HIGH_HALF, LOW_MASK] = [32n, 0xffff_ffffn];

/** The value of the result word before a call. If it is still there afterwards, the call wrote no result. */
const UNANSWERED = -12345;

exports.native = require('node-gyp-build')(root);
Object.assign(exports, {
  numbersOf,
  Word,
  RegionField,
  SgeField,
  PlaceField,
  SgOutcomeField,
  CommandFlag,
  COMMAND_BYTES,
  UNANSWERED,
});

/** A region as native calls name it, with the properties that the creating call returned. */
class Region {
  constructor(checker, index, generation, { id, key, start, iova, length } = {}) {
    Object.assign(this, { checker, index, generation, id, key, start, iova, length });
  }
}

/** An SGE as native calls name it. The SGE is put when `holder` is garbage-collected. */
class Element {
  constructor(holder, cell, generation) {
    Object.assign(this, { holder, cell, generation });
  }
}

Object.assign(exports, { Region, Element });

/** The command block of a native module. Each method stores the arguments, calls the native function and returns its result. */
class Block {
  constructor(native = exports.native) {
    this.native = native;
    const { buffer, byteOffset } = native.commandBlock(new Uint8Array(new SharedArrayBuffer(COMMAND_BYTES)));
    this.words = new Uint32Array(buffer, byteOffset, COMMAND_BYTES / 4);
    this.longs = new BigUint64Array(buffer, byteOffset, COMMAND_BYTES / 8);
  }

  /** The result of a call: 0 or positive, or a negative errno. */
  get answer() {
    return this.words[Word.Answer] | 0;
  }

  /** Returns a 64-bit word. */
  long(word) {
    return this.longs[word / 2];
  }

  storeLong(word, value) {
    this.longs[word / 2] = BigInt(value);
  }

  field(number) {
    return this.longs[Word.Fields / 2 + number];
  }

  fields(numbers) {
    return Object.fromEntries(Object.entries(numbers).map(([name, number]) => [name, this.field(number)]));
  }

  call(name, ...args) {
    this.words[Word.Answer] = UNANSWERED;
    this.native[name](...args);
    return this.answer;
  }

  /** @param checker - a native domain or queue pair, or its number */
  storeChecker(checker) {
    this.words[Word.Checker] = typeof checker === 'object' ? checker.number() : checker;
  }

  storeAccess(checker, address, length, key, access) {
    this.storeChecker(checker);
    this.storeLong(Word.Address, address);
    this.words[Word.Length] = length;
    this.words[Word.Key] = key;
    this.words[Word.Access] = access;
  }

  storeElement({ cell, generation }) {
    this.words[Word.Cell] = cell;
    this.words[Word.CellGeneration] = generation;
  }

  storeRegion({ checker, index, generation }) {
    this.words[Word.Checker] = checker;
    this.words[Word.Region] = index;
    this.storeLong(Word.RegionGeneration, generation);
  }

  check(...access) {
    this.storeAccess(...access);
    return this.call('checkOne');
  }

  /** Returns the accepted place, or the errno or reason. */
  place(...access) {
    this.storeAccess(...access);
    return this.call('placeOne') || this.fields(PlaceField);
  }

  /**
   * Returns the acquired SGE, or the errno or reason. `cell` replaces the cell of a new holder; `last` is the SGE to coalesce
   * with.
   */
  acquire(checker, address, length, key, access, { cell, last } = {}) {
    const holder = {};
    const into = cell ?? this.native.bindCell(holder);
    this.storeAccess(checker, address, length, key, access);
    this.words[Word.Cell] = into;
    this.words[Word.LastCell] = last?.cell ?? 0;
    this.words[Word.LastGeneration] = last?.generation ?? 0;
    return this.call('acquireOne') || new Element(holder, into, this.words[Word.CellGeneration]);
  }

  /** Takes element `index` out of a batch. Returns it as an SGE, or the errno. */
  take(batch, index) {
    const holder = {};
    const cell = this.native.bindCell(holder);
    this.words[Word.Cell] = cell;
    this.words[Word.Answer] = UNANSWERED;
    batch.take(index);
    return this.answer || new Element(holder, cell, this.words[Word.CellGeneration]);
  }

  describe(element) {
    this.storeElement(element);
    return this.call('describeSge') || this.fields(SgeField);
  }

  put(element) {
    this.storeElement(element);
    return this.call('putOne');
  }

  #copy(name, element, bytes, offset, flags) {
    this.storeElement(element);
    this.storeLong(Word.Address, offset);
    this.words[Word.Flags] = flags;
    this.words[Word.BytesMoved] = 0;
    return this.call(name, bytes) || this.words[Word.BytesMoved];
  }

  /** Returns the number of copied bytes, or the errno or reason. */
  copyOut(element, target, offset = 0) {
    return this.#copy('copyOut', element, target, offset, 0);
  }

  copyIn(element, source, offset = 0, flags = 0) {
    return this.#copy('copyIn', element, source, offset, flags);
  }

  /** Returns the previous value as a bigint, or the errno or reason. */
  fetchAdd(element, add) {
    this.storeElement(element);
    this.storeLong(Word.Operand, add);
    return this.call('fetchAdd') || this.long(Word.Result);
  }

  compareSwap(element, compare, swap) {
    this.storeElement(element);
    this.storeLong(Word.Compare, compare);
    this.storeLong(Word.Operand, swap);
    return this.call('compareSwap') || this.long(Word.Result);
  }

  /** Returns the region that the last call created. */
  newRegion(domain) {
    return new Region(
      typeof domain === 'object' ? domain.number() : domain,
      this.words[Word.Region],
      this.long(Word.RegionGeneration),
      {
        id: Number(this.field(RegionField.Id)),
        key: Number(this.field(RegionField.Lkey)),
        start: this.long(Word.Start),
        iova: this.long(Word.Iova),
        length: Number(this.field(RegionField.Length)),
      },
    );
  }

  /** Registers a region and returns it, or the errno. If `start` and `iova` are undefined, the device chooses the addresses. */
  register(domain, memory, start, iova, access) {
    this.storeChecker(domain);
    this.words[Word.Access] = access;
    this.words[Word.Flags] =
      (start === undefined ? 0 : CommandFlag.StartGiven) | (iova === undefined ? 0 : CommandFlag.IovaGiven);
    this.storeLong(Word.Start, start ?? 0);
    this.storeLong(Word.Iova, iova ?? 0);
    return this.call('regUserMr', memory) || this.newRegion(domain);
  }

  /** Creates a region of another kind with a method of the domain. Returns the region or the errno. */
  make(domain, method, ...args) {
    return domain[method](...args) || this.newRegion(domain);
  }

  /** Returns the properties of a region, or the errno. */
  query(region) {
    this.storeRegion(region);
    return this.call('queryMr') || this.fields(RegionField);
  }

  /** Returns the reference count of an existing region. */
  refs(region) {
    return Number(this.query(region).Refs);
  }

  release(region, mode = 0) {
    this.storeRegion(region);
    this.words[Word.Mode] = mode;
    return this.call('releaseMr');
  }

  count(region) {
    this.storeRegion(region);
    return this.call('countMr');
  }

  mapPhys(region, pages, iova) {
    this.storeRegion(region);
    this.storeLong(Word.Iova, iova);
    return this.call('mapPhys', pages);
  }

  mapSg(region, list, offset = 0, pageSize = 4096) {
    this.storeRegion(region);
    this.storeLong(Word.Address, offset);
    this.words[Word.Length] = pageSize;
    return this.call('mapSg', list);
  }

  fastReg(qp, region, key, access, iova) {
    this.storeRegion(region);
    return qp.fastRegMr(key, access, iova);
  }

  /** Returns a list of SGEs in the form that createSgeState takes. */
  elements(...elements) {
    const names = new Uint32Array(elements.length * ElementName.Words);
    elements.forEach(({ cell, generation }, i) => {
      names[i * ElementName.Words + ElementName.Cell] = cell;
      names[i * ElementName.Words + ElementName.Generation] = generation;
    });
    return names;
  }

  /** Returns a list of regions in the form that unmapFmr and deregMany take. */
  regions(...regions) {
    const names = new Uint32Array(regions.length * RegionName.Words);
    regions.forEach(({ checker, index, generation }, i) => {
      const at = i * RegionName.Words;
      names[at + RegionName.Checker] = checker;
      names[at + RegionName.Index] = index;
      names[at + RegionName.Generation] = Number(BigInt(generation) & LOW_MASK);
      names[at + RegionName.Generation + 1] = Number(BigInt(generation) >> HIGH_HALF);
    });
    return names;
  }
}

exports.Block = Block;
