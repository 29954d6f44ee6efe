// What copier.cjs exports.

/** Bytes of every memory whose region is ended. */
export const BYTES: number;

/** Words of the control block. `Phase` is one of the phases; `Ended` and `Filled` are flags; `Moved` counts calls that moved bytes. */
export const Control: { Phase: number; Ended: number; Filled: number; Moved: number; Count: number };
export const Phase: { Idle: number; Go: number; Started: number; Done: number };

/** What a copying thread is told. */
export interface Job {
  /** A name in copier.cjs. */
  access: string;
  token: string;
  pd: number;
  /** The region's first byte, for local and for remote accesses. */
  address: bigint;
  iova: bigint;
  key: number;
  remote: boolean;
  /** The key names other bytes after the call. */
  goesOn: boolean;
  /** Where reading accesses put bytes. */
  sink: SharedArrayBuffer;
}

/** What one thread moves bytes with: a device, a domain and a queue pair in it. */
export class Hands {
  /** @param rdmavt - the package's exports */
  constructor(rdmavt: object, place: { token: string; pd: number; sink: SharedArrayBuffer });
  close(): void;
}

export function copyUntilEnded(hands: Hands, job: Job, control: Int32Array): void;
export function setPhase(control: Int32Array, phase: number): void;
/** @param duration - ms */
export function spin(duration: number): void;
/** False if it takes longer than `timeout` ms. */
export function waitForPhase(control: Int32Array, phase: number, timeout?: number): boolean;
