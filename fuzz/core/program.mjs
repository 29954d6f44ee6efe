// Translates recorded traces into programs of the fuzzer (program.h).
//
// A trace is cut into pieces that fit a program. A piece that uses an object of an earlier piece creates it
// again, in its last state. Keys may therefore differ, and checks name them by region instead of by number.
// What the encoding cannot express (lists of hundreds of irregular pages) is cut short.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const MAX_OPERATIONS = 512;
const LONGEST_LIST = 24; // maximum number of PUSH operations for one list
const LONGEST_PIECE = 160; // approximate number of operations; short programs are played and mutated faster

const codes = readCodes();

/** @returns {Record<string, number>} */
function readCodes() {
  const header = readFileSync(join(root, 'fuzz', 'core', 'program.h'), 'utf8');
  return Object.fromEntries(
    [...header.matchAll(/^ {4}OP_(\w+) = (\d+),/gm)].map(([, name, code]) => [name, Number(code)]),
  );
}

/** Maps an offset to its delta code; the inverse of world.c's step_of(). */
const deltas = new Map(
  Array.from(
    { length: 256 },
    (_, delta) => /** @type {[bigint, number]} */ ([stepOf(delta), delta]),
  ).reverse(),
);

/** @param {number} delta */
function stepOf(delta) {
  if (delta < 0x40) return BigInt(delta);
  if (delta < 0x80) return -BigInt(delta - 0x3f);
  const n = BigInt((delta & 0x1f) + 1);
  if (delta >> 5 === 4) return n * 4096n;
  if (delta >> 5 === 5) return -n * 4096n;
  if (delta >> 5 === 6) return n * 512n + 3n;
  return (n / 2n + 1n) * 4096n + (n % 2n ? -1n : 1n);
}

const lengthTable = [
  100, 127, 128, 255, 256, 257, 511, 512, 513, 1000, 2048, 3000, 4095, 4096, 4097, 5000, 8191, 8192, 12288,
  16384,
].map(BigInt);
const strides = [0, 4096, -4096, 512, 8192, 1, -1, 100, 4095, 4097, 1024, 64, 8, 65536, -65536, 12288].map(
  BigInt,
);
const bitsTable = [4, 1, 2, 3, 5, 6, 7, 8, 10, 12, 16, 22, 23, 24, 0xffffffff, 0];
const segmentCounts = [
  0, 1, 2, 3, 4, 8, 16, 32, 64, 88, 255, 256, 0x7fffffff, 0x80000000, 0xffffff01, 0xffffffff,
];
const pageCounts = [0, 1, 2, 3, 4, 8, 16, 32, 64, 256, 512, 0x7fffffff, 0x80000000, -1, -1000];
const mrTypes = ['mem_reg', 'sg_gaps', 'dm', 'user', 'dma', 'integrity'];
const pageSizes = [0, 1, 2048, 4097, 8192, 65536];

/**
 * @typedef {Record<string, any>} Line an operation of a trace, or its answer
 */

/** A set of slots; the least recently used one is reused first. */
class Slots {
  /** @param {number[]} slots */
  constructor(slots) {
    this.free = slots;
    /** @type {Map<string, number>} */
    this.held = new Map();
  }

  /** @param {string} id */
  find(id) {
    const slot = this.held.get(id);
    if (slot === undefined) return undefined;
    this.held.delete(id);
    this.held.set(id, slot); // move it to the end, as the most recently used
    return slot;
  }

  /** @param {string} id */
  take(id) {
    const known = this.find(id);
    if (known !== undefined) return known;
    let slot = this.free.shift();
    if (slot === undefined) {
      const [oldest] = this.held;
      slot = oldest?.[1] ?? 0;
      this.held.delete(oldest?.[0] ?? '');
    }
    this.held.set(id, slot);
    return slot;
  }
}

/** @param {number} count @param {number} [from] */
const range = (count, from = 0) => Array.from({ length: count }, (_, i) => from + i);

