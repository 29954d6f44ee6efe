// The line by which the programs of perftest tell each other how to connect. test/two-processes exchanges it with them.
import { formatPerftestLine, parsePerftestLine } from '../../lib/serve/perftest-line';

const GID = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 3]);

test('the line of perftest is read and written', () => {
  const text =
    '0000:0010:66ac0c:d7d5f6:16ceb3bb:0000559cec8e4000:00:00:00:00:00:00:00:00:00:00:ff:ff:7f:00:00:03:00000000:\0';
  const line = parsePerftestLine(Buffer.from(text, 'latin1'));
  expect(line).toEqual({
    ...{ reads: 16, qpn: 0x66ac0c, psn: 0xd7d5f6, rkey: 0x16ceb3bb },
    ...{ remoteAddress: 0x559cec8e4000n, address: '127.0.0.3' },
  });
  expect(formatPerftestLine(line!, GID).toString('latin1')).toBe(text);
  for (const other of ['', 'done\0', text.slice(1), `${text}\0`, text.replace('66ac0c', '66ac0x')])
    expect(parsePerftestLine(Buffer.from(other, 'latin1'))).toBeUndefined();
});
