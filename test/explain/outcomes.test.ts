// What becomes of requests, and what the wire alone shows, in captures that are made for each case.
import { connection, Op, type PacketOf, Syndrome } from '../support/roce-captures';
import { captureBytes, explainBytes, explainPackets, kindsOf, lineOf } from './explained';

const A = { host: '10.0.0.1', qp: 17 };
const B = { host: '10.0.0.2', qp: 29 };
const { ask, answer, ack } = connection(A, B);

const reth = (key = 0xabcdef00, address = 0x10000n, length = 64) => ({ reth: { address, key, length } });
const write = (psn: number, key?: number, address?: bigint, length = 64): PacketOf =>
  ask(Op.WriteOnly, psn, { ...reth(key, address, length), payload: length, ackReq: true });
/** The packet after the timeout of a requester. */
const late = (packet: PacketOf): PacketOf => ({ ...packet, after: 0.067 });
const nak = (psn: number, syndrome: number = Syndrome.Access): PacketOf => ack(psn, 0, syndrome);
/** A WRITE of several packets of 1024 bytes. */
const longWrite = (psn: number, packets: number): PacketOf[] => [
  ask(Op.WriteFirst, psn, { ...reth(0xabcdef00, 0x10000n, packets * 1024), payload: 1024 }),
  ...Array.from({ length: packets - 2 }, (_, i) => ask(Op.WriteMiddle, psn + 1 + i, { payload: 1024 })),
  ask(Op.WriteLast, psn + packets - 1, { payload: 1024, ackReq: true }),
];

async function linesOf(packets: readonly PacketOf[]): Promise<string[]> {
  return (await explainPackets(packets)).requests.map(lineOf);
}

