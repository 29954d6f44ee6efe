// A booted machine with its links, for the tests of a file.
import { FrameLink } from './frame-link';
import { GuestMachine } from './guest-machine';
import { GuestNumbers, GuestPeer } from './guest-peer';
import type { Link, PacketLink } from './link';
import { framesPlace, type LinkPlace, socketPlace } from './network';
import { setting } from './setting';
import { SocketLink, Tap } from './socket-link';

/** Jest's limit for the boot: the machine's own limit comes first, and says more. */
export const BOOT_LIMIT_MS = setting.bootMs + 60_000;

/** The links of a test. */
export const linkNames = ['frames', 'sockets'] as const;
export type LinkName = (typeof linkNames)[number];

/** Why a link cannot be tested here; undefined if it can. */
export function whyNot(name: LinkName): string | undefined {
  return setting.noMachine ?? (name === 'sockets' ? setting.noSockets : undefined);
}

export class Session {
  readonly machine: GuestMachine;
  readonly #numbers = new GuestNumbers();
  #tap: Tap | undefined;

  private constructor(machine: GuestMachine) {
    this.machine = machine;
  }

  static async open(): Promise<Session> {
    return new Session(await GuestMachine.boot(setting));
  }

  /** Opens a link, with the tests at its other end. The caller closes it. */
  async link(name: LinkName): Promise<Link> {
    return name === 'frames' ? this.packetLink() : this.#socketLink();
  }

  /** The link by frames, for an endpoint that takes and gives IP packets. */
  packetLink(): PacketLink {
    return new FrameLink(this.machine.framesWire, framesPlace);
  }

  /** Puts the place's addresses of the host on a tap device, for an endpoint that binds sockets to them in this process. */
  async openTap(): Promise<LinkPlace> {
    this.#tap ??= await Tap.open(setting.frameTap, this.machine.socketWire, socketPlace);
    return socketPlace;
  }

  async #socketLink(): Promise<Link> {
    const place = await this.openTap();
    return SocketLink.open(setting.udpNeighbour, this.machine.socketWire, place);
  }

  /** Soft-RoCE at a link. */
  guest(name: LinkName): GuestPeer {
    const place = name === 'frames' ? framesPlace : socketPlace;
    return new GuestPeer(this.machine.shell, this.#numbers, place);
  }

  async close(): Promise<void> {
    await this.#tap?.close();
    await this.machine.kill();
  }
}
