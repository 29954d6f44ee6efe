// An endpoint of this package as a peer, by frames or through sockets.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Completion,
  type CompletionQueue,
  Device,
  type DmaMapping,
  Endpoint,
  fastRegKey,
  type MemoryRegion,
  type ProtectionDomain,
  type QueuePair,
  rkey,
  type SendWorkRequest,
} from '../../lib';
import { MemoryEndpoint } from '../support/memory-endpoint';
import type { PacketLink } from './link';
import type { LinkPlace } from './network';
import { isIpv6, ROCE_PORT, udpOf } from './packets';
import {
  ALL_RIGHTS,
  type Connection,
  DATAGRAM_BYTES,
  type Family,
  Nak,
  patternOf,
  type Peer,
  type PeerCompletion,
  type PeerPair,
  type PeerRegion,
  type PeerRequest,
  type PeerWindow,
  type Service,
  type TooLong,
} from './peer';
import type { PairState } from './verbs-shell';

const COMPLETION_MS = 20_000;
const LOOK_EVERY_MS = 1;
/** Rights of queue pairs are those of the other side: without the local right of regions. */
const REMOTE_RIGHTS = 14;
const QUEUE = 128;

const families: readonly Family[] = ['ipv4', 'ipv6'];
type Endpoints = Readonly<Record<Family, Endpoint>>;

class EndpointRegion implements PeerRegion {
  readonly bytes: Buffer;
  readonly region: MemoryRegion;

  constructor(pd: ProtectionDomain, length: number, rights: number) {
    this.bytes = Buffer.alloc(length);
    this.region = pd.regUserMr(this.bytes, { access: rights });
  }

  get address(): bigint {
    return this.region.iova;
  }

  get rkey(): number {
    return this.region.rkey;
  }

  get length(): number {
    return this.bytes.length;
  }

  /** A list of the elements of a request: none if it has no bytes. */
  sges(offset: number, length: number) {
    return length ? [{ addr: this.region.start + BigInt(offset), length, lkey: this.region.lkey }] : [];
  }

  async fill(seed: number, offset = 0, length = this.length): Promise<void> {
    patternOf(length, seed).copy(this.bytes, offset);
  }

  async differs(seed: number, offset = 0, length = this.length): Promise<number> {
    const found = this.bytes.subarray(offset, offset + length);
    const expected = patternOf(length, seed);
    return found.equals(expected) ? -1 : expected.findIndex((byte, i) => byte !== found[i]);
  }

  async setWord(offset: number, value: bigint): Promise<void> {
    this.bytes.writeBigUInt64LE(value, offset);
  }

  async word(offset: number): Promise<bigint> {
    return this.bytes.readBigUInt64LE(offset);
  }

  async deregister(): Promise<void> {
    this.region.dereg();
  }
}

function ownRegion(region: PeerRegion): EndpointRegion {
  if (!(region instanceof EndpointRegion)) throw new TypeError('not a region of the endpoint');
  return region;
}

class EndpointPair implements PeerPair {
  /** Of any type: the cases ask of each what it can do. */
  readonly qp: QueuePair<'RC'>;
  readonly #pd: ProtectionDomain;
  readonly #cq: CompletionQueue;
  readonly #endpoint: Endpoint;

  constructor(pd: ProtectionDomain, cq: CompletionQueue, endpoint: Endpoint, service: Service) {
    this.#pd = pd;
    this.#cq = cq;
    this.#endpoint = endpoint;
    const type = service.toUpperCase() as 'RC';
    this.qp = pd.createQp({ type, sendCq: cq, maxSendWr: QUEUE, maxRecvWr: QUEUE });
  }

  get number(): number {
    return this.qp.qpn;
  }

  async connect(
    to: { address: string; number: number; psn: number },
    mine: { psn: number } & Connection,
  ): Promise<void> {
    const { psn, mtu, timeout, retryCount, rnrRetry, minRnrTimer, rights = ALL_RIGHTS } = mine;
    this.qp.connect({
      endpoint: this.#endpoint,
      address: to.address,
      qpn: to.number,
      psn: to.psn,
      localPsn: psn,
      access: rights & REMOTE_RIGHTS,
      ...(mtu !== undefined && { pathMtu: mtu }),
      ...(timeout !== undefined && { timeout }),
      ...(retryCount !== undefined && { retryCnt: retryCount }),
      ...(rnrRetry !== undefined && { rnrRetry }),
      ...(minRnrTimer !== undefined && { minRnrTimer }),
    });
  }

