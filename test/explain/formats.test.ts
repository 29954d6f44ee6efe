// The same packets in every file format and link type give the same explanation.
import { pcapForms, pcapngOf, pcapOf, recordsOf } from './capture-records';
import { captureBytes, explainBytes } from './explained';

const original = captureBytes('rxe-endpoint/peer-sends-with-invalidate');
const packets = recordsOf('rxe-endpoint/peer-sends-with-invalidate');

test.each<[name: string, capture: Buffer]>([
  ...pcapForms.map(([name, form]): [string, Buffer] => [name, pcapOf(packets, form)]),
  ['pcapng with two interfaces', pcapngOf(packets)],
])('%s', async (_, capture) => {
  const expected = await explainBytes(original);
  const { requests, summary } = await explainBytes(capture);
  expect(requests).toEqual(expected.requests);
  expect({ ...summary, bytes: 0 }).toEqual({ ...expected.summary, bytes: 0 });
});

test('a snap length that keeps the headers costs only the check of the ICRC', async () => {
  const expected = await explainBytes(original);
  const { requests, summary } = await explainBytes(pcapOf(packets, { snap: 86 }));
  expect(requests).toEqual(expected.requests);
  expect(summary.icrcChecked).toBeLessThan(expected.summary.icrcChecked);
});

test('packets of an unknown link type are counted', async () => {
  const { requests, summary } = await explainBytes(pcapOf(packets, { linkType: 105 }));
  expect(requests).toEqual([]);
  expect(summary).toMatchObject({ packets: 6, roce: 0, unreadLink: 6, unreadLinkType: 105 });
});
