/** Keeps answers until it is clear to which connection they belong. */
import type { Answer } from './answer';
import type { Answers } from './answers';
import type { CaptureState } from './capture-state';
import { FlowFlag } from './flows';
import { Kind, kindOf, Role, roleOf } from './opcodes';
import { candidatesFor } from './pairing';

/** What became of an answer whose connection was not known. */
export const enum Pairing {
  /** It fits no connection. */
  None = 0,
  /** It waits, or is done with. */
  Taken = 1,
  /** Its connection is known now. */
  Paired = 2,
}

/** Answers of one flow that wait until it is clear to which connection they belong. */
const MOST_WAITING = 64;
/** Flows that have waiting answers. */
const MOST_UNCLEAR = 256;

/** Answers of a flow for which several connections are possible. */
interface Unclear {
  readonly answers: Answer[];
  candidates: readonly number[];
}

/** The answers that wait. */
export class UnclearAnswers {
  readonly #state: CaptureState;
  readonly #answers: Answers;
  readonly #unclear = new Map<number, Unclear>();

  constructor(state: CaptureState, answers: Answers) {
    this.#state = state;
    this.#answers = answers;
  }

  /**
   * Finds out to which connection an answer belongs, or keeps it until that is clear.
   *
   * @param isLast - take it as one without a connection if it fits none
   * @returns what became of it; if its connection is clear now, it is still to be applied
   */
  take(flow: number, answer: Answer, isLast: boolean): Pairing {
    const role = roleOf(answer.opcode);
    const kind = role === Role.ReadResponse ? Kind.Read : kindOf(answer.opcode);
    const waiting = this.#unclear.get(flow);
    const facts = { psn: answer.psn, kind };
    const candidates = candidatesFor(
      this.#state.flows,
      this.#state.requests,
      flow,
      facts,
      waiting?.candidates,
    );
    const [only] = candidates;
    if (candidates.length === 1 && only !== undefined) {
      this.#unclear.delete(flow);
      this.#state.flows.connect(flow, only);
      for (const earlier of waiting?.answers ?? []) this.#answers.apply(only, earlier);
      return Pairing.Paired;
    }
    if (waiting === undefined) {
      if (candidates.length === 0 && !isLast) return Pairing.None;
      if (candidates.length === 0 || this.#unclear.size === MOST_UNCLEAR) {
        this.#answers.withoutConnection(flow, answer);
        return Pairing.Taken;
      }
      this.#unclear.set(flow, { answers: [{ ...answer }], candidates });
      return Pairing.Taken;
    }
    // An answer that fits none of the flows that fitted before says nothing.
    if (candidates.length > 0) waiting.candidates = candidates;
    waiting.answers.push({ ...answer });
    if (waiting.answers.length < MOST_WAITING) return Pairing.Taken;
    this.#unclear.delete(flow);
    this.#settleUnclear(flow, waiting);
    return Pairing.Taken;
  }

  /** Decides about all answers that still wait: the capture has ended. */
  end(): void {
    for (const [flow, unclear] of this.#unclear) this.#settleUnclear(flow, unclear);
    this.#unclear.clear();
  }

  /** Takes the oldest of several flows that fit, because connections are mostly made in the order of their queue pairs. */
  #settleUnclear(flow: number, { candidates, answers }: Unclear): void {
    let oldest = -1;
    for (const other of candidates) {
      if (this.#state.flows.mate(other) < 0 && (oldest < 0 || other < oldest)) oldest = other;
    }
    if (oldest < 0) {
      this.#state.totals.unclear += answers.length;
      for (const answer of answers) this.#answers.withoutConnection(flow, answer);
      return;
    }
    this.#state.flows.connect(flow, oldest);
    this.#state.flows.raise(flow, FlowFlag.Guessed);
    this.#state.flows.raise(oldest, FlowFlag.Guessed);
    this.#state.findings.add(
      'AmbiguousConnection',
      flow,
      answers[0]?.packet ?? 0,
      answers.length,
      candidates.length,
    );
    for (const answer of answers) this.#answers.apply(oldest, answer);
  }
}
