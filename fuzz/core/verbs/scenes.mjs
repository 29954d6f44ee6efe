// Programs of verbs that fuzzing starts with: connected queue pairs of each type, on which every opcode is posted.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fuzzDirectory } from '../paths.mjs';

const VERB_BYTES = 16;

const header = readFileSync(join(fuzzDirectory, 'verbs', 'verbs_program.h'), 'utf8');
/** @type {Record<string, number>} */
const codes = Object.fromEntries(
  [...header.matchAll(/^ {4}VERB_(\w+) = (\d+),/gm)].map(([, name, code]) => [name, Number(code)]),
);

/**
 * @param {string} name
 * @param {number[]} operands
 */
function verb(name, ...operands) {
  const bytes = Buffer.alloc(VERB_BYTES);
  bytes[0] = codes[name] ?? 0;
  bytes.set(operands, 1);
  return bytes;
}

const SIGNALED = 2;
const SOLICITED = 4;
const FENCE = 1;
const OPCODES = 10; // the first entries of the table of opcodes in verbs_post.c
const RC = 0;
const UC = 6;
const UD = 9;
const MANUAL = 1;
const FAULTS = 0x40; // a device with faults, whose seed is the operand `limits`
const STRICT = 0x80;

/** Posts a send of region 0 to region 1, two elements of 64 bytes. @param {number} qp @param {number} opcode */
const send = (qp, opcode, flags = SIGNALED, count = 0, length = 6) =>
  verb('POST_SEND', qp | (count << 4), opcode, flags, 1, 0, 0, length, 1, 0, 0, qp ^ 1, 4, 3, 0x0f, 1);

/** @param {number} type @param {number} topology @param {number} options @param {number} device */
const scene = (type, topology, options, device) =>
  verb('SCENE', device, topology === 3 ? 1 : 0, type, topology, options, 0x0f, 2);

/** Yields the programs. */
export function* verbScenes() {
  for (const device of [0, MANUAL | 2 | 4 | 8, FAULTS, STRICT])
    for (const type of [RC, UC, UD])
      for (const topology of [0, 1, 2])
        for (const options of [0, 0x16])
          for (const opcode of Array(OPCODES).keys()) {
            const begin = [
              scene(type, topology, options, device),
              verb('ARM_CQ', 0, 2),
              verb('ARM_CQ', 1, 1),
            ];
            const end = [verb('RUN'), verb('POLL_CQ', 0, 8), verb('POLL_CQ', 1, 8)];
            const flags = opcode % 2 ? SIGNALED | SOLICITED : SIGNALED;
            yield Buffer.concat([...begin, send(0, opcode, flags), ...end, send(1, opcode, 0), ...end]);
            if (options || topology) continue;
            // RNR, error and reset, releases while work is queued.
            yield Buffer.concat([
              ...begin,
              send(0, opcode, FENCE, 3),
              verb('RUN'),
              verb('FIRE_TIMERS'),
              ...end,
            ]);
            yield Buffer.concat([
              ...begin,
              send(0, opcode),
              verb('DEREG_MR', 0, 0),
              ...end,
              verb('DEREG_MR', 1, 0),
            ]);
            yield Buffer.concat([
              ...begin,
              send(0, opcode, SIGNALED, 2),
              verb('MODIFY_QP', 0, 0x86),
              ...end,
              send(0, opcode),
              verb('MODIFY_QP', 0, 0x80),
              verb('CONNECT', 0, 1, 0x0f, 2, 1),
              send(0, opcode),
              ...end,
            ]);
            yield Buffer.concat([...begin, send(0, opcode), verb('DEALLOC_PD', 0, 1), ...end]);
          }
  yield* rest();
  yield* windows();
}

const WRITE = 0;
const READ = 1;
const BIND = 2;
const INVALIDATE = 3;
const SEND_WITH_INV = 4;
const ADD = 5;
const EVERY_RIGHT = 0x0e;
const NEW_KEY = 0x10; // of `window`: by the key that a bind gives it
const OLD_KEY = 0x80;

/**
 * Posts a work request that concerns a window: 64 bytes of region 0, or a bind to land 0.
 * @param {number} qp
 * @param {number} opcode
 */
const post = (
  qp,
  opcode,
  { window = 0, place = 0, flags = SIGNALED, count = 0, steps = 0, rights = EVERY_RIGHT, length = 6 } = {},
) =>
  verb(
    'POST_WINDOW',
    qp | (count << 4),
    opcode,
    flags,
    1,
    0,
    0,
    length,
    window,
    place,
    0,
    1,
    128,
    1,
    rights,
    steps,
  );

