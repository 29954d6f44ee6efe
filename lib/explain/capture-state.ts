/** What the packets of a capture are entered in; the parts of the analysis share it. */
import type { Findings } from './findings';
import type { Flows } from './flows';
import type { Requests } from './requests';

/** Numbers about the whole capture. */
export interface Totals {
  /** Packets to the port of RoCEv2. */
  roce: number;
  malformed: number;
  notRoce: number;
  /** Packets of which the capture has too little to read their headers. */
  cut: number;
  cnps: number;
  /** Packets whose ICRC was checked, and those of which it was wrong. */
  icrcChecked: number;
  icrcWrong: number;
  requests: number;
  /** Packets of flows beyond the limit. */
  untracked: number;
  /** Answers that waited in vain for their connection to become clear. */
  unclear: number;
  firstSeconds: number;
  firstNanoseconds: number;
  lastSeconds: number;
  lastNanoseconds: number;
}

/** Returns the numbers of a capture without packets. */
export function noTotals(): Totals {
  return {
    roce: 0,
    malformed: 0,
    notRoce: 0,
    cut: 0,
    cnps: 0,
    icrcChecked: 0,
    icrcWrong: 0,
    requests: 0,
    untracked: 0,
    unclear: 0,
    firstSeconds: 0,
    firstNanoseconds: 0,
    lastSeconds: 0,
    lastNanoseconds: 0,
  };
}

/** The tables of one capture. */
export interface CaptureState {
  readonly flows: Flows;
  readonly requests: Requests;
  readonly findings: Findings;
  readonly totals: Totals;
}