  async activate({ psn, qkey }: { psn: number; qkey: number }): Promise<void> {
    const qp = this.qp as unknown as QueuePair<'UD'>;
    qp.activate({ endpoint: this.#endpoint, qkey, localPsn: psn, pathMtu: DATAGRAM_BYTES });
  }

  async post(request: PeerRequest): Promise<void> {
    const wr = workRequestOf(request);
    const { to } = request;
    if (to === undefined) {
      this.qp.postSend(wr);
      return;
    }
    const ah = this.#pd.createAh({ address: to.address });
    const datagram = { ...wr, ah, remoteQpn: to.number, remoteQkey: to.qkey };
    (this.qp as unknown as QueuePair<'UD'>).postSend(datagram as SendWorkRequest<'UD'>);
    ah.destroy(); // what is posted does not need it
  }

  async receive(id: number, region: PeerRegion, offset: number, length: number): Promise<void> {
    this.qp.postRecv({ wrId: id, sges: ownRegion(region).sges(offset, length) });
  }

  async completions(count: number, ms = COMPLETION_MS): Promise<PeerCompletion[]> {
    const end = performance.now() + ms;
    const found: Completion[] = [];
    for (;;) {
      found.push(...this.#cq.poll(count - found.length));
      if (found.length >= count || performance.now() > end) return found.map(completionOf);
      await sleep(LOOK_EVERY_MS);
    }
  }

  async state(): Promise<PairState> {
    return this.qp.state;
  }

  destroy(): void {
    this.qp.destroy();
    this.#cq.destroy();
  }
}

function workRequestOf(request: PeerRequest): SendWorkRequest<'RC'> {
  const { id, operation, region, offset = 0, length, address = 0n, rkey: key = 0, immediate } = request;
  const common = { wrId: id, signaled: true, sges: ownRegion(region).sges(offset, length) };
  const remote = { remoteAddr: address, rkey: rkey(key) };
  const { compare = 0n, swap = 0n, add = 0n, invalidate = 0 } = request;
  switch (operation) {
    case 'write':
      return { ...common, ...remote, opcode: 'RDMA_WRITE' };
    case 'write_imm':
      return { ...common, ...remote, opcode: 'RDMA_WRITE_WITH_IMM', imm: immediate ?? 0 };
    case 'read':
      return { ...common, ...remote, opcode: 'RDMA_READ' };
    case 'send':
      return { ...common, opcode: 'SEND' };
    case 'send_imm':
      return { ...common, opcode: 'SEND_WITH_IMM', imm: immediate ?? 0 };
    case 'send_inv':
      return { ...common, opcode: 'SEND_WITH_INV', invalidateRkey: rkey(invalidate) };
    case 'cas':
      return { ...common, ...remote, opcode: 'ATOMIC_CMP_AND_SWP', compareAdd: compare, swap };
    case 'faa':
      return { ...common, ...remote, opcode: 'ATOMIC_FETCH_AND_ADD', compareAdd: add };
  }
}

function completionOf(completion: Completion): PeerCompletion {
  const { wrId, status, byteLength, imm, invalidatedRkey, grh, srcQp } = completion;
  return {
    id: Number(wrId),
    status,
    length: byteLength,
    ...(imm !== undefined && { immediate: imm }),
    ...(invalidatedRkey !== undefined && { invalidated: invalidatedRkey }),
    ...(grh && { from: srcQp }),
  };
}

export class EndpointPeer implements Peer {
  /** The statuses are those of the kernel's rdmavt. */
  readonly tooLong: TooLong = {
    syndrome: Nak.InvalidRequest,
    requester: 'REM_INV_REQ_ERR',
    responder: 'LOC_QP_OP_ERR',
  };
  readonly brokenRead = 'REM_ACCESS_ERR';
  /** A READ that the network has delayed must not end the connection. */
  readonly refusesRepeatedRead = false;
  readonly losesNextMessage = false;
  readonly title: string;
  readonly device: Device;
  readonly endpoints: Endpoints;
  readonly #place: LinkPlace;
  readonly #pd: ProtectionDomain;
  readonly #end: () => void;
  #pairs: EndpointPair[] = [];
  #regions: MemoryRegion[] = [];
  #mappings: DmaMapping[] = [];

  private constructor(
    title: string,
    place: LinkPlace,
    device: Device,
    endpoints: Endpoints,
    end: () => void = () => {},
  ) {
    this.title = title;
    this.#place = place;
    this.device = device;
    this.endpoints = endpoints;
    this.#end = end;
    this.#pd = device.allocPd();
  }

  /** With sockets at the host's addresses of a place, which a tap device must have. */
  static bySockets(place: LinkPlace): EndpointPeer {
    const device = new Device();
    const endpoints = endpointsAt(place, (options) => new Endpoint({ device, ...options }));
    return new EndpointPeer('an endpoint through sockets', place, device, endpoints);
  }

  /** Without sockets: takes and gives the IP packets of a link. */
  static byFrames(link: PacketLink): EndpointPeer {
    const { place } = link;
    const device = new Device();
    const memory = endpointsAt(place, (options) => new MemoryEndpoint({ device, ...options }));
    const deliver = (): void => {
      for (const family of families) {
        for (const { bytes, address, port } of memory[family].take())
          link.send({ address, port, payload: Buffer.from(bytes) });
      }
    };
    link.onPacket = (ip) => {
      const udp = udpOf(ip);
      if (udp?.destinationPort !== ROCE_PORT) return;
      const isV6 = isIpv6(udp.source);
      const packet = { bytes: udp.payload, address: udp.source, port: udp.sourcePort };
      memory[isV6 ? 'ipv6' : 'ipv4'].feed(packet, isV6 ? -1 : ip.readUInt16BE(4));
      deliver();
    };
    // What is sent by posts, by timers, and in later turns of the event loop.
    const timer = setInterval(deliver, LOOK_EVERY_MS);
    const endpoints = { ipv4: memory.ipv4.endpoint, ipv6: memory.ipv6.endpoint };
    return new EndpointPeer('an endpoint by frames', place, device, endpoints, () => {
      clearInterval(timer);
      link.onPacket = () => {};
    });
  }

  addressOf(family: Family): string {
    return this.#place.host[family];
  }

  async region(length: number, rights = ALL_RIGHTS): Promise<PeerRegion> {
    const made = new EndpointRegion(this.#pd, length, rights);
    this.#regions.push(made.region);
    return made;
  }

  /** A fast registration of the region's bytes, at the region's address. */
  async window(pair: PeerPair, region: PeerRegion): Promise<PeerWindow> {
    if (!(pair instanceof EndpointPair)) throw new TypeError('not a queue pair of the endpoint');
    const { bytes } = ownRegion(region);
    const mapping = this.device.dma.map(bytes);
    this.#mappings.push(mapping);
    const mr = this.#pd.allocMr({ maxNumSg: Math.ceil(bytes.length / 4096) });
    this.#regions.push(mr);
    mr.mapSg([{ addr: mapping.address, length: bytes.length }]);
    const key = fastRegKey(mr.rkey, 0x5a);
    pair.qp.postSend({ opcode: 'REG_MR', mr, key, access: ALL_RIGHTS, signaled: true });
    const [registered] = await pair.completions(1);
    if (registered?.status !== 'SUCCESS') throw new Error(`no fast registration: ${registered?.status}`);
    return { address: mr.iova, rkey: key };
  }

  async pair(family: Family, service: Service = 'rc'): Promise<PeerPair> {
    const cq = this.device.createCq(2 * QUEUE);
    const made = new EndpointPair(this.#pd, cq, this.endpoints[family], service);
    this.#pairs.push(made);
    return made;
  }

  async reset(): Promise<void> {
    for (const pair of this.#pairs.splice(0)) pair.destroy();
    for (const region of this.#regions.splice(0)) if (region.state !== 'Closed') region.dereg();
    for (const mapping of this.#mappings.splice(0)) mapping.unmap();
  }

  async close(): Promise<void> {
    this.#end();
    this.device.close({ cascade: true });
  }
}

/** Opens an endpoint at each address of the host. */
function endpointsAt<T>(
  { host }: LinkPlace,
  open: (options: { address: string; refusalsPerMinute: number }) => T,
): Record<Family, T> {
  const at = (address: string): T => open({ address, refusalsPerMinute: 0 }); // hundreds of cases refuse
  return { ipv4: at(host.ipv4), ipv6: at(host.ipv6) };
}
