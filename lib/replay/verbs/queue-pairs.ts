/** Executes the operations on queue pairs, except those that post work requests. */
import { AvWord, QpAttribute, QpAttrWord, QpInitWord, SignalType } from '../../internal/layout';
import {
  migrationStateName,
  migrationStateNumber,
  qpStateName,
  qpStateNumber,
  qpTypeNumber,
} from '../../internal/verbs-names';
import { type Answer, answerFailureOf, SKIPPED } from '../answers';
import type { Session } from '../session';
import { type OperationMembers, TraceError } from '../trace-format';
import type { AddressVector, Attributes, VerbsMembers } from './operations';
import { destroy } from './queues';

export function createQp(session: Session, op: VerbsMembers['create_qp']): Answer {
  const pd = session.pd(op.pd);
  const sendCq = session.cq(op.send_cq);
  const recvCq = session.cq(op.recv_cq);
  const srq = op.srq === null ? undefined : session.srq(op.srq);
  if (pd === undefined || sendCq === undefined || recvCq === undefined) return SKIPPED;
  if (op.srq !== null && srq === undefined) return SKIPPED;
  const words = new Uint32Array(QpInitWord.Words);
  words[QpInitWord.Type] = known(qpTypeNumber(op.type));
  words[QpInitWord.SigType] = op.sq_sig_type === 'ALL' ? SignalType.AllWr : SignalType.ReqWr;
  words[QpInitWord.MaxSendWr] = op.max_send_wr;
  words[QpInitWord.MaxRecvWr] = op.max_recv_wr;
  words[QpInitWord.MaxSendSge] = op.max_send_sge;
  words[QpInitWord.MaxRecvSge] = op.max_recv_sge;
  const qp = pd.createQp(sendCq, recvCq, srq, words);
  if (typeof qp === 'number') return answerFailureOf(qp, 'create_qp');
  session.bind(op.id, 'qp', qp);
  return { ret: 0, qpn: qp.qpn() };
}

/** Bit and word of each attribute that is a number; bits without a word carry no value. */
const numberAttributes: readonly [name: keyof Attributes, bit: QpAttribute, word?: QpAttrWord][] = [
  ['access', QpAttribute.AccessFlags, QpAttrWord.Access],
  ['pkey_index', QpAttribute.PkeyIndex, QpAttrWord.PkeyIndex],
  ['port', QpAttribute.Port, QpAttrWord.Port],
  ['qkey', QpAttribute.Qkey, QpAttrWord.Qkey],
  ['path_mtu', QpAttribute.PathMtu, QpAttrWord.PathMtu],
  ['timeout', QpAttribute.Timeout, QpAttrWord.Timeout],
  ['retry_cnt', QpAttribute.RetryCnt, QpAttrWord.RetryCnt],
  ['rnr_retry', QpAttribute.RnrRetry, QpAttrWord.RnrRetry],
  ['rq_psn', QpAttribute.RqPsn, QpAttrWord.RqPsn],
  ['max_rd_atomic', QpAttribute.MaxRdAtomic, QpAttrWord.MaxRdAtomic],
  ['min_rnr_timer', QpAttribute.MinRnrTimer, QpAttrWord.MinRnrTimer],
  ['sq_psn', QpAttribute.SqPsn, QpAttrWord.SqPsn],
  ['max_dest_rd_atomic', QpAttribute.MaxDestRdAtomic, QpAttrWord.MaxDestRdAtomic],
  ['dest_qpn', QpAttribute.DestQpn, QpAttrWord.DestQpn],
  ['en_sqd_async_notify', QpAttribute.EnSqdAsyncNotify],
  ['cap', QpAttribute.Cap],
];

