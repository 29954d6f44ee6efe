// Packets that a capture stores twice or out of order, each rule by itself, and what only looks like it.
import { connection, Op, type PacketOf, Syndrome } from '../support/roce-captures';
import { pcapOf, recordsOf } from './capture-records';
import { explainBytes, explainPackets, kindsOf, lineOf } from './explained';

const A = { host: '10.0.0.1', qp: 17 };
const B = { host: '10.0.0.2', qp: 29 };
const { ask, answer, ack } = connection(A, B);
const target = { address: 0x10000n, key: 0xabcdef00, length: 64 };
const write = (psn: number): PacketOf => ask(Op.WriteOnly, psn, { reth: target, payload: 64 });
const nak = (psn: number, syndrome: number = Syndrome.Access): PacketOf => ack(psn, 0, syndrome);
const after = (packet: PacketOf, seconds: number): PacketOf => ({ ...packet, after: seconds });

/** A WRITE of several packets of 1024 bytes. */
const longWrite = (psn: number, packets: number): PacketOf[] => [
  ask(Op.WriteFirst, psn, { reth: { ...target, length: packets * 1024 }, payload: 1024 }),
  ...Array.from({ length: packets - 2 }, (_, i) => ask(Op.WriteMiddle, psn + 1 + i, { payload: 1024 })),
  ask(Op.WriteLast, psn + packets - 1, { payload: 1024 }),
];

async function told(packets: readonly PacketOf[]): Promise<[lines: string[], kinds: string[]]> {
  const { requests, summary } = await explainPackets(packets);
  return [requests.map(lineOf), kindsOf(summary)];
}

describe('out of order:', () => {
  it('a NAK before its request refuses it', async () => {
    expect(await told([nak(1), write(1)])).toEqual([
      ['2 RDMA_WRITE Refused by 1 (0x62)'],
      ['ConnectionFailed', 'StoredOutOfOrder'],
    ]);
  });

  it('a NAK before its request refuses it, on a connection that is known', async () => {
    expect(await told([write(1), ack(1), nak(2), write(2)])).toEqual([
      ['1 RDMA_WRITE Acknowledged by 2', '4 RDMA_WRITE Refused by 3 (0x62)'],
      ['ConnectionFailed', 'StoredOutOfOrder'],
    ]);
  });

  it('all answers of a queue before all requests of the other', async () => {
    const psns = Array.from({ length: 16 }, (_, psn) => psn);
    const [lines, kinds] = await told([...psns.map((psn) => ack(psn, psn + 1)), ...psns.map(write)]);
    expect(lines).toEqual(psns.map((psn) => `${17 + psn} RDMA_WRITE Acknowledged by ${psn + 1}`));
    expect(kinds).toEqual(['StoredOutOfOrder']);
  });

  it('a packet that comes behind eight later ones is neither a gap nor a repetition', async () => {
    const first = write(1);
    const rest = [3, 4, 5, 6, 7, 8, 9, 10].map(write);
    const { requests, summary } = await explainPackets([first, ...rest, write(2), ack(10)]);
    expect(requests.map(({ psn, packet, outcome }) => [psn, packet, outcome])).toEqual(
      [1, 3, 4, 5, 6, 7, 8, 9, 10, 2].map((psn, i) => [psn, i + 1, 'Acknowledged']),
    );
    expect(summary.findings).toMatchObject([{ kind: 'StoredOutOfOrder', packet: 10, count: 1 }]);
    expect(summary.queuePairs[0]).toMatchObject({ missingPackets: 0, repeated: 0 });
  });

  it('the packets of a message in any order of neighbours make up one request', async () => {
    const [a, b, c, d] = longWrite(5, 4) as [PacketOf, PacketOf, PacketOf, PacketOf];
    for (const packets of [
      [b, a, d, c, ack(8)],
      [a, c, b, d, ack(8)],
      [a, b, c, ack(8), d],
    ]) {
      const { requests } = await explainPackets(packets);
      expect(requests).toMatchObject([{ outcome: 'Acknowledged', packets: 4, complete: true, length: 4096 }]);
    }
  });

  it('responses to a READ whose path MTU is not known', async () => {
    const ok = { syndrome: Syndrome.Ack };
    const [lines, kinds] = await told([
      ask(Op.ReadRequest, 5, { reth: { ...target, length: 3000 } }),
      answer(Op.ReadMiddle, 6, { payload: 1024 }),
      answer(Op.ReadFirst, 5, { aeth: ok, payload: 1024 }),
      answer(Op.ReadLast, 7, { aeth: ok, payload: 952 }),
    ]);
    expect(lines).toEqual(['1 RDMA_READ Acknowledged by 4']);
    expect(kinds).toEqual(['StoredOutOfOrder']);
  });

  it('not a packet that a NAK asked for: that is missing, and sent again', async () => {
    const [a, b, c, d] = longWrite(5, 4) as [PacketOf, PacketOf, PacketOf, PacketOf];
    const packets = [write(4), ack(4), a, c, d, nak(6, Syndrome.Sequence), b, c, d, ack(8, 2)];
    expect(await told(packets)).toEqual([
      ['1 RDMA_WRITE Acknowledged by 2', '3 RDMA_WRITE Acknowledged by 10 repeated 1'],
      ['PsnGap', 'SequenceNak', 'Repeated'],
    ]);
  });

  it('not a packet that comes after a timeout', async () => {
    const [lines, kinds] = await told([write(1), write(3), after(write(2), 0.067), write(3), ack(3)]);
    expect(kinds).toEqual(['PsnGap', 'Repeated']);
    expect(lines).toEqual(['1 RDMA_WRITE Acknowledged by 5', '2 RDMA_WRITE Acknowledged by 5 repeated 1']);
  });

  it('not a packet that does not come within 64 others', async () => {
    const others = Array.from({ length: 70 }, (_, psn) =>
      ask(Op.UdSendOnly, psn, { deth: { qkey: 1, sourceQp: 5 }, payload: 8 }),
    ).map((packet) => ({ ...packet, qp: 99 }));
    const { requests, summary } = await explainPackets([write(1), write(3), ...others, write(2), ack(3)]);
    expect(summary.findings).toMatchObject([
      { kind: 'PsnGap', packet: 2, count: 1 },
      { kind: 'StoredOutOfOrder', packet: 73 },
    ]);
    // Requests are given in the order of their first packets, although that of packet 2 waited.
    const packets = requests.map(({ packet }) => packet);
    expect(packets).toEqual([...packets].sort((a, b) => a - b));
  });

  it('a capture with gaps everywhere is explained in a time that grows with its length only', async () => {
    const packets = Array.from({ length: 20_000 }, (_, i) => (i % 2 ? ack(3 * i - 3) : write(3 * i)));
    const begin = performance.now();
    const { summary } = await explainPackets(packets);
    expect(summary.requests).toBe(10_000);
    expect(performance.now() - begin).toBeLessThan(20_000);
  });
});

