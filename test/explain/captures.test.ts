// Every capture of real traffic is explained as its README (test/wire/captures/README.txt) says what happened. The expectations are
// written by hand from it.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type FindingKind } from '../../lib';
import { captureBytes, explainBytes, kindsOf, lineOf } from './explained';

interface Expected {
  /** One line for each request; or how many requests of which kind and outcome there are. */
  requests: string[] | Record<string, number>;
  /** Kinds of findings. */
  findings?: FindingKind[];
}

const write = (packet: number, answer: number): string => `${packet} RDMA_WRITE Acknowledged by ${answer}`;
const read = (packet: number, answer: number): string => `${packet} RDMA_READ Acknowledged by ${answer}`;
const send = (packet: number, answer: number): string => `${packet} SEND Acknowledged by ${answer}`;
const add = (packet: number, answer: number): string =>
  `${packet} ATOMIC_FETCH_AND_ADD Acknowledged by ${answer}`;
const swap = (packet: number, answer: number): string =>
  `${packet} ATOMIC_CMP_AND_SWP Acknowledged by ${answer}`;
const refusedBy = (opcode: string, answer: number, nak = '0x62'): Expected => ({
  requests: [`1 ${opcode} Refused by ${answer} (${nak})`],
  findings: ['ConnectionFailed'],
});

