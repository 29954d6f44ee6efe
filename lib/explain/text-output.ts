/** Prints requests as lines, and the summary as text. Lines of requests that need no explanation are written without allocation. */
import { cmReason } from '../internal/cm-words';
import { bytes, hex } from '../internal/words';
import { type Analysis, type RequestOutput } from './analysis';
import { cmMeaning, cmName } from './cm';
import { answerDelay, nameOfRequest } from './explained-request';
import { type Flows, FlowWord } from './flows';
import { type Verdict } from './judge';
import { encoded, LineWriter, wrap } from './line-writer';
import { Kind, nakName, Transport } from './opcodes';
import { Outcome, RequestDouble, RequestFlag, RequestWord } from './requests';
import { type CaptureKey, type CaptureQueuePair, type CaptureReport } from './summary';
import { count, list, range, thousands } from './words';

/** Columns of explanations, without their indentation. */
const WIDTH = 100;
const INDENT = ' '.repeat(8);
/** Rows of a table of the summary; the rest is counted. `--json` has all of them. */
const MOST_ROWS = 100;

const ANSWERED = encoded('answered, packet ');
const ACKNOWLEDGED = encoded('acknowledged, packet ');

/** Writes a line for each request. */
export class TextOutput implements RequestOutput {
  readonly lines = new LineWriter();
  /** What the lines of a flow have in common: addresses and queue pair. */
  readonly #ways: Uint8Array[] = [];
  #started = false;

  request(analysis: Analysis, slot: number, verdict: Verdict | undefined): void {
    const { lines } = this;
    const { requests, flows, totals } = analysis.tracker;
    if (!this.#started) {
      this.#started = true;
      lines.text(' packet        time  request').end();
    }
    const flow = requests.get(slot, RequestWord.Flow);
    let seconds = requests.getDouble(slot, RequestDouble.Seconds) - totals.firstSeconds;
    let nanoseconds = requests.getDouble(slot, RequestDouble.Nanoseconds) - totals.firstNanoseconds;
    if (nanoseconds < 0) {
      seconds--;
      nanoseconds += 1e9;
    }
    lines.decimal(requests.getDouble(slot, RequestDouble.Packet), 7).text(' ');
    // A file whose packets are not in the order of time can begin later than this packet.
    if (seconds < 0) lines.text('          -');
    else lines.time(seconds, nanoseconds, 4);
    lines.bytes((this.#ways[flow] ??= wayOf(flows, flow)));
    if (requests.get(slot, RequestWord.Cm) > 0) this.#connection(analysis, slot);
    else this.#asked(analysis, slot);
    lines.end();

    if (!needsExplanation(analysis, slot, verdict)) return;
    const explanation = analysis.explain(slot, verdict);
    if (explanation === '') return;
    for (const line of wrap(explanation, WIDTH)) lines.text(INDENT).text(line).end();
  }

  #asked(analysis: Analysis, slot: number): void {
    const { lines } = this;
    const { requests } = analysis.tracker;
    const kind = requests.get(slot, RequestWord.Kind) as Kind;
    lines.text(nameOfRequest(requests, slot));
    if (kind < Kind.CompareSwap) {
      const length = requests.get(slot, RequestWord.Length);
      lines
        .text(' ')
        .decimal(length)
        .text(length === 1 ? ' byte' : ' bytes');
    }
    if (requests.has(slot, RequestFlag.HasTarget)) {
      const at = slot * RequestWord.Words + RequestWord.Address;
      lines.text(' at ').hex(requests.words[at] ?? 0, requests.words[at + 1] ?? 0);
      lines.text(', key ').hex(requests.get(slot, RequestWord.Key));
    }
    if (requests.has(slot, RequestFlag.HasImmediate)) {
      lines.text(', immediate ').hex(requests.get(slot, RequestWord.Immediate));
    }
    if (requests.has(slot, RequestFlag.HasInvalidate)) {
      lines.text(', invalidates key ').hex(requests.get(slot, RequestWord.Invalidate));
    }
    if (kind >= Kind.CompareSwap) this.#atomic(analysis, slot, kind);
    lines.text(', PSN ').decimal(requests.get(slot, RequestWord.Psn));
    if (requests.has(slot, RequestFlag.BeginsMidway)) lines.text(', begins before the capture');
    lines.text(': ');
    this.#outcome(analysis, slot);
  }

  #wide(words: Uint32Array, at: number): void {
    this.lines.hex(words[at] ?? 0, words[at + 1] ?? 0);
  }

