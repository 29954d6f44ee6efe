// Soft-RoCE in the guest as a peer: each call is a command of the shell of verbs.
import type { LinkPlace } from './network';
import {
  ALL_RIGHTS,
  type Connection,
  type Family,
  Nak,
  type Peer,
  type PeerCompletion,
  type PeerPair,
  type PeerRegion,
  type PeerRequest,
  type PeerWindow,
  type Service,
  type TooLong,
} from './peer';
import {
  completionStatuses,
  GuestError,
  type PairState,
  pairStates,
  type Values,
  type VerbsShell,
} from './verbs-shell';

const ETIMEDOUT = 110;
const COMPLETION_MS = 20_000;
/** IBV_ACCESS_MW_BIND: windows may be bound to the region. */
const WINDOWS = 16;

/** Numbers of the shell's objects. Peers of one shell share them. */
export class GuestNumbers {
  #next = new Map<string, number>();

  take(kind: 'mr' | 'mw' | 'qp'): number {
    const number = this.#next.get(kind) ?? 0;
    this.#next.set(kind, number + 1);
    return number;
  }

  reset(): void {
    this.#next.clear();
  }
}

class GuestRegion implements PeerRegion {
  readonly id: number;
  readonly address: bigint;
  readonly rkey: number;
  readonly length: number;
  readonly #shell: VerbsShell;

  constructor(shell: VerbsShell, id: number, address: bigint, rkey: number, length: number) {
    this.#shell = shell;
    this.id = id;
    this.address = address;
    this.rkey = rkey;
    this.length = length;
  }

  async fill(seed: number, off = 0, len = this.length): Promise<void> {
    await this.#shell.command('fill', { id: this.id, off, len, seed });
  }

  async differs(seed: number, off = 0, len = this.length): Promise<number> {
    return Number(await this.#shell.value('at', 'differs', { id: this.id, off, len, seed }));
  }

  async setWord(off: number, value: bigint): Promise<void> {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    await this.#shell.command('set', { id: this.id, off, hex: bytes.toString('hex') });
  }

  async word(off: number): Promise<bigint> {
    const hex = await this.#shell.value('hex', 'get', { id: this.id, off, len: 8 });
    return Buffer.from(hex, 'hex').readBigUInt64LE();
  }

  async deregister(): Promise<void> {
    await this.#shell.command('dereg', { id: this.id });
  }
}

class GuestPair implements PeerPair {
  readonly id: number;
  readonly number: number;
  readonly #shell: VerbsShell;
  readonly #local: string;

  constructor(shell: VerbsShell, id: number, number: number, local: string) {
    this.#shell = shell;
    this.#local = local;
    this.id = id;
    this.number = number;
  }

  async connect(
    to: { address: string; number: number; psn: number },
    mine: { psn: number } & Connection,
  ): Promise<void> {
    const attributes = {
      id: this.id,
      local: this.#local,
      remote: to.address,
      qpn: to.number,
      psn: to.psn,
      mypsn: mine.psn,
      mtu: mine.mtu,
      timeout: mine.timeout,
      retry: mine.retryCount,
      rnr: mine.rnrRetry,
      rnrtimer: mine.minRnrTimer,
      access: mine.rights,
    };
    await this.#patiently('connect', attributes);
  }

  /** Gives a command for which the kernel may have to ask for the neighbour's MAC address. */
  async #patiently(command: string, values: Values): Promise<void> {
    // The kernel gives up after 1 s if it does not know the address by then: the guest may just have booted.
    for (let tries = 3; ; tries--) {
      try {
        await this.#shell.command(command, values);
        return;
      } catch (error) {
        if (!(error instanceof GuestError && error.errno === ETIMEDOUT && tries > 1)) throw error;
      }
    }
  }

  async activate(mine: { psn: number; qkey: number }): Promise<void> {
    await this.#shell.command('activate', { id: this.id, qkey: mine.qkey, mypsn: mine.psn });
  }

