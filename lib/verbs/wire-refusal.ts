/** What an endpoint tells of a peer's request that it refused. */
import { HALF_RANGE } from '../internal/halves';
import { BthOpcode, NakCode, WireRefusalWord } from '../internal/layout';
import { type RefusalReason, reasonOf } from '../internal/reasons';
import { completionReason, type CompletionReason, explainCompletion } from '../internal/wc-causes';
import { hex } from '../internal/words';
import { type Access } from './access';
import { explainRefusal } from './explanation';
import { type Rkey } from './keys';
import { type QueuePair } from './queue-pair';
import { type VerbsRegistry } from './verbs-registry';

/** What the peer asked for. */
export type WireOperation =
  'SEND' | 'RDMA_WRITE' | 'RDMA_READ' | 'ATOMIC_CMP_AND_SWP' | 'ATOMIC_FETCH_AND_ADD';

/** The classes of refusals that a peer can tell apart: all that it learns. */
export type NakClass = 'INVALID_REQUEST' | 'REMOTE_ACCESS' | 'REMOTE_OPERATION';

/**
 * A peer's request that was refused. An RC queue pair is in the error state since then; a UC queue pair has dropped the request. For
 * this program: nothing but the class of the NAK was sent to the peer, and nothing at all by a UC queue pair.
 */
export interface WireRefusal {
  /** Address and port of the peer. */
  readonly address: string;
  readonly port: number;
  /** The queue pair that the request came to; undefined if another thread created it or it was garbage-collected. */
  readonly qp: QueuePair | undefined;
  /** {@link QueuePair.id} and {@link QueuePair.qpn} of the queue pair. */
  readonly qpId: number;
  readonly qpn: number;
  /** What the peer asked for. */
  readonly operation: WireOperation;
  /** Number of the refused packet. */
  readonly psn: number;
  /** What was sent to the peer; undefined: nothing, because the queue pair is of type UC. */
  readonly nak: NakClass | undefined;
  /** Why it was refused: the reason of a refused access to memory, else the cause. */
  readonly reason: RefusalReason | CompletionReason;
  /** The refused access to memory; undefined if the request was refused for another reason. */
  readonly request:
    | {
        readonly vaddr: bigint;
        readonly length: number;
        readonly rkey: Rkey;
        readonly access: Access;
      }
    | undefined;
  /** Explains the refusal in sentences, as {@link Refused.explain} does. The text is for this program only. */
  explain(): string;
}

/** What the opcodes of UC add to those of RC. */
const UC_OPCODES = 0x20;

function operationOf(code: number): WireOperation {
  const opcode = code & ~UC_OPCODES;
  if (opcode >= (BthOpcode.RcWriteFirst as number) && opcode <= (BthOpcode.RcWriteOnlyWithImm as number))
    return 'RDMA_WRITE';
  switch (opcode) {
    case BthOpcode.RcReadRequest as number:
      return 'RDMA_READ';
    case BthOpcode.RcCmpSwap as number:
      return 'ATOMIC_CMP_AND_SWP';
    case BthOpcode.RcFetchAdd as number:
      return 'ATOMIC_FETCH_AND_ADD';
    default:
      return 'SEND';
  }
}

function nakOf(syndrome: number): NakClass | undefined {
  if (syndrome === 0) return undefined;
  switch (syndrome & 31) {
    case NakCode.RemoteAccessError as number:
      return 'REMOTE_ACCESS';
    case NakCode.RemoteOperationalError as number:
      return 'REMOTE_OPERATION';
    default:
      return 'INVALID_REQUEST';
  }
}

/** Creates the object for the {@link WireRefusalWord}s of a refusal. */
export function wireRefusalOf(registry: VerbsRegistry, address: string, words: Uint32Array): WireRefusal {
  const at = (word: WireRefusalWord): number => words[word] ?? 0;
  const qpId = at(WireRefusalWord.Qp) + (words[WireRefusalWord.Qp + 1] ?? 0) * HALF_RANGE;
  const qpn = at(WireRefusalWord.Qpn);
  const cause = at(WireRefusalWord.Cause);
  const value = at(WireRefusalWord.Value);
  const refusal = reasonOf(at(WireRefusalWord.Reason));
  const asked = {
    address: (BigInt(words[WireRefusalWord.Addr + 1] ?? 0) << 32n) | BigInt(at(WireRefusalWord.Addr)),
    length: at(WireRefusalWord.Length),
    key: at(WireRefusalWord.Key),
    access: at(WireRefusalWord.Access),
  };
  const operation = operationOf(at(WireRefusalWord.Opcode));
  const peer = `${address} port ${at(WireRefusalWord.Port)}`;
  return Object.freeze({
    address,
    port: at(WireRefusalWord.Port),
    qp: registry.find('qp', qpId)?.object,
    qpId,
    qpn,
    operation,
    psn: at(WireRefusalWord.Psn),
    nak: nakOf(at(WireRefusalWord.Syndrome)),
    reason: refusal ?? completionReason(cause) ?? 'BadPacket',
    request:
      refusal &&
      Object.freeze({
        vaddr: asked.address,
        length: asked.length,
        rkey: asked.key as Rkey,
        access: asked.access,
      }),
    explain(): string {
      const begin = `${operation} of ${peer} to queue pair ${qpId} (number ${qpn}) was refused.`;
      const text = explainCompletion({ cause, value, received: true, refusal });
      const judge = refusal && registry.find('qp', qpId);
      if (refusal === undefined) return `${begin} ${text ?? ''}`;
      if (judge !== undefined) return `${begin} ${explainRefusal(judge.peers, asked, refusal, undefined)}`;
      return (
        `${begin} The refused access: ${asked.length} bytes at address ${hex(asked.address)} with key ${hex(asked.key)} ` +
        `(${refusal}). The queue pair is not of this thread or no longer exists, so no details are available.`
      );
    },
  });
}