/** Windows and leases: queue pair 0 writes to the peer, queue pair 1, which binds them. */
function* windows() {
  const end = [verb('RUN'), verb('POLL_CQ', 0, 8)];
  for (const type of [RC, UC])
    for (const device of [0, MANUAL]) {
      const begin = [
        scene(type, 0, 0, device),
        verb('REG_LAND', 0, 0, 0, 2, 0x1f),
        verb('REG_LAND', 1, 0, 128, 7, 0x1f, 1),
        verb('ALLOC_MW', 0, 0, 0),
        verb('ALLOC_MW', 1, 0, 1),
      ];
      const play = (/** @type {Buffer[]} */ ...verbs) => Buffer.concat([...begin, ...verbs]);
      const writes = [post(0, WRITE), post(0, ADD, { length: 0 }), post(0, READ), ...end];
      // Other bytes than before, so that a write that should not be carried out changes something.
      const late = [post(0, WRITE, { place: 1 }), post(0, READ), ...end];
      const ends = [
        post(1, INVALIDATE),
        post(1, INVALIDATE, { flags: SIGNALED | FENCE }),
        post(0, SEND_WITH_INV),
        verb('INVALIDATE_MW', 1, 0),
        verb('INVALIDATE_MW', 0, 0),
        verb('DEALLOC_MW', 0),
        verb('DEREG_LAND', 0, 0),
        verb('DEREG_LAND', 0, 2),
        verb('REREG_MR', 0, 4, 0, 0, 0, 0x1f),
        verb('DESTROY_QP', 1),
        verb('MODIFY_QP', 1, 0x80),
        verb('DEALLOC_PD', 0, 1),
        verb('CLOCK', 50),
        verb('BIND_MW', 1, 0, 0, 8, 8, 0x0e, 2),
        verb('BIND_MW', 1, 0),
        verb('EXIT', 1),
      ];
      const bound = verb('BIND_MW', 1, 0, 0, 1, 128, EVERY_RIGHT, 1);
      const made = [
        bound,
        verb('BIND_MW', 0, 0, 0, 1, 128, EVERY_RIGHT, 1), // of the wrong queue pair
        post(1, BIND),
        post(1, BIND, { flags: SIGNALED | FENCE }),
        verb('LEASE_MR', 0, 0, 0, 1, 128, EVERY_RIGHT, 0x80, 40),
        verb('LEASE_MR', 0, 0, 0, 1, 128, EVERY_RIGHT, 1, 40),
        verb('LEASE_MR', 0, 0, 0, 1, 128, EVERY_RIGHT, 0, 40),
        verb('LEASE_MR', 0, 0, 0, 1, 128, EVERY_RIGHT, 0x80, 0, 0xff),
      ];
      for (const bound of made)
        for (const ended of ends)
          yield play(
            bound,
            ...end,
            ...writes,
            ended,
            ...end,
            ...late,
            post(0, WRITE, { window: OLD_KEY }),
            ...end,
          );
      for (const rights of [0, 2, 4, 8, 0x10, 1])
        yield play(
          verb('BIND_MW', 1, 0, 0, 1, 128, rights, 1),
          ...writes,
          verb('LEASE_MR', 2, 0, 0, 1, 16, rights, 1, 9),
        );
      for (const [place = 0, length = 0] of [
        [0, 255],
        [0, 254],
        [1, 255],
        [255, 8],
        [254, 1],
        [253, 1],
        [0, 0],
        [0, 253],
      ])
        yield play(
          verb('BIND_MW', 1, 0, 0, place, length, EVERY_RIGHT, 1),
          verb('LEASE_MR', 2, 0, 1, place, length, EVERY_RIGHT, 0x80, 9),
          verb('BIND_MW', 1, 1, 0, place, length, EVERY_RIGHT, 1),
          ...writes,
          post(0, WRITE, { window: 2 }),
          post(2, WRITE, { window: 1 }),
          ...end,
        );
      for (const place of [0, 7, 8, 9, 12, 252, 253, 254, 255])
        yield play(bound, post(0, WRITE, { place }), ...end, post(0, ADD, { place, length: 0 }), ...end);
      // Lists: bind, write by the new key, invalidate.
      for (const count of [1, 2, 3])
        for (const steps of [0, 1, 2, 0x81, 0x82])
          for (const opcode of [BIND, WRITE, INVALIDATE])
            yield play(
              post(1, opcode, { count, steps, window: NEW_KEY }),
              ...writes,
              post(1, opcode, { count, steps }),
              ...end,
            );
      // Type 1, which can be bound again.
      yield play(
        verb('BIND_MW', 1, 1, 0, 1, 64, EVERY_RIGHT, 1),
        post(0, WRITE, { window: 1 }),
        ...end,
        verb('BIND_MW', 0, 1, 0, 20, 64, EVERY_RIGHT, 2),
        post(0, WRITE, { window: 1 | OLD_KEY }),
        ...end,
        verb('BIND_MW', 1, 1, 0, 0, 0, 0, 3),
        post(0, WRITE, { window: 1 }),
        ...end,
      );
      // Re-registration of lands and of others, with everything that it changes.
      for (const flags of [0, 1, 2, 3, 4, 5, 6, 7, 8])
        for (const address of [0, 0x20, 0x40, 0x80])
          yield play(
            verb('ALLOC_PD', 1, 0),
            verb('REREG_MR', 0, flags, 0, 16, 2, 0x1f, 1, address),
            made[0] ?? verb('RUN'),
            ...writes,
            verb('REREG_MR', 0x81, flags, 2, 9, 2, 0x0f, 1, address),
            send(0, 1),
            ...end,
            verb('REREG_MR', 0, 2, 0, 0, 0, 0, 0),
          );
      // A long message, interrupted between two steps.
      for (const [index, ...operands] of [
        [0, 1, 4, 0, 0, 0, 0x1f],
        [1, 0],
        [2, 1, 0],
        [3, 1, 0],
        [3, 1, 2],
        [4, 50],
        [5, 1, 0, 1],
        [6, 3, 0, 1, 0, 255, 14, 1, 9],
        [0, 1, 1, 0, 0, 2],
        [7, 2, 0, 2, 1],
      ])
        for (const bound of [
          verb('BIND_MW', 1, 0, 1, 0, 255, EVERY_RIGHT, 1),
          verb('LEASE_MR', 0, 0, 1, 0, 255, EVERY_RIGHT, 1, 40),
          verb('RUN'),
        ])
          for (const opcode of [WRITE, READ])
            yield play(
              bound,
              verb('INTERRUPT_WINDOW', 0, index ?? 0, ...operands),
              verb('POST_WINDOW', 0, opcode, SIGNALED, 1, 3, 0, 13, 0),
              verb('INTERRUPT_WINDOW', 0, index ?? 0, ...operands),
              ...end,
              ...end,
            );
    }
}