const captures: Record<string, Expected> = {
  // rxe to rxe. "A writes 3000 bytes at B+0", after eight packets that are not RoCEv2: SUCCESS
  'rxe-rxe/write': { requests: [write(9, 12)] },
  'rxe-rxe/write-imm': { requests: ['1 RDMA_WRITE_WITH_IMM Acknowledged by 2'] },
  'rxe-rxe/read': { requests: [read(1, 6)] },
  'rxe-rxe/send': { requests: [send(1, 3)] },
  'rxe-rxe/cas-faa': { requests: [swap(1, 3), add(2, 4)] },
  'rxe-rxe/bad-rkey': refusedBy('RDMA_WRITE', 2),
  'rxe-rxe/out-of-bounds-write': refusedBy('RDMA_WRITE', 2),
  // "5000 bytes at B+14000 of 16384 (its first two packets would fit)": refused as a whole
  'rxe-rxe/out-of-bounds-write-long': refusedBy('RDMA_WRITE', 6),
  'rxe-rxe/no-right': refusedBy('RDMA_WRITE', 2),
  'rxe-rxe/atomic-no-right': refusedBy('ATOMIC_FETCH_AND_ADD', 2),
  // "A SUCCESS, B REM_INV_REQ_ERR flags 0 key 0, then WRITE SUCCESS"
  'rxe-rxe/send-inv-own': {
    requests: ['2 SEND_WITH_INV Acknowledged by 3', write(4, 5)],
    findings: ['InvalidateFailed'],
  },
  'rxe-rxe/rnr': {
    requests: ['1 SEND Acknowledged by 6 (0x2e) repeated 2'],
    findings: ['ReceiverNotReady', 'Repeated'],
  },
  'rxe-rxe/rnr-exceeded': {
    requests: ['1 SEND ReceiverNotReady by 4 (0x2a) repeated 1'],
    findings: ['ReceiverNotReady', 'Repeated'],
  },
  'rxe-rxe/lost-write-middle': {
    requests: ['1 RDMA_WRITE Acknowledged by 10 repeated 1'],
    findings: ['SequenceNak', 'Repeated'],
  },
  'rxe-rxe/lost-ack': {
    requests: ['1 RDMA_WRITE Acknowledged by 2 repeated 1'],
    findings: ['RepeatedAfterAnswer'],
  },
  'rxe-rxe/lost-read-response': {
    requests: ['1 RDMA_READ Acknowledged by 6 repeated 1'],
    findings: ['RepeatedAfterAnswer'],
  },
  'rxe-rxe/retry-exceeded': {
    requests: ['1 RDMA_WRITE NoAnswer repeated 2'],
    findings: ['NoAnswers', 'Repeated'],
  },
  // Succeeds with a key that does not exist, so the key proves nothing.
  'rxe-rxe/zero-length-bad-key': { requests: [write(1, 2)] },
  'rxe-rxe/many': { requests: { 'RDMA_WRITE Acknowledged': 40 } },

  // rxe ("peer") and the endpoint
  'rxe-endpoint/ping': { requests: [write(6, 7)] },
  'rxe-endpoint/peer-writes-0': { requests: [write(1, 2)] },
  'rxe-endpoint/peer-writes-1': { requests: [write(1, 2)] },
  'rxe-endpoint/peer-writes-7': { requests: [write(1, 2)] },
  'rxe-endpoint/peer-writes-64': { requests: [write(1, 2)] },
  'rxe-endpoint/peer-writes-1024': { requests: [write(1, 2)] },
  'rxe-endpoint/peer-writes-5000': { requests: [write(1, 6)] },
  'rxe-endpoint/peer-writes-65536': { requests: [write(1, 65)] },
  'rxe-endpoint/peer-writes-with-immediate': { requests: ['1 RDMA_WRITE_WITH_IMM Acknowledged by 3'] },
  'rxe-endpoint/peer-reads-0': { requests: [read(1, 2)] },
  'rxe-endpoint/peer-reads-1': { requests: [read(1, 2)] },
  'rxe-endpoint/peer-reads-1024': { requests: [read(1, 2)] },
  'rxe-endpoint/peer-reads-65536': { requests: [read(1, 65)] },
  'rxe-endpoint/peer-compare-and-swap': { requests: [swap(1, 2), swap(3, 4)] },
  'rxe-endpoint/peer-fetch-and-add': { requests: [add(1, 2), add(3, 4), add(5, 6)] },
  'rxe-endpoint/peer-sends': { requests: [send(1, 4), '5 SEND_WITH_IMM Acknowledged by 6'] },
  'rxe-endpoint/peer-sends-with-invalidate': {
    requests: [write(1, 2), '3 SEND_WITH_INV Acknowledged by 4', '5 RDMA_WRITE Refused by 6 (0x62)'],
    findings: ['UsedAfterInvalidate', 'ConnectionFailed'],
  },
  'rxe-endpoint/peer-writes-with-a-bad-key': refusedBy('RDMA_WRITE', 2),
  'rxe-endpoint/peer-writes-out-of-bounds': refusedBy('RDMA_WRITE', 2),
  'rxe-endpoint/peer-reads-out-of-bounds': refusedBy('RDMA_READ', 2),
  'rxe-endpoint/peer-atomic-without-the-right': refusedBy('ATOMIC_FETCH_AND_ADD', 2),
  // "rxe refuses it before it is sent": nothing of RoCEv2
  'rxe-endpoint/peer-atomic-misaligned': { requests: [] },
  'rxe-endpoint/receiver-not-ready': {
    requests: ['1 SEND Acknowledged by 18 (0x2e) repeated 8'],
    findings: ['ReceiverNotReady', 'Repeated'],
  },
  'rxe-endpoint/rnr-retries-exceeded': {
    requests: ['1 SEND ReceiverNotReady by 6 (0x21) repeated 2'],
    findings: ['ReceiverNotReady', 'Repeated'],
  },
  'rxe-endpoint/lost-request-packet': {
    requests: ['1 RDMA_WRITE Acknowledged by 16 repeated 1'],
    findings: ['SequenceNak', 'Repeated'],
  },
  'rxe-endpoint/lost-ack': {
    requests: ['1 RDMA_WRITE Acknowledged by 4 repeated 2'],
    findings: ['Repeated'],
  },
  'rxe-endpoint/lost-atomic-answer': {
    requests: ['1 ATOMIC_FETCH_AND_ADD Acknowledged by 4 repeated 2'],
    findings: ['Repeated'],
  },
  'rxe-endpoint/endpoint-writes-0': { requests: [write(1, 2)] },
  'rxe-endpoint/endpoint-writes-5': { requests: [write(1, 2)] },
  'rxe-endpoint/endpoint-writes-1024': { requests: [write(1, 2)] },
  'rxe-endpoint/endpoint-writes-30000': { requests: [write(1, 31)] },
  'rxe-endpoint/endpoint-writes-with-immediate': {
    requests: ['1 RDMA_WRITE_WITH_IMM Acknowledged by 3'],
  },
  'rxe-endpoint/endpoint-reads-0': { requests: [read(1, 2)] },
  'rxe-endpoint/endpoint-reads-5': { requests: [read(1, 2)] },
  'rxe-endpoint/endpoint-reads-1024': { requests: [read(1, 2)] },
  'rxe-endpoint/endpoint-atomics': { requests: [add(1, 2), swap(3, 4)] },
  'rxe-endpoint/endpoint-sends': { requests: [send(1, 5), '4 SEND_WITH_IMM Acknowledged by 6'] },
  'rxe-endpoint/endpoint-is-not-awaited': {
    requests: ['1 SEND Acknowledged by 104 (0x2e) repeated 51'],
    findings: ['ReceiverNotReady', 'Repeated'],
  },
  'rxe-endpoint/endpoint-reads-out-of-bounds': refusedBy('RDMA_READ', 2),
  'rxe-endpoint/endpoint-misaligned-atomic': {
    requests: ['1 ATOMIC_FETCH_AND_ADD Refused by 2 (0x61)'],
    findings: ['Misaligned', 'ConnectionFailed'],
  },
  // "the third WRITE_MIDDLE is never sent the first time"
  'rxe-endpoint/endpoint-loses-a-request': {
    requests: ['1 RDMA_WRITE Acknowledged by 16 repeated 1'],
    findings: ['PsnGap', 'SequenceNak', 'Repeated'],
  },
  // Asked for again three times before the capture has all responses, and once after: the endpoint had lost some of those.
  'rxe-endpoint/endpoint-loses-responses': {
    requests: ['1 RDMA_READ Acknowledged by 13 repeated 4'],
    findings: ['Repeated', 'RepeatedAfterAnswer'],
  },
  // It begins with late responses to the READ of the capture before.
  'rxe-endpoint/endpoint-loses-an-ack-and-an-atomic-answer': {
    requests: [
      '16 RDMA_WRITE Acknowledged by 18 repeated 1',
      '17 ATOMIC_FETCH_AND_ADD Acknowledged by 19 repeated 1',
    ],
    findings: ['AnswerWithoutRequest', 'RepeatedAfterAnswer'],
  },
  'rxe-endpoint/peer-invalidates-by-endpoint-send': {
    requests: ['1 SEND_WITH_INV Acknowledged by 2'],
    findings: ['InvalidateFailed'],
  },
  'rxe-endpoint/many-outstanding': {
    requests: { 'RDMA_WRITE Acknowledged': 40, 'RDMA_READ Acknowledged': 20 },
  },
  'rxe-endpoint/over-ipv6': {
    requests: [write(3, 8), read(9, 14), add(15, 16), read(17, 20)],
  },
  'rxe-endpoint/variant-id-and-checksum': { requests: [write(1, 21)] },
  'rxe-endpoint/variant-wrong-checksum': {
    requests: ['1 RDMA_WRITE NoAnswer repeated 2'],
    findings: ['BadChecksum', 'NoAnswers', 'Repeated'],
  },
  'rxe-endpoint/variant-wrong-icrc': {
    requests: ['1 RDMA_WRITE NoAnswer repeated 2'],
    findings: ['BadIcrc', 'NoAnswers', 'Repeated'],
  },
  // "three packets ahead of time"
  'rxe-endpoint/variant-wrong-psn-order': {
    requests: ['1 RDMA_WRITE OutOfSequence', '2 RDMA_WRITE OutOfSequence', '3 RDMA_WRITE OutOfSequence'],
    findings: ['SequenceNak'],
  },
  'rxe-endpoint/variant-duplicate': {
    requests: ['1 RDMA_WRITE Acknowledged by 4 repeated 1', write(2, 5)],
    findings: ['Repeated'],
  },
  'rxe-endpoint/variant-after-error': {
    requests: ['1 RDMA_WRITE Refused by 4 (0x62) repeated 1', '2 RDMA_WRITE NotCarriedOut by 4'],
    findings: ['Repeated', 'ConnectionFailed'],
  },
  'rxe-endpoint/variant-short-length': {
    requests: ['1 RDMA_WRITE Refused by 2 (0x61)'],
    findings: ['WrongLength', 'ConnectionFailed'],
  },

  // Programs. Files that are cut off at 60,000 bytes leave out large packets at their end, but have the small acknowledgements.
  'programs/program-pingpong': { requests: { 'SEND Acknowledged': 14 }, findings: ['RequestsNotInCapture'] },
  'programs/program-write_bw': { requests: [write(1, 55)], findings: ['RequestsNotInCapture'] },
  'programs/program-write_lat': {
    requests: { 'RDMA_WRITE Acknowledged': 257, 'RDMA_WRITE NoAnswer': 2 },
  },
  'programs/program-read_bw': {
    requests: { 'RDMA_READ PartlyAnswered': 1, 'RDMA_READ NoAnswer': 4 },
    findings: ['Repeated'],
  },
  'programs/program-atomic_bw': { requests: { 'ATOMIC_FETCH_AND_ADD Acknowledged': 319 } },
  'programs/program-send_bw': { requests: { 'SEND Acknowledged': 14 }, findings: ['RequestsNotInCapture'] },
  'programs/program-send_lat': {
    // 278 packets, one of them sent again; the file ends before the last answer
    requests: { 'SEND Acknowledged': 276, 'SEND NoAnswer': 1 },
    findings: ['RepeatedAfterAnswer'],
  },
  'programs/program-rping': {
    requests: {
      'CM REQ Unacknowledged': 1,
      'CM REP Unacknowledged': 1,
      'CM RTU Unacknowledged': 1,
      'CM DREQ Unacknowledged': 1,
      'CM DREP Unacknowledged': 1,
      'SEND Acknowledged': 40,
      'RDMA_READ Acknowledged': 10,
      'RDMA_WRITE Acknowledged': 10,
    },
  },
  'programs/program-rej': { requests: ['1 CM REQ Unacknowledged', '2 CM REJ Unacknowledged'] },
  'udp-socket-variants': { requests: [], findings: ['NotRoce'] },
};

