// Refusals of the data path: EACCES with a reason.
import { Access, type DataPathReason, type Sge, SgeState } from '../../../lib';
import { accepted } from '../answers';
import { DMA, dmaPages, PAGE, scene } from '../scene';
import { failure, type Failure } from './failure';

interface Refusal extends Failure {
  reason: DataPathReason;
}

type Uses = readonly (readonly [
  method: string,
  operation: string,
  use: (sge: Sge) => unknown,
  bytes: number,
])[];

const atomics: Uses = [
  ['Sge.fetchAdd', 'fetch_add', (sge) => sge.fetchAdd(1n), 8],
  ['Sge.compareSwap', 'compare_swap', (sge) => sge.compareSwap(1n, 2n), 8],
];
const reads: Uses = [
  ['Sge.copyTo', 'copy_sge_out', (sge) => sge.copyTo(Buffer.alloc(8)), 8],
  ['SgeState.copyOut', 'copy_sge_out', (sge) => new SgeState([sge]).copyOut(Buffer.alloc(8)), 8],
];
const writes: Uses = [
  ['Sge.copyFrom', 'copy_sge', (sge) => sge.copyFrom(Buffer.alloc(8)), 8],
  ['SgeState.copyIn', 'copy_sge', (sge) => new SgeState([sge]).copyIn(Buffer.alloc(8)), 8],
];
const walks: Uses = [['SgeState.walk', 'walk', (sge) => new SgeState([sge]).walk([8]), 8]];

/** Acquires an SGE with a remote check for `access`. */
function remote(access: number): Sge {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(new Uint8Array(8), { access: 31 });
  return accepted(qp.acquire({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, access));
}

const notProven = (uses: Uses, proven: number, needed: number): Refusal[] =>
  uses.map(([method, operation, use]) => ({
    ...failure(method, operation, 'EACCES', 'RightNotProven', { value: proven, limit: needed }, () => {
      const sge = remote(proven);
      return () => use(sge);
    }),
    reason: 'AccessDenied',
  }));

/** Ways in which an SGE with all rights loses its bytes. */
const losses: Record<Exclude<DataPathReason, 'AccessDenied' | 'OtherEnvironment'>, () => Sge> = {
  MemoryDetached: () => {
    const { pd } = scene();
    const memory = new ArrayBuffer(8);
    const mr = pd.regUserMr(memory, { access: 31 });
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 31));
    structuredClone(memory, { transfer: [memory] });
    return sge;
  },
  MemoryShrunk: () => {
    const { pd } = scene();
    const memory = new (ArrayBuffer as any)(8, { maxByteLength: 16 });
    const mr = pd.regUserMr(memory, { access: 31 });
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 31));
    memory.resize(7);
    return sge;
  },
  Remapped: () => {
    const { device, pd, qp } = scene();
    dmaPages(device, 1);
    const mr = pd.allocMr({ maxNumSg: 1 });
    mr.mapSg([{ addr: DMA, length: PAGE }]);
    qp.fastRegMr(mr, { key: mr.rkey, access: 31 });
    const sge = accepted(pd.acquire({ addr: DMA, length: 8, lkey: mr.lkey }, 31));
    mr.mapSg([{ addr: DMA, length: PAGE }]);
    return sge;
  },
  WindowEnded: () => {
    const { pd, qp } = scene();
    const lease = pd.regUserMr(new Uint8Array(8), { access: 31 }).advertise({ expiresInMs: 60_000 });
    const sge = accepted(qp.acquire(lease, Access.RemoteRead));
    lease.revoke();
    return sge;
  },
  LeaseExpired: () => {
    const { pd, qp } = scene();
    const lease = pd.regUserMr(new Uint8Array(8), { access: 31 }).advertise({ expiresInMs: 50 });
    const sge = accepted(qp.acquire(lease, Access.RemoteRead));
    while (lease.state === 'Live'); // no event loop needed
    return sge;
  },
  RegionRevoked: () => {
    const { pd } = scene();
    const mr = pd.regUserMr(new Uint8Array(8), { access: 31 });
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 31));
    mr.dereg({ force: true });
    return sge;
  },
};

// A walk reports where the bytes are without touching them, so it does not notice a detached or shrunk buffer.
const usesThatNotice: Record<keyof typeof losses, Uses> = {
  MemoryDetached: [...reads, ...writes, ...atomics],
  MemoryShrunk: [...reads, ...writes, ...atomics],
  Remapped: [...reads, ...writes, ...atomics, ...walks],
  RegionRevoked: [...reads, ...writes, ...atomics, ...walks],
  // An element that a window has accepted has only the one right that the check asked for: to read.
  WindowEnded: [...reads, ...walks],
  LeaseExpired: [...reads, ...walks],
};

export const refusals: Refusal[] = [
  ...notProven(reads, Access.RemoteWrite, Access.RemoteRead),
  ...notProven(writes, Access.RemoteRead, Access.LocalWrite | Access.RemoteWrite),
  ...notProven(atomics, Access.RemoteRead, Access.RemoteAtomic),
  ...(Object.keys(losses) as (keyof typeof losses)[]).flatMap((reason) =>
    usesThatNotice[reason].map(([method, operation, use, bytes]) => ({
      ...failure(method, operation, 'EACCES', 'BytesUnusable', { value: 0, limit: bytes }, () => {
        const sge = losses[reason]();
        return () => use(sge);
      }),
      reason,
    })),
  ),
];
