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

const WORK_REQUESTS = 9;
const PACKETS = 0x19;
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
  const receives = [0, 1, 2, 3].map((pair) => operation(POST_RECEIVE, pair, 0, 10));
  const polls = [0, 1, 2, 3].map((pair) => operation(POLL, pair));
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
  for (let opcode = 0; opcode < WORK_REQUESTS; opcode++)
    for (let length = 0; length < LENGTHS; length++) {
      const post = operation(POST, 0, opcode, 0, 0, length, length & 1, SIGNALED);
      yield program(receives, post, exchange(3), polls);
      if (length % 3 === 0)
        yield program(post, exchange(2), receives, operation(TIME, 0, 10), exchange(3), polls);
    }
  for (let opcode = 0; opcode < WORK_REQUESTS; opcode++)
    for (const interruption of between)
      yield program(
        receives,
        operation(POST, 0, opcode, 0, 0, 9, 0, SIGNALED),
        operation(SEND, 0, 7),
        operation(DELIVER, 0, 0, 0),
        interruption,
        exchange(2),
        operation(TIME, 0, 12),
        operation(TIME, 1, 12),
        exchange(2),
        polls,
      );
  for (let opcode = 0; opcode < PACKETS; opcode++)
    for (const part of [0, 1, 2, 6])
      yield program(
        receives,
        operation(POST, 1, opcode % WORK_REQUESTS, 0, 0, 9, 0, SIGNALED),
        operation(SEND, 1, LOST),
        operation(MAKE, 0, opcode, 0, part, 6, 0, 0, 0, 0x41, 0, 0),
        operation(MAKE, 0, opcode, 1, part, 4, 8, 1, 0, 0x40, 0, 0),
        ...Array.from({ length: 12 }, () => operation(DELIVER, 255, 0, 0)),
        exchange(1),
        polls,
      );
}