/** A program that is being built. */
export class Piece {
  /** @param {Session} session @param {boolean} seasoned */
  constructor(session, seasoned) {
    this.session = session;
    this.seasoned = seasoned;
    /** @type {number[][]} */
    this.operations = [];
    this.numbers = new Slots(range(16));
    this.pds = new Slots(range(8));
    this.qps = new Slots(range(8));
    this.regions = new Slots(range(32));
    this.sges = new Slots(range(32));
    this.memories = new Slots(range(15, 1));
    this.batched = 0;
    this.turn = 0;
  }

  get full() {
    return this.operations.length > LONGEST_PIECE;
  }

  bytes() {
    const bytes = Buffer.alloc(Math.min(this.operations.length, MAX_OPERATIONS) * 8);
    this.operations.slice(0, MAX_OPERATIONS).forEach((operation, i) => {
      operation.forEach((byte, j) => bytes.writeUInt8(byte & 0xff, i * 8 + j));
    });
    return bytes;
  }

  /** @param {string} name @param {number[]} operands */
  emit(name, ...operands) {
    const code = codes[name];
    if (code === undefined) throw new Error(`program.h has no OP_${name}`);
    this.operations.push([code, ...operands]);
  }

  /**
   * Returns a number register that holds the value.
   * @param {bigint} value
   */
  number(value) {
    const wanted = BigInt.asUintN(64, value);
    const known = this.numbers.find(String(wanted));
    if (known !== undefined) return known;
    const register = this.numbers.take(String(wanted));
    const high = wanted >> 48n;
    /** @param {bigint} n @param {number} count */
    const split = (n, count) => range(count).map((i) => Number((n >> BigInt(8 * i)) & 0xffn));
    this.emit('NUMBER', register | (high === 0xffffn ? 1 << 4 : 0), ...split(wanted, 6));
    if (high && high !== 0xffffn) this.emit('NUMBER', register | (2 << 4), ...split(high, 2));
    return register;
  }

  /**
   * Returns anchor and delta of an address; `near`: a region whose bounds may be used as anchor.
   * @param {bigint} address
   * @param {string} [near]
   * @param {boolean} [remote]
   */
  address(address, near, remote = false) {
    const region = near === undefined ? undefined : this.session.regions.get(near);
    const slot = near === undefined ? undefined : this.regions.find(near);
    if (region && slot !== undefined) {
      const begin = remote ? region.iova : region.base;
      for (const [kind, from] of /** @type {[number, bigint][]} */ ([
        [1, begin],
        [2, begin + region.length],
      ])) {
        const delta = deltas.get(address - from);
        if (delta !== undefined) return [((remote ? kind + 2 : kind) << 5) | slot, delta];
      }
    }
    return [this.number(address), 0];
  }

  /** @param {bigint | number} wanted */
  length(wanted) {
    const length = BigInt(wanted);
    if (length < 0x60n) return Number(length);
    const index = lengthTable.indexOf(length);
    return index >= 0 ? 0x60 | index : 0x80 | this.number(length);
  }

  /** @param {string} key */
  key(key) {
    const value = BigInt(key);
    if (!value) return 3 << 5;
    const id = this.session.keys.get(key);
    if (id !== undefined && this.region(id) !== undefined) return this.region(id) ?? 0;
    return (4 << 5) | this.number(value);
  }

  /** @param {string} id */
  pd(id) {
    const known = this.pds.find(id);
    if (known !== undefined) return known;
    const slot = this.pds.take(id);
    this.emit('ALLOC_PD', 0, slot, Number(this.session.pds.get(id) ?? false));
    return slot;
  }

  /** @param {string} id */
  qp(id) {
    const known = this.qps.find(id);
    if (known !== undefined) return known;
    const pd = this.session.qps.get(id);
    if (pd === undefined) return 0;
    const slot = this.pd(pd);
    this.emit('CREATE_QP', slot, this.qps.take(id));
    return this.qps.take(id);
  }

