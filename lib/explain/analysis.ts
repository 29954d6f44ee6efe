/** The analysis of a capture: requests in order, each with what the core says about it, and what there is to say at the end. */
import { NakCode } from '../internal/layout';
import { invalidatedBefore, type Tables } from './access-mistakes';
import { describeFinding } from './describe-finding';
import type { Finding } from './findings';
import { type ExplainedRequest, explainedRequest } from './explained-request';
import { type CaptureFinding, type CaptureKey, type CaptureQueuePair } from './summary';
import { FlowDouble, FlowFlag, FlowWord } from './flows';
import { type Judge, type JudgedRequest, type Verdict } from './judge';
import { KeyDouble, Keys, KeyWord, type Prediction, predictKeys, wide } from './keys';
import { describeProbing, explainOutcome } from './mistakes';
import { Kind, Transport } from './opcodes';
import {
  Outcome,
  RequestDouble,
  RequestFlag,
  type Requests,
  type RequestSink,
  RequestWord,
} from './requests';
import { Tracker } from './tracker';
import { count, keysOf, thousands } from './words';

/** What requests to give: those that match all that is set. */
export interface RequestFilter {
  readonly onlyRefused: boolean;
  /** A key that the request names. */
  readonly key: number | undefined;
  /** Number of the requester's or the responder's queue pair. */
  readonly queuePair: number | undefined;
}

/** Receives the requests that match the filter. The slot is valid during the call. */
export interface RequestOutput {
  request(analysis: Analysis, slot: number, verdict: Verdict | undefined): void;
}

/** Requesters that were refused keys by a responder. */
interface Prober {
  /** The numbers of the two addresses, the requester's times 65,536. */
  readonly pair: number;
  /** Different keys that were refused and never worked before. */
  keys: number;
  readonly tried: number[];
  readonly packet: number;
  lastPacket: number;
}

/** Most pairs of requester and responder whose refused keys are counted. */
const MOST_PROBERS = 4096;
/** So many different keys that do not exist are no accident of one request. */
const PROBED_KEYS = 3;
const MOST_TRIED = 8;

export class Analysis implements RequestSink {
  readonly tracker = new Tracker(this);
  readonly keys = new Keys();
  readonly #tables: Tables;
  readonly #filter: RequestFilter;
  readonly #output: RequestOutput;
  readonly #judge: Judge | undefined;
  readonly #probers = new Map<number, Prober>();
  /** Requests by outcome. */
  readonly outcomes = new Uint32Array(Outcome.NoAnswer + 1);
  judged = 0;
  judgedRefused = 0;

  constructor(filter: RequestFilter, output: RequestOutput, judge: Judge | undefined) {
    this.#filter = filter;
    this.#output = output;
    this.#judge = judge;
    const { flows, requests } = this.tracker;
    this.#tables = { flows, requests, keys: this.keys, hasRegions: judge !== undefined };
  }