  #atomic(analysis: Analysis, slot: number, kind: Kind): void {
    const { lines } = this;
    const { words } = analysis.tracker.requests;
    const at = slot * RequestWord.Words;
    if (kind === Kind.FetchAdd) {
      lines.text(', add ');
    } else {
      lines.text(', compare ');
      this.#wide(words, at + RequestWord.Compare);
      lines.text(', swap ');
    }
    this.#wide(words, at + RequestWord.SwapAdd);
    if (analysis.tracker.requests.outcome(slot) !== Outcome.Acknowledged) return;
    lines.text(', was ');
    this.#wide(words, at + RequestWord.OriginalValue);
  }

  #outcome(analysis: Analysis, slot: number): void {
    const { lines } = this;
    const { requests, flows } = analysis.tracker;
    const answer = requests.getDouble(slot, RequestDouble.AnswerPacket);
    switch (requests.outcome(slot)) {
      case Outcome.Acknowledged:
        lines.bytes(requests.get(slot, RequestWord.Kind) === Kind.Read ? ANSWERED : ACKNOWLEDGED);
        lines.decimal(answer);
        this.#delay(analysis, slot);
        break;
      case Outcome.Refused:
        lines.text('REFUSED, packet ').decimal(answer);
        this.#delay(analysis, slot);
        lines.text(', NAK ').hex(requests.get(slot, RequestWord.Syndrome)).text(' ');
        lines.text(nakName(requests.get(slot, RequestWord.Syndrome)));
        break;
      case Outcome.NotCarriedOut:
        lines.text('not carried out, after the NAK in packet ').decimal(answer);
        break;
      case Outcome.Unacknowledged: {
        const transport = flows.get(requests.get(slot, RequestWord.Flow), FlowWord.Transport) as Transport;
        lines.text(transport === Transport.Ud ? 'datagram' : 'not acknowledged (UC)');
        break;
      }
      case Outcome.ReceiverNotReady:
        lines.text('RNR NAK, last in packet ').decimal(answer);
        break;
      case Outcome.OutOfSequence:
        lines.text('out of sequence');
        break;
      case Outcome.PartlyAnswered:
        lines.text('partly answered, ').decimal(requests.get(slot, RequestWord.ResponseBytes));
        lines.text(' bytes');
        break;
      default:
        lines.text('no answer');
    }
    const repeats = requests.get(slot, RequestWord.Repeats);
    if (repeats > 0) {
      lines.text('; retransmitted');
      if (repeats > 1) lines.text(' ').decimal(repeats).text(' times');
      lines.text(' from packet ').decimal(requests.getDouble(slot, RequestDouble.RepeatPacket));
    }
    const rnr = requests.get(slot, RequestWord.RnrNaks);
    if (rnr > 0)
      lines
        .text('; ')
        .decimal(rnr)
        .text(rnr === 1 ? ' RNR NAK' : ' RNR NAKs');
    const naks = requests.get(slot, RequestWord.SequenceNaks);
    if (naks > 0) lines.text('; NAK PSN sequence error');
    const bad = requests.get(slot, RequestWord.BadPackets);
    if (bad > 0) {
      lines.text('; ').decimal(bad);
      lines.text(
        requests.has(slot, RequestFlag.BadChecksum) ? ' with a wrong checksum' : ' with a wrong ICRC',
      );
    }
    if (requests.has(slot, RequestFlag.HasGap)) lines.text('; not all packets are in the capture');
  }

  #delay(analysis: Analysis, slot: number): void {
    const delay = answerDelay(analysis.tracker.requests, slot);
    if (delay !== undefined && delay >= 0) this.lines.text(' after ').milliseconds(delay);
  }

  #connection(analysis: Analysis, slot: number): void {
    const { lines } = this;
    const { requests } = analysis.tracker;
    const attribute = requests.get(slot, RequestWord.Cm) - 1;
    lines.text('CM ').text(cmName(attribute)).text(': ').text(cmMeaning(attribute));
    const queuePair = requests.get(slot, RequestWord.CmQueuePair);
    if (queuePair > 0) lines.text(', from qp ').hex(queuePair);
    if (cmName(attribute) !== 'REJ') return;
    const reason = requests.get(slot, RequestWord.CmReason);
    lines.text(', reason ').decimal(reason).text(', ').text(cmReason(reason));
  }
}