describe('a request', () => {
  it('is acknowledged by an acknowledgement of a later one, across the wrap of PSNs', async () => {
    const packets = [0xfffffe, 0xffffff, 0, 1].map((psn) => write(psn));
    expect(await linesOf([...packets, ack(1)])).toEqual([
      '1 RDMA_WRITE Acknowledged by 5',
      '2 RDMA_WRITE Acknowledged by 5',
      '3 RDMA_WRITE Acknowledged by 5',
      '4 RDMA_WRITE Acknowledged by 5',
    ]);
  });

  it('of several packets is not acknowledged by an acknowledgement of its middle', async () => {
    const [first, middle, last] = longWrite(5, 3) as [PacketOf, PacketOf, PacketOf];
    expect(await linesOf([first, middle, ack(6, 0), last])).toEqual(['1 RDMA_WRITE NoAnswer']);
    expect(await linesOf([first, middle, ack(6, 0), last, ack(7)])).toEqual([
      '1 RDMA_WRITE Acknowledged by 5',
    ]);
  });

  it('that is refused ends the connection: what is behind it is not carried out', async () => {
    const { requests, summary } = await explainPackets([write(1), write(2), write(3), nak(2), write(4)]);
    expect(requests.map(lineOf)).toEqual([
      '1 RDMA_WRITE Acknowledged by 4',
      '2 RDMA_WRITE Refused by 4 (0x62)',
      '3 RDMA_WRITE NotCarriedOut by 4',
      '5 RDMA_WRITE NotCarriedOut by 4',
    ]);
    expect(kindsOf(summary)).toEqual(['ConnectionFailed', 'SentAfterError']);
    expect(summary.queuePairs[0]).toMatchObject({
      refused: 1,
      acknowledged: 1,
      unanswered: 2,
      failedPacket: 4,
    });
  });

  it.each([
    [Syndrome.Invalid, 'invalid request', 'REM_INV_REQ_ERR'],
    [Syndrome.Access, 'remote access error', 'REM_ACCESS_ERR'],
    [Syndrome.Operation, 'remote operational error', 'REM_OP_ERR'],
  ])(
    'refused with NAK 0x%x is explained by the name of the NAK and of the completion',
    async (syndrome, name, status) => {
      const { requests } = await explainPackets([write(1), nak(1, syndrome)]);
      expect(requests[0]).toMatchObject({ outcome: 'Refused', nak: syndrome, nakText: name });
      expect(requests[0]!.explanation).toContain(status);
    },
  );

  it('that begins before the capture is marked so', async () => {
    const { requests } = await explainPackets([...longWrite(5, 4).slice(2), ack(8)]);
    expect(requests.map(lineOf)).toEqual(['1 RDMA_WRITE Acknowledged by 3']);
    expect(requests[0]).toMatchObject({ complete: false, key: undefined, packets: 2 });
  });

  it('READ with responses missing in the capture is partly answered', async () => {
    const { requests, summary } = await explainPackets([
      ask(Op.ReadRequest, 5, reth(1, 0n, 4096)),
      answer(Op.ReadFirst, 5, { aeth: { syndrome: Syndrome.Ack }, payload: 1024 }),
      answer(Op.ReadMiddle, 7, { payload: 1024 }),
      answer(Op.ReadLast, 8, { aeth: { syndrome: Syndrome.Ack }, payload: 1024 }),
    ]);
    expect(requests.map(lineOf)).toEqual(['1 RDMA_READ PartlyAnswered']);
    expect(requests[0]!.explanation).toContain('1 response packet with 1,024 bytes of 4,096');
    expect(kindsOf(summary)).toEqual(['ResponseGap']);
  });

  it('behind a READ of unknown path MTU has the PSN from which the MTU is learned', async () => {
    const { requests, summary } = await explainPackets([
      ask(Op.ReadRequest, 5, reth(1, 0n, 8192)),
      { ...write(7) },
      ack(7),
    ]);
    expect(requests.map(lineOf)).toEqual(['1 RDMA_READ NoAnswer', '2 RDMA_WRITE Acknowledged by 3']);
    expect(summary.queuePairs[0]!.mtu).toBe(4096);
    expect(kindsOf(summary)).toEqual([]);
  });

  it('of UC is not acknowledged, and a lost packet of it is found', async () => {
    const first = ask(Op.UcWriteFirst, 5, { ...reth(1, 0n, 3072), payload: 1024 });
    const last = ask(Op.UcWriteLast, 7, { payload: 1024 });
    const { requests, summary } = await explainPackets([first, last]);
    expect(requests).toMatchObject([{ transport: 'UC', outcome: 'Unacknowledged', complete: false }]);
    expect(kindsOf(summary)).toEqual(['PsnGap']);
  });

  it('of UD is a datagram of the queue pair that it names', async () => {
    const { requests } = await explainPackets([
      ask(Op.UdSendOnly, 5, { deth: { qkey: 0x1111, sourceQp: 77 }, payload: 40 }),
    ]);
    expect(requests).toMatchObject([{ transport: 'UD', opcode: 'SEND', sourceQueuePair: 77, cm: undefined }]);
  });
});

