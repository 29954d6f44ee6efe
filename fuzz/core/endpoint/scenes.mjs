// Programs that the fuzzer of endpoints starts with: each kind of request between two endpoints, each kind of packet made up,
// and what can come in between.

const OPERATION = 12;
const POST = 0;
const POST_RECEIVE = 1;
const SEND = 2;
const DELIVER = 3;
const ALTER = 4;
const MAKE = 5;
const TIME = 6;
const MODIFY = 7;
const REGION = 8;
const POLL = 9;
const CONNECT = 10;
const CLOSE = 11;
const CM = 13;
const MAKE_CM = 14;

const WORK_REQUESTS = 9;
const RC_PACKETS = 0x19;
const UC_PACKETS = 12;
const UD_PACKETS = 2;
/** The first operand: number of the end, and of the queue pair. */
const RC = 0;
const UC = 2 << 1;
const UD = 3 << 1;
const PAIRS = [0, 1, 2, 3, 4, 5, 6, 7];
const LENGTHS = 12;
const SIGNALED = 2;
const LOST = 1 << 5;

/** @param {number} opcode @param {...number} operands */
const operation = (opcode, ...operands) =>
  Buffer.from([opcode, ...operands, ...Array(OPERATION).fill(0)].slice(0, OPERATION));

/** Lets both ends send and receive, `rounds` times. @param {number} rounds */
function exchange(rounds) {
  const operations = [];
  for (let round = 0; round < rounds; round++)
    for (const end of [0, 1])
      operations.push(
        operation(SEND, end, 7),
        ...Array.from({ length: 3 }, () => operation(DELIVER, 0, 0, 3)),
      );
  return operations;
}

/** @param {...(Buffer | Buffer[])} parts */
const program = (...parts) => Buffer.concat(parts.flat());

/** Yields the programs. */
export function* endpointScenes() {
  const receives = PAIRS.map((pair) => operation(POST_RECEIVE, pair, 0, 10));
  const polls = PAIRS.map((pair) => operation(POLL, pair));
  const between = [
    operation(TIME, 0, 9),
    operation(MODIFY, 0, 0),
    operation(MODIFY, 1, 0),
    operation(MODIFY, 0, 1),
    operation(REGION, 1, 0, 0),
    operation(REGION, 1, 1, 0),
    operation(REGION, 0, 4, 0),
    operation(REGION, 1, 1, 2),
    operation(CLOSE, 1),
    operation(CONNECT, 1, 255),
    operation(DELIVER, 0, 1),
    operation(DELIVER, 1, 0),
    operation(ALTER, 0, 20, 0, 0, 255, 129),
    operation(ALTER, 0, 0, 0, 0, 0, 136, 0, 1),
  ];
  for (const pair of [RC, UC, UD])
    for (let opcode = 0; opcode < WORK_REQUESTS; opcode++)
      for (let length = 0; length < LENGTHS; length++) {
        const post = operation(POST, pair, opcode, 0, 0, length, length & 1, SIGNALED);
        yield program(receives, post, exchange(3), polls);
        if (length % 3 === 0)
          yield program(post, exchange(2), receives, operation(TIME, 0, 10), exchange(3), polls);
      }
  for (const pair of [RC, UC])
    for (let opcode = 0; opcode < WORK_REQUESTS; opcode++)
      for (const interruption of between)
        yield program(
          receives,
          operation(POST, pair, opcode, 0, 0, 9, 0, SIGNALED),
          operation(SEND, 0, 7),
          operation(DELIVER, 0, 0, 0),
          interruption,
          exchange(2),
          operation(TIME, 0, 12),
          operation(TIME, 1, 12),
          exchange(2),
          polls,
        );
  for (let opcode = 0; opcode < RC_PACKETS + UC_PACKETS + UD_PACKETS; opcode++)
    for (const part of [0, 1, 2, 6]) {
      const pair = opcode < RC_PACKETS ? RC : opcode < RC_PACKETS + UC_PACKETS ? UC : UD;
      yield program(
        receives,
        operation(POST, 1, opcode % WORK_REQUESTS, 0, 0, 9, 0, SIGNALED),
        operation(SEND, 1, LOST),
        operation(MAKE, pair, opcode, 0, part, 6, 0, 0, 0, 0x41, 0, 0),
        operation(MAKE, pair, opcode, 1, part, 4, 8, 1, 0, 0x40, 0, 0),
        ...Array.from({ length: 12 }, () => operation(DELIVER, 255, 0, 0)),
        exchange(1),
        polls,
      );
    }
  yield* connections(between);
}

/* Operations of the connection manager, by their number in cm_play.c. */
const LISTEN = 0;
const UNLISTEN = 1;
const CONNECT_BY_CM = 2;
const TAKE_EVENTS = 3;
const ACCEPT = 4;
const REJECT = 5;
const CONFIRM = 6;
const DISCONNECT = 7;
const QUEUE_PAIR_GONE = 8;
const HANG_UP = 9;
const MESSAGES = 12;

/**
 * Yields programs with connections: one from the beginning to the end, then interrupted at each step.
 * @param {Buffer[]} between
 */
function* connections(between) {
  /** @param {number} end @param {number} code @param {...number} operands */
  const cm = (end, code, ...operands) => operation(CM, end, code, ...operands);
  const events = (/** @type {number} */ end) => cm(end, TAKE_EVENTS);
  const later = [0, 1].map((end) => operation(TIME, end, 23));
  const steps = [
    [cm(1, LISTEN, 0, 3)],
    [cm(0, CONNECT_BY_CM, 0, 0x22, 10, 4, 0, 3), exchange(1)],
    [events(1), cm(1, ACCEPT, 0, 0x22, 10, 4), exchange(1)],
    [events(0), cm(0, CONFIRM, 0), exchange(1)],
    [events(1)],
    [cm(0, DISCONNECT, 0), exchange(1)],
    [events(1), cm(1, DISCONNECT, 0), exchange(1)],
    [events(0), later, events(0), events(1)],
  ];
  const all = steps.flat(2);
  yield program(all, all);
  const interruptions = [
    ...between,
    cm(1, UNLISTEN, 0),
    cm(0, CONNECT_BY_CM, 0, 0, 0, 0, 0, 0),
    cm(1, REJECT, 0, 0, 0, 4),
    cm(0, DISCONNECT, 0),
    cm(1, DISCONNECT, 0),
    cm(0, QUEUE_PAIR_GONE),
    cm(1, QUEUE_PAIR_GONE),
    cm(0, HANG_UP),
    cm(1, HANG_UP),
    operation(TIME, 0, 23),
    operation(TIME, 1, 23),
    operation(MODIFY, 0, 3),
    operation(MODIFY, 1, 3),
  ];
  for (let step = 1; step < steps.length; step++)
    for (const interruption of interruptions)
      yield program(steps.slice(0, step).flat(2), interruption, exchange(1), steps.slice(step).flat(2), all);
  for (let message = 0; message < MESSAGES; message++)
    for (let step = 1; step < steps.length; step++)
      for (const to of [0, 1])
        yield program(
          steps.slice(0, step).flat(2),
          operation(MAKE_CM, 1 - to, message, 0, 1, 0x40, 0, 0, 0, 0, 0, 0),
          operation(MAKE_CM, 1 - to, message, 0, 1, 0, 0, 0, 0, 0, 1, 0),
          operation(DELIVER, 255, 0, 3),
          operation(DELIVER, 255, 0, 3),
          events(0),
          events(1),
          steps.slice(step).flat(2),
          later,
          all,
        );
}