  /**
   * Returns the region's slot. If this piece does not have the region, it is created again.
   * @param {string} id
   */
  region(id) {
    const known = this.regions.find(id);
    if (known !== undefined) return known;
    const region = this.session.regions.get(id);
    if (!region) return undefined;
    for (const line of [region.made, region.mapped, region.registered]) if (line) this.play(line);
    return this.regions.find(id);
  }

  open() {
    const { bits, dmaPages, dmaBase } = this.session;
    const index = bitsTable.indexOf(bits);
    this.emit('OPEN', 0, index < 0 ? 8 : index, 0);
    this.emit('MEMORY', 0, 0x80 | this.number(dmaPages * 4096n), 0, 0);
    this.emit('DMA_MAP', 0, 0, 0, 0, ...this.address(dmaBase));
  }

  /** @param {bigint[]} addresses */
  pushPages(addresses) {
    let pushes = 0;
    for (let i = 0; i < addresses.length && pushes < LONGEST_LIST; pushes++) {
      const stride = (addresses[i + 1] ?? 0n) - (addresses[i] ?? 0n);
      const index = strides.indexOf(stride);
      let count = 1;
      while (
        index >= 0 &&
        count < 64 &&
        i + count < addresses.length &&
        (addresses[i + count] ?? 0n) - (addresses[i + count - 1] ?? 0n) === stride
      )
        count++;
      this.emit('PUSH', 0, ...this.address(addresses[i] ?? 0n), 0, count - 1, Math.max(index, 0), 0);
      i += count;
    }
  }

  /**
   * Adds what the traces lack: copies and batches.
   * @param {Line} line
   * @param {number[]} named key, anchor, delta, length
   * @param {number} who
   * @param {number} sge
   */
  season(line, named, who, sge) {
    this.turn++;
    if (this.turn % 3 === 0)
      this.emit(this.turn % 2 ? 'WRITE' : 'READ', sge, 0xff, 0, (this.turn >> 2) & 1, 0);
    if (this.turn % 2) {
      this.emit('PUSH', ...named, 0, 0, 0);
      this.batched++;
    }
    if (this.batched === 5) {
      const kinds = ['CHECK_BATCH', 'ACQUIRE_BATCH', 'GATHER', 'SCATTER', 'COPY_BATCH'];
      const kind = kinds[this.turn % kinds.length] ?? 'CHECK_BATCH';
      if (kind === 'COPY_BATCH') this.emit(kind, who, line.acc, who, line.acc, 2, 0, 0);
      else if (kind === 'ACQUIRE_BATCH') this.emit(kind, who, line.acc, 0x1f, 3, 0, 0x80, 24);
      else if (kind === 'CHECK_BATCH') this.emit(kind, who, line.acc, this.turn & 1 ? 1 : 0x1f, 5, 0);
      else this.emit(kind, who, line.acc, 0x7a, 1, 0, 0);
      this.batched = 0;
    }
  }