test('there is an expectation for every capture', () => {
  const folder = join(__dirname, '..', 'wire', 'captures');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.pcap'))
    .map((file) => file.replaceAll('\\', '/').replace('.pcap', ''));
  expect(files.length).toBe(82);
  expect(Object.keys(captures).sort()).toEqual(files.sort());
});

test.each(Object.entries(captures))('%s', async (name, { requests, findings = [] }) => {
  const { requests: given, summary } = await explainBytes(captureBytes(name));
  if (Array.isArray(requests)) {
    expect(given.map(lineOf)).toEqual(requests);
  } else {
    const counts: Record<string, number> = {};
    for (const { opcode, outcome, cm } of given) {
      const what = `${cm === undefined ? opcode : `CM ${cm.name}`} ${outcome}`;
      counts[what] = (counts[what] ?? 0) + 1;
    }
    expect(counts).toEqual(requests);
  }
  expect(kindsOf(summary)).toEqual(findings);
  expect(summary.dropped).toEqual({ packets: 0, keys: 0, findings: 0, answers: 0 });
  expect(summary.requests).toBe(given.length);
  expect(summary.queuePairs.reduce((sum, row) => sum + row.requests, 0)).toBe(given.length);
});

test('atomic operations have their operands and the value before', async () => {
  const { requests } = await explainBytes(captureBytes('rxe-endpoint/peer-compare-and-swap'));
  // "first: compare 77 swap 99 at +8: swaps, answers 77; second: compare 5 swap 6 at +8: does not swap, answers 99"
  expect(requests.map(({ compare, swapAdd, original }) => [compare, swapAdd, original])).toEqual([
    [77n, 99n, 77n],
    [5n, 6n, 99n],
  ]);
  const adds = await explainBytes(captureBytes('rxe-endpoint/peer-fetch-and-add'));
  // "three times 2 at +16, which held 2^64 - 1: answers 2^64 - 1, 1, 3"
  expect(adds.requests.map(({ swapAdd, original }) => [swapAdd, original])).toEqual([
    [2n, 2n ** 64n - 1n],
    [2n, 1n],
    [2n, 3n],
  ]);
});

test('the requester is found by its answers, and by messages of the connection manager', async () => {
  const { summary } = await explainBytes(captureBytes('programs/program-rping'));
  const rows = summary.queuePairs.filter(({ transport }) => transport === 'RC');
  expect(
    rows.map(({ source, sourceQueuePair, destination, queuePair, mtu }) => [
      source,
      sourceQueuePair,
      destination,
      queuePair,
      mtu,
    ]),
  ).toEqual([
    ['10.0.2.2', 0x10a, '10.0.2.15', 0x1b, 1024],
    ['10.0.2.15', 0x1b, '10.0.2.2', 0x10a, 1024],
  ]);
  const ipv6 = await explainBytes(captureBytes('rxe-endpoint/over-ipv6'));
  expect(
    ipv6.requests.map(({ source, sourceQueuePair, queuePair }) => [source, sourceQueuePair, queuePair]),
  ).toEqual([
    ['fe80::5054:aff:fe00:20f', 71, 310],
    ['fe80::5054:aff:fe00:20f', 71, 310],
    ['fe80::5054:aff:fe00:20f', 71, 310],
    ['fe80::5054:ff:feaa:aaaa', 310, 71],
  ]);
});