describe('a connection', () => {
  it('is found among others with the same addresses by the PSNs of its answers', async () => {
    const packets: PacketOf[] = [];
    const all = Array.from({ length: 20 }, (_, i) =>
      connection({ host: A.host, qp: 100 + i }, { host: B.host, qp: 400 - i }),
    );
    all.forEach((one, i) => packets.push(one.ask(Op.SendOnly, 1000 * i, { payload: 8 })));
    all.forEach((one, i) => packets.push(one.ack(1000 * i)));
    const { requests, summary } = await explainPackets(packets);
    expect(requests.map(({ queuePair, sourceQueuePair }) => [queuePair, sourceQueuePair])).toEqual(
      all.map((_, i) => [400 - i, 100 + i]),
    );
    expect(requests.every(({ outcome }) => outcome === 'Acknowledged')).toBe(true);
    expect(summary.queuePairs.some(({ guessed }) => guessed)).toBe(false);
  });

  it('whose answers fit two at first is told apart by later ones', async () => {
    const one = connection({ host: A.host, qp: 1000 }, { host: B.host, qp: 2000 });
    const two = connection({ host: A.host, qp: 1001 }, { host: B.host, qp: 2001 });
    const { requests, summary } = await explainPackets([
      one.ask(Op.SendOnly, 5, { payload: 8 }),
      two.ask(Op.SendOnly, 5, { payload: 8 }),
      two.ask(Op.SendOnly, 6, { payload: 8 }),
      two.ack(5, 1),
      two.ack(6, 2),
      one.ack(5, 1),
    ]);
    expect(
      requests.map(({ queuePair, sourceQueuePair, answerPacket }) => [
        queuePair,
        sourceQueuePair,
        answerPacket,
      ]),
    ).toEqual([
      [2000, 1000, 6],
      [2001, 1001, 4],
      [2001, 1001, 5],
    ]);
    expect(kindsOf(summary)).toEqual([]);
  });

  it('that cannot be told from another is taken to be the older one, and marked', async () => {
    const one = connection({ host: A.host, qp: 1000 }, { host: B.host, qp: 2000 });
    const two = connection({ host: A.host, qp: 1001 }, { host: B.host, qp: 2001 });
    const { requests, summary } = await explainPackets([
      one.ask(Op.SendOnly, 5, { payload: 8 }),
      two.ask(Op.SendOnly, 5, { payload: 8 }),
      one.ack(5),
    ]);
    expect(requests.map(lineOf)).toEqual(['1 SEND Acknowledged by 3', '2 SEND NoAnswer']);
    expect(kindsOf(summary)).toContain('AmbiguousConnection');
    expect(summary.queuePairs[0]).toMatchObject({ sourceQueuePair: 1000, guessed: true });
  });

  it('with the number of an earlier one begins anew', async () => {
    const { requests, summary } = await explainPackets([write(5), nak(5), write(0x800000), ack(0x800000)]);
    expect(requests.map(lineOf)).toEqual([
      '1 RDMA_WRITE Refused by 2 (0x62)',
      '3 RDMA_WRITE Acknowledged by 4',
    ]);
    expect(kindsOf(summary)).toEqual(['ConnectionFailed', 'NewSequence']);
  });

  it('of which only one direction was captured is said to be so', async () => {
    const { summary } = await explainPackets([write(1), write(2)]);
    expect(summary.findings.map(({ text }) => text)).toEqual([
      expect.stringContaining('Not one answer to 2 requests is in the capture'),
    ]);
  });

  it('with packets missing in the capture says which', async () => {
    const { requests, summary } = await explainPackets([write(1), ack(1), write(5), ack(5)]);
    expect(requests.map(lineOf)).toEqual([
      '1 RDMA_WRITE Acknowledged by 2',
      '3 RDMA_WRITE Acknowledged by 4',
    ]);
    expect(summary.findings).toMatchObject([{ kind: 'PsnGap', packet: 3, count: 3 }]);
    expect(summary.findings[0]!.text).toContain('are 2 to 4');
  });

  it('that meets congestion is marked', async () => {
    const { summary } = await explainPackets([write(1), ack(1), answer(Op.Cnp, 0, { payload: 16 })]);
    expect(summary.cnps).toBe(1);
    expect(kindsOf(summary)).toEqual(['Congestion']);
  });

  it('whose packets are in a wrong order is marked', async () => {
    const [first, middle] = longWrite(1, 3) as [PacketOf, PacketOf];
    const { requests, summary } = await explainPackets([first, middle, write(3), nak(3, Syndrome.Invalid)]);
    expect(kindsOf(summary)).toEqual(['WrongOrder', 'ConnectionFailed']);
    expect(requests.map(({ packet }) => packet)).toEqual([1, 3]);
  });
});