function* rest() {
  const begin = [scene(RC, 0, 0, MANUAL)];
  const connected = (/** @type {Buffer[]} */ ...verbs) => Buffer.concat([...begin, ...verbs]);
  for (const allocations of Array(8).keys()) {
    const fail = verb('FAIL', allocations);
    for (const made of [
      verb('CREATE_QP', 5, 0, RC, 0, 1, 0, 4, 4, 2, 2, 1),
      verb('CREATE_CQ', 3, 0, 8),
      verb('RESIZE_CQ', 0, 20),
      verb('CREATE_SRQ', 1, 0, 4, 2, 1),
      verb('MODIFY_SRQ', 0, 1, 8),
      verb('CREATE_AH', 1, 0),
      verb('ALLOC_PD', 1, 0),
      verb('REG_MR', 7, 0, 1, 0, 0, 0x0f),
      verb('OPEN', 0, 0),
    ])
      yield connected(fail, made, send(0, 0), verb('RUN'));
  }
  // Two contexts, one of which attaches the domain of the other.
  const shared = [
    verb('ALLOC_CONTEXT', 0),
    verb('ALLOC_CONTEXT', 1),
    verb('ALLOC_PD', 1, 2),
    verb('ATTACH_PD', 2, 3, 1),
    verb('CREATE_CQ', 2, 3, 8),
    verb('CREATE_QP', 4, 2, RC, 2, 2, 0, 4, 4, 2, 2, 1),
    verb('CREATE_SRQ', 1, 2, 4, 2, 1),
    verb('CREATE_QP', 5, 2, RC, 2, 2, 0x81, 4, 4, 2, 2, 1),
    verb('CONNECT', 4, 5, 0x0f, 2, 1),
    verb('REG_MR', 8, 1, 1, 0, 0, 0x0f),
    verb('POST_SRQ_RECV', 0x11, 1, 8),
    verb('POST_SEND', 4, 0, SIGNALED, 1, 8),
    verb('RUN'),
  ];
  yield connected(...shared, verb('DEALLOC_CONTEXT', 0, 1), verb('RUN'), verb('DEALLOC_CONTEXT', 1, 1));
  yield connected(...shared, verb('DEALLOC_CONTEXT', 1, 1), verb('RUN'));
  yield connected(...shared, verb('DEALLOC_PD', 1, 1), verb('RUN'));
  // A shared queue that ends with its domain while a queue pair of another domain uses it.
  for (const end of [verb('DEALLOC_PD', 1, 1), verb('DESTROY_SRQ', 1)])
    yield connected(
      verb('ALLOC_PD', 1),
      verb('CREATE_SRQ', 1, 1, 4, 2, 1),
      verb('CREATE_QP', 4, 0, RC, 0, 1, 0x81, 4, 4, 2, 2, 1),
      verb('CONNECT', 4, 4, 0x0f, 2, 1),
      verb('REG_MR', 8, 1, 1, 0, 0, 0x0f),
      verb('POST_SRQ_RECV', 0x11, 1, 8),
      verb('POST_SEND', 4, 0, SIGNALED, 1, 0),
      verb('RUN'),
      end,
      verb('POST_SEND', 4, 0, SIGNALED, 1, 0),
      verb('RUN'),
      verb('DESTROY_QP', 4),
      verb('RUN'),
    );
  // Each move with what it accepts, with an attribute more or less, and with a wrong value of each kind.
  const [rts, sqd, legal] = [3, 4, 0x20];
  for (const type of [RC, UC, UD])
    for (const wrong of [0, 1, 2, 4, 8, 16, 32, 64])
      yield Buffer.concat([
        scene(type, 0, 0, MANUAL),
        verb('MODIFY_QP', 0, 0x80 | sqd),
        verb('MODIFY_QP', 0, legal | sqd, 255, 255, 255, wrong, 0, 200),
        verb('MODIFY_QP', 0, legal | rts, 255, 255, 255, wrong, 0, 200, 1),
        verb('MODIFY_QP', 0, 0x80 | 0),
        ...[1, 2, 3].flatMap((state) =>
          [wrong * 2 + 1, 1, 0].map((bit) =>
            verb('MODIFY_QP', 0, legal | state, 0, 0, 0, bit ? wrong : 0, 1, 200, 0, bit),
          ),
        ),
        send(0, 0),
        verb('RUN'),
      ]);
  for (const opcode of [0, 1, 2, 5]) {
    // The responder's bytes, or those of a receive, cannot be used any more.
    yield connected(send(0, opcode), verb('DETACH', 1), verb('RUN'));
    // The memory of an atomic is not aligned.
    yield connected(
      verb('REG_MR', 7, 0, 1, 0, 0, 0x0f, 0x80),
      verb('REG_MR', 8, 0, 2, 0, 0, 0x0f, 0x80),
      verb('POST_SEND', 0, opcode, SIGNALED, 1, 7, 0, 0, 8, 7 /* 1 byte in */),
      verb('POST_SEND', 2, opcode, SIGNALED, 1, 7, 0, 0, 0x28, 0),
      verb('RUN'),
    );
  }
  // A datagram for which the receive is too small: it stays in hand until its region is deregistered.
  yield Buffer.concat([
    scene(UD, 0, 0, MANUAL),
    verb('POST_RECV', 5, 1, 1, 0, 8),
    verb('MODIFY_QP', 1, 0x80 | 0),
    verb('CONNECT', 1, 0, 0x0f, 2, 1),
    send(0, 0, SIGNALED, 3),
    verb('RUN'),
    verb('POST_SEND', 0, 0, SIGNALED, 1, 0, 0, 12, 0, 0, 0, 1),
    verb('DEREG_MR', 1, 0),
    verb('RUN'),
  ]);
  yield connected(
    verb('POST_SRQ_RECV', 0x20, 1, 0),
    verb('MODIFY_SRQ', 0, 3, 7, 1),
    verb('MODIFY_SRQ', 0, 1, 3),
  );
  yield* interrupted();
  // Key 0, detached memory, memory of another environment, more than one step of the engine.
  yield connected(
    verb('GET_DMA_MR', 9, 0),
    verb('POST_SEND', 0, 1, SIGNALED, 1, 0x10, 0, 13, 3),
    verb('RUN'),
  );
  yield connected(verb('DETACH', 0), send(0, 1), verb('RUN'), verb('DETACH', 0, 1), send(2, 1), verb('RUN'));
  yield connected(
    verb('REG_MR', 10, 0, 0, 0, 0, 0x0f, 0, 1),
    verb('POST_SEND', 0, 1, SIGNALED, 1, 10, 0, 6, 1),
    verb('RUN'),
    verb('ENVIRONMENT', 1),
    verb('POST_SEND', 2, 1, SIGNALED, 1, 10, 0, 6, 1),
    verb('RUN'),
  );
  yield connected(verb('POST_SEND', 0, 2, SIGNALED, 1, 3, 0, 13, 4, 0), verb('RUN'), verb('EXIT', 1));
  // Lists of four that are posted whole, behind queued work requests: the opcode changes by `steps` from one to the next.
  for (const opcode of Array(OPCODES).keys())
    for (const steps of [0, 2, 4, 6])
      yield connected(
        send(0, 0, SIGNALED),
        verb('POST_WHOLE', 0 | (3 << 4), opcode, SIGNALED, 1, 0, 0, 6, 1, 0, 0, 1, 4, 3, 0x0f, steps),
        verb('POST_WHOLE', 0 | (3 << 4), opcode, 0, 1, 0, 0, 6, 1, 0, 0, 1, 4, 3, 0x0f, steps),
        verb('RUN'),
        verb('POLL_CQ', 0, 8),
      );
  yield connected(verb('POST_SEND', 0, 9, SIGNALED, 0, 0, 0, 0, 0, 0, 0, 0, 4, 7, 0x0f, 0), verb('RUN'));
  yield connected(
    send(0, 0),
    verb('PROGRESS', 1),
    send(0, 0),
    verb('PROGRESS', 0, 9),
    verb('QUERY'),
    verb('EXIT', 0),
  );
}

