import * as fc from 'fast-check';

import { WindowsModel } from './model';
import type { WindowsAnswer } from './operations';
import { windowsProgramArb } from './programs';

/** Every answer that the rules know. Those that no single thread can get are absent: `ReregRunning`, for example. */
const answers: Record<string, string[]> = {
  reg: ['EmptyMemory', 'IovaTooHigh', 'PdGone', 'RightsNeedLocalWrite', 'StartTooHigh', 'TableFull', 'done'],
  allocMr: ['PdGone', 'TableFull', 'done'],
  allocMw: ['PdGone', 'TableFull', 'done'],
  createQp: ['PdGone', 'done'],
  destroyQp: ['done'],
  bind: [
    'BindEmpty',
    'BindInvalid',
    'BindNeedsLocalWrite',
    'BindNotAllowed',
    'BindOutside',
    'BindRights',
    'HalfDead',
    'QpGone',
    'RegionGone',
    'RegionInOtherPd',
    'RegionKind',
    'WindowBound',
    'WindowGone',
    'WindowInOtherPd',
    'WindowKeySlot',
    'done',
  ],
  lease: [
    'BindNeedsLocalWrite',
    'BindRights',
    'DeadKey',
    'LeaseRights',
    'NoRemoteRight',
    'NothingMapped',
    'QpGone',
    'RegionGone',
    'RegionInOtherPd',
    'TableFull',
    'done',
    'options.length',
    'options.offset',
  ],
  invalidate: [
    'KeyInOtherPd',
    'KeyZero',
    'QpGone',
    'UnknownKey',
    'WindowOfOtherQp',
    'WindowUnbound',
    'WindowsBound',
    'done',
    'invalidated',
    'not invalidated',
  ],
  check: [
    'AccessDenied',
    'Closed',
    'Invalidated',
    'LeaseExpired',
    'NoSuchKey',
    'OutOfBounds',
    'Revoked',
    'StaleKey',
    'Unmapped',
    'WindowLocal',
    'WindowOtherQp',
    'WindowUnbound',
    'WrongPd',
    'done',
  ],
  copy: ['AccessDenied', 'RegionRevoked', 'WindowEnded', 'copied', 'skipped'],
  put: ['done', 'skipped'],
  rereg: [
    'EmptyMemory',
    'HalfDead',
    'IovaTooHigh',
    'PdGone',
    'RegionGone',
    'RegionKind',
    'ReregHeld',
    'ReregInvalid',
    'ReregNothing',
    'RightsNeedLocalWrite',
    'StartTooHigh',
    'WindowsBound',
    'done',
  ],
  dereg: ['RegionHeld', 'WindowsBound', 'done'],
  end: ['done'],
};

function classOf(answer: WindowsAnswer): string {
  if ('done' in answer) return 'done';
  if ('skipped' in answer) return 'skipped';
  if ('copied' in answer) return 'copied';
  if ('range' in answer) return answer.range;
  if ('reason' in answer) return answer.reason;
  if ('invalidated' in answer) return answer.invalidated === undefined ? 'not invalidated' : 'invalidated';
  return answer.cause;
}

it('seeded programs get every answer', () => {
  const seen = new Map<string, Set<string>>();
  for (const { bits, operations } of fc.sample(windowsProgramArb, { seed: 20, numRuns: 1500 })) {
    const model = new WindowsModel(bits);
    for (const op of operations) seen.set(op.op, (seen.get(op.op) ?? new Set()).add(classOf(model.play(op))));
  }
  const got = Object.fromEntries([...seen].map(([op, classes]) => [op, [...classes].sort()]));
  expect(got).toEqual({ ...answers, acquire: answers.check });
});
