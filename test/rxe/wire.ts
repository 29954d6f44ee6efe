// A wire to one network device of the guest. It carries Ethernet frames, counts and records them, and treats chosen RoCEv2 packets as a bad
// network does.
import type { Duplex } from 'node:stream';
import { pcapHeader, pcapRecord } from '../support/roce-captures';
import { type RocePacket, roceOf } from './packets';
import { readRecords, writeRecord } from './record-stream';

/** The most bytes of frames that are recorded. */
const MOST_RECORDED = 8 << 20;
/** Where `damage` flips a bit, from the end of the frame: in the ICRC. */
const DAMAGED_FROM_END = 2;
const NEXT_MS = 20_000;

export type Towards = 'guest' | 'host';

/** What happens to packets that it picks. Others, and all frames without RoCEv2, pass. */
export interface Rule {
  readonly towards: Towards;
  /** `hold` keeps a packet until {@link Treatment.release}; packets behind it pass. */
  readonly does: 'lose' | 'damage' | 'hold' | 'repeat';
  readonly picks: (packet: RocePacket) => boolean;
  /** How many picked packets pass first. Default: 0 */
  readonly after?: number;
  /** How many packets are treated. Default: 1 */
  readonly times?: number;
}

/** A rule on a wire. */
export class Treatment {
  /** Packets that were treated. */
  treated = 0;
  readonly rule: Rule;
  readonly #pass: (frame: Buffer) => void;
  readonly #held: Buffer[] = [];
  #picked = 0;
  #onTreated: (() => void) | undefined;

  constructor(rule: Rule, pass: (frame: Buffer) => void) {
    this.rule = rule;
    this.#pass = pass;
  }

  /** Returns whether it has treated the frame, which then must not pass. */
  take(frame: Buffer, packet: RocePacket): boolean {
    const { does, picks, after = 0, times = 1 } = this.rule;
    if (this.treated >= times || !picks(packet) || this.#picked++ < after) return false;
    this.treated++;
    if (does === 'damage') frame[frame.length - DAMAGED_FROM_END]! ^= 1;
    if (does === 'repeat') this.#pass(frame);
    if (does === 'damage' || does === 'repeat') this.#pass(frame);
    if (does === 'hold') this.#held.push(frame);
    this.#onTreated?.();
    return true;
  }

  /** Resolves when it has treated a packet; rejects after some seconds. */
  async next(): Promise<void> {
    if (this.treated > 0) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`no packet to ${this.rule.does} towards the ${this.rule.towards}`));
      }, NEXT_MS);
      this.#onTreated = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Lets the packets pass that it holds. */
  release(): void {
    for (const frame of this.#held.splice(0)) this.#pass(frame);
  }
}

export class Wire {
  /** Frames that passed. */
  readonly passed: Record<Towards, number> = { guest: 0, host: 0 };
  /** RoCEv2 packets that arrived at the wire, whether they passed or not. */
  readonly packets: Record<Towards, number> = { guest: 0, host: 0 };
  /** Called with each frame from the guest that passes. */
  onFrame: (frame: Buffer) => void = () => {};
  readonly #guest: Duplex;
  #treatments: Treatment[] = [];
  #recorded: Buffer[] | undefined;
  #recordedBytes = 0;

  /** @param guest - QEMU's end of the wire */
  constructor(guest: Duplex) {
    this.#guest = guest;
    readRecords(guest, (frame) => {
      this.#record(frame);
      this.#carry(frame, 'host');
    });
    guest.on('error', () => {}); // the guest has ended
  }

  /** Sends a frame to the guest. */
  send(frame: Buffer): void {
    this.#carry(frame, 'guest');
  }

  apply(rule: Rule): Treatment {
    const treatment = new Treatment(rule, (frame) => this.#pass(frame, rule.towards));
    this.#treatments.push(treatment);
    return treatment;
  }

  /** Ends all rules. Packets that are held are lost. */
  clear(): void {
    this.#treatments = [];
  }

  /** Begins a new record of the frames at the guest's device: those that it sends, and those that reach it. */
  record(): void {
    this.#recorded = [];
    this.#recordedBytes = 0;
  }

  /** Returns the record as a pcap file. */
  recorded(): Buffer {
    return Buffer.concat([pcapHeader(), ...(this.#recorded ?? [])]);
  }

  #record(frame: Buffer): void {
    if (!this.#recorded || this.#recordedBytes + frame.length > MOST_RECORDED) return;
    this.#recorded.push(pcapRecord(frame, performance.now() * 1000));
    this.#recordedBytes += frame.length;
  }

  #carry(frame: Buffer, towards: Towards): void {
    const packet = roceOf(frame);
    if (packet) {
      this.packets[towards]++;
      for (const treatment of this.#treatments) {
        if (treatment.rule.towards === towards && treatment.take(frame, packet)) return;
      }
    }
    this.#pass(frame, towards);
  }

  #pass(frame: Buffer, towards: Towards): void {
    this.passed[towards]++;
    if (towards === 'host') {
      this.onFrame(frame);
    } else {
      this.#record(frame);
      writeRecord(this.#guest, frame);
    }
  }
}

/** Connects two wires, so that the guest's devices are neighbours of each other. */
export function joinWires(a: Wire, b: Wire): void {
  a.onFrame = (frame) => b.send(frame);
  b.onFrame = (frame) => a.send(frame);
}
