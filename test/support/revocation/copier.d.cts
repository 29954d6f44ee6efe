// The types of the exports of copier.cjs.

/** The size of each memory whose region is ended, in bytes. */
export const BYTES: number;

/**
 * The words of the control block. `Phase` holds one of the phases below, `Ended` and `Filled` are flags, `Moved` counts calls
 * that moved bytes.
 */
export const Control: { Phase: number; Ended: number; Filled: number; Moved: number; Count: number };
export const Phase: { Idle: number; Go: number; Started: number; Done: number };

/** The job of a copying thread. */
export interface Job {
  /** The name of an access in copier.cjs. */
  access: string;
  token: string;
  pd: number;
  /** The address of the region's first byte, for local and for remote accesses. */
  address: bigint;
  iova: bigint;
  key: number;
  remote: boolean;
  /** Whether the key names other bytes after the call. */
  goesOn: boolean;
  /** The buffer into which reading accesses copy. */
  sink: SharedArrayBuffer;
}

/** The objects with which one thread moves bytes: a device, a domain and a queue pair in it. */
export class Hands {
  /** @param rdmavt - the exports of the package */
  constructor(rdmavt: object, place: { token: string; pd: number; sink: SharedArrayBuffer });
  close(): void;
}

export function copyUntilEnded(hands: Hands, job: Job, control: Int32Array): void;
export function setPhase(control: Int32Array, phase: number): void;
/** @param duration - ms */
export function spin(duration: number): void;
/** Returns false after `timeout` ms. */
export function waitForPhase(control: Int32Array, phase: number, timeout?: number): boolean;
