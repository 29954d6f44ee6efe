/** What the opcodes of RoCEv2 packets mean for the analysis, and the names of requests, answers and connection messages. */
import { AccessBit, AethKind, BthOpcode, NakCode } from '../internal/layout';

/** What a packet is in its message. */
export const enum Role {
  /** Not analysed: an opcode that is unknown, or a congestion notification. */
  None = 0,
  /** Begins a message of several packets. */
  First = 1,
  Middle = 2,
  /** Ends a message of several packets. */
  Last = 3,
  /** A whole message. */
  Only = 4,
  /** Answers a READ. */
  ReadResponse = 5,
  /** Acknowledges or refuses. */
  Acknowledge = 6,
}

/** The kind of a request. */
export const enum Kind {
  Send = 0,
  Write = 1,
  Read = 2,
  CompareSwap = 3,
  FetchAdd = 4,
}

/** Returns the right of a region that a request of a kind needs. */
export function remoteRight(kind: Kind): AccessBit {
  switch (kind) {
    case Kind.Write:
      return AccessBit.RemoteWrite;
    case Kind.Read:
      return AccessBit.RemoteRead;
    default:
      return AccessBit.RemoteAtomic;
  }
}

/** The transport service: the top three bits of the opcode. */
export const enum Transport {
  Rc = 0,
  Uc = 1,
  Ud = 3,
}

/** The kinds by name, as in `qp.postSend`. */
export type RequestOpcode =
  | 'SEND'
  | 'SEND_WITH_IMM'
  | 'SEND_WITH_INV'
  | 'RDMA_WRITE'
  | 'RDMA_WRITE_WITH_IMM'
  | 'RDMA_READ'
  | 'ATOMIC_CMP_AND_SWP'
  | 'ATOMIC_FETCH_AND_ADD';

const roles = new Uint8Array(256);
const kinds = new Uint8Array(256);

function describe(opcode: BthOpcode, role: Role, kind: Kind): void {
  roles[opcode] = role;
  kinds[opcode] = kind;
}

/** The opcodes that RC and UC share, by their numbers in RC; UC has the same low five bits. */
const shared: readonly (readonly [opcode: BthOpcode, role: Role, kind: Kind])[] = [
  [BthOpcode.RcSendFirst, Role.First, Kind.Send],
  [BthOpcode.RcSendMiddle, Role.Middle, Kind.Send],
  [BthOpcode.RcSendLast, Role.Last, Kind.Send],
  [BthOpcode.RcSendLastWithImm, Role.Last, Kind.Send],
  [BthOpcode.RcSendOnly, Role.Only, Kind.Send],
  [BthOpcode.RcSendOnlyWithImm, Role.Only, Kind.Send],
  [BthOpcode.RcWriteFirst, Role.First, Kind.Write],
  [BthOpcode.RcWriteMiddle, Role.Middle, Kind.Write],
  [BthOpcode.RcWriteLast, Role.Last, Kind.Write],
  [BthOpcode.RcWriteLastWithImm, Role.Last, Kind.Write],
  [BthOpcode.RcWriteOnly, Role.Only, Kind.Write],
  [BthOpcode.RcWriteOnlyWithImm, Role.Only, Kind.Write],
];
for (const [opcode, role, kind] of shared) {
  describe(opcode, role, kind);
  describe(opcode | (Transport.Uc << 5), role, kind);
}
describe(BthOpcode.RcReadRequest, Role.Only, Kind.Read);
describe(BthOpcode.RcReadResponseFirst, Role.ReadResponse, Kind.Read);
describe(BthOpcode.RcReadResponseMiddle, Role.ReadResponse, Kind.Read);
describe(BthOpcode.RcReadResponseLast, Role.ReadResponse, Kind.Read);
describe(BthOpcode.RcReadResponseOnly, Role.ReadResponse, Kind.Read);
describe(BthOpcode.RcAcknowledge, Role.Acknowledge, Kind.Send);
describe(BthOpcode.RcAtomicAcknowledge, Role.Acknowledge, Kind.FetchAdd);
describe(BthOpcode.RcCmpSwap, Role.Only, Kind.CompareSwap);
describe(BthOpcode.RcFetchAdd, Role.Only, Kind.FetchAdd);
describe(BthOpcode.RcSendLastWithInv, Role.Last, Kind.Send);
describe(BthOpcode.RcSendOnlyWithInv, Role.Only, Kind.Send);
describe(BthOpcode.UdSendOnly, Role.Only, Kind.Send);
describe(BthOpcode.UdSendOnlyWithImm, Role.Only, Kind.Send);

/** Returns what a packet with this opcode is in its message. */
export function roleOf(opcode: number): Role {
  return roles[opcode] ?? 0;
}

/** Returns the kind of the request that a packet with this opcode belongs to or, for an answer, answers. */
export function kindOf(opcode: number): Kind {
  return kinds[opcode] ?? 0;
}

/** Returns the name of a request. */
export function opcodeName(kind: Kind, withImm: boolean, withInv: boolean): RequestOpcode {
  switch (kind) {
    case Kind.Write:
      return withImm ? 'RDMA_WRITE_WITH_IMM' : 'RDMA_WRITE';
    case Kind.Read:
      return 'RDMA_READ';
    case Kind.CompareSwap:
      return 'ATOMIC_CMP_AND_SWP';
    case Kind.FetchAdd:
      return 'ATOMIC_FETCH_AND_ADD';
    default:
      if (withInv) return 'SEND_WITH_INV';
      return withImm ? 'SEND_WITH_IMM' : 'SEND';
  }
}

/** Returns the kind of an acknowledge packet from its syndrome. */
export function aethKind(syndrome: number): AethKind {
  return (syndrome >> 5) & 3;
}

/** Names a NAK as the InfiniBand specification does. */
export function nakName(syndrome: number): string {
  switch ((syndrome & 31) as NakCode) {
    case NakCode.PsnSequenceError:
      return 'PSN sequence error';
    case NakCode.InvalidRequest:
      return 'invalid request';
    case NakCode.RemoteAccessError:
      return 'remote access error';
    case NakCode.RemoteOperationalError:
      return 'remote operational error';
    case NakCode.InvalidRdRequest:
      return 'invalid RD request';
    default:
      return `NAK code ${syndrome & 31}`;
  }
}

/** The status of the requester's completion after this NAK, as `ibv_wc_status_str` names are known by. */
export function completionAfter(syndrome: number): string {
  switch ((syndrome & 31) as NakCode) {
    case NakCode.InvalidRequest:
      return 'REM_INV_REQ_ERR';
    case NakCode.RemoteAccessError:
      return 'REM_ACCESS_ERR';
    case NakCode.RemoteOperationalError:
      return 'REM_OP_ERR';
    default:
      return 'an error';
  }
}

/** Waiting times of RNR NAKs in microseconds, by the timer field (InfiniBand specification, table "RNR NAK timer field"). */
const rnrMicroseconds = [
  655_360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920, 2560, 3840, 5120, 7680,
  10_240, 15_360, 20_480, 30_720, 40_960, 61_440, 81_920, 122_880, 163_840, 245_760, 327_680, 491_520,
];

/** Returns the time in milliseconds that an RNR NAK asks the requester to wait. */
export function rnrMilliseconds(syndrome: number): number {
  return (rnrMicroseconds[syndrome & 31] ?? 0) / 1000;
}
