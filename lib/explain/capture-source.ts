/** Reads captures and gives their packets to an analysis. */
import { illegalConstructor } from '../internal/arguments';
import { construction } from '../internal/construction';
import { CaptureStatus, WireRow } from '../internal/layout';
import { PacketReader } from '../wire/packet-reader';
import { type Analysis } from './analysis';
import { type CaptureReport, type CaptureSummary } from './summary';
import { timeOf } from './explained-request';
import { Outcome } from './requests';

const statusTexts: Readonly<Record<CaptureStatus, string>> = {
  [CaptureStatus.Ok]: 'nothing is wrong',
  [CaptureStatus.Empty]: 'the file is empty',
  [CaptureStatus.NotACapture]: 'not a capture file (pcap or pcapng)',
  [CaptureStatus.Compressed]:
    'the file is compressed: decompress it first (gzip -dc FILE | rdmavt explain -)',
  [CaptureStatus.Version]: 'an unknown version of the file format',
  [CaptureStatus.Truncated]: 'the file ends in the middle of a packet',
  [CaptureStatus.TooLarge]: 'a packet is too large',
  [CaptureStatus.BlockLength]: 'a block has a wrong length',
  [CaptureStatus.ByteOrder]: 'a section has no valid byte order mark',
  [CaptureStatus.Interface]: 'a packet names an interface that is not described',
  [CaptureStatus.Interfaces]: 'too many interfaces',
  [CaptureStatus.Option]: 'an option has a wrong length',
  [CaptureStatus.Resolution]: 'an unknown resolution of time stamps',
};

/**
 * Thrown when a file is not a capture, or is damaged. What was read before has been explained.
 *
 * `code` is `'ERR_CAPTURE'`; `position` is the offset in bytes of the packet or block at fault.
 */
export class CaptureError extends Error {
  override name = 'CaptureError';
  readonly code = 'ERR_CAPTURE';
  /** Offset in the file, in bytes, of the packet or block at fault. */
  readonly position: number;

  /** @internal */
  constructor(token: typeof construction, status: CaptureStatus, position: number) {
    if (token !== construction) throw illegalConstructor();
    super(`${statusTexts[status]} (at byte ${position})`);
    this.position = position;
  }
}

/** Feeds chunks of a capture to an analysis. */
export class CaptureFeed {
  readonly #reader = new PacketReader();
  readonly #analysis: Analysis;
  bytes = 0;

  constructor(analysis: Analysis) {
    this.#analysis = analysis;
  }

  get packets(): number {
    return this.#reader.packets;
  }

  /**
   * Takes a part of a chunk. Call it until it has taken all.
   *
   * @returns the offset of what is left; the length of the chunk if nothing is left
   * @throws CaptureError
   */
  take(chunk: Uint8Array, from: number): number {
    const reader = this.#reader;
    const { tracker } = this.#analysis;
    const rows = reader.read(chunk, from);
    for (let row = 0, at = reader.first; row < rows; row++, at += WireRow.Words) tracker.packet(reader, at);
    tracker.drain();
    this.bytes += reader.taken;
    if (reader.status !== (CaptureStatus.Ok as number)) this.#fail();
    return from + reader.taken;
  }

  /** @throws CaptureError if the file ends in the middle of a packet, or is empty */
  end(): void {
    if (this.#reader.end() !== (CaptureStatus.Ok as number)) this.#fail();
  }

  #fail(): never {
    throw new CaptureError(construction, this.#reader.status, this.#reader.position);
  }

  /** Creates the summary, after the analysis has ended. */
  summary(): CaptureSummary {
    const report = this.report();
    return {
      ...report,
      queuePairs: [...report.queuePairs],
      keys: [...report.keys],
      findings: [...report.findings],
    };
  }

  /** Creates the summary with rows that are made when they are asked for, after the analysis has ended. */
  report(): CaptureReport {
    const analysis = this.#analysis;
    const reader = this.#reader;
    const { totals, findings } = analysis.tracker;
    const of = (outcome: Outcome): number => analysis.outcomes[outcome] ?? 0;
    return {
      bytes: this.bytes,
      packets: reader.packets,
      roce: totals.roce,
      malformed: totals.malformed,
      notRoce: totals.notRoce,
      cut: totals.cut,
      icrcChecked: totals.icrcChecked,
      icrcWrong: totals.icrcWrong,
      cnps: totals.cnps,
      fragments: reader.fragments,
      roceV1: reader.roceV1,
      unreadLink: reader.unreadLink,
      unreadLinkType: reader.unreadLink === 0 ? undefined : reader.unreadLinkType,
      firstTime: timeOf(totals.firstSeconds, totals.firstNanoseconds),
      lastTime: timeOf(totals.lastSeconds, totals.lastNanoseconds),
      requests: totals.requests,
      acknowledged: of(Outcome.Acknowledged),
      refused: of(Outcome.Refused),
      notCarriedOut: of(Outcome.NotCarriedOut),
      unacknowledged: of(Outcome.Unacknowledged),
      receiverNotReady: of(Outcome.ReceiverNotReady),
      outOfSequence: of(Outcome.OutOfSequence),
      partlyAnswered: of(Outcome.PartlyAnswered),
      noAnswer: of(Outcome.NoAnswer),
      judged: analysis.judged,
      judgedRefused: analysis.judgedRefused,
      queuePairs: analysis.queuePairRows(),
      keys: analysis.keyRows(),
      findings: analysis.findingRows(),
      dropped: {
        packets: totals.untracked,
        keys: analysis.keys.dropped,
        findings: findings.dropped,
        answers: totals.unclear,
      },
    };
  }
}
