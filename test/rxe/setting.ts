// What scripts/rxe-tests.mjs has prepared for the tests, or why it could not.

export interface Setting {
  /** Why no machine can be booted here. The other fields are then missing, but for `noSockets`. */
  readonly noMachine?: string;
  /** Why no tap device can be made here. */
  readonly noSockets?: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** Programs of host/. */
  readonly frameTap: string;
  readonly udpNeighbour: string;
  /** Time limit of the boot in ms, and whether the guest's console is printed. */
  readonly bootMs: number;
  readonly verbose: boolean;
}

const text = process.env.RDMAVT_RXE_SETTING;

export const setting: Setting = text
  ? JSON.parse(text)
  : { noMachine: 'run by `npm run test:rxe` only', noSockets: 'run by `npm run test:rxe` only' };