/** Long requests, interrupted between two steps by what ends a queue pair or a region. */
function* interrupted() {
  /** @type {[number, ...number[]][]} verbs by their index in arm_interrupt() of verbs_play.c, with operands */
  const interruptions = [2, 3].flatMap((qp) => [
    [0, qp, 0x86],
    [0, qp, 0x80],
    [1, qp],
    [4, qp, 1, 0],
    [5, qp, 0, SIGNALED, 1, 5],
  ]);
  interruptions.push(
    [2, 3],
    [2, 5],
    [2, 3, 2],
    [2, 5, 2],
    [6, 0, 1],
    [7, 0, 3, 2, 2],
    [8, 0, 1],
    [10, 1],
    [14],
  );
  for (const type of [RC, UC])
    for (const opcode of [0, 1, 2, 4])
      for (const steps of [0, 1])
        for (const options of [0, 0x10])
          for (const interruption of interruptions)
            yield Buffer.concat([
              scene(type, steps, options, MANUAL),
              ...(options ? [0, 1, 2].map(() => send(0, 0, 0)) : []), // they take the small shared receives
              ...(options ? [verb('RUN')] : []),
              verb('POST_SEND', 0x12 + steps, opcode, SIGNALED, 1, 5, 0, 13, 3, 0),
              verb('INTERRUPT', steps, ...interruption),
              verb(interruption[0] === 5 ? 'FIRE_TIMERS' : 'RUN'),
              verb('RUN'),
            ]);
  // Queues with rings: a correct consumer, wrong values, overflow, ends.
  for (const cqe of [2, 3, 8])
    for (const device of [0, MANUAL])
      for (const end of [
        verb('DESTROY_QP', 4),
        verb('DEALLOC_CONTEXT', 0, 1),
        verb('EXIT', 1),
        verb('RUN'),
      ]) {
        const post = [verb('POST_SEND', 4, 0, SIGNALED, 0), verb('RUN')];
        yield Buffer.concat([
          scene(RC, 0, 0, device),
          verb('CREATE_CQ', 3, 0, cqe, 0, 0, 1),
          verb('CREATE_QP', 4, 0, RC, 3, 3, 0, 8, 8, 2, 2, 1),
          verb('CONNECT', 4, 4, 0x0f, 2, 1),
          verb('ARM_CQ', 3, 2),
          ...[0, 1, 2, 0xff].flatMap((take) => [...post, verb('TAIL', 3, 0, take), ...post]),
          verb('RESIZE_CQ', 3, 4),
          verb('POLL_CQ', 3, 1),
          ...[1, 2, 5, 6].flatMap((what) => [...post, verb('TAIL', 3, what, 0xfe, 0xff, 0xff, 0xff)]),
          ...post,
          verb('TAIL', 3, 5, 1),
          verb('ARM_CQ', 3, 4),
          verb('QUERY'),
          end,
          verb('DESTROY_CQ', 3),
        ]);
      }
  // The engine runs in the call that posts.
  for (const interruption of interruptions)
    yield Buffer.concat([
      scene(RC, 0, 0, 0),
      verb('INTERRUPT', 0, ...interruption),
      verb('POST_SEND', 0x12, 1, SIGNALED, 1, 5, 0, 13, 3, 0),
      verb('POLL_CQ', 0, 9),
    ]);
}
