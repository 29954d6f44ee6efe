// Queue pair numbers, PSNs and keys are numbers of a host: several hosts have the same ones.
import { connection, Op, Syndrome } from '../support/roce-captures';
import { explainPackets, kindsOf, lineOf } from './explained';

test('connections of other hosts with the same numbers do not answer for each other', async () => {
  const hosts = ['10.0.0.3', '10.0.0.4', '10.0.0.5'];
  const all = hosts.map((host) => connection({ host: '10.0.0.1', qp: 17 }, { host, qp: 17 }));
  const reth = { address: 0x7000_0000n, key: 0x5b21_7701, length: 8 };
  const [good, bad, silent] = all;
  const packets = [
    ...all.map(({ ask }) => ask(Op.WriteOnly, 0xff_ffff, { reth, payload: 8 })),
    good!.answer(Op.Ack, 0xff_ffff, { aeth: { syndrome: Syndrome.Ack, msn: 1 } }),
    bad!.answer(Op.Ack, 0xff_ffff, { aeth: { syndrome: Syndrome.Access, msn: 0 } }),
    good!.ask(Op.WriteOnly, 0, { reth, payload: 8 }),
    good!.answer(Op.Ack, 0, { aeth: { syndrome: Syndrome.Ack, msn: 2 } }),
  ];
  const { requests, summary } = await explainPackets(packets);
  expect(requests.map(lineOf).sort()).toEqual([
    '1 RDMA_WRITE Acknowledged by 4',
    '2 RDMA_WRITE Refused by 5 (0x62)',
    '3 RDMA_WRITE NoAnswer',
    '6 RDMA_WRITE Acknowledged by 7',
  ]);
  expect(requests.find(({ packet }) => packet === 2)).toMatchObject({ destination: '10.0.0.4' });
  expect(kindsOf(summary).sort()).toEqual(['ConnectionFailed', 'NoAnswers']);
  expect(silent).toBeDefined();
});
