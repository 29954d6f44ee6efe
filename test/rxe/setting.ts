// What scripts/rxe-tests.mjs has prepared for the tests, or why it could not.

export interface Setting {
  /** Why no machine can be booted here. */
  readonly noMachine?: string;
  /** Why no tap device can be made here. */
  readonly noSockets?: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** Programs of host/. */
  readonly frameTap: string;
  readonly udpNeighbour: string;
  /** Time limit of the boot. */
  readonly bootMs: number;
  /** Whether the guest's console is printed. */
  readonly verbose: boolean;
}

const text = process.env.RDMAVT_RXE_SETTING;
const nothing = { kernel: '', initramfs: '', frameTap: '', udpNeighbour: '', bootMs: 0, verbose: false };

export const setting: Setting = text
  ? { ...nothing, ...JSON.parse(text) }
  : { ...nothing, noMachine: 'they are run by npm run test:rxe' };