  /** @param {Line} line */
  play(line) {
    switch (line.op) {
      case 'alloc_pd':
        this.pd(line.id);
        break;
      case 'create_qp':
        this.qp(line.id);
        break;
      case 'reg_user_mr': {
        const pd = this.pd(line.pd);
        const memory = this.memories.take(`${line.id}`);
        this.emit('MEMORY', memory, 0x80 | this.number(BigInt(line.length)), 0, 0);
        const start = this.address(BigInt(line.start));
        const iova = this.address(BigInt(line.virt_addr));
        this.emit(
          'REG_USER',
          this.regions.take(line.id),
          pd | (memory << 4),
          ...start,
          ...iova,
          line.access & 31,
        );
        break;
      }
      case 'get_dma_mr':
        this.emit('GET_DMA_MR', this.regions.take(line.id), this.pd(line.pd), line.access);
        break;
      case 'alloc_mr': {
        const count = segmentCounts.indexOf(line.max_num_sg);
        const code = count >= 0 ? count : 0x80 | Math.min(line.max_num_sg, 127);
        this.emit('ALLOC_MR', this.regions.take(line.id), this.pd(line.pd), mrTypes.indexOf(line.type), code);
        break;
      }
      case 'alloc_fmr': {
        const count = pageCounts.indexOf(line.max_pages);
        const code = count >= 0 ? count : 0x80 | Math.min(Math.max(line.max_pages, 0), 127);
        const pd = this.pd(line.pd);
        this.emit(
          'ALLOC_FMR',
          this.regions.take(line.id),
          pd,
          line.access,
          code,
          Math.min(line.page_shift, 63),
        );
        break;
      }
      case 'map_mr_sg': {
        const region = this.region(line.mr);
        if (region === undefined) break;
        for (const { addr, length } of line.sg.slice(0, LONGEST_LIST))
          this.emit('PUSH', 0, ...this.address(BigInt(addr)), this.length(length), 0, 0, 0);
        const size = pageSizes.indexOf(line.page_size);
        this.emit('MAP_SG', region, this.length(line.sg_offset ?? 0), size < 0 ? 0 : 0xf8 | size, 0);
        break;
      }
      case 'map_phys_fmr': {
        const region = this.region(line.fmr);
        if (region === undefined) break;
        this.pushPages(line.pages.map(BigInt));
        this.emit('MAP_FMR', region, ...this.address(BigInt(line.iova)), 0);
        break;
      }
      case 'unmap_fmr':
        for (const id of line.fmrs) {
          const region = this.region(id);
          if (region !== undefined) this.emit('PUSH', 0, 0, 0, 0, 0, 0, region);
        }
        this.emit('UNMAP_FMR', 0);
        break;
      case 'fast_reg_mr': {
        const region = this.region(line.mr);
        if (region === undefined) break;
        const qp = this.qp(line.qp);
        const iova = line.iova === undefined ? [0, 0] : this.address(BigInt(line.iova));
        /* The consumer chooses the low byte: use another one, unless the trace uses the same. */
        const same = this.session.keys.get(line.key) === line.mr;
        this.emit(
          'FAST_REG',
          region,
          qp,
          same ? region : (1 << 5) | region,
          line.access & 31,
          ...iova,
          Number(line.iova !== undefined),
        );
        break;
      }
      case 'invalidate_rkey':
        this.emit('INVALIDATE', this.qp(line.qp), this.key(line.rkey));
        break;
      case 'dereg_mr':
      case 'dealloc_fmr': {
        const region = this.region(line.mr ?? line.fmr);
        if (region !== undefined) this.emit('RELEASE', region, 0, 0);
        break;
      }
      case 'lkey_ok': {
        const pd = this.pd(line.pd);
        const last = line.last ? this.sges.find(line.last) : undefined;
        const region = this.session.regions.get(this.session.keys.get(line.sge.lkey) ?? '');
        /* Map the region again in between, so that `last` was checked under another mapping that looks the
         * same. */
        if (this.seasoned && last !== undefined && region?.mapped && this.turn % 4 === 0)
          this.play(region.mapped);
        const near = this.session.keys.get(line.sge.lkey);
        const key = this.key(line.sge.lkey);
        const address = this.address(BigInt(line.sge.addr), near);
        const named = [key, ...address, this.length(line.sge.length)];
        const sge = this.sges.take(line.id);
        const use = last === undefined ? 0 : 0x80;
        this.emit('LKEY_OK', pd | ((last ?? 0) << 3), ...named, line.acc, sge | use);
        if (this.seasoned) this.season(line, named, pd, sge);
        break;
      }
      case 'rkey_ok': {
        const qp = this.qp(line.qp);
        const near = this.session.keys.get(line.rkey);
        const key = this.key(line.rkey);
        const address = this.address(BigInt(line.vaddr), near, true);
        const named = [key, ...address, this.length(line.len)];
        const sge = this.sges.take(line.id);
        this.emit('RKEY_OK', qp, ...named, line.acc, sge);
        if (this.seasoned) this.season(line, named, qp | 8, sge);
        break;
      }
      case 'put_sge': {
        const sge = this.sges.find(line.sge);
        if (sge !== undefined) this.emit('PUT', sge);
        break;
      }
      case 'walk': {
        const sges = line.sges.map((/** @type {string} */ id) => this.sges.find(id));
        if (sges.includes(undefined) || sges.length > LONGEST_LIST) break;
        for (const sge of sges) this.emit('PUSH', 0, 0, 0, 0, 0, 0, sge);
        this.emit('SS_INIT', 0, 0);
        for (const step of line.steps.slice(0, LONGEST_LIST))
          this.emit('PUSH', 0, 0, 0, this.length(step), 0, 0, 0);
        this.emit('WALK', 0, Number(line.release), 0);
        break;
      }
      case 'refs': {
        const region = this.region(line.mr);
        if (region !== undefined) this.emit('QUERY', region);
        break;
      }
      case 'table':
        this.emit('TABLE', 0);
        break;
      case 'exit':
        this.emit('EXIT', 0, 1);
        break;
      default:
        break;
    }
  }
}