  /** Takes a request that is done. */
  take(slot: number): void {
    const { requests, flows, findings } = this.tracker;
    const flow = requests.get(slot, RequestWord.Flow);
    const outcome = requests.outcome(slot);
    const packet = requests.getDouble(slot, RequestDouble.Packet);
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
    flows.setDouble(
      flow,
      FlowDouble.Bytes,
      flows.getDouble(flow, FlowDouble.Bytes) + requests.get(slot, RequestWord.Length),
    );
    const verdict = this.#judge === undefined ? undefined : this.#ask(this.#judge, slot);
    if (this.#matches(slot, flow, outcome, verdict)) this.#output.request(this, slot, verdict);

    if (requests.has(slot, RequestFlag.HasTarget)) {
      const by = invalidatedBefore(this.#tables, slot);
      if (by > 0) {
        const accepted = outcome === Outcome.Acknowledged ? 1 : 0;
        const place = flow * 2 + accepted;
        findings.add('UsedAfterInvalidate', place, packet, 1, requests.get(slot, RequestWord.Key), by);
        if (accepted)
          this.keys.revive(flows.get(flow, FlowWord.DestinationHost), requests.get(slot, RequestWord.Key));
      }
    }
    const entry = this.keys.note(requests, flows, slot);
    if (entry >= 0 && isAccessRefused(requests, slot)) this.#refused(slot, flow, entry);
  }

  #ask(judge: Judge, slot: number): Verdict | undefined {
    const { requests, flows } = this.tracker;
    const flow = requests.get(slot, RequestWord.Flow);
    const host = flows.hosts.text(flows.get(flow, FlowWord.DestinationHost));
    const outcome = requests.outcome(slot);
    if (requests.has(slot, RequestFlag.HasInvalidate)) {
      if (outcome === Outcome.Acknowledged && !requests.has(slot, RequestFlag.NotCounted)) {
        judge.invalidate(host, requests.get(slot, RequestWord.Invalidate));
      }
      return undefined;
    }
    // A request of no bytes is carried out whatever its key is.
    if (!requests.has(slot, RequestFlag.HasTarget) || requests.get(slot, RequestWord.Length) === 0)
      return undefined;
    if (!judge.knows(host)) return undefined;
    const verdict = judge.judge(this.judgedRequest(slot));
    const packet = requests.getDouble(slot, RequestDouble.Packet);
    if (verdict.reason === 'NoSuchKey' && outcome === Outcome.Acknowledged) {
      // A key that works is a key: the list is of another host, such as the requester, or is not complete.
      this.tracker.findings.add('KeyNotListed', flow, packet, 1, requests.get(slot, RequestWord.Key));
      return undefined;
    }
    this.judged++;
    if (verdict.reason !== undefined) this.judgedRefused++;
    if (verdict.reason !== undefined && outcome === Outcome.Acknowledged) {
      this.tracker.findings.add('RegionsDisagree', flow * 2, packet, 1, requests.get(slot, RequestWord.Key));
    } else if (verdict.reason === undefined && isAccessRefused(requests, slot)) {
      this.tracker.findings.add(
        'RegionsDisagree',
        flow * 2 + 1,
        packet,
        1,
        requests.get(slot, RequestWord.Key),
      );
    }
    return verdict;
  }

  /** Returns what the judge needs to know of a request. */
  judgedRequest(slot: number): JudgedRequest {
    const { requests, flows } = this.tracker;
    const flow = requests.get(slot, RequestWord.Flow);
    return {
      host: flows.hosts.text(flows.get(flow, FlowWord.DestinationHost)),
      queuePair: flows.get(flow, FlowWord.QueuePair),
      kind: requests.get(slot, RequestWord.Kind),
      address: wide(requests.words, slot * RequestWord.Words + RequestWord.Address),
      length: requests.get(slot, RequestWord.Length),
      key: requests.get(slot, RequestWord.Key),
    };
  }

  #matches(slot: number, flow: number, outcome: Outcome, verdict: Verdict | undefined): boolean {
    const { requests, flows } = this.tracker;
    const { onlyRefused, key, queuePair } = this.#filter;
    if (onlyRefused && outcome !== Outcome.Refused && verdict?.reason === undefined) return false;
    if (key !== undefined) {
      const named = requests.has(slot, RequestFlag.HasTarget) && requests.get(slot, RequestWord.Key) === key;
      const invalidated =
        requests.has(slot, RequestFlag.HasInvalidate) && requests.get(slot, RequestWord.Invalidate) === key;
      if (!named && !invalidated) return false;
    }
    if (queuePair === undefined) return true;
    return flows.get(flow, FlowWord.QueuePair) === queuePair || flows.sourceQueuePair(flow) === queuePair;
  }

