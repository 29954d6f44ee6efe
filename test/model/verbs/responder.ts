// Models the execution of one request of an RC or UC queue pair at its responder (docs/semantics.md, V11).

import { check } from '../checks';
import { hex, keyOf } from '../numbers';
import type { Sge } from '../region';
import { complete } from './completion-queue';
import { completeReceive, enterError, enterErrorWithEvent } from './error-state';
import { type HeldSge, hold, lengthOf, putAll } from './memory-bytes';
import type { SendWr, Status, WorkCompletion } from './operations';
import { invalidate, isAtomic } from './posting';
import type { QueuedSend, QueuePair } from './queue-pair';
import { type Receive, takeReceive } from './receive-queue';
import type { VerbsSession } from './session';

const REMOTE_WRITE = 2;
const REMOTE_READ = 4;
const REMOTE_ATOMIC = 8;

const WITH_IMM = 2;
const WITH_INVALIDATE = 4;

/** What becomes of the requester's work request: it succeeds, fails with a status, or finds no receive. */
export type Outcome = { done: true } | { failed: Status } | { notReady: true };

const DONE: Outcome = { done: true };

export function execute(
  session: VerbsSession,
  requester: QueuePair,
  responder: QueuePair,
  send: QueuedSend,
): Outcome {
  const { opcode } = send.wr;
  const request = new Request(session, requester, responder, send);
  if (isAtomic(opcode)) return request.atomic();
  switch (opcode) {
    case 'RDMA_WRITE':
      return request.write();
    case 'RDMA_WRITE_WITH_IMM':
      return request.writeWithImm();
    case 'RDMA_READ':
      return request.read();
    default:
      return request.send();
  }
}

class Request {
  constructor(
    readonly session: VerbsSession,
    readonly requester: QueuePair,
    readonly responder: QueuePair,
    readonly queued: QueuedSend,
  ) {}

  send(): Outcome {
    const { session, responder, queued } = this;
    const { wr, length } = queued;
    const receive = this.#take(true);
    if (!('sges' in receive)) return receive;
    if (length > lengthOf(receive.sges)) return this.#invalid(receive);

    const extra: Partial<WorkCompletion> = {};
    if (wr.opcode === 'SEND_WITH_INV' && invalidate(session, responder.pd, wr)) {
      extra.wc_flags = WITH_INVALIDATE;
      extra.inv = hex(keyOf(wr.invalidate_rkey ?? '0x0'));
    }
    session.memory.write(receive.sges, session.memory.read(queued.sges, length));
    putAll(receive.sges);
    this.#complete(receive, 'RECV', extra);
    return DONE;
  }

  write(): Outcome {
    return this.#lacks(REMOTE_WRITE) ? this.#invalid() : (this.#store() ?? DONE);
  }

  writeWithImm(): Outcome {
    if (this.#lacks(REMOTE_WRITE)) return this.#invalid();
    const receive = this.#take(false);
    if (!('sges' in receive)) return receive;
    const failure = this.#store(receive);
    if (failure !== undefined) return failure;
    this.#complete(receive, 'RECV_RDMA_WITH_IMM', {});
    return DONE;
  }

  read(): Outcome {
    const { session, queued } = this;
    if (this.#lacks(REMOTE_READ)) return this.#invalid();
    const source = this.#remote(REMOTE_READ, queued.length);
    if (source === undefined) return this.#denied();
    session.memory.write(queued.sges, session.memory.read([source], queued.length));
    putAll([source]);
    return DONE;
  }

  atomic(): Outcome {
    const { session, queued } = this;
    const { wr } = queued;
    if (this.#lacks(REMOTE_ATOMIC)) return this.#invalid();
    if (BigInt(wr.remote_addr ?? 0) % 8n !== 0n) return this.#invalid();
    const target = this.#remote(REMOTE_ATOMIC, 8);
    if (target === undefined) return this.#denied();

    const bytes = session.memory.read([target], 8);
    const old = Buffer.from(bytes).readBigUInt64LE();
    const operand = BigInt(wr.compare_add ?? 0);
    const swaps = wr.opcode === 'ATOMIC_CMP_AND_SWP';
    const next = swaps ? (old === operand ? BigInt(wr.swap ?? 0) : old) : BigInt.asUintN(64, old + operand);
    const stored = Buffer.alloc(8);
    stored.writeBigUInt64LE(next);
    session.memory.write([target], stored);
    session.memory.write(queued.sges, bytes);
    putAll([target]);
    return DONE;
  }

  #lacks(right: number): boolean {
    return (this.responder.access & right) === 0;
  }

  /** Takes a receive, or returns what the requester gets instead. */
  #take(withBuffers: boolean): Receive | Outcome {
    const { session, responder } = this;
    const taken = takeReceive(session, responder, withBuffers);
    if ('receive' in taken) return taken.receive;
    if ('none' in taken) return { notReady: true };
    completeReceive(session, responder, taken.badKey.wr_id, 'LOC_PROT_ERR');
    enterErrorWithEvent(session, responder, 'LOC_QP_OP_ERR');
    return { failed: 'REM_OP_ERR' };
  }

  /** Writes the message to remote memory. Returns the outcome if the remote check refuses it. */
  #store(inHand?: Receive): Outcome | undefined {
    const { session, queued } = this;
    if (queued.length === 0) return undefined;
    const target = this.#remote(REMOTE_WRITE, queued.length);
    if (target === undefined) return this.#denied(inHand);
    session.memory.write([target], session.memory.read(queued.sges, queued.length));
    putAll([target]);
    return undefined;
  }

  /** Checks the remote range (docs/semantics.md, 10). */
  #remote(right: number, length: number): HeldSge | undefined {
    const { wr }: { wr: SendWr } = this.queued;
    const sge: Sge | undefined = check(this.session.regions, {
      id: '',
      pd: this.responder.pd,
      key: keyOf(wr.rkey ?? '0x0'),
      address: BigInt(wr.remote_addr ?? 0),
      length: BigInt(length),
      local: false,
      acc: right,
    });
    return sge === undefined ? undefined : hold(sge);
  }

  /** Answers a request that the responder does not support, or whose message is longer than the receive. */
  #invalid(inHand?: Receive): Outcome {
    enterErrorWithEvent(this.session, this.responder, 'LOC_QP_OP_ERR', inHand);
    return { failed: this.requester.type === 'RC' ? 'REM_INV_REQ_ERR' : 'SUCCESS' };
  }

  /** Answers a request whose remote check fails. */
  #denied(inHand?: Receive): Outcome {
    enterErrorWithEvent(this.session, this.responder, 'LOC_PROT_ERR', inHand);
    return { failed: 'REM_ACCESS_ERR' };
  }

  #complete(receive: Receive, opcode: 'RECV' | 'RECV_RDMA_WITH_IMM', extra: Partial<WorkCompletion>): void {
    const { session, responder, queued } = this;
    const { wr } = queued;
    const imm = wr.opcode.endsWith('_WITH_IMM') ? { wc_flags: WITH_IMM, imm: wr.imm ?? 0 } : {};
    const completion: Parameters<typeof complete>[2] = {
      wr_id: receive.wrId,
      status: 'SUCCESS',
      opcode,
      byte_len: queued.length,
      qp: responder.id,
      // The address that the responder was configured with, not the requester's.
      src_qp: responder.destQpn,
      slid: responder.av.dlid,
      sl: responder.av.sl,
      port: 1,
      ...imm,
      ...extra,
    };
    const taken = complete(session, responder.receiveCq, completion, wr.flags.includes('SOLICITED'));
    if (!taken) enterError(session, responder, 'LOC_QP_OP_ERR');
  }
}
