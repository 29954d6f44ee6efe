// Lists of regions as a file holds them: names and addresses in unusual spellings, files without an end, many hosts.
import { existsSync } from 'node:fs';
import { parseRegions, RegionListError } from '../../lib/explain/regions-file';
import { rdmavt } from '../support/command-line';
import { testIf } from '../support/conditions';
import { captureBytes, capturePath, explainBytes } from './explained';

const region = { key: 1, address: 0, length: 1, rights: ['RemoteRead'] };

test.each(['constructor', 'toString', '__proto__', 'hasOwnProperty'])(
  'a right named %s is unknown, although every object has a property of that name',
  (name) => {
    expect(() => parseRegions(JSON.stringify([{ ...region, rights: [name] }]))).toThrow(RegionListError);
  },
);

test.each([
  ['10.0.0.2', '10.0.0.2'],
  ['FE80:0:0:0:5054:0AFF:FE00:020F', 'fe80::5054:aff:fe00:20f'],
  ['fe80::5054:aff:fe00:20f', 'fe80::5054:aff:fe00:20f'],
  ['::ffff:10.0.0.2', '10.0.0.2'],
  ['::', '::'],
  ['1::', '1::'],
  ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
])('the host %s is that of packets of %s', (host, canonical) => {
  expect(parseRegions(JSON.stringify([{ ...region, host }])).regions[0]!.host).toBe(canonical);
});

test.each(['b.example', '10.0.0', '10.0.0.256', 'fe80::1%eth0', '', '::1]'])(
  'the host "%s" is no address, so it would never be that of a packet',
  (host) => {
    expect(() => parseRegions(JSON.stringify([{ ...region, host }]))).toThrow('regions[0].host must be');
  },
);

test('an IPv6 host that is spelled in another way is judged', async () => {
  const { requests } = await explainBytes(captureBytes('rxe-endpoint/over-ipv6'), {
    regions: [
      {
        key: '0x2b5',
        address: '0x5615c00c3000',
        length: 65536,
        rights: ['RemoteRead'],
        host: 'FE80:0:0:0:5054:AFF:FE00:20F',
      },
    ],
  });
  expect(requests.map(({ verdict }) => verdict).filter(Boolean)).toEqual(['Accepted']);
});

test('regions of two hosts with one key are told apart, and the first of one host counts', async () => {
  const at = { key: '0x22a', address: '0x55abb94c2000', length: 16384 };
  const list = [
    { ...at, rights: [], host: '10.0.2.99' },
    { ...at, rights: ['RemoteWrite'], host: '10.0.2.16' },
    { ...at, rights: [], host: '10.0.2.16' },
    { ...at, rights: [] },
  ];
  const { requests } = await explainBytes(captureBytes('rxe-rxe/write'), { regions: list });
  expect(requests.map(({ verdict }) => verdict)).toEqual(['Accepted']);
});

testIf(existsSync('/dev/zero'), 'needs /dev/zero')('a list that does not end is refused, by its name', () => {
  const { status, stderr } = rdmavt(['explain', capturePath('rxe-rxe/write'), '--regions', '/dev/zero']);
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: 'rdmavt: /dev/zero: longer than 268435456 bytes\n',
  });
});

test('a region without bytes is not said to be missing in the list', async () => {
  const { requests } = await explainBytes(captureBytes('rxe-rxe/out-of-bounds-write'), {
    regions: [{ key: '0x22a', address: '0x55abb94c2000', length: 0, rights: ['RemoteWrite'] }],
    only: 'refused',
  });
  expect(requests.map(({ explanation }) => explanation)).toEqual([
    expect.stringContaining('The region with key 0x22a is listed with a length of 0'),
  ]);
});