describe('stored twice:', () => {
  it('copies are left out, also a third, and before the original in time', async () => {
    const [lines, kinds] = await told([write(1), write(1), after(write(1), -1e-6), nak(1), nak(1)]);
    expect(lines).toEqual(['1 RDMA_WRITE Refused by 4 (0x62)']);
    expect(kinds).toEqual(['DuplicateFrames', 'ConnectionFailed']);
  });

  it('the finding says how many and which', async () => {
    const { summary } = await explainPackets([write(1), ack(1), write(1), ack(1)]);
    expect(summary.findings).toMatchObject([{ kind: 'DuplicateFrames', packet: 3, lastPacket: 4, count: 2 }]);
    expect(summary.findings[0]!.text).toMatch(
      /^2 frames are in the capture twice.* packet 3, is that of packet 1/,
    );
    expect(summary).toMatchObject({ packets: 4, roce: 4, icrcChecked: 2 });
  });

  it.each([
    [49e-6, ['1 RDMA_WRITE Acknowledged by 3'], ['DuplicateFrames']],
    [52e-6, ['1 RDMA_WRITE Acknowledged by 3 repeated 1'], ['Repeated']],
  ])('a frame %f s later', async (seconds, lines, kinds) => {
    expect(await told([write(1), after(write(1), seconds), ack(1)])).toEqual([lines, kinds]);
  });

  it('not what a NAK asked for, however fast it comes', async () => {
    const [lines] = await told([
      ask(Op.SendOnly, 1, { payload: 8 }),
      nak(1, Syndrome.Rnr),
      ask(Op.SendOnly, 1, { payload: 8 }),
      ack(1),
    ]);
    expect(lines).toEqual(['1 SEND Acknowledged by 4 (0x2e) repeated 1']);
  });

  it('not a frame that differs in its payload only, with a whole frame', async () => {
    const other = { ...write(1), payload: Buffer.alloc(64, 1) };
    expect((await told([write(1), other, ack(1)]))[1]).toEqual(['Repeated']);
  });

  it.each(['rxe-rxe/bad-rkey', 'rxe-endpoint/over-ipv6', 'programs/program-rping'])(
    'copies of cut frames are found by their headers: %s',
    async (name) => {
      const records = recordsOf(name);
      const once = await explainBytes(pcapOf(records, { snap: 120 }));
      const twice = await explainBytes(
        pcapOf(
          records.flatMap((record) => [record, record]),
          { snap: 120 },
        ),
      );
      expect(twice.requests.map(({ outcome, repeats }) => [outcome, repeats])).toEqual(
        once.requests.map(({ outcome, repeats }) => [outcome, repeats]),
      );
      expect(kindsOf(twice.summary).sort()).toEqual(['DuplicateFrames', ...kindsOf(once.summary)].sort());
    },
  );
});
