// Handwritten programs for what the traces do not reach: copied bytes, batches, atomics, failed allocations,
// lost memory, stale handles. Their operands are those of program.h.
import { Piece, Session } from './program.mjs';

/** Operands for the anchor of an address, see world.c. */
const at = {
  /** @param {number} r */ number: (r) => r,
  /** @param {number} r */ base: (r) => (1 << 5) | r,
  /** @param {number} r */ end: (r) => (2 << 5) | r,
  /** @param {number} r */ iova: (r) => (3 << 5) | r,
  /** @param {number} m */ mapping: (m) => (5 << 5) | m,
  /** @param {number} s */ after: (s) => (6 << 5) | s,
  /** @param {number} l */ landmark: (l) => (7 << 5) | l,
};

/** Yields all handwritten programs. */
export function* scenes() {
  const session = new Session({ lkey_table_bits: 4 });
  /** @param {(p: Piece) => void} write @param {number} [bits] @param {number} [options] */
  const scene = (write, bits = 0, options = 0) => {
    const piece = new Piece(session, false);
    piece.emit('SCENE', 0, bits, options);
    write(piece);
    return piece.bytes();
  };
  const ALL = 15;
  /** @param {Piece} p @param {number} region @param {number} [memory] */
  const user = (p, region, memory = 0) =>
    p.emit('REG_USER', region, memory << 4, at.landmark(16), region, at.landmark(20), region, ALL);

  // One user region, accessed in every way.
  yield scene((p) => {
    user(p, 0);
    for (const [i, length] of [8, 0x60, 0x6d, 0x6e, 0x71].entries()) {
      p.emit('LKEY_OK', 0, 0, at.base(0), i * 8, length, 1, i);
      p.emit('RKEY_OK', 0, 0, at.iova(0), i * 8, length, 2 + (i & 4), i + 8);
      for (const sge of [i, i + 8]) {
        p.emit('WRITE', sge, 0xff, 0, i & 1, 0);
        p.emit('READ', sge, 0xff, i & 1, 0, 1);
      }
    }
    p.emit('QUERY', 0);
    p.emit('RELEASE', 0, 0, 0);
  });
  // Atomics on whole words, and on words that lie in two segments.
  for (const shift of [12, 3, 2, 0])
    yield scene((p) => {
      p.emit('NUMBER', 1, 5, 1);
      p.emit('ALLOC_FMR', 1, 0, ALL, 9, shift);
      p.emit(
        'PUSH',
        0,
        at.mapping(0),
        0,
        0,
        shift === 12 ? 15 : 63,
        shift === 12 ? 1 : shift === 3 ? 12 : 5,
        0,
      );
      p.emit('MAP_FMR', 1, at.landmark(20), shift === 12 ? 4 : 0, 0);
      user(p, 0);
      for (const delta of [0, 4, 8, 1]) {
        p.emit('RKEY_OK', 0, 0, at.iova(0), delta, 8, 8, 0);
        p.emit('RKEY_OK', 0, 1, at.landmark(20), shift === 12 ? 0xff : delta, 8, 8, 1);
        p.emit('RKEY_OK', 0, 1, at.landmark(20), shift === 12 ? 0x80 : delta + 8, 8, 8, 2);
        for (const sge of [0, 1, 2]) {
          p.emit('FETCH_ADD', sge, 1, 0);
          p.emit('COMPARE_SWAP', sge, 15, 1, 1);
        }
      }
    });
  // Batches over user memory, by every kind of checker, with each access right.
  for (const who of [0, 8, 1, 10])
    for (const acc of [1, 2, 4, 8, 15])
      yield scene((p) => {
        user(p, 0);
        user(p, 1, 1);
        for (const kind of ['CHECK_BATCH', 'CHECK_ONE', 'GATHER', 'SCATTER', 'COPY_BATCH', 'ACQUIRE_BATCH']) {
          const begin = who & 8 ? at.iova : at.base;
          p.emit('PUSH', 0, begin(0), 0, 100, 19, 0x80, 0);
          p.emit('PUSH', 1, begin(1), 3, 50, 3, 0x80, 0);
          p.emit('PUSH', 0, begin(0), 0x5f, 0, 0, 0, 0);
          if (kind === 'CHECK_BATCH') p.emit(kind, who, acc, acc === 15 ? 0x1f : 1, 3, 1);
          if (kind === 'CHECK_ONE') p.emit(kind, who, acc, 1, 1);
          if (kind === 'GATHER' || kind === 'SCATTER') p.emit(kind, who, acc, 0x6f, 0, 0, 0);
          if (kind === 'COPY_BATCH') p.emit(kind, who, acc, who ^ 8, acc, 10, 0, 0);
          if (kind === 'ACQUIRE_BATCH') p.emit(kind, who, acc, 0x1f, 0, 0, 0x80, 0);
        }
        p.emit('RELEASE_BATCH', 0, 40);
      });
  // A scatter region over two mappings: adjacent SGEs, walks, copies across segments, mapping it again while
  // it is held.
  yield scene((p) => {
    p.emit('ALLOC_MR', 0, 0, 0, 6);
    p.emit('PUSH', 0, at.mapping(1), 0xa1, 0x6d, 3, 1, 0);
    p.emit('MAP_SG', 0, 0, 0, 1);
    p.emit('FAST_REG', 0, 0, 0, ALL, 0, 0, 0);
    for (let i = 0; i < 4; i++) {
      p.emit('LKEY_OK', 0, 0, at.base(0), i ? 0x80 + i - 1 : 0, 0x6d, 1, i);
      p.emit('LKEY_OK', i << 3, 0, at.after(i), 0, 0x6d, 1, 0x88 | i);
      p.emit('WRITE', i, 0xff, 0, i & 1, 0);
    }
    p.emit('MAP_SG', 0, 0, 0, 1);
    p.emit('LKEY_OK', 0, 0, at.after(0), 0, 0x6d, 1, 0x84);
    p.emit('LKEY_OK', 0, 0, at.base(0), 0, 0x71, 1, 5);
    p.emit('WRITE', 5, 0xff, 0, 1, 0);
    p.emit('READ', 5, 0xff, 1, 0, 0);
    p.emit('DMA_UNMAP', 0);
    p.emit('MAP_SG', 0, 5, 0, 0);
    p.emit('RELEASE', 0, 2, 0);
    p.emit('DMA_UNMAP', 0);
    p.emit('DMA_UNMAP', 1);
  });
  // Batches over page lists and key 0: SGEs of several segments, and two lists that are cut differently.
  for (const who of [0, 8])
    for (const kind of ['CHECK_BATCH', 'GATHER', 'SCATTER', 'COPY_BATCH', 'ACQUIRE_BATCH'])
      yield scene((p) => {
        p.emit('GET_DMA_MR', 3, 0, 0);
        p.emit('ALLOC_FMR', 0, 0, ALL, 8, 9);
        p.emit('PUSH', 0, at.mapping(0), 0, 0, 19, 10, 0);
        p.emit('MAP_FMR', 0, at.landmark(16), 7, 0);
        p.emit('ALLOC_FMR', 1, 0, ALL, 8, 12);
        p.emit('PUSH', 0, at.mapping(0), 0x8e, 0, 2, 1, 0);
        p.emit('MAP_FMR', 1, at.landmark(17), 0, 0);
        user(p, 2, 1);
        const [begin, end] = who & 8 ? [at.iova, at.end] : [at.base, at.end];
        p.emit('PUSH', 0, begin(0), 3, 0x6d, 1, 0x80, 0);
        p.emit('PUSH', 1, begin(1), 0, 0x6f, 0, 0x80, 0);
        p.emit('PUSH', 1, begin(1), 0xc0, 0x68, 3, 0x80, 0);
        p.emit('PUSH', 0x60, at.mapping(0), 9, 0x69, 3, 0x80, 0);
        p.emit('PUSH', 2, begin(2), 0, 0x63, 5, 0x80, 0);
        p.emit('PUSH', 1, end(1), 0x41, 4, 0, 0x80, 0);
        if (kind === 'CHECK_BATCH') p.emit(kind, who, ALL, 0x1f, 3, 1);
        else if (kind === 'COPY_BATCH') p.emit(kind, who, ALL, who, ALL, 4, 1, 0);
        else if (kind === 'ACQUIRE_BATCH') p.emit(kind, who, ALL, 0x1f, 1, 0, 0x80, 0);
        else p.emit(kind, who, ALL, 0x7a, 1, 0, 0);
        p.emit('MEMORY_STATE', 3, 1);
        p.emit('SCATTER', who, ALL, 0x7a, 1, 0, 0);
      });
  // Every kind of region is released in every mode while it is held, also while walks hold several of them.
  for (const mode of [0, 2, 3])
    for (const last of [0, 1])
      yield scene((p) => {
        user(p, 0);
        p.emit('ALLOC_MR', 1, 0, 0, 6);
        p.emit('PUSH', 0, at.mapping(0), 0, 0x6d, 3, 1, 0);
        p.emit('MAP_SG', 1, 0, 0, 1);
        p.emit('FAST_REG', 1, 0, 1, 31, 0, 0, 0);
        p.emit('ALLOC_FMR', 2, 0, 31, 8, 12);
        p.emit('MAP_FMR', 2, at.landmark(17), 0, 0);
        p.emit('GET_DMA_MR', 3, 0, 0);
        for (const region of [0, 1, 2, 3]) {
          const [key, begin] = region === 3 ? [0x60, at.mapping(0)] : [region, at.base(region)];
          p.emit('LKEY_OK', 0, key, begin, 8, 100, 1, region);
          p.emit('RKEY_OK', 0, key, region === 3 ? begin : at.iova(region), 8, 8, 16, region + 4);
          p.emit('FETCH_ADD', region + 4, 1, 0);
        }
        p.emit('PUSH', 0, 0, 0, 0, 7, 0, 0);
        p.emit('SS_INIT', 0, 0);
        p.emit('SS_LOOK', 0, 1, 0);
        for (const region of [0, 1, 2, 3]) p.emit('RELEASE', region, mode, 0);
        p.emit('SS_LOOK', 0, 1, 0);
        p.emit('COPY_OUT', 0, 0x64, last, 0, 0);
        for (let sge = 0; sge < 8; sge++) p.emit('PUT', sge);
        for (const region of [0, 1, 2, 3]) {
          p.emit('RELEASE', region, last, 0);
          p.emit('QUERY', region);
        }
        p.emit('SS_LOOK', 0, 1, 0);
      });
  // Segments that are not adjacent, and copies that end just before, at and just after a boundary.
  for (const [shift, stride] of [
    [12, 2],
    [9, 3],
    [3, 11],
  ])
    yield scene((p) => {
      p.emit('ALLOC_FMR', 0, 0, ALL, 8, shift ?? 12);
      p.emit('PUSH', 0, at.mapping(0), 0x83, 0, 3, stride ?? 0, 0);
      if (stride === 3) p.emit('PUSH', 0, at.mapping(0), 1, 0, 3, 3, 0);
      p.emit('MAP_FMR', 0, at.landmark(17), 5, 0);
      p.emit('LKEY_OK', 0, 0, at.base(0), 3, 0xb8, 1, 0);
      for (let length = 0x96; length < 0x9c; length++) {
        p.emit('WRITE', 0, length, 0, length & 1, 0);
        p.emit('READ', 0, length, 0, 0, 0);
        p.emit('PUSH', 0, 0, 0, 0, 0, 0, 0);
        p.emit('SS_INIT', 0, 0);
        p.emit('SS_UPDATE', 0, length, 0);
        p.emit('COPY_IN', 0, length, 0, 0, 0);
        p.emit('COPY_OUT', 0, 0x98, 0, 0, 0);
      }
    });
  // More memories than a call caches.
  yield scene((p) => {
    for (let i = 0; i < 8; i++) {
      p.emit('MEMORY', i, 5, i, 0);
      user(p, i, i);
      p.emit('LKEY_OK', 0, i, at.base(i), 0, 50, 1, i);
    }
    for (const name of ['COPY_IN', 'COPY_OUT']) {
      p.emit('PUSH', 0, 0, 0, 0, 7, 0, 0);
      p.emit('PUSH', 0, 0, 0, 0, 7, 0, 0);
      p.emit('SS_INIT', 0, 0);
      p.emit(name, 0, 0xff, 0, 0, 0);
    }
    for (const kind of ['GATHER', 'SCATTER', 'COPY_BATCH']) {
      for (let i = 0; i < 16; i++) p.emit('PUSH', i % 8, at.base(i % 8), i, 7, 0, 0, 0);
      p.emit(kind, 0, 1, kind === 'COPY_BATCH' ? 0 : 0x6d, 1, kind === 'COPY_BATCH' ? 8 : 0, 0, 0);
    }
  });
  // A batch that coalesces, with a refused SGE in it, with and without a seed.
  for (const seed of [0, 0x40])
    yield scene((p) => {
      p.emit('ALLOC_MR', 0, 0, 0, 6);
      p.emit('PUSH', 0, at.mapping(0), 0, 0x6d, 7, 1, 0);
      p.emit('MAP_SG', 0, 0, 0, 0);
      p.emit('LKEY_OK', 0, 0, at.base(0), 0, 0x6d, 0, 0);
      p.emit('PUSH', 0, at.base(0), 0x80, 0x6d, 0, 1, 0);
      p.emit('PUSH', 0x20, at.base(0), 0x81, 0x6d, 0, 1, 0);
      p.emit('PUSH', 0, at.base(0), 0x81, 0x6d, 0, 1, 0);
      p.emit('PUSH', 0, at.base(0), 0x83, 0x6d, 0, 1, 0);
      p.emit('PUSH', 0, at.base(0), 0x84, 0, 0, 1, 0);
      p.emit('PUSH', 0, at.base(0), 0x84, 0x6d, 0, 1, 0);
      p.emit('ACQUIRE_BATCH', 0, 0, 0x1f, 1, 0, 0x80 | seed, 8);
      p.emit('GET_DMA_MR', 1, 0, 0);
      p.emit('PUSH', 0x60, at.mapping(0), 0, 0x6d, 2, 0x80, 0);
      p.emit('PUSH', 0x60, at.landmark(0), 0, 0x6d, 0, 0x80, 0);
      p.emit('PUSH', 0x60, at.mapping(0), 0x82, 0x6d, 2, 0x80, 0);
      p.emit('ACQUIRE_BATCH', 0, 1, 0x1f, 1, 0, 0x80, 16);
      p.emit('RELEASE_BATCH', 8, 20);
    });
  // Keys that are almost right.
  yield scene((p) => {
    user(p, 0);
    for (const region of [1, 2]) {
      p.emit('ALLOC_MR', region, 0, 0, 4);
      p.emit('PUSH', 0, at.mapping(0), 0, 0x6d, 1, 1, 0);
      p.emit('MAP_SG', region, 0, 0, 0);
    }
    for (let kind = 0; kind < 8; kind++)
      for (const region of [1, 2, 0]) {
        p.emit('FAST_REG', region, 0, (kind << 5) | region, ALL, 0, 0, 0);
        p.emit('LKEY_CHECK', 0, (kind << 5) | region, at.base(region), 0, 8, 1);
        p.emit('RKEY_CHECK', 0, (kind << 5) | region, at.iova(region), 0, 8, 1);
        p.emit('INVALIDATE', kind & 1, (kind << 5) | region);
      }
  });
  // The maximum length of 32 bits, and one page more.
  yield scene((p) => {
    p.emit('MEMORY', 4, 15, 0, 0);
    p.emit('DMA_MAP', 0, 4, 4, 0, at.landmark(8), 0);
    for (const [shift, count] of [
      [30, 2],
      [30, 3],
      [29, 6],
      [29, 7],
    ]) {
      p.emit('ALLOC_FMR', 0, 0, ALL, 8, shift ?? 0);
      p.emit('PUSH', 0, at.mapping(4), 0, 0, count ?? 0, 1, 0);
      p.emit('MAP_FMR', 0, at.landmark(6), 0, 0);
      p.emit('LKEY_OK', 0, 0, at.base(0), 0, 0x74, 1, 0);
      p.emit('RKEY_CHECK', 0, 0, at.end(0), 0x40, 1, 1);
    }
  });
  // The maximum number of pages of a user region, fewer, and one more.
  yield scene((p) => {
    for (const pages of [-2n, -1n, 0n, 1n]) {
      p.emit('MEMORY', 4, 0x80 | p.number(((1n << 32n) + pages) * 4096n), 0, 0);
      for (const delta of [0, 1])
        p.emit('REG_USER', delta, 4 << 4, at.landmark(16), delta, at.landmark(16), 0, ALL);
      p.emit('LKEY_CHECK', 0, 0, at.end(0), 0x40, 1, 1);
    }
  });
  // Walks of the maximum number of SGEs and more; held SGEs that a batch must not overwrite.
  yield scene((p) => {
    user(p, 0);
    for (let sge = 0; sge < 32; sge++) p.emit('LKEY_OK', 0, 0, at.base(0), sge, 3, 1, sge);
    for (const count of [0xf2, 0xff]) {
      p.emit('PUSH', 0, at.base(0), 0, 3, count, 0x80, 0);
      p.emit('SS_INIT', 0, 0);
      p.emit('COPY_OUT', 0, 0xff, 1, 0, 0);
    }
    p.emit('LKEY_OK', 0, 0, at.base(0), 0, 3, 1, 0);
    p.emit('PUT', 30);
    p.emit('PUSH', 0, at.base(0), 0, 3, 1, 0x80, 0);
    p.emit('ACQUIRE_BATCH', 0, 1, 0x1f, 0, 1, 0, 0x80 | 30);
    p.emit('ACQUIRE_BATCH', 0, 1, 0x1f, 0, 0, 0, 30);
  });
  // Copies longer than a section.
  yield scene((p) => {
    p.emit('MEMORY', 4, 10, 0, 0);
    p.emit('MEMORY', 5, 10, 3, 0);
    user(p, 0, 4);
    user(p, 1, 5);
    p.emit('GET_DMA_MR', 2, 0, 0);
    p.emit('NUMBER', 2, 0, 0, 0x11);
    for (const kind of ['GATHER', 'SCATTER', 'COPY_BATCH']) {
      p.emit('PUSH', 0, at.base(0), 0, 0x7a, 8, 0, 0);
      p.emit('PUSH', 0x60, at.mapping(0), 0, 0x7a, 7, 0, 0);
      if (kind === 'COPY_BATCH') p.emit('PUSH', 1, at.base(1), 5, 0x7a, 16, 0, 0);
      p.emit(kind, 0, 1, kind === 'COPY_BATCH' ? 0 : 0x82, 1, 17, 0, 0);
    }
    p.emit('LKEY_OK', 0, 0, at.base(0), 0, 0x7a, 1, 0);
    p.emit('PUSH', 0, 0, 0, 0, 0, 0, 0);
    for (let i = 0; i < 4; i++) p.emit('PUSH', 0, 0, 0, 0, 0, 0, 0);
    for (let i = 0; i < 12; i++) p.emit('PUSH', 0, 0, 0, 0, 0, 0, 0);
    for (const name of ['COPY_IN', 'COPY_OUT']) {
      p.emit('SS_INIT', 0, 1);
      p.emit(name, 0, 0xff, 0, 1, 0);
    }
  });
  // Addresses chosen by the device, next to explicit ones.
  yield scene((p) => {
    p.emit('NUMBER', 3, 0, 0x40, 0, 0, 0, 0x20);
    for (let i = 0; i < 4; i++) p.emit('PICK_START', 0, at.landmark(i * 3), i);
    p.emit('NOBODY');
    p.emit('PICK_START', 0, at.landmark(9), 0);
    p.emit('PICK_START', 0, at.landmark(10), 0);
    p.emit('DMA_MAP', 0, 4, 0, 1, 0, 0);
    p.emit('DMA_MAP', 0, 5, 0, 0, at.number(3), 0);
    p.emit('DMA_MAP', 0, 6, 0, 1, 0, 0);
    p.emit('DMA_MAP', 0, 7, 2, 1, 0, 0);
    p.emit('DMA_MAP', 0, 8, 0, 0, at.landmark(14), 0);
    p.emit('DMA_MAP', 0, 9, 2, 0, at.landmark(14), 0);
    p.emit('DMA_MAP', 0, 10, 0, 1, 0, 0);
    p.emit('DMA_UNMAP', 5);
    for (let i = 0; i < 4; i++) p.emit('REG_USER', i, 0, at.landmark(i + 11), 0, at.landmark(13), i, 0x8f);
  });
  // Key 0: coalescing, keeping mappings busy, releasing its region.
  yield scene((p) => {
    p.emit('GET_DMA_MR', 0, 0, 0);
    p.emit('GET_DMA_MR', 1, 1, 0);
    p.emit('LKEY_OK', 0, 0x60, at.mapping(0), 0, 0x6d, ALL, 0);
    for (let i = 0; i < 16; i++) p.emit('LKEY_OK', 0, 0x60, at.after(0), 0, 0x6d, ALL, 0x81);
    p.emit('RKEY_OK', 0, 0x60, at.mapping(1), 8, 8, ALL, 2);
    p.emit('WRITE', 0, 0xff, 0, 1, 0);
    p.emit('FETCH_ADD', 2, 0, 0);
    p.emit('DMA_UNMAP', 0);
    p.emit('RELEASE', 0, 0, 0);
    p.emit('PUT', 0);
    p.emit('DMA_UNMAP', 0);
    p.emit('RELEASE', 0, 2, 0);
    p.emit('READ', 2, 8, 0, 0, 0);
    p.emit('PUT', 2);
    p.emit('DMA_UNMAP', 1);
    p.emit('EXIT', 0, 1);
  });
  // Memory that is detached, comes back elsewhere, or belongs to the other environment.
  yield scene((p) => {
    user(p, 0);
    user(p, 1, 1);
    for (const state of [1, 0, 2, 0]) {
      p.emit('MEMORY_STATE', 0, state);
      p.emit('LKEY_OK', 0, 0, at.base(0), 7, 100, 1, 0);
      p.emit('LKEY_OK', 0, 1, at.base(1), 7, 100, 1, 1);
      p.emit('PUSH', 0, 0, 0, 0, 1, 0, 0);
      p.emit('SS_INIT', 0, 0);
      p.emit('COPY_IN', 0, 0xff, 0, 0, state & 1);
      p.emit('WRITE', 0, 0xff, 0, 0, 0);
      p.emit('READ', 1, 0xff, 0, 0, state & 1);
      p.emit('PUSH', 0, at.base(0), 0, 64, 3, 0x80, 0);
      p.emit('PUSH', 1, at.base(1), 0, 64, 3, 0x80, 0);
      p.emit('COPY_BATCH', 0, 1, 0, 1, 4, 1, state & 1);
      p.emit('GATHER', 0, 1, 0x6f, 0, 0, 1);
    }
  });
  // Every allocation fails once.
  for (const after of [0, 1, 2, 3])
    yield scene(
      (p) => {
        /** @param {string} name @param {number[]} operands */
        const twice = (name, ...operands) => {
          p.emit('FAIL', after);
          p.emit(name, ...operands);
          p.emit(name, ...operands);
        };
        twice('OPEN', 1, 1, 0);
        twice('ALLOC_PD', 1, 4, 0);
        twice('CREATE_QP', 4, 4);
        twice('REG_USER', 0, 4, at.landmark(16), 0, at.landmark(16), 0, ALL);
        twice('GET_DMA_MR', 1, 4, 0);
        twice('ALLOC_MR', 2, 0, 0, 4);
        twice('ALLOC_FMR', 3, 0, ALL, 4, 12);
        twice('DMA_MAP', 0, 2, 0, 0, at.landmark(31), 0);
        twice('DMA_MAP', 1, 3, 0, 1, 0, 0);
        p.emit('PUSH', 0, at.mapping(0), 0x8e, 0x6d, 2, 1, 0);
        twice('MAP_SG', 2, 0, 0, 1);
        twice('MAP_FMR', 3, at.landmark(16), 0, 1);
        twice('DMA_UNMAP', 2);
        twice('DMA_UNMAP', 3);
        for (let i = 8; i < 12; i++) twice('ALLOC_MR', i, 4, 0, 1);
        for (let i = 0; i < 12; i++) p.emit('RELEASE', i, 0, 0);
        p.emit('DESTROY_QP', 4);
        p.emit('DEALLOC_PD', 4, 0);
        p.emit('RECLAIM');
      },
      1,
      after & 1 ? 2 : 0,
    );
  // Walks: empty SGEs, the same SGE twice, SGEs put during the walk.
  yield scene((p) => {
    user(p, 0);
    for (const release of [0, 1]) {
      for (const [sge, length] of [100, 0, 50, 0x6d, 0].entries())
        p.emit('LKEY_OK', 0, 0, at.base(0), sge, length, 1, sge);
      p.emit('PUSH', 0, 0, 0, 0, 4, 0, 0);
      p.emit('SS_INIT', 0, 0);
      p.emit('SS_LOOK', 0, 10, 0);
      p.emit('SS_UPDATE', 0, 90, release);
      p.emit('SS_SKIP', 0, 60, release);
      p.emit('COPY_OUT', 0, 20, release, 0, 0);
      p.emit('PUSH', 0, 0, 0, 10, 3, 0, 0);
      p.emit('WALK', 0, release, 0);
      p.emit('PUT', 3);
      p.emit('COPY_OUT', 0, 20, release, 0, 0);
      p.emit('SS_PUT', 0);
    }
    // Steps that end inside a segment, and continue beyond the next one.
    p.emit('LKEY_OK', 0, 0, at.base(0), 9, 0x72, 1, 5);
    for (const name of ['SS_UPDATE', 'SS_SKIP', 'COPY_OUT', 'COPY_IN', 'SS_UPDATE'])
      for (const length of [0x6f, 1]) {
        p.emit('PUSH', 0, 0, 0, 0, 0, 0, 5);
        p.emit('SS_INIT', 1, 0);
        p.emit(name, 1, length, 0, 0, 0);
        p.emit(name, 1, 0x6c, 0, 1, 0);
      }
    p.emit('LKEY_OK', 0, 0, at.base(0), 0, 8, 1, 2);
    p.emit('LKEY_OK', 0, 0, at.base(0), 4, 8, 1, 3);
    p.emit('PUSH', 0, 0, 0, 0, 1, 0, 2);
    p.emit('PUSH', 0, 0, 0, 0, 0, 0, 2);
    p.emit('SS_INIT', 1, 0);
    p.emit('COPY_IN', 1, 4, 1, 0, 0);
    p.emit('SS_LOOK', 1, 4, 0);
  });
  // Stale handles: of a closed domain, of a closed device, of the other device.
  for (const cascade of [0, 1])
    yield scene((p) => {
      p.emit('SCENE', 1, 3, 0);
      for (const pd of [0, 4]) {
        p.emit('REG_USER', pd, pd, at.landmark(16), pd, at.landmark(20), pd, ALL);
        p.emit('ALLOC_MR', pd + 1, pd, 0, 4);
        p.emit('ALLOC_FMR', pd + 2, pd, ALL, 4, 12);
        p.emit('LKEY_OK', pd, pd, at.base(pd), 0, 100, 1, pd);
        p.emit('RKEY_OK', pd, pd, at.iova(pd), 0, 100, 4, pd + 1);
      }
      p.emit('PUSH', 0, at.mapping(0), 0, 0x6d, 1, 1, 2);
      p.emit('PUSH', 0, at.mapping(0), 0, 0x6d, 1, 1, 6);
      p.emit('UNMAP_FMR', 1);
      p.emit('FAST_REG', 1, 4, 1, ALL, 0, 0, 0);
      p.emit('DESTROY_QP', 0);
      p.emit('DEALLOC_PD', 0, 1);
      p.emit('EXIT', 1, cascade);
      for (const pd of [0, 4]) {
        p.emit('LKEY_OK', pd, pd, at.base(pd), 0, 100, 1, pd + 2);
        p.emit('RKEY_OK', pd, pd, at.iova(pd), 0, 100, 4, pd + 3);
        for (const kind of ['CHECK_BATCH', 'ACQUIRE_BATCH', 'GATHER', 'SCATTER']) {
          p.emit(kind, pd, 1, 1, 0, 1, 0, 8);
          p.emit(kind, pd | 8, 4, 1, 0, 1, 0, 8);
        }
        p.emit('COPY_BATCH', pd, 1, pd | 8, 2, 2, 1, 0);
        p.emit('WRITE', pd, 0xff, 0, 0, 0);
        p.emit('MAP_SG', pd + 1, 0, 0, 1);
        p.emit('MAP_FMR', pd + 2, at.landmark(16), 0, 1);
        p.emit('RELEASE', pd, 0, 0);
        p.emit('DMA_UNMAP', pd * 2);
        p.emit('ALLOC_PD', pd >> 2, pd, 0);
        p.emit('PUT', pd);
      }
    });
  // A lingering reader while regions come and go: in every device, in this device, in another device.
  for (const [device, every] of /** @type {[number, number][]} */ ([
    [0, 1],
    [0, 0],
    [1, 0],
  ]))
    yield scene((p) => {
      p.emit('OPEN', 1, 0, 0);
      p.emit('LINGER', device, every);
      p.emit('ALLOC_FMR', 0, 0, ALL, 4, 12);
      p.emit('PUSH', 0, at.mapping(0), 0, 0, 3, 1, 0);
      for (let i = 0; i < 70; i++) {
        p.emit('MAP_FMR', 0, at.landmark(16), i % 64, 1);
        user(p, 1);
        p.emit('RELEASE', 1, i % 4, 0);
        if (i === 40) p.emit('LINGER', device, every);
      }
      p.emit('RECLAIM');
    });
  // Lists released with one wait: a region listed twice, one held, one already released, one of another
  // domain.
  for (const mode of [0, 2, 3])
    yield scene((p) => {
      for (let i = 0; i < 4; i++) user(p, i);
      p.emit('ALLOC_FMR', 4, 0, ALL, 4, 12);
      p.emit('ALLOC_MR', 5, 1, 0, 4);
      p.emit('RELEASE', 3, 0, 0);
      p.emit('LKEY_OK', 0, 2, at.base(2), 0, 8, 1, 0);
      for (const slot of [0, 1, 2, 3, 4, 0]) p.emit('PUSH', 0, 0, 0, 0, 0, 0, slot);
      p.emit('LINGER', 0, 0);
      p.emit('DEREG_MRS', 1, mode, 1); // through a domain that does not own the regions
      p.emit('DEREG_MRS', 0, mode, 1);
      p.emit('DEREG_MRS', 0, mode, 1);
      p.emit('PUT', 0);
      p.emit('DEREG_MRS', 0, mode, 1);
      for (let region = 0; region < 6; region++) p.emit('QUERY', region);
      p.emit('PUSH', 0, 0, 0, 0, 0, 0, 5);
      p.emit('DEREG_MRS', 0, mode, 0);
      p.emit('DEREG_MRS', 0, mode, 0); // an empty list of regions
      p.emit('DEALLOC_PD', 0, 1);
      p.emit('DEREG_MRS', 0, mode, 0);
      p.emit('RECLAIM');
    });
  // A finalizer drops a context while a reader is inside and continues to use its objects.
  for (const every of [0, 1])
    yield scene((p) => {
      p.emit('ALLOC_CONTEXT', 0, 0);
      p.emit('ALLOC_CONTEXT', 0, 1);
      p.emit('ATTACH_PD', 4, 1, 0, 0);
      p.emit('DMA_MAP', 0, 2, 0, 0, at.landmark(31), 0, 2);
      p.emit('REG_USER', 0, 4, at.landmark(16), 0, at.landmark(16), 0, ALL);
      p.emit('ALLOC_FMR', 1, 0, ALL, 4, 12);
      p.emit('PUSH', 0, at.mapping(2), 0, 0, 0, 0, 0);
      p.emit('MAP_FMR', 1, at.landmark(17), 0, 0);
      p.emit('LKEY_OK', 0, 0, at.base(0), 0, 8, ALL, 0);
      p.emit('LKEY_OK', 0, 1, at.base(1), 0, 8, ALL, 1);
      p.emit('LINGER', 0, every);
      p.emit('DEALLOC_CONTEXT', 1, 0, 1);
      p.emit('DEALLOC_CONTEXT', 1, 0, 1);
      for (const sge of [0, 1]) {
        p.emit('WRITE', sge, 0xff, 0, 0, 0);
        p.emit('READ', sge, 0xff, 0, 0, 0);
        p.emit('PUT', sge);
      }
      p.emit('RECLAIM');
      p.emit('DMA_MAP', 0, 2, 0, 0, at.landmark(31), 0, 1);
      p.emit('RELEASE', 1, 0, 0);
      p.emit('DEALLOC_CONTEXT', 0, 0, 1); // the last context closes the device
      p.emit('LINGER', 0, every);
      p.emit('RECLAIM');
    });
  // Random keys in a table that fills up, and without random numbers.
  yield scene(
    (p) => {
      for (let i = 0; i < 6; i++) {
        user(p, i);
        p.emit('LKEY_CHECK', 0, i, at.base(i), 0, 100, 1);
        if (i > 1) p.emit('RELEASE', i - 1, 0, 0);
        p.emit('RANDOM', Number(i === 3), i);
      }
      p.emit('TABLE', 0);
    },
    2,
    2,
  );
  // Addresses at the end of the address space, and more segments than a block has.
  yield scene((p) => {
    p.emit('MEMORY', 4, 15, 0, 0);
    p.emit('REG_USER', 0, 4 << 4, at.landmark(7), 0, at.landmark(10), 0, ALL);
    p.emit('REG_USER', 1, 0, at.landmark(13), 0, at.landmark(12), 0xa1, ALL);
    p.emit('DMA_MAP', 0, 4, 4, 0, at.landmark(8), 0);
    p.emit('ALLOC_FMR', 2, 0, ALL, 10, 12);
    p.emit('PUSH', 0, at.mapping(4), 0, 0, 0xff, 2 ^ 3, 0);
    p.emit('MAP_FMR', 2, at.landmark(14), 0, 0);
    for (const [i, length] of [0xb8, 0xb7, 0xb9, 0xe8, 0xe7, 0xa8].entries()) {
      p.emit('LKEY_OK', 0, i % 3, at.base(i % 3), 0x9f, length, 1, i);
      p.emit('RKEY_OK', 0, i % 3, at.iova(i % 3), 0x9f, length, 1, i + 8);
      p.emit('RKEY_CHECK', 0, i % 3, at.end(i % 3), 0x40, 1, 1);
    }
  });

  // --- contexts ---

  /**
   * Creates contexts 0 and 1. Domains 4 and 5 belong to them; 6 is context 0's domain, attached by context 1.
   * @param {Piece} p
   */
  const two = (p) => {
    for (const context of [0, 1]) {
      p.emit('ALLOC_CONTEXT', 0, context);
      p.emit('ALLOC_PD', 0, 4 + context, 0, context + 1);
      p.emit('CREATE_QP', 4 + context, 4 + context);
      p.emit('DMA_MAP', 0, 2 + context, 2 + context, 0, at.landmark(24 + 2 * context), 0, context + 1);
    }
    p.emit('ATTACH_PD', 6, 1, 4, 0);
    p.emit('CREATE_QP', 6, 6);
  };
  /**
   * Creates regions of every kind in a domain, with page lists over a mapping.
   * @param {Piece} p
   * @param {number} first
   * @param {number} pd
   * @param {number} mapping
   */
  const furnish = (p, first, pd, mapping) => {
    p.emit('REG_USER', first, pd, at.landmark(16), first, at.landmark(20), first, ALL);
    p.emit('ALLOC_MR', first + 1, pd, 0, 6);
    p.emit('PUSH', 0, at.mapping(mapping), 0, 0x6d, 3, 1, 0);
    p.emit('MAP_SG', first + 1, 0, 0, 1);
    p.emit('FAST_REG', first + 1, pd, first + 1, ALL, 0, 0, 0);
    p.emit('ALLOC_FMR', first + 2, pd, ALL, 8, 12);
    p.emit('MAP_FMR', first + 2, at.landmark(17), first, 0);
    p.emit('GET_DMA_MR', first + 3, pd, 0);
  };
  /**
   * @param {Piece} p
   * @param {number} first region and SGE
   * @param {number} pd domain and queue pair
   */
  const hold = (p, first, pd) => {
    for (const i of [0, 1, 2]) {
      p.emit('LKEY_OK', pd, first + i, at.base(first + i), 8, 100, 1, first + i);
      p.emit('RKEY_OK', pd, first + i, at.iova(first + i), 8, 8, 4, first + i + 3);
    }
  };
  /**
   * Uses a handle in every possible way.
   * @param {Piece} p
   * @param {number} pd domain and queue pair
   * @param {number} region
   */
  const use = (p, pd, region) => {
    furnish(p, 28, pd, 0);
    p.emit('LKEY_CHECK', pd, region, at.base(region), 0, 8, 1);
    p.emit('RKEY_CHECK', pd, region, at.iova(region), 0, 8, 4);
    p.emit('RKEY_OK', pd, region, at.iova(region), 0, 8, 4, 31);
    p.emit('PUSH', region, at.base(region), 0, 8, 2, 0x80, 0);
    for (const who of [pd, pd | 8]) {
      p.emit('CHECK_BATCH', who, 1, 1, 0, 1);
      p.emit('CHECK_BATCH', who, 1, 0x1f, 0, 1);
      p.emit('CHECK_ONE', who, 1, 0, 1);
      p.emit('ACQUIRE_BATCH', who, 1, 1, 0, 1, 0x80, 24);
      p.emit('GATHER', who, 5, 0x6f, 0, 1, 0);
      p.emit('SCATTER', who, 3, 0x6f, 0, 1, 0);
      p.emit('COPY_BATCH', who, 5, 0, 3, 1, 1, 0);
      p.emit('COPY_BATCH', 0, 1, who, 3, 1, 1, 0);
    }
    p.emit('RELEASE_BATCH', 24, 3);
    p.emit('INVALIDATE', pd, region);
    p.emit('CREATE_QP', pd, 7);
    p.emit('DESTROY_QP', 7);
    p.emit('DESTROY_QP', pd);
    p.emit('DEALLOC_PD', pd, 0);
  };

  // Two contexts use each other's domains and mappings; one is deallocated, then the other.
  for (const first of [0, 1])
    for (const held of [0, 1, 2])
      yield scene((p) => {
        two(p);
        furnish(p, 0, 4, 3);
        furnish(p, 4, 5, 2);
        furnish(p, 8, 6, 2);
        furnish(p, 12, 0, 2 + first);
        for (const [i, pd] of [4, 5, 6, 0].entries()) if (held) hold(p, i * 4, pd);
        if (held === 2)
          for (const region of [1, 6, 9, 13, 14]) p.emit('RELEASE', region, region % 2 ? 3 : 0, 0);
        p.emit('DEALLOC_CONTEXT', first, 0);
        p.emit('DEALLOC_CONTEXT', first, 1);
        p.emit('DEALLOC_CONTEXT', first, 1);
        for (let sge = 0; sge < 16; sge += 3) {
          p.emit('WRITE', sge, 0xff, 0, 0, 0);
          p.emit('READ', sge, 0xff, 0, 0, 0, 0, 2 - first);
        }
        p.emit('ALLOC_PD', 0, 7, 0, first + 1);
        p.emit('DMA_MAP', 0, 4, 0, 1, 0, 0, first + 1);
        p.emit('DMA_UNMAP', 2 + first);
        for (const pd of [4, 5, 6]) use(p, pd, 4 + 4 * (pd & 1));
        p.emit('TABLE', 0);
        p.emit('DEALLOC_CONTEXT', 1 - first, 1);
        for (const pd of [0, 4, 5]) use(p, pd, 12);
        p.emit('EXIT', 0, 1);
        p.emit('ALLOC_CONTEXT', 0, 2);
      });
  // Each kind of object keeps a context busy on its own; without it the context can be deallocated.
  for (const kind of [0, 1, 2, 3, 4, 5])
    yield scene((p) => {
      for (const context of [0, 1]) p.emit('ALLOC_CONTEXT', 0, context);
      p.emit('ALLOC_PD', 0, 4, 0, 1);
      p.emit('ATTACH_PD', 5, 1, 4, 0);
      if (kind === 0) p.emit('ALLOC_PD', 0, 6, 1, 2);
      if (kind === 1) p.emit('CREATE_QP', 5, 6);
      if (kind === 2) p.emit('ALLOC_MR', 0, 5, 0, 4);
      if (kind === 3) p.emit('ALLOC_FMR', 0, 5, ALL, 4, 12);
      if (kind === 4) p.emit('DMA_MAP', 0, 5, 0, 0, at.landmark(31), 0, 2);
      if (kind === 5) {
        user(p, 0);
        p.emit('REG_USER', 0, 5, at.landmark(16), 0, at.landmark(16), 0, ALL);
        p.emit('LKEY_OK', 4, 0, at.base(0), 0, 8, 1, 0);
        p.emit('RELEASE', 0, 3, 0);
      }
      p.emit('DEALLOC_CONTEXT', 1, 0);
      if (kind === 0) p.emit('DEALLOC_PD', 6, 0);
      if (kind === 1) p.emit('DESTROY_QP', 6);
      if (kind === 2 || kind === 3) p.emit('RELEASE', 0, 0, 0);
      if (kind === 4) p.emit('DMA_UNMAP', 5);
      if (kind === 5) p.emit('PUT', 0);
      if (kind === 5) p.emit('RELEASE', 0, 0, 0);
      p.emit('DEALLOC_CONTEXT', 1, 0);
      p.emit('DEALLOC_PD', 5, 1);
      p.emit('LKEY_CHECK', 4, 0, at.base(0), 0, 8, 1);
    });
  // Key 0 on a mapping whose context is deallocated; lists over several mappings; with and without a failing
  // allocation.
  for (const fail of [0, 1])
    yield scene((p) => {
      two(p);
      p.emit('GET_DMA_MR', 0, 0, 0);
      for (const [i, mapping] of [0, 2, 3].entries()) {
        p.emit('LKEY_OK', 0, 0x60, at.mapping(mapping), 16, 8, ALL, i);
        p.emit('RKEY_OK', 0, 0x60, at.mapping(mapping), 16, 8, ALL, i + 3);
      }
      p.emit('ALLOC_FMR', 1, 0, ALL, 8, 12);
      p.emit('PUSH', 0, at.mapping(0), 0, 0, 0, 0, 0);
      p.emit('PUSH', 0, at.mapping(2), 0, 0, 0, 0, 0);
      p.emit('MAP_FMR', 1, at.landmark(17), 0, 0);
      furnish(p, 4, 5, 0);
      furnish(p, 8, 5, 2);
      hold(p, 4, 5);
      hold(p, 8, 5);
      p.emit('RELEASE', 9, 0, 0);
      if (fail) p.emit('FAIL', 0);
      p.emit('DEALLOC_CONTEXT', 0, 1);
      for (const sge of [0, 1, 2, 3, 4, 5, 8, 10]) {
        p.emit('WRITE', sge, 0xff, 0, sge & 1, 0, 0, 2);
        p.emit('FETCH_ADD', sge, 1, 0, 0, 0, 0, 2);
        p.emit('COMPARE_SWAP', sge, 15, 1, 0, 0, 0, 2);
      }
      for (const mapping of [0, 2, 3]) {
        p.emit('LKEY_CHECK', 5, 0x60, at.mapping(mapping), 16, 8, ALL);
        p.emit('DMA_UNMAP', mapping);
        p.emit('DMA_MAP', 0, mapping, mapping, 0, at.mapping(mapping), 0, 2);
        p.emit('LKEY_OK', 5, 0x60, at.mapping(mapping), 24, 8, ALL, 0x80);
      }
      for (let sge = 0; sge < 12; sge++) p.emit('PUT', sge);
      for (const mapping of [0, 2, 3]) p.emit('DMA_UNMAP', mapping);
      p.emit('TABLE', 0);
    });
  // Serial numbers of domains that do not exist, do not exist any more, or are on the other device.
  yield scene((p) => {
    p.emit('SCENE', 1, 3, 0);
    two(p);
    p.emit('ALLOC_CONTEXT', 1, 2);
    for (const steps of [0, 1, 2, 0x40, 0x41, 0x88, 0xa0]) {
      p.emit('ATTACH_PD', 7, 0, 5, steps);
      p.emit('ATTACH_PD', 7, 2, 5, steps);
    }
    p.emit('DEALLOC_PD', 5, 1);
    p.emit('ATTACH_PD', 7, 0, 5, 0);
    p.emit('ALLOC_PD', 0, 3, 1, 1);
    p.emit('ATTACH_PD', 7, 0, 5, 0);
    p.emit('ATTACH_PD', 7, 1, 3, 0);
    p.emit('GET_DMA_MR', 0, 7, 0);
    p.emit('DEALLOC_PD', 7, 0); // any context that attached it may deallocate it
    p.emit('DEALLOC_CONTEXT', 1, 1);
    p.emit('ATTACH_PD', 7, 1, 0, 0);
    p.emit('CREATE_QP', 3, 3);
    p.emit('EXIT', 0, 1);
    p.emit('ATTACH_PD', 7, 0, 0, 0);
    p.emit('DEALLOC_CONTEXT', 0, 0);
    p.emit('ALLOC_CONTEXT', 0, 3);
  });
  // Tokens: the same each time; of a device that closes; with one wrong bit; without random numbers.
  for (const [end, first] of /** @type {[string, number][]} */ ([
    ['EXIT', 0],
    ['EXIT', 1],
    ['DEALLOC_CONTEXT', 0],
    ['DEALLOC_CONTEXT', 1],
  ]))
    yield scene((p) => {
      p.emit('SCENE', 1, 3, 0);
      for (const device of [0, 1]) p.emit('ALLOC_CONTEXT', device, device);
      p.emit('RANDOM', 1, 9);
      p.emit('SHARE', 0, 0, 0);
      p.emit('SHARE', 0, 1, 0);
      p.emit('RANDOM', 0, 9);
      for (const device of [0, 1]) {
        p.emit('SHARE', device, 0, 0);
        p.emit('SHARE', device, 0, 0);
      }
      p.emit('RANDOM', 1, 9);
      for (const device of [0, 1]) {
        p.emit('SHARE', device, 0, 0);
        for (const how of [1, 2, 3]) for (const bit of [0, 63, 127]) p.emit('SHARE', device, how, bit);
      }
      p.emit(end, first, 1);
      for (const device of [0, 1]) for (const how of [0, 1, 2, 3]) p.emit('SHARE', device, how, 5);
      p.emit('EXIT', 1 - first, 1);
      p.emit('SHARE', 1 - first, 1, 0);
    });
  // Device memory: slices used by regions and mappings, overlapping bytes, and what keeps it from being
  // freed.
  for (const huge of [0, 1])
    yield scene((p) => {
      two(p);
      p.emit('DEVICE_MEMORY', 0, 0, 0, 2, huge, 1); // device memory of 3 pages
      p.emit('DEVICE_MEMORY', 1, 0, 0, 5, 1 - huge, 0); // device memory of 4095 bytes
      p.emit('SLICE', 8, 0, 0, 0xff, 0);
      p.emit('SLICE', 9, 0, 0x6f, 0x6e, 0); // a slice of 4097 bytes from byte 5000 on
      p.emit('SLICE', 10, 1, 5, 0xff, 0);
      p.emit('SLICE', 11, 1, 0x6c, 0xff, 0); // an empty slice
      for (const [region, memory] of [8, 9, 10, 11].entries()) {
        user(p, region, memory);
        p.emit('REG_USER', region + 4, 6 | (memory << 4), at.landmark(18), 0, at.landmark(18), 0, ALL);
        p.emit('DMA_MAP', 0, 8 + region, memory, 1, 0, 0, 2);
      }
      furnish(p, 12, 5, 8);
      p.emit('ALLOC_FMR', 16, 0, ALL, 8, 0);
      p.emit('PUSH', 0, at.mapping(10), 0x30, 0, 7, 6, 0);
      p.emit('MAP_FMR', 16, at.landmark(17), 0, 0);
      for (const region of [0, 1, 2, 4, 5, 13]) {
        const pd = region === 13 ? 5 : region < 4 ? 0 : 6;
        p.emit('LKEY_OK', pd, region, at.base(region), 1, 0xb8 - 1, 1, region);
        p.emit('WRITE', region, 0xff, 0, region & 1, region & 1);
        p.emit('READ', region, 0xff, 0, 0, 1);
        p.emit('PUSH', region, at.base(region), 0, 100, 1, 0x80, 0);
      }
      p.emit('SCATTER', 0, ALL, 0x69, 1, 1, 0);
      p.emit('GATHER', 0, ALL, 0x69, 1, 1, 1);
      p.emit('COPY_BATCH', 0, ALL, 0, ALL, 4, 0, 0);
      p.emit('RKEY_OK', 0, 0, at.iova(0), 0x10, 8, 8, 20);
      p.emit('FETCH_ADD', 20, 1, 0, 0, 0, 0, 1);
      p.emit('DEVICE_MEMORY', 0, 2, 0, 0, 0, 1);
      p.emit('TABLE', 0);
      for (let memory = 8; memory < 12; memory++) p.emit('SLICE', memory, 0, 0, 0, 1);
      p.emit('DEALLOC_CONTEXT', 1, 1); // also releases the context's own uses of the memory
      p.emit('DEVICE_MEMORY', 0, 2, 0, 0, 0, 2);
      for (const region of [0, 1, 2, 3, 16]) p.emit('RELEASE', region, region & 1 ? 2 : 0, 0);
      p.emit('DEVICE_MEMORY', 1, 2, 0, 0, 0, 1);
      for (let sge = 0; sge < 21; sge++) p.emit('PUT', sge);
      p.emit('RELEASE', 0, 0, 0);
      p.emit('RELEASE', 2, 0, 0);
      p.emit('DEVICE_MEMORY', 0, 2, 0, 0, 0, 1);
      p.emit('DEVICE_MEMORY', 1, 2, 0, 0, 0, 0);
      p.emit('DEVICE_MEMORY', 0, 2, 0, 0, 0, 1);
      p.emit('SLICE', 8, 0, 0, 0xff, 0);
      p.emit('TABLE', 0);
    });
  // Device memory that is put and found again, also by others; freed with a lingering reader; freed by
  // closing the device.
  yield scene((p) => {
    two(p);
    for (const slot of [0, 1, 2]) p.emit('DEVICE_MEMORY', slot, 0, 0, slot, 0, 1);
    for (let size = 3; size < 16; size++) p.emit('DEVICE_MEMORY', 3, 0, 0, size, size & 1, 1);
    p.emit('DEVICE_MEMORY', 3, 1, 0, 0, 0, 2, 0);
    p.emit('DEVICE_MEMORY', 0, 3);
    p.emit('DEVICE_MEMORY', 3, 3);
    for (const steps of [0, 1, 2, 3, 0x40, 0x88, 0xa0]) p.emit('DEVICE_MEMORY', 0, 1, 0, 0, 0, 2, steps);
    p.emit('DEVICE_MEMORY', 3, 0, 0, 0, 0, 0);
    p.emit('DEVICE_MEMORY', 3, 2, 0, 0, 0, 0);
    p.emit('DEVICE_MEMORY', 3, 0, 0, 0, 0, 0);
    p.emit('SLICE', 8, 1, 0, 0xff, 0);
    p.emit('REG_USER', 0, 4 | (8 << 4), at.landmark(16), 0, at.landmark(16), 0, ALL);
    p.emit('DMA_MAP', 0, 8, 8, 1, 0, 0, 2);
    p.emit('SLICE', 8, 1, 0, 0, 1);
    p.emit('LINGER', 0, 0);
    p.emit('DEALLOC_CONTEXT', 1, 0, 1);
    p.emit('DEVICE_MEMORY', 1, 2, 0, 0, 0, 0);
    p.emit('RELEASE', 0, 0, 0);
    p.emit('DEVICE_MEMORY', 1, 2, 0, 0, 0, 0);
    p.emit('LINGER', 0, 0);
    p.emit('DEVICE_MEMORY', 1, 2, 0, 0, 0, 2);
    p.emit('DEVICE_MEMORY', 1, 2, 0, 0, 0, 1);
    p.emit('RECLAIM');
    p.emit('SLICE', 9, 2, 3, 0xff, 0);
    p.emit('DMA_MAP', 0, 8, 9, 1, 0, 0, 1);
    p.emit('DEVICE_MEMORY', 0, 0, 0, 3, 0, 2);
    p.emit('DEVICE_MEMORY', 0, 1, 0, 2, 0, 2, 0);
    p.emit('DEALLOC_CONTEXT', 0, 1);
    for (const how of [0, 1, 2]) p.emit('DEVICE_MEMORY', 2, how, 0, 2, 0, 1, 0);
    p.emit('SLICE', 10, 2, 0, 0xff, 0);
    p.emit('RECLAIM');
    p.emit('DEVICE_MEMORY', 2, 3);
  });
  // All counters, for calls with and without a context.
  for (const pd of [0, 4, 6])
    for (const when of [0, 1])
      yield scene((p) => {
        two(p);
        furnish(p, 0, pd, 0);
        for (let region = 0; region < 4; region++) if (when) p.emit('COUNT_MR', region);
        hold(p, 0, pd);
        p.emit('LKEY_OK', pd, 0x60, at.mapping(0), 0, 8, ALL, 6);
        for (let region = 0; region < 4; region++) p.emit('COUNT_MR', region);
        for (const [i, where] of [at.base(0), at.iova(1), at.base(2), at.mapping(0), at.end(2)].entries()) {
          const key = i === 3 ? 0x60 : i === 4 ? 2 : i;
          p.emit('LKEY_CHECK', pd, key, where, i, 100, 1);
          p.emit('RKEY_CHECK', pd, key, where, i, 100, i);
          p.emit('PUSH', key, where, 0, 100, 2, 0x80, 0);
          p.emit('PUSH', key, where, i, 0, 0, 0, 0);
          p.emit('CHECK_BATCH', pd, 1, 1, 0, 1);
          p.emit('CHECK_BATCH', pd | 8, 5, 0x1f, 0, 1);
          p.emit('CHECK_ONE', pd, 1, 0, 1);
          p.emit('ACQUIRE_BATCH', pd, 1, 0x1f, 0, 1, i & 1 ? 0x80 : 0, 16);
          p.emit('GATHER', pd, 1, 0x69, 0, 1, 0);
          p.emit('SCATTER', pd | 8, 3, 0x66, 0, 1, 0);
          p.emit('COPY_BATCH', pd, 1, pd | 8, 3, 2, 0, 0);
          p.emit('WRITE', i, 0xff, 0, i & 1, 0, 0, 1 + (i & 1));
          p.emit('READ', i + 3, 0xff, 0, 0, 0, 0, 1 + (i & 1));
        }
        p.emit('PUSH', 0, 0, 0, 0, 6, 0, 0);
        p.emit('SS_INIT', 0, 0);
        p.emit('COPY_OUT', 0, 0x67, 0, 0, 0, 0, 2);
        p.emit('COPY_OUT', 0, 0x74, 0, 0, 0, 0, 2);
        // Refused for several checkers, and after mapping the regions again.
        for (const who of [5, 1, 6]) {
          p.emit('LKEY_CHECK', who, 0, at.base(0), 0, 8, 1);
          p.emit('RKEY_CHECK', who, 0, at.iova(0), 0, 8, 1);
          p.emit('PUSH', 0, at.base(0), 0, 8, 2, 0x80, 0);
          p.emit('CHECK_BATCH', who, 1, 1, 0, 0);
        }
        for (let sge = 0; sge < 7; sge++) p.emit('PUT', sge);
        p.emit('PUSH', 0, at.mapping(0), 0x80, 0x6d, 2, 1, 0);
        p.emit('MAP_SG', 1, 0, 0, 1);
        p.emit('MAP_FMR', 2, at.landmark(18), 0, 0);
        for (const region of [1, 2]) {
          p.emit('PUSH', region, at.base(region), 0, 100, 2, 0x80, 0);
          p.emit('CHECK_BATCH', pd, 1, 1, 0, 1);
          p.emit('CHECK_ONE', pd, 1, 0, 0);
        }
        p.emit('TABLE', 0);
        p.emit('RELEASE', 2, 0, 0);
        p.emit('QUERY', 2);
        p.emit('DEALLOC_CONTEXT', 0, 1);
        p.emit('COPY_OUT', 0, 0x67, 0, 0, 0, 0, 2);
        for (let region = 0; region < 4; region++) p.emit('COUNT_MR', region);
        p.emit('DEALLOC_CONTEXT', 1, 1);
        p.emit('TABLE', 0);
      });
  // Every allocation of the context and device memory operations fails once.
  for (const after of [0, 1, 2])
    yield scene((p) => {
      /** @param {string} name @param {number[]} operands */
      const twice = (name, ...operands) => {
        p.emit('FAIL', after);
        p.emit(name, ...operands);
        p.emit(name, ...operands);
      };
      twice('ALLOC_CONTEXT', 0, 0);
      twice('ALLOC_CONTEXT', 0, 1);
      twice('ALLOC_PD', 0, 4, 0, 1);
      twice('ATTACH_PD', 5, 1, 4, 0);
      twice('DMA_MAP', 0, 2, 0, 1, 0, 0, 1);
      twice('DEVICE_MEMORY', 0, 0, 0, 1, 0, 1);
      twice('DEVICE_MEMORY', 1, 0, 0, 1, 1, 2);
      twice('SLICE', 8, 0, 5, 0xff, 0);
      twice('REG_USER', 0, 5 | (8 << 4), at.landmark(16), 0, at.landmark(16), 0, ALL);
      twice('DMA_MAP', 0, 3, 8, 1, 0, 0, 2);
      twice('ALLOC_FMR', 1, 5, ALL, 4, 12);
      p.emit('PUSH', 0, at.mapping(2), 0, 0, 0, 0, 0);
      p.emit('PUSH', 0, at.mapping(0), 0, 0, 0, 0, 0);
      twice('MAP_FMR', 1, at.landmark(16), 0, 0);
      twice('COUNT_MR', 0);
      twice('COUNT_MR', 1);
      twice('SHARE', 0, 0, 0);
      twice('SHARE', 0, 1, 0);
      twice('DEVICE_MEMORY', 1, 2, 0, 0, 0, 1);
      twice('DEALLOC_CONTEXT', 0, 1);
      p.emit('DMA_MAP', 0, 2, 0, 1, 0, 0, 0);
      twice('DEALLOC_CONTEXT', 1, 1);
    });
}
