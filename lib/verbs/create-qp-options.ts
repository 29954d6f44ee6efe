/** Reads the options of {@link ProtectionDomain.createQp}. */
import { boolean, invalidType, oneOf, size, u32, unknownProperty } from '../internal/arguments';
import { nativeCqOf } from './completion-queue';
import { PlainNumbers } from '../internal/intrinsics';
import { QpInitWord, SignalType } from '../internal/layout';
import { type NativeCompletionQueue, type NativeSharedReceiveQueue } from '../internal/native';
import { requiredOptionsOf } from '../internal/options';
import { type QueuePairSetup } from './queue-pair';
import { type CreateQpOptions } from './queue-pair-options';
import { nativeSrqOf } from './shared-receive-queue';
import { qpTypeNumber } from '../internal/verbs-names';

const DEFAULT_WRS = 64;
const DEFAULT_SGES = 4;
const DEFAULT_PENDING = 1024;

const typeNames = ['CHECK', 'RC', 'UC', 'UD'] as const;

/** The options, and what the native module needs of them. */
export interface QpInit extends Omit<QueuePairSetup, 'home' | 'local'> {
  readonly nativeSendCq: NativeCompletionQueue;
  readonly nativeRecvCq: NativeCompletionQueue;
  readonly nativeSrq: NativeSharedReceiveQueue | undefined;
  /** {@link QpInitWord}s. */
  readonly words: Uint32Array;
}

/**
 * Reads the options.
 *
 * @returns undefined for a queue pair without queues
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function readQpOptions(options: unknown): QpInit | undefined {
  const given = requiredOptionsOf<CreateQpOptions>(options, [
    'type',
    'sendCq',
    'recvCq',
    'srq',
    'maxSendWr',
    'maxRecvWr',
    'maxSendSge',
    'maxRecvSge',
    'sqSigAll',
    'maxPending',
  ]);
  const { type: givenType = 'CHECK' } = given;
  const type = oneOf(givenType, 'options.type', typeNames);
  if (type === 'CHECK') {
    const extra = Object.keys(given).find((name) => name !== 'type');
    if (extra !== undefined)
      throw unknownProperty(`options.${extra}`, "needs options.type to be 'RC', 'UC' or 'UD'");
    return undefined;
  }
  const { sendCq, recvCq = sendCq, srq } = given;
  const nativeSendCq = nativeCqOf(sendCq);
  const nativeRecvCq = nativeCqOf(recvCq);
  if (nativeSendCq === undefined)
    throw invalidType('options.sendCq', 'an instance of CompletionQueue', sendCq);
  if (nativeRecvCq === undefined)
    throw invalidType('options.recvCq', 'an instance of CompletionQueue', recvCq);
  const nativeSrq = nativeSrqOf(srq);
  if (srq !== undefined && nativeSrq === undefined)
    throw invalidType('options.srq', 'an instance of SharedReceiveQueue', srq);
  const words = new PlainNumbers(QpInitWord.Words);
  words[QpInitWord.Type] = qpTypeNumber(type) ?? 0;
  const {
    maxSendWr = DEFAULT_WRS,
    maxRecvWr = DEFAULT_WRS,
    maxSendSge = DEFAULT_SGES,
    maxRecvSge = DEFAULT_SGES,
    sqSigAll = false,
    maxPending = DEFAULT_PENDING,
  } = given;
  words[QpInitWord.MaxSendWr] = u32(maxSendWr, 'options.maxSendWr');
  words[QpInitWord.MaxRecvWr] = u32(maxRecvWr, 'options.maxRecvWr');
  words[QpInitWord.MaxSendSge] = u32(maxSendSge, 'options.maxSendSge');
  words[QpInitWord.MaxRecvSge] = u32(maxRecvSge, 'options.maxRecvSge');
  words[QpInitWord.SigType] = boolean(sqSigAll, 'options.sqSigAll') ? SignalType.AllWr : SignalType.ReqWr;
  return {
    type,
    // The objects are of these classes: they have native ones.
    sendCq: sendCq as CreateQpOptions['sendCq'],
    recvCq: recvCq as CreateQpOptions['sendCq'],
    srq: srq as CreateQpOptions['srq'],
    maxPending: size(maxPending, 'options.maxPending'),
    nativeSendCq,
    nativeRecvCq,
    nativeSrq,
    words,
  };
}