export function modifyQp(session: Session, op: OperationMembers['modify_qp']): Answer {
  const qp = session.qp(op.qp);
  if (qp === undefined) return SKIPPED;
  const { attr } = op;
  const words = new Uint32Array(QpAttrWord.SetWords);
  let mask = 0;
  const set = (bit: QpAttribute, word: QpAttrWord, value: number | undefined): void => {
    mask |= bit;
    words[word] = known(value);
  };
  if (attr.state !== undefined) set(QpAttribute.State, QpAttrWord.State, qpStateNumber(attr.state));
  if (attr.cur_state !== undefined)
    set(QpAttribute.CurState, QpAttrWord.CurState, qpStateNumber(attr.cur_state));
  if (attr.path_mig_state !== undefined)
    set(QpAttribute.PathMigState, QpAttrWord.PathMigState, migrationStateNumber(attr.path_mig_state));
  for (const [name, bit, word] of numberAttributes) {
    const value = attr[name];
    if (typeof value !== 'number') continue;
    mask |= bit;
    if (word !== undefined) words[word] = value;
  }
  if (attr.av !== undefined) {
    mask |= QpAttribute.Av;
    storePath(words, QpAttrWord.Av, attr.av);
  }
  if (attr.alt_path !== undefined) {
    mask |= QpAttribute.AltPath;
    storePath(words, QpAttrWord.AltAv, attr.alt_path);
    words[QpAttrWord.AltPkeyIndex] = attr.alt_path.pkey_index;
  }
  const status = qp.modify(mask, words);
  return status < 0 ? answerFailureOf(status, 'modify_qp') : { ret: 0 };
}

function storePath(words: Uint32Array, at: number, path: AddressVector): void {
  words[at + AvWord.Dlid] = path.dlid;
  words[at + AvWord.Sl] = path.sl;
  words[at + AvWord.StaticRate] = path.static_rate;
  words[at + AvWord.Port] = path.port;
}

export function queryQp(session: Session, op: OperationMembers['query_qp']): Answer {
  const words = new Uint32Array(QpAttrWord.Words);
  const status = session.qp(op.qp)?.query(words);
  if (status === undefined) return SKIPPED;
  if (status < 0) return answerFailureOf(status, 'query_qp');
  const of = (word: number): number => words[word] ?? 0;
  const path = (at: number): AddressVector => ({
    dlid: of(at + AvWord.Dlid),
    sl: of(at + AvWord.Sl),
    static_rate: of(at + AvWord.StaticRate),
    port: of(at + AvWord.Port),
  });
  return {
    state: known(qpStateName(of(QpAttrWord.State))),
    path_mtu: of(QpAttrWord.PathMtu),
    path_mig_state: known(migrationStateName(of(QpAttrWord.PathMigState))),
    qkey: of(QpAttrWord.Qkey),
    rq_psn: of(QpAttrWord.RqPsn),
    sq_psn: of(QpAttrWord.SqPsn),
    dest_qpn: of(QpAttrWord.DestQpn),
    access: of(QpAttrWord.Access),
    max_send_wr: of(QpAttrWord.MaxSendWr),
    max_recv_wr: of(QpAttrWord.MaxRecvWr),
    max_send_sge: of(QpAttrWord.MaxSendSge),
    max_recv_sge: of(QpAttrWord.MaxRecvSge),
    max_inline_data: 0,
    pkey_index: of(QpAttrWord.PkeyIndex),
    sq_draining: of(QpAttrWord.SqDraining),
    max_rd_atomic: of(QpAttrWord.MaxRdAtomic),
    max_dest_rd_atomic: of(QpAttrWord.MaxDestRdAtomic),
    min_rnr_timer: of(QpAttrWord.MinRnrTimer),
    port: of(QpAttrWord.Port),
    timeout: of(QpAttrWord.Timeout),
    retry_cnt: of(QpAttrWord.RetryCnt),
    rnr_retry: of(QpAttrWord.RnrRetry),
    sq_sig_type: of(QpAttrWord.SigType) === (SignalType.AllWr as number) ? 'ALL' : 'REQ',
    av: path(QpAttrWord.Av),
    alt_path: { ...path(QpAttrWord.AltAv), pkey_index: of(QpAttrWord.AltPkeyIndex) },
  };
}

export function destroyQp(session: Session, op: OperationMembers['destroy_qp']): Answer {
  return destroy(session, op.qp, session.qp(op.qp)?.destroy());
}

/** Returns a translated name or number. The parser and the core allow only names and numbers that are known. */
function known<T>(translated: T | undefined): T {
  if (translated === undefined) throw new TraceError('a name or number of the verbs is unknown');
  return translated;
}
