// How a capture stores packets changes nothing in what happened: all captures of the repository are explained with every frame twice, as a
// mirror port records them, and with neighbouring packets exchanged, as a capture of several queues has them.
import { type CaptureSummary, type ExplainedRequest } from '../../lib';
import { type CaptureRecord, captureNames, pcapOf, recordsOf } from './capture-records';
import { captureBytes, type Explained, explainBytes, kindsOf } from './explained';

/** Gives numbers of packets, alone and in texts, the numbers that `renamed` returns. */
function renumbered<T>(value: T, renamed: (packet: number) => number): T {
  const isNumber = /^(packet|lastPacket|answerPacket|firstPacket|failedPacket|invalidatedBy)$/;
  const text = JSON.stringify(value, (name, member: unknown) => {
    if (typeof member === 'bigint') return `${member}n`;
    if (isNumber.test(name) && typeof member === 'number') return renamed(member);
    if (typeof member !== 'string') return member;
    return member.replace(
      /(packet) (\d+)/gi,
      (_, word: string, number) => `${word} ${renamed(Number(number))}`,
    );
  });
  return JSON.parse(text) as T;
}

/** What must be the same although each frame is in the file twice. */
function essenceOf(
  { requests, summary }: Explained,
  renamed: (packet: number) => number,
): [ExplainedRequest[], Partial<CaptureSummary>] {
  const findings = summary.findings.filter(({ kind }) => kind !== 'DuplicateFrames');
  const same = { ...summary, findings, bytes: 0, packets: 0, roce: 0, fragments: 0, lastTime: 0n };
  return renumbered([requests, same], renamed);
}

/** Each packet twice, the copy `micros` later. */
function doubled(records: readonly CaptureRecord[], micros: number): CaptureRecord[] {
  return records.flatMap((record) => {
    const late = record.micros + micros;
    return [record, { ...record, seconds: record.seconds + Math.floor(late / 1e6), micros: late % 1e6 }];
  });
}

/** Exchanges the packets of each pair, from packet `first` on. With `times`, each keeps the time of its place. */
function exchanged(records: readonly CaptureRecord[], first: number, times: boolean): CaptureRecord[] {
  const all = [...records];
  for (let i = first; i + 1 < all.length; i += 2) {
    const [a, b] = [all[i]!, all[i + 1]!];
    all[i] = times ? { ...a, frame: b.frame } : b;
    all[i + 1] = times ? { ...b, frame: a.frame } : a;
  }
  return all;
}

describe.each(captureNames())('%s', (name) => {
  const records = recordsOf(name);

  it('contains no copies, and is in its order', async () => {
    const kinds = kindsOf((await explainBytes(captureBytes(name))).summary);
    expect(kinds).not.toContain('DuplicateFrames');
    expect(kinds).not.toContain('StoredOutOfOrder');
  });

  it.each([0, 3])('is the same with each frame twice, the copy %i µs later', async (micros) => {
    const original = await explainBytes(captureBytes(name));
    const copied = await explainBytes(pcapOf(doubled(records, micros)));
    expect(essenceOf(copied, (packet) => (packet + 1) / 2)).toEqual(essenceOf(original, (packet) => packet));
    const roce = original.summary.roce - original.summary.cut;
    const found = copied.summary.findings.filter(({ kind }) => kind === 'DuplicateFrames');
    expect(found.map(({ count }) => count)).toEqual(roce === 0 ? [] : [roce]);
  });

  it.each([
    ['even', 0, false],
    ['odd', 1, false],
    ['even', 0, true],
    ['odd', 1, true],
  ])(
    'has the same requests with each %s pair exchanged (from %i on; at their places’ times: %s)',
    async (_, first, times) => {
      const original = await explainBytes(captureBytes(name));
      const other = await explainBytes(pcapOf(exchanged(records, first, times)));
      const told = ({ requests }: Explained) =>
        requests
          .map(({ queuePair, psn, opcode, outcome, nak, repeats, address, key, length, original: was }) => ({
            queuePair,
            psn,
            opcode,
            outcome,
            nak,
            repeats,
            address,
            key,
            length,
            was,
          }))
          .sort((a, b) => a.queuePair - b.queuePair || a.psn - b.psn || a.opcode.localeCompare(b.opcode));
      expect(told(other)).toEqual(told(original));
      const before = kindsOf(original.summary);
      const isRepeated = before.includes('Repeated') || before.includes('RepeatedAfterAnswer');
      for (const kind of kindsOf(other.summary)) {
        if (kind === 'Repeated' || kind === 'RepeatedAfterAnswer') expect(isRepeated).toBe(true);
        else if (kind !== 'StoredOutOfOrder' && kind !== 'SentAfterError') expect(before).toContain(kind);
      }
    },
  );
});