describe('a NAK whose request is not in the capture', () => {
  it('is named: a real capture without its first packet', async () => {
    const bytes = captureBytes('rxe-rxe/bad-rkey');
    const second = 24 + 16 + bytes.readUInt32LE(24 + 8);
    const { summary } = await explainBytes(Buffer.concat([bytes.subarray(0, 24), bytes.subarray(second)]));
    expect(summary.findings).toMatchObject([
      { kind: 'AnswerWithoutRequest', packet: 1, count: 1 },
      { kind: 'ConnectionFailed', packet: 1, source: '10.0.2.16', destination: '10.0.2.15', queuePair: 0x16 },
    ]);
    expect(summary.findings[1]!.text).toBe(
      'The NAK in packet 1 (remote access error, PSN 16777208) answers a request that is not in the capture, and ended its connection: ' +
        'the requester completes with REM_ACCESS_ERR, and both queue pairs go into error.',
    );
  });

  it.each([
    [
      Syndrome.Invalid,
      'ConnectionFailed',
      /The NAK in packet 1 \(invalid request, PSN 7\) answers a request that/,
    ],
    [Syndrome.Operation, 'ConnectionFailed', /The NAK in packet 1 \(remote operational error, PSN 7\)/],
    [Syndrome.Sequence, 'SequenceNak', /the responder did not get PSN 7, which is not in the capture/],
    [
      Syndrome.Rnr,
      'ReceiverNotReady',
      /^1 RNR NAK to requests that are not in the capture: no receive was posted/,
    ],
  ])('with syndrome 0x%x is named too', async (syndrome, kind, text) => {
    const { summary } = await explainPackets([nak(7, syndrome)]);
    expect(kindsOf(summary)).toEqual(['AnswerWithoutRequest', kind]);
    expect(summary.findings[1]).toMatchObject({ packet: 1, lastPacket: 1, count: 1 });
    expect(summary.findings[1]!.text).toMatch(text);
  });

  it('is no finding of the requests that its sender sends to the same queue pair', async () => {
    const own = answer(Op.SendOnly, 900, { payload: 8 });
    const { summary } = await explainPackets([
      own,
      nak(5),
      ask(Op.Ack, 900, { aeth: { syndrome: Syndrome.Invalid } }),
    ]);
    expect(
      summary.findings
        .filter(({ kind }) => kind === 'ConnectionFailed')
        .map(({ packet, text }) => [packet, text]),
    ).toEqual([
      [
        2,
        expect.stringContaining('(remote access error, PSN 5) answers a request that is not in the capture'),
      ],
      [3, expect.stringContaining('(invalid request, PSN 900) ended the connection')],
    ]);
  });

  it('is named although the connection is known: its PSN is far from those in the capture', async () => {
    const { summary } = await explainPackets([write(5), ack(5), nak(0x400000)]);
    expect(kindsOf(summary)).toEqual(['AnswerWithoutRequest', 'ConnectionFailed']);
    expect(summary.findings[1]).toMatchObject({
      packet: 3,
      source: A.host,
      destination: B.host,
      queuePair: B.qp,
    });
  });

  it('is named if the requests that it seemed to answer belong to other connections', async () => {
    const one = connection({ host: A.host, qp: 1000 }, { host: B.host, qp: 2000 });
    const two = connection({ host: A.host, qp: 1001 }, { host: B.host, qp: 2001 });
    const third = connection({ host: A.host, qp: 1002 }, { host: B.host, qp: 2002 });
    const { summary } = await explainPackets([
      one.ask(Op.SendOnly, 5, { payload: 8 }),
      two.ask(Op.SendOnly, 5, { payload: 8 }),
      third.ack(5, 0, Syndrome.Invalid),
      one.ack(5),
      one.ask(Op.SendOnly, 6, { payload: 8 }),
      one.ack(6),
      two.ack(5),
    ]);
    expect(summary).toMatchObject({ acknowledged: 3, dropped: { answers: 1 } });
    expect(summary.findings).toMatchObject([
      { kind: 'AnswerWithoutRequest', packet: 3, queuePair: 1002 },
      { kind: 'ConnectionFailed', packet: 3, queuePair: 1002 },
    ]);
  });

  it('is not named for an acknowledgement', async () => {
    const { summary } = await explainPackets([ack(7), ack(8)]);
    expect(summary.findings).toMatchObject([{ kind: 'AnswerWithoutRequest', count: 2 }]);
  });
});