  async post(request: PeerRequest): Promise<void> {
    await this.#patiently('post', {
      id: this.id,
      wr: request.id,
      op: request.operation,
      mr: guestRegion(request.region).id,
      off: request.offset ?? 0,
      len: request.length,
      raddr: request.address,
      rkey: request.rkey,
      imm: request.immediate,
      inv: request.invalidate,
      compare: request.compare,
      swap: request.swap,
      add: request.add,
      ...(request.to && {
        local: this.#local,
        remote: request.to.address,
        dqpn: request.to.number,
        dqkey: request.to.qkey,
      }),
    });
  }

  async receive(wr: number, region: PeerRegion, off: number, len: number): Promise<void> {
    await this.#shell.command('recv', { id: this.id, wr, mr: guestRegion(region).id, off, len });
  }

  async completions(n: number, ms = COMPLETION_MS): Promise<PeerCompletion[]> {
    const words = await this.#shell.command('poll', { id: this.id, n, ms }, ms);
    return words.map((word) => {
      const [id, status, length, ...rest] = word.split(':');
      const told = (kind: string): number | undefined => {
        const at = rest.indexOf(kind);
        return at < 0 ? undefined : Number(rest[at + 1]);
      };
      const [immediate, invalidated, from] = [told('imm'), told('inv'), told('from')];
      const name = completionStatuses[Number(status)];
      if (name === undefined) throw new Error(`the guest has a completion with status ${status}`);
      return {
        id: Number(id),
        status: name,
        length: Number(length),
        ...(immediate !== undefined && { immediate }),
        ...(invalidated !== undefined && { invalidated }),
        ...(from !== undefined && { from }),
      };
    });
  }

  async state(): Promise<PairState> {
    const state = Number(await this.#shell.value('state', 'state', { id: this.id }));
    return pairStates[state]!;
  }
}

/** The objects that a peer is given are its own. */
function guestRegion(region: PeerRegion): GuestRegion {
  if (!(region instanceof GuestRegion)) throw new TypeError('not a region of the guest');
  return region;
}

function guestPair(pair: PeerPair): GuestPair {
  if (!(pair instanceof GuestPair)) throw new TypeError('not a queue pair of the guest');
  return pair;
}

export class GuestPeer implements Peer {
  readonly title = 'soft-RoCE';
  /** Linux 6.1 takes it for a malformed receive. */
  readonly tooLong: TooLong = {
    syndrome: Nak.RemoteOperation,
    requester: 'REM_OP_ERR',
    responder: 'LOC_QP_OP_ERR',
  };
  /** Linux 6.1 does not expect a NAK there, and completes the READ before it has given it a status. */
  readonly brokenRead = 'SUCCESS';
  readonly refusesRepeatedRead = true;
  /** Linux 6.1 takes the first packet of the next one for a wrong continuation. The specification has it begin a message. */
  readonly losesNextMessage = true;
  readonly #shell: VerbsShell;
  readonly #numbers: GuestNumbers;
  readonly #place: LinkPlace;

  constructor(shell: VerbsShell, numbers: GuestNumbers, place: LinkPlace) {
    this.#shell = shell;
    this.#numbers = numbers;
    this.#place = place;
  }

  addressOf(family: Family): string {
    return this.#place.guest[family];
  }

  async region(len: number, access = ALL_RIGHTS): Promise<PeerRegion> {
    const id = this.#numbers.take('mr');
    const answer = await this.#shell.command('mr', {
      id,
      device: this.#place.rxe,
      len,
      access: access | WINDOWS,
    });
    const values = new Map(answer.map((word) => word.split('=') as [string, string]));
    const address = BigInt(values.get('addr') ?? 0);
    return new GuestRegion(this.#shell, id, address, Number(values.get('rkey')), len);
  }

  async window(pair: PeerPair, region: PeerRegion): Promise<PeerWindow> {
    const mw = this.#numbers.take('mw');
    await this.#shell.command('mw', { id: mw, device: this.#place.rxe });
    const rkey = await this.#shell.value('rkey', 'post', {
      id: guestPair(pair).id,
      op: 'bind',
      mw,
      mr: guestRegion(region).id,
      raddr: region.address,
      len: region.length,
    });
    const [bound] = await pair.completions(1);
    if (bound?.status !== 'SUCCESS') throw new Error(`the window is not bound: ${bound?.status}`);
    return { address: region.address, rkey: Number(rkey) };
  }

  async pair(family: Family, type: Service = 'rc'): Promise<PeerPair> {
    const id = this.#numbers.take('qp');
    const number = Number(await this.#shell.value('qpn', 'qp', { id, device: this.#place.rxe, type }));
    return new GuestPair(this.#shell, id, number, this.#place.guest[family]);
  }

  async reset(): Promise<void> {
    await this.#shell.command('reset');
    this.#numbers.reset();
  }
}
