// Captures as people make them: cut, begun late, of one direction, with a snap length, in other formats. The explanation of each request
// stays what it is, or says what it does not know.
import { type ExplainedRequest } from '../../lib';
import { psnDistance } from '../../lib/explain/reading';
import { type CaptureRecord, captureNames, pcapForms, pcapngOf, pcapOf, recordsOf } from './capture-records';
import { captureBytes, type Explained, explainBytes, kindsOf } from './explained';

/** Captures with IPv4 only, because the altered link types are made for it. */
const ipv4 = captureNames().filter((name) =>
  recordsOf(name).every(({ frame }) => frame.readUInt16BE(12) === 0x0800),
);

const explainRecords = (records: readonly CaptureRecord[]): Promise<Explained> =>
  explainBytes(pcapOf(records));

/** What identifies a request in captures of parts of the same traffic. */
const nameOf = ({ source, destination, queuePair, psn, opcode }: ExplainedRequest): string =>
  `${source} > ${destination} ${queuePair} ${psn} ${opcode}`;

test.each(captureNames())(
  '%s, cut after any packet, tells nothing that the whole capture contradicts',
  async (name) => {
    const records = recordsOf(name);
    const whole = new Map(
      (await explainRecords(records)).requests.map((request) => [nameOf(request), request]),
    );
    const step = Math.max(1, Math.floor(records.length / 6));
    for (let length = step; length < records.length; length += step) {
      const { requests } = await explainRecords(records.slice(0, length));
      for (const request of requests) {
        const same =
          whole.get(nameOf(request)) ?? [...whole.values()].find(({ packet }) => packet === request.packet);
        expect(same).toBeDefined();
        // What has not been answered by then is open. What has been answered stays so.
        if (['Acknowledged', 'Refused'].includes(request.outcome)) {
          expect([request.outcome, request.nak]).toEqual([same!.outcome, same!.nak]);
          expect(request.answerPacket).toBeLessThanOrEqual(length);
        }
        expect([request.address, request.key]).toEqual([same!.address, same!.key]);
      }
    }
  },
);

test.each(captureNames())(
  '%s, begun behind any packet, tells nothing that the whole capture contradicts',
  async (name) => {
    const records = recordsOf(name);
    const whole = (await explainRecords(records)).requests;
    const step = Math.max(1, Math.floor(records.length / 6));
    for (let first = step; first < records.length; first += step) {
      const { requests, summary } = await explainRecords(records.slice(first));
      for (const request of requests) {
        // The same request, or packets in its middle, from which it may have been sent again.
        const same = whole.find(
          ({ queuePair, psn, source, destination, length }) =>
            queuePair === request.queuePair &&
            source === request.source &&
            destination === request.destination &&
            psnDistance(request.psn, psn) >= 0 &&
            psnDistance(request.psn, psn) <= length / 256,
        );
        expect(same).toBeDefined();
        if (request.outcome === 'Refused')
          expect([same!.outcome, same!.nak]).toEqual(['Refused', request.nak]);
        if (request.outcome === 'Acknowledged') expect(same!.outcome).toBe('Acknowledged');
        // A request without its first packet names no key, so nothing is said about one.
        if (request.key === undefined)
          expect(request.explanation).not.toMatch(/the key was never set|wrong key/);
      }
      // A NAK that ends a connection is named, whatever the capture has of its request.
      const naks = whole.filter(
        ({ outcome, answerPacket }) => outcome === 'Refused' && (answerPacket ?? 0) > first,
      );
      expect(summary.findings.filter(({ kind }) => kind === 'ConnectionFailed').length).toBe(naks.length);
    }
  },
);

/** The address that a packet comes from, as text; empty if it is not IP. */
function sourceOf({ frame }: CaptureRecord): string {
  if (frame.readUInt16BE(12) === 0x0800) return frame.subarray(26, 30).toString('hex');
  return frame.readUInt16BE(12) === 0x86dd ? frame.subarray(22, 38).toString('hex') : '';
}

test.each(captureNames())('%s of one direction only', async (name) => {
  const records = recordsOf(name);
  const whole = (await explainRecords(records)).requests;
  for (const host of new Set(records.map(sourceOf))) {
    const { requests, summary } = await explainRecords(records.filter((record) => sourceOf(record) === host));
    for (const { outcome, transport } of requests) {
      expect(outcome).toBe(transport === 'RC' ? 'NoAnswer' : 'Unacknowledged');
    }
    // Each connection without answers says so, and of what was refused the NAK is named.
    const unanswered = requests.filter(({ transport }) => transport === 'RC');
    const silent = summary.findings.filter(({ kind }) => kind === 'NoAnswers');
    expect(silent.length).toBe(new Set(unanswered.map(({ queuePair }) => queuePair)).size);
    const responder = records.find((record) => sourceOf(record) === host);
    const named = whole.filter(({ outcome, answerPacket }) => {
      return outcome === 'Refused' && sourceOf(records[(answerPacket ?? 1) - 1]!) === host;
    });
    const failed = summary.findings.filter(({ kind }) => kind === 'ConnectionFailed');
    expect([responder !== undefined, failed.length]).toEqual([true, named.length]);
    for (const { text } of failed) expect(text).toContain('answers a request that is not in the capture');
  }
});

const essence = ({ requests, summary }: Explained): unknown[] => [
  requests,
  summary.findings,
  summary.keys,
  summary.queuePairs,
];

// 14 bytes of Ethernet, 20 of IPv4, 8 of UDP, 12 of BTH and 28 of AtomicETH: a WRITE's headers end at byte 70, an atomic's at 82.
test.each(ipv4)('%s with a snap length', async (name) => {
  const records = recordsOf(name);
  const whole = await explainBytes(captureBytes(name));
  for (const snap of [96, 128]) {
    const cut = await explainBytes(pcapOf(records, { snap }));
    // Without the whole packet, neither its check sums can be checked nor what is not RoCEv2 be told with certainty.
    const unseen = kindsOf(whole.summary).filter((kind) =>
      ['BadIcrc', 'BadChecksum', 'NotRoce'].includes(kind),
    );
    if (unseen.length > 0) continue;
    expect(cut.requests.map((request) => ({ ...request, cm: undefined }))).toEqual(
      whole.requests.map((request) => ({ ...request, cm: undefined })),
    );
    expect(cut.summary.findings).toEqual(whole.summary.findings);
  }
  // At 64 bytes, no request with an address has its key: such packets are counted as cut, and said to be.
  const { requests, summary } = await explainBytes(pcapOf(records, { snap: 64 }));
  for (const { key, outcome } of requests) expect([key, outcome === 'Refused']).toEqual([undefined, false]);
  const hasTargets = whole.requests.some(({ key }) => key !== undefined);
  if (hasTargets) expect(summary.cut).toBeGreaterThan(0);
});

test.each(ipv4)('%s in every format and link type', async (name) => {
  const records = recordsOf(name);
  const whole = essence(await explainBytes(captureBytes(name)));
  for (const [, form] of pcapForms) expect(essence(await explainBytes(pcapOf(records, form)))).toEqual(whole);
  expect(essence(await explainBytes(pcapngOf(records)))).toEqual(whole);
});