/** Formats addresses and queue pair of a flow. */
function wayOf(flows: Flows, flow: number): Uint8Array {
  const source = flows.hosts.text(flows.get(flow, FlowWord.SourceHost));
  const destination = flows.hosts.text(flows.get(flow, FlowWord.DestinationHost));
  return encoded(`  ${source} > ${destination} qp ${hex(flows.get(flow, FlowWord.QueuePair))} `);
}

/** Returns whether there may be something to explain, so that the usual request costs no more. */
function needsExplanation({ tracker }: Analysis, slot: number, verdict: Verdict | undefined): boolean {
  const { requests } = tracker;
  if (verdict?.reason !== undefined) return true;
  const outcome = requests.outcome(slot);
  if (outcome !== Outcome.Acknowledged) return outcome !== Outcome.Unacknowledged;
  return (
    (requests.get(slot, RequestWord.Flags) & (RequestFlag.NotCounted | RequestFlag.RepeatedAfterAnswer)) !== 0
  );
}

/** Formats the summary. */
export function summaryText(summary: CaptureReport): string {
  const lines: string[] = [];
  const { packets, roce, firstTime, lastTime } = summary;
  const seconds = (Number(lastTime - firstTime) / 1e9).toFixed(6);
  lines.push(
    '',
    `${count(packets, 'packet')}, ${thousands(roce)} of RoCEv2${roce > 0 ? ` in ${seconds} s` : ''}; ${totals(summary)}`,
  );
  lines.push(...leftOut(summary));
  section(lines, 'Queue pairs', summary.queuePairs, queuePairLine);
  section(lines, 'Keys', summary.keys, keyLine);
  section(lines, 'Findings', summary.findings, (finding) => {
    const { source, destination, queuePair, packet, lastPacket, text } = finding;
    const where =
      source === undefined || destination === undefined || queuePair === undefined
        ? ''
        : ` ${source} > ${destination} qp ${hex(queuePair)}`;
    const numbers =
      packet === lastPacket || lastPacket === 0 ? `packet ${packet}` : `packets ${packet} to ${lastPacket}`;
    return `${finding.kind}, ${numbers}${where}: ${text}`;
  });
  return lines.map((line) => `${line}\n`).join('');
}

function section<T>(lines: string[], title: string, rows: Iterable<T>, format: (row: T) => string): void {
  let shown = 0;
  let more = 0;
  for (const row of rows) {
    if (shown === MOST_ROWS) {
      more++;
      continue;
    }
    if (shown++ === 0) lines.push('', title);
    const [first = '', ...rest] = wrap(format(row), WIDTH);
    lines.push(`  ${first}`, ...rest.map((line) => `${INDENT}${line}`));
  }
  if (more > 0) lines.push(`  and ${thousands(more)} more (--json has all of them)`);
}