  /** Explains a request: what became of it, and why. Empty if nothing is wrong. */
  explain(slot: number, verdict: Verdict | undefined): string {
    const { requests } = this.tracker;
    const tables = this.#tables;
    const outcome = requests.outcome(slot);
    const wire = explainOutcome(tables, slot);
    if (verdict === undefined || this.#judge === undefined) return wire;
    if (verdict.reason !== undefined) {
      const told = `${verdict.reason}, by the regions: ${this.#judge.explain(this.judgedRequest(slot), verdict)}`;
      if (outcome === Outcome.Acknowledged) return join(told, 'Nevertheless it was acknowledged.', wire);
      // The regions name the reason; what the wire alone suggests is left out, unless it shows when the key ended.
      const ended =
        invalidatedBefore(tables, slot) > 0 ||
        requests.get(slot, RequestWord.RefusedPsn) !== requests.get(slot, RequestWord.Psn);
      return ended || !isAccessRefused(requests, slot) ? join(told, wire) : told;
    }
    if (!isAccessRefused(requests, slot)) return wire;
    return join(
      'The listed regions allow it, so the region had ended or changed when the request arrived, or the list is of another time or host.',
      wire,
    );
  }

  /** Creates the object of a request. */
  objectOf(slot: number, verdict: Verdict | undefined): ExplainedRequest {
    const { flows, requests } = this.tracker;
    const told = verdict === undefined ? undefined : (verdict.reason ?? 'Accepted');
    return explainedRequest(flows, requests, slot, told, this.explain(slot, verdict));
  }

  /** Counts a key that a responder refused, if the requester had not used it before. */
  #refused(slot: number, flow: number, entry: number): void {
    const { requests, flows } = this.tracker;
    if (this.keys.get(entry, KeyWord.Accepted) > 0 || this.keys.get(entry, KeyWord.Refused) > 1) return;
    const pair = flows.get(flow, FlowWord.SourceHost) * 65_536 + flows.get(flow, FlowWord.DestinationHost);
    const packet = requests.getDouble(slot, RequestDouble.Packet);
    let prober = this.#probers.get(pair);
    if (prober === undefined) {
      if (this.#probers.size === MOST_PROBERS) return;
      prober = { pair, keys: 0, tried: [], packet, lastPacket: packet };
      this.#probers.set(pair, prober);
    }
    prober.keys++;
    prober.lastPacket = packet;
    if (prober.tried.length < MOST_TRIED) prober.tried.push(this.keys.get(entry, KeyWord.Key));
  }

  /** Returns whether a peer tried keys of a responder. */
  #isProbed(host: number): boolean {
    for (const [pair, { keys }] of this.#probers) {
      if (pair % 65_536 === host && keys >= PROBED_KEYS) return true;
    }
    return false;
  }

  /** Ends the analysis: hands on all requests. */
  end(): void {
    this.tracker.end();
  }

  /** Gives the findings in the order of their first packets, after {@link Analysis.end}. */
  *findingRows(): Generator<CaptureFinding, void, undefined> {
    const { flows, findings } = this.tracker;
    // Sorted before they are described, so that only one text of thousands is in memory.
    const list: (Finding | Prediction | Prober)[] = [...findings.list];
    // The keys of soft-RoCE and of many adapters count up, so this is true of most healthy captures. It matters to whom keys are tried.
    for (const prediction of predictKeys(this.keys)) if (this.#isProbed(prediction.host)) list.push(prediction);
    for (const prober of this.#probers.values()) if (prober.keys >= PROBED_KEYS) list.push(prober);
    list.sort((a, b) => a.packet - b.packet);
    const { queuePair, key } = this.#filter;
    for (const entry of list) {
      const told =
        'kind' in entry
          ? describeFinding(flows, entry)
          : 'how' in entry
            ? this.#describePrediction(entry)
            : this.#describeProber(entry);
      if (queuePair !== undefined && told.queuePair !== queuePair && told.sourceQueuePair !== queuePair)
        continue;
      if (key !== undefined && told.key !== undefined && told.key !== key) continue;
      yield told;
    }
  }

  #describePrediction({ host: number, packet, keys, count: total, how, shift }: Prediction): CaptureFinding {
    const host = this.tracker.flows.hosts.text(number);
    return {
      kind: 'PredictableKeys',
      packet,
      lastPacket: packet,
      count: total,
      destination: host,
      text: describePrediction(host, keys, total, how, shift),
    };
  }

  #describeProber({ pair, packet, lastPacket, keys, tried }: Prober): CaptureFinding {
    const { hosts } = this.tracker.flows;
    const [source, destination] = [hosts.text(Math.floor(pair / 65_536)), hosts.text(pair % 65_536)];
    return {
      kind: 'KeyProbing',
      packet,
      lastPacket,
      count: keys,
      source,
      destination,
      text: describeProbing(source, destination, tried, keys),
    };
  }