/**
 * What is known of a session so far, across pieces.
 * @typedef {object} Region
 * @property {Line} made
 * @property {Line} [mapped]
 * @property {Line} [registered]
 * @property {bigint} base
 * @property {bigint} iova
 * @property {bigint} length
 */
export class Session {
  /** @param {Line} init */
  constructor(init) {
    this.bits = Number(init.lkey_table_bits);
    this.dmaPages = BigInt(init.dma_pages ?? 16);
    this.dmaBase = BigInt(init.dma_base ?? 0x10000);
    /** @type {Map<string, boolean>} */
    this.pds = new Map();
    /** @type {Map<string, string>} */
    this.qps = new Map();
    /** @type {Map<string, Region>} */
    this.regions = new Map();
    /** @type {Map<string, string>} key to region */
    this.keys = new Map();
  }

  /**
   * Records an operation before it is played.
   * @param {Line} line
   */
  meet(line) {
    if (line.op === 'alloc_pd') this.pds.set(line.id, line.user);
    if (line.op === 'create_qp') this.qps.set(line.id, line.pd);
  }

  /**
   * Records the answer to an operation.
   * @param {Line} line
   * @param {Line} answer
   */
  learn(line, answer) {
    if (/^(reg_user_mr|get_dma_mr|alloc_mr|alloc_fmr)$/.test(line.op) && answer.ret === 0) {
      const base = BigInt(line.start ?? 0);
      const iova = BigInt(line.virt_addr ?? 0);
      this.regions.set(line.id, { made: line, base, iova, length: BigInt(line.length ?? 0) });
      if (answer.lkey) this.keys.set(answer.lkey, line.id);
    }
    const region = this.regions.get(line.mr ?? line.fmr);
    if (!region) return;
    if (line.op === 'map_mr_sg' && answer.ret >= 0) {
      region.mapped = line;
      region.base = region.iova = BigInt(answer.iova ?? 0);
      region.length = BigInt(answer.length ?? 0);
    } else if (line.op === 'map_phys_fmr' && answer.ret === 0) {
      region.mapped = line;
      region.base = region.iova = BigInt(line.iova);
      region.length = BigInt(line.pages.length) << BigInt(region.made.page_shift);
    } else if (line.op === 'fast_reg_mr' && answer.ret === 0) {
      region.registered = line;
      if (line.iova !== undefined) region.iova = BigInt(line.iova);
      if (answer.rkey) this.keys.set(answer.rkey, line.mr);
    }
  }
}