function totals(summary: CaptureReport): string {
  const { requests } = summary;
  if (requests === 0) return 'no request.';
  const parts: [number, string][] = [
    [summary.acknowledged, 'acknowledged'],
    [summary.refused, 'refused'],
    [summary.notCarriedOut, 'not carried out'],
    [summary.receiverNotReady, 'receiver not ready'],
    [summary.outOfSequence, 'out of sequence'],
    [summary.partlyAnswered, 'partly answered'],
    [summary.noAnswer, 'without an answer'],
    [summary.unacknowledged, 'that nothing acknowledges'],
  ];
  const named = parts
    .filter(([amount]) => amount > 0)
    .map(([amount, text]) => `${thousands(amount)} ${text}`);
  const judged =
    summary.judged === 0
      ? ''
      : ` Judged by the regions: ${thousands(summary.judged)}, refused: ${thousands(summary.judgedRefused)}.`;
  return `${count(requests, 'request')}: ${list(named)}.${judged}`;
}

/** Says what of the file was not explained. */
function leftOut(summary: CaptureReport): string[] {
  const { cut, fragments, roceV1, unreadLink, unreadLinkType, dropped } = summary;
  const lines: string[] = [];
  if (cut > 0) lines.push(`${count(cut, 'packet')} cut in the headers by the snap length`);
  if (fragments > 0) lines.push(`${count(fragments, 'fragment')} of IP packets not put together`);
  if (roceV1 > 0) lines.push(`${count(roceV1, 'packet')} of RoCEv1 not read`);
  if (unreadLink > 0)
    lines.push(`${count(unreadLink, 'packet')} with link type ${unreadLinkType ?? 0} not read`);
  if (dropped.packets > 0)
    lines.push(`${count(dropped.packets, 'packet')} of queue pairs beyond the limit not explained`);
  if (dropped.keys > 0)
    lines.push(`${count(dropped.keys, 'request')} with keys beyond the limit not summed up`);
  if (dropped.findings > 0) lines.push(`${count(dropped.findings, 'finding')} beyond the limit not kept`);
  if (dropped.answers > 0) lines.push(`${count(dropped.answers, 'answer')} without a known connection`);
  return lines;
}

function queuePairLine(row: CaptureQueuePair): string {
  const from =
    row.sourceQueuePair === undefined
      ? ''
      : ` qp ${hex(row.sourceQueuePair)}${row.guessed ? ' (probably)' : ''}`;
  const parts = [`${count(row.requests, 'request')}, ${bytes(row.bytes)}`];
  const named: [number, string][] = [
    [row.acknowledged, 'acknowledged'],
    [row.refused, 'refused'],
    [row.unanswered, 'without success'],
    [row.repeated, 'retransmissions'],
    [row.rnrNaks, 'RNR NAKs'],
    [row.sequenceNaks, 'NAKs PSN sequence error'],
    [row.badPackets, 'damaged packets'],
    [row.missingPackets, 'PSNs not in the capture'],
  ];
  for (const [amount, text] of named) if (amount > 0) parts.push(`${thousands(amount)} ${text}`);
  if (row.failedPacket !== undefined) parts.push(`ended by the NAK in packet ${row.failedPacket}`);
  const mtu = row.mtu === undefined ? '' : `, MTU ${row.mtu}`;
  return `${row.source}${from} > ${row.destination} qp ${hex(row.queuePair)} (${row.transport}${mtu}): ${parts.join('; ')}`;
}

function keyLine(row: CaptureKey): string {
  const parts = [count(row.requests, 'request')];
  if (row.accepted > 0 && row.firstAddress !== undefined && row.lastAddress !== undefined) {
    parts.push(
      `${thousands(row.accepted)} accepted (${list(row.operations)}), ${bytes(row.bytes)} at ${range(row.firstAddress, row.lastAddress)}`,
    );
  }
  if (row.refused > 0) parts.push(`${thousands(row.refused)} refused`);
  if (row.invalidatedBy !== undefined) parts.push(`invalidated by packet ${row.invalidatedBy}`);
  return `${hex(row.key)} of ${row.host}: ${parts.join('; ')}`;
}