  /** Gives the keys in the order of their first use. */
  *keyRows(): Generator<CaptureKey, void, undefined> {
    const { keys } = this;
    for (let entry = 0; entry < keys.count; entry++) {
      const key = keys.get(entry, KeyWord.Key);
      if (this.#filter.key !== undefined && this.#filter.key !== key) continue;
      const accepted = keys.get(entry, KeyWord.Accepted);
      const invalidated = keys.getDouble(entry, KeyDouble.Invalidated);
      yield {
        host: this.tracker.flows.hosts.text(keys.get(entry, KeyWord.Host)),
        key,
        requests: keys.get(entry, KeyWord.Requests),
        accepted,
        refused: keys.get(entry, KeyWord.Refused),
        bytes: keys.getDouble(entry, KeyDouble.Bytes),
        operations: operationsOf(keys, entry),
        firstAddress: accepted > 0 ? keys.first(entry) : undefined,
        lastAddress: accepted > 0 ? keys.last(entry) : undefined,
        firstPacket: keys.getDouble(entry, KeyDouble.FirstPacket),
        lastPacket: keys.getDouble(entry, KeyDouble.LastPacket),
        invalidatedBy: invalidated === 0 ? undefined : invalidated,
      };
    }
  }

  /** Gives the queue pairs that received requests, in the order of their first packets. */
  *queuePairRows(): Generator<CaptureQueuePair, void, undefined> {
    const { flows } = this.tracker;
    for (let flow = 0; flow < flows.count; flow++) {
      if (flows.get(flow, FlowWord.Requests) === 0) continue;
      const queuePair = flows.get(flow, FlowWord.QueuePair);
      const source = flows.sourceQueuePair(flow);
      const asked = this.#filter.queuePair;
      if (asked !== undefined && asked !== queuePair && asked !== source) continue;
      const failed = flows.getDouble(flow, FlowDouble.FailedPacket);
      yield {
        source: flows.hosts.text(flows.get(flow, FlowWord.SourceHost)),
        destination: flows.hosts.text(flows.get(flow, FlowWord.DestinationHost)),
        queuePair,
        sourceQueuePair: source < 0 ? undefined : source,
        guessed: flows.has(flow, FlowFlag.Guessed),
        transport: (['RC', 'UC', 'UD', 'UD'] as const)[flows.get(flow, FlowWord.Transport) as Transport],
        mtu: flows.get(flow, FlowWord.Mtu) || undefined,
        requests: flows.get(flow, FlowWord.Requests),
        acknowledged: flows.get(flow, FlowWord.Acknowledged),
        refused: flows.get(flow, FlowWord.Refused),
        unanswered: flows.get(flow, FlowWord.Unanswered),
        repeated: flows.get(flow, FlowWord.Repeated),
        rnrNaks: flows.get(flow, FlowWord.RnrNaks),
        sequenceNaks: flows.get(flow, FlowWord.SequenceNaks),
        badPackets: flows.get(flow, FlowWord.BadPackets),
        missingPackets: flows.get(flow, FlowWord.MissingPackets),
        bytes: flows.getDouble(flow, FlowDouble.Bytes),
        firstPacket: flows.getDouble(flow, FlowDouble.FirstPacket),
        lastPacket: flows.getDouble(flow, FlowDouble.LastPacket),
        failedPacket: failed === 0 ? undefined : failed,
      };
    }
  }
}

/** Returns whether a request was refused with a remote access error, which is what regions decide. */
function isAccessRefused(requests: Requests, slot: number): boolean {
  return (
    requests.outcome(slot) === Outcome.Refused &&
    ((requests.get(slot, RequestWord.Syndrome) & 31) as NakCode) === NakCode.RemoteAccessError
  );
}

function operationsOf(keys: Keys, entry: number): CaptureKey['operations'] {
  const operations: CaptureKey['operations'][number][] = [];
  if (keys.accepted(entry, Kind.Write)) operations.push('write');
  if (keys.accepted(entry, Kind.Read)) operations.push('read');
  if (keys.accepted(entry, Kind.CompareSwap) || keys.accepted(entry, Kind.FetchAdd))
    operations.push('atomic');
  return operations;
}

function join(...sentences: string[]): string {
  return sentences.filter((sentence) => sentence !== '').join(' ');
}

function describePrediction(
  host: string,
  keys: readonly number[],
  total: number,
  how: 'counting' | 'small',
  shift: number,
): string {
  const shown = keysOf(keys);
  if (how === 'small') {
    const [key = 0] = keys;
    return (
      `The key${total === 1 ? '' : 's'} ${shown} of ${host} can be foretold: the index (the key without its low byte) is ${thousands(key >>> 8)}, ` +
      'from a counter that began at 0. Whoever tries keys from there on needs few guesses.'
    );
  }
  const guesses = shift === 8 ? 256 : 1;
  return (
    `The keys of ${host} can be foretold: they count up (${shown}${total > keys.length ? ` ... ${count(total, 'key')}` : ''}; ` +
    `steps in bit ${shift} and above). Whoever knows one finds the next with at most ${count(guesses, 'guess', 'guesses')} per step.`
  );
}