describe('the most likely mistake', () => {
  const mistakeIn = async (packets: readonly PacketOf[]): Promise<string> =>
    (await explainPackets(packets)).requests.at(-1)!.explanation;

  it('is a region that was taken away in the middle of a request, if that is refused in its middle', async () => {
    const { requests } = await explainPackets([...longWrite(100, 64), nak(120)]);
    expect(requests.map(lineOf)).toEqual(['1 RDMA_WRITE Refused by 65 (0x62)']);
    // As in the roce facts: 20 packets, 20,480 bytes written, the 21st refused.
    expect(requests[0]!.explanation).toMatch(
      /taken away while .* first 20 packets \(20,480 bytes\) .* packet 21 of it/,
    );
  });

  it('is the same for a READ that is refused in its middle', async () => {
    const first = answer(Op.ReadFirst, 1, { aeth: { syndrome: Syndrome.Ack }, payload: 1024 });
    const text = await mistakeIn([ask(Op.ReadRequest, 1, reth(9, 0x10000n, 4096)), first, nak(2)]);
    expect(text).toMatch(/taken away while .* first 1 packet \(1,024 bytes\) was answered/);
  });

  it('knows that a NAK was lost, if the request is sent again after it', async () => {
    const { requests } = await explainPackets([write(1), late(write(1)), nak(1), late(write(1))]);
    expect(requests.map(lineOf)).toEqual(['1 RDMA_WRITE Refused by 3 (0x62) repeated 2']);
    expect(requests[0]!.explanation).toContain('Packet 4 sends it again: the NAK was lost');
  });

  it('is a key that was used after its end', async () => {
    const text = await mistakeIn([
      write(1),
      ack(1, 1),
      ask(Op.SendOnlyInv, 2, { invalidate: 0xabcdef00, payload: 4 }),
      ack(2, 2),
      write(3),
      nak(3),
    ]);
    expect(text).toMatch(/^Most likely: the key was used after its end. Packet 3 /);
  });

  it('is a range beyond what the key was used for', async () => {
    const text = await mistakeIn([write(1), ack(1), write(2, undefined, 0x10020n), nak(2)]);
    expect(text).toMatch(/^Most likely: out of bounds. .* ends 32 bytes past the highest address/);
  });

  it('is a missing right, if the key worked for another operation', async () => {
    const text = await mistakeIn([
      ask(Op.ReadRequest, 1, reth()),
      answer(Op.ReadOnly, 1, { aeth: { syndrome: Syndrome.Ack, msn: 1 }, payload: 64 }),
      write(2),
      nak(2),
    ]);
    expect(text).toMatch(/^Most likely: a right is missing/);
  });

  it('is a region that has ended, if the same worked before', async () => {
    expect(await mistakeIn([write(1), ack(1), write(2), nak(2)])).toMatch(
      /^Most likely: the region has ended/,
    );
  });

  it.each([
    [
      'the bytes of the key in reverse order',
      0x00efcdab,
      /bytes of 0xefcdab are in reverse order; 0xabcdef00 worked in packet 1/,
    ],
    ['an old key of the same region', 0xabcdef01, /differs in the low byte only/],
    ['a key that differs in a bit', 0xabcfef00, /differs in 1 bit only/],
    [
      'the key of another region',
      0x11111111,
      /The address is in the range for which key 0xabcdef00 worked in packet 1/,
    ],
    ['a key that was never set', 0, /never set/],
  ])('is %s', async (_, key, text) => {
    expect(await mistakeIn([write(1), ack(1), write(2, key), nak(2)])).toMatch(text);
  });

  // What the README of the captures says was wrong must be named first, as far as the wire can tell it from the others.
  it.each([
    ['rxe-rxe/bad-rkey', /first: 1\. the key \(not one of 10\.0\.2\.16, .* 2\. the right \(.* RemoteWrite\)/],
    ['rxe-rxe/no-right', /first: 1\. the key \(.* 2\. the right \(the region does not grant RemoteWrite\)/],
    ['rxe-endpoint/peer-writes-with-a-bad-key', /first: 1\. the key \(/],
    ['rxe-rxe/atomic-no-right', /first: 1\. the right \(the region does not grant RemoteAtomic/],
    [
      'rxe-endpoint/peer-atomic-without-the-right',
      /first: 1\. the right \(the region does not grant RemoteAtomic/,
    ],
    [
      'rxe-rxe/out-of-bounds-write',
      /1\. the range \(its last 16 bytes lie behind the page boundary 0x55abb94c6000/,
    ],
    [
      'rxe-rxe/out-of-bounds-write-long',
      /1\. the range \(its last 2,616 bytes lie behind the page boundary 0x55abb94c6000/,
    ],
    ['rxe-endpoint/peer-writes-out-of-bounds', /1\. the range \(its last 904 bytes .* 0x10000004b000/],
    [
      'rxe-endpoint/peer-reads-out-of-bounds',
      /1\. the range \(its last 1 byte lies behind .* 0x10000004e000/,
    ],
    ['rxe-endpoint/endpoint-reads-out-of-bounds', /1\. the range \(its last 64 bytes .* 0x5615c00d3000/],
  ])('of %s is named first', async (name, text) => {
    const { requests } = await explainBytes(captureBytes(name));
    expect(requests[0]!.explanation).toMatch(text);
    expect(requests[0]!.explanation).not.toContain('Most likely');
  });

  it('is a region that has ended or another domain, if the key worked on another queue pair', async () => {
    const other = connection({ host: A.host, qp: 18 }, { host: B.host, qp: 30 });
    const text = await mistakeIn([
      write(1),
      ack(1),
      other.ask(Op.WriteOnly, 50, { ...reth(), payload: 64 }),
      other.ack(50, 0, Syndrome.Access),
    ]);
    expect(text).toMatch(
      /the region has ended\. .* queue pair 0x1e is in another protection domain than 0x1d, where/,
    );
  });

  it('is no missing right of one atomic operation, if the other worked', async () => {
    const target = { address: 0x10000n, key: 7, swapAdd: 1n };
    const text = await mistakeIn([
      ask(Op.CmpSwap, 1, { atomic: { ...target, compare: 0n } }),
      answer(Op.AtomicAck, 1, { aeth: { syndrome: Syndrome.Ack, msn: 1 }, original: 0n }),
      ask(Op.FetchAdd, 2, { atomic: target }),
      nak(2),
    ]);
    expect(text).toMatch(/^Most likely: the region has ended/);
  });

  it('names the page boundary that a request passes beyond what was used', async () => {
    const text = await mistakeIn([write(1), ack(1), write(2, undefined, 0x10fe0n), nak(2)]);
    expect(text).toMatch(
      /^Most likely: out of bounds\. .* across the page boundary 0x11000, .* Otherwise: the region has ended/,
    );
  });

  it('cannot be told without the first packet of a request, which names the key', async () => {
    const [, middle, last] = longWrite(1, 3) as [PacketOf, PacketOf, PacketOf];
    const { requests } = await explainPackets([middle, last, nak(3)]);
    expect(requests[0]).toMatchObject({ outcome: 'Refused', key: undefined, complete: false });
    expect(requests[0]!.explanation).toMatch(
      /^Its first packet, .* cannot be told\. It was refused in its middle/,
    );
  });

  it('is an offset in the place of an address', async () => {
    expect(await mistakeIn([write(1, undefined, 0x40n), nak(1)])).toContain('0x40 looks like an offset');
  });

  it('is a wrong ICRC, if nothing answers', async () => {
    const packet = { ...write(1), damaged: true };
    const { requests } = await explainPackets([packet, late(packet)]);
    expect(requests[0]).toMatchObject({ outcome: 'NoAnswer', repeats: 1, badPackets: 2 });
    expect(requests[0]!.explanation).toContain('wrong ICRC');
  });

  it('is not seen in a damaged answer, which the requester drops', async () => {
    expect(await linesOf([write(1), { ...nak(1), damaged: true }, late(write(1)), ack(1)])).toEqual([
      '1 RDMA_WRITE Acknowledged by 4 repeated 1',
    ]);
  });
});

describe('findings about keys', () => {
  /** Requests with these keys on connections of their own; the answer refuses those of `refused`. */
  const used = (keys: number[], refused: ReadonlySet<number> = new Set()): PacketOf[] =>
    keys.flatMap((key, i) => {
      const one = connection({ host: A.host, qp: 100 + i }, { host: B.host, qp: 300 + i });
      const psn = 1000 * i;
      return [
        one.ask(Op.WriteOnly, psn, { ...reth(key), payload: 64 }),
        one.ack(psn, 1, refused.has(key) ? Syndrome.Access : Syndrome.Ack),
      ];
    });

  it('a peer that tries keys', async () => {
    const keys = [0x5a000100, 0x5a000200, 0x5a000300, 0x5a000400];
    const { summary } = await explainPackets(used(keys, new Set(keys)));
    const [finding] = summary.findings.filter(({ kind }) => kind === 'KeyProbing');
    expect(finding).toMatchObject({
      source: A.host,
      destination: B.host,
      count: 4,
      packet: 1,
      lastPacket: 7,
    });
    expect(finding!.text).toContain('0x5a000100, 0x5a000200, 0x5a000300 and 0x5a000400');
  });

  it('but not one that uses a key again that has ended', async () => {
    const { summary } = await explainPackets([...used([7, 7, 7, 7], new Set([7]))]);
    expect(kindsOf(summary)).not.toContain('KeyProbing');
  });

  it.each([
    // Eight keys that rxe gave out one after another: an index that counts up, and 8 random bits.
    ['of rxe', [0x6ea, 0x703, 0x8eb, 0x99a, 0xa4a, 0xb73, 0xccc, 0xde0], '256 guesses'],
    ['of a table that begins at a random index', [0x4455_0611, 0x4455_0722, 0x4455_0833], '256 guesses'],
    ['with the index in the high bits', [0x0001_0000, 0x0002_0000, 0x0003_0000], '1 guess'],
  ])('keys %s can be foretold, which is told if a peer tries keys', async (_, keys, text) => {
    expect(kindsOf((await explainPackets(used(keys))).summary)).toEqual([]);
    const tried = [0x7a31_5501, 0x1b00_9902, 0xc3d2_0003];
    const { summary } = await explainPackets(used([...keys, ...tried], new Set(tried)));
    expect(kindsOf(summary)).toContain('KeyProbing');
    const [finding] = summary.findings.filter(({ kind }) => kind === 'PredictableKeys');
    expect(finding).toMatchObject({ destination: B.host, count: keys.length });
    expect(finding!.text).toContain(text);
  });

  it('random keys cannot', async () => {
    // Keys of the endpoint in the captures, which the package gave with the policy "random".
    const keys = [
      0xa4f14700, 0xeab3cf00, 0x1b1beb00, 0x833c3b00, 0x2055b300, 0xe5860100, 0x383b3a00, 0x23608c00,
    ];
    const tried = [0x7a31_5501, 0x1b00_9902, 0xc3d2_0003];
    const { summary } = await explainPackets(used([...keys, ...tried], new Set(tried)));
    expect(kindsOf(summary)).toContain('KeyProbing');
    expect(kindsOf(summary)).not.toContain('PredictableKeys');
  });

  it('a request with a key that was invalidated and works nevertheless', async () => {
    const { requests, summary } = await explainPackets([
      ask(Op.SendOnlyInv, 1, { invalidate: 0xabcdef00, payload: 4 }),
      ack(1, 1),
      write(2),
      ack(2, 2),
    ]);
    expect(kindsOf(summary)).toEqual(['UsedAfterInvalidate']);
    expect(requests.at(-1)!.explanation).toContain('had been invalidated by packet 1, and yet');
  });
});

test('filters choose requests', async () => {
  const packets = [write(1), ack(1, 1), write(2, 5), nak(2)];
  const refused = await explainPackets(packets, { only: 'refused' });
  expect(refused.requests.map(({ packet }) => packet)).toEqual([3]);
  expect(refused.summary.requests).toBe(2);
  const byKey = await explainPackets(packets, { key: 0xabcdef00 });
  expect(byKey.requests.map(({ packet }) => packet)).toEqual([1]);
  expect(byKey.summary.keys.map(({ key }) => key)).toEqual([0xabcdef00]);
  expect((await explainPackets(packets, { queuePair: 17 })).requests.length).toBe(2);
  expect((await explainPackets(packets, { queuePair: 29 })).requests.length).toBe(2);
  expect((await explainPackets(packets, { queuePair: 30 })).requests.length).toBe(0);
});
