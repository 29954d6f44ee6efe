// Two peers of a case, connected queue pairs, and the wire between them.
import { BthOpcode } from '../../lib/internal/layout';
import { decodeCapture, type Decoded } from './decoded';
import type { Connection, Family, Peer, PeerPair, PeerRegion } from './peer';
import type { Rule, Towards, Treatment, Wire } from './wire';

/** First PSNs: the requester's numbers wrap in each message of more than two packets. */
const REQUESTER_PSN = 0xfffffe;
const RESPONDER_PSN = 0x123456;

/** Attributes of both queue pairs. The timeout (code 14) is 67 ms: a test that loses packets need not wait longer. */
const CONNECTION: Connection = { mtu: 1024, timeout: 14, retryCount: 7, rnrRetry: 7, minRnrTimer: 12 };

const MOST_TOLD = 60;

/** Who asks whom over which wire. */
export interface Pairing {
  readonly requester: Peer;
  readonly responder: Peer;
  /** A wire that carries all their packets, and the direction of the requests on it. */
  readonly wire: Wire;
  readonly requestsTowards: Towards;
}

export interface Connected {
  readonly asking: PeerPair;
  readonly answering: PeerPair;
}

export class Scene {
  readonly requester: Peer;
  readonly responder: Peer;
  readonly family: Family;
  readonly #pairing: Pairing;
  readonly #requestsBefore: number;

  constructor(pairing: Pairing, family: Family) {
    this.#pairing = pairing;
    this.family = family;
    this.requester = pairing.requester;
    this.responder = pairing.responder;
    pairing.wire.record();
    this.#requestsBefore = pairing.wire.packets[pairing.requestsTowards];
  }

  /** Makes a queue pair at each peer and connects them. */
  async connect(
    options: { service?: 'rc' | 'uc'; both?: Connection; asking?: Connection; answering?: Connection } = {},
  ): Promise<Connected> {
    const [asking, answering] = [
      await this.requester.pair(this.family, options.service),
      await this.responder.pair(this.family, options.service),
    ];
    const attributes = { ...CONNECTION, ...options.both };
    await answering.connect(
      { address: this.requester.addressOf(this.family), number: asking.number, psn: REQUESTER_PSN },
      { ...attributes, ...options.answering, psn: RESPONDER_PSN },
    );
    await asking.connect(
      { address: this.responder.addressOf(this.family), number: answering.number, psn: RESPONDER_PSN },
      { ...attributes, ...options.asking, psn: REQUESTER_PSN },
    );
    return { asking, answering };
  }

  /** Makes a UD queue pair at each peer, with this Q_Key. */
  async datagrams(qkey: number): Promise<Connected> {
    const [asking, answering] = [
      await this.requester.pair(this.family, 'ud'),
      await this.responder.pair(this.family, 'ud'),
    ];
    await asking.activate({ psn: REQUESTER_PSN, qkey });
    await answering.activate({ psn: RESPONDER_PSN, qkey });
    return { asking, answering };
  }

  /** Makes memory of the requester, and memory of the responder. */
  async regions(length: number, rights?: number): Promise<{ own: PeerRegion; target: PeerRegion }> {
    return {
      own: await this.requester.region(Math.max(length, 1)),
      target: await this.responder.region(Math.max(length, 1), rights),
    };
  }

  /** Treats packets from the requester. */
  requests(rule: Omit<Rule, 'towards'>): Treatment {
    return this.#pairing.wire.apply({ ...rule, towards: this.#pairing.requestsTowards });
  }

  /** Treats packets from the responder. */
  answers(rule: Omit<Rule, 'towards'>): Treatment {
    const towards = this.#pairing.requestsTowards === 'host' ? 'guest' : 'host';
    return this.#pairing.wire.apply({ ...rule, towards });
  }

  /** How many packets the requester has sent, with those that were lost. */
  get requestPackets(): number {
    const { wire, requestsTowards } = this.#pairing;
    return wire.packets[requestsTowards] - this.#requestsBefore;
  }

  /** The packets that were on the wire, as the codec decodes them. */
  packets(): Decoded[] {
    return decodeCapture(this.#pairing.wire.recorded());
  }

  /** The packets on the wire in one line, for the message of a case that fails. */
  story(): string {
    const packets = this.packets();
    const isMore = packets.length > 2 * MOST_TOLD;
    const ends = isMore ? [...packets.slice(0, MOST_TOLD), ...packets.slice(-MOST_TOLD)] : packets;
    const told = ends.map(({ opcode, psn, syndrome, icrc }) => {
      const answer = opcode === (BthOpcode.RcAcknowledge as number) ? ` ${syndrome.toString(16)}` : '';
      return `${BthOpcode[opcode] ?? opcode} ${psn.toString(16)}${answer}${icrc === 'Good' ? '' : ` ${icrc}`}`;
    });
    const which = isMore ? `, of them the first and the last ${MOST_TOLD}` : '';
    return `${packets.length} packets${which}: ${told.join(', ')}`;
  }

  async end(): Promise<void> {
    this.#pairing.wire.clear();
    await this.requester.reset();
    await this.responder.reset();
  }
}
