// Names of the verbs' states, types, opcodes, statuses and attributes, and the sentences about failed completions.
import {
  MigrationState,
  QpAttribute,
  QpState,
  QpType,
  WcCause,
  WcOpcode,
  WcStatus,
  WrOpcode,
} from '../../lib/internal/layout';
import * as names from '../../lib/internal/verbs-names';
import { completionReason, explainCompletion } from '../../lib/internal/wc-causes';

/** Returns the members of an enum, without the one that counts them: `['RdmaWrite', 0]`. */
const membersOf = (numbers: object): [string, number][] =>
  Object.entries(numbers).filter(([name, number]) => typeof number === 'number' && name !== 'Count');

/** `RdmaWrite` → `RDMA_WRITE`. */
const upper = (name: string): string => name.replace(/(?<!^)(?=[A-Z])/g, '_').toUpperCase();

test.each([
  ['types', QpType, names.qpTypeName, names.qpTypeNumber],
  ['states', QpState, names.qpStateName, names.qpStateNumber],
  ['migration states', MigrationState, names.migrationStateName, names.migrationStateNumber],
  ['opcodes of work requests', WrOpcode, names.wrOpcodeName, names.wrOpcodeNumber],
  ['opcodes of completions', WcOpcode, names.wcOpcodeName, names.wcOpcodeNumber],
  ['statuses', WcStatus, names.wcStatusName, names.wcStatusNumber],
])('%s have the names of the kernel, in both directions', (_, numbers, nameOf, numberOf) => {
  const members = membersOf(numbers);
  expect(members.length).toBeGreaterThan(2);
  expect(members.map(([, number]) => nameOf(number))).toEqual(members.map(([name]) => upper(name)));
  expect(members.map(([name]) => numberOf(upper(name)))).toEqual(members.map(([, number]) => number));
  expect(nameOf(77)).toBeUndefined();
  for (const wrong of ['toString', '__proto__', '', 'COUNT', 1, undefined, ['RTS']]) {
    expect([wrong, numberOf(wrong)]).toEqual([wrong, undefined]);
  }
});

test('attributes of queue pairs have their bits', () => {
  const members = membersOf(QpAttribute);
  const camel = members.map(([name]) => name[0]!.toLowerCase() + name.slice(1));
  const expected = camel.map((name) => (name === 'accessFlags' ? 'access' : name));
  expect(members.map(([, bit]) => names.qpAttributeName(bit))).toEqual(expected);
  expect(expected.map((name) => names.qpAttributeBit(name))).toEqual(members.map(([, bit]) => bit));
  expect(names.qpAttributeNames(0xffff_ffff)).toEqual(expected);
  expect(names.qpAttributeNames(QpAttribute.DestQpn | QpAttribute.State)).toEqual(['state', 'destQpn']);
  expect(names.qpAttributeNames(0)).toEqual([]);
});

describe('reasons of completions', () => {
  const causes = membersOf(WcCause).filter(([name]) => name !== 'None');

  test('have the names of the causes', () => {
    expect(causes.map(([, cause]) => completionReason(cause))).toEqual(causes.map(([name]) => name));
    expect([WcCause.None, WcCause.Count, 77].map(completionReason)).toEqual(Array(3).fill(undefined));
  });

  test('are explained in sentences, each of its own', () => {
    const sentences = causes.map(([, cause]) => explainCompletion({ cause, value: 0, received: false }));
    for (const sentence of sentences) {
      expect(sentence).toMatch(/^[A-Z].*\.$/);
      expect(sentence).not.toMatch(/undefined|NaN|\[object/);
    }
    expect(new Set(sentences).size).toBe(causes.length);
    expect(explainCompletion({ cause: WcCause.None, value: 0, received: false })).toBeUndefined();
  });

  const explained = (cause: WcCause, value = 0, rest: object = {}): string =>
    explainCompletion({ cause, value, received: false, ...rest })!;

  test('name the state, the type and the access flags of the peer', () => {
    expect(explained(WcCause.PeerState, QpState.Init)).toMatch(/in state INIT, .*Bring it to RTR/);
    expect(explained(WcCause.PeerState, QpState.Err)).toMatch(/in state ERR, .*connect both/);
    expect(explained(WcCause.PeerType, QpType.Uc)).toMatch(/of type UC\./);
    expect(explained(WcCause.QpAccess, 5)).toMatch(/they are LocalWrite and RemoteRead\./);
    expect(explained(WcCause.QpAccess, 0)).toMatch(/they are empty\./);
  });

  test('tell the requester and the responder what concerns them', () => {
    const received = { received: true };
    expect(explained(WcCause.ReceiveTooShort)).toMatch(/^The message is longer/);
    expect(explained(WcCause.ReceiveTooShort, 0, received)).toMatch(/^A message was longer than this/);
    expect(explained(WcCause.RemoteRefused, 0, { refusal: 'StaleKey' })).toMatch(/memory \(StaleKey\)\./);
    expect(explained(WcCause.RemoteRefused, 0, received)).toMatch(/^A peer's RDMA write was refused,/);
    expect(explained(WcCause.ReceiveRefused, 0, received)).toMatch(/^An SGE of this receive/);
    expect(explained(WcCause.ReceiveRefused)).toMatch(/that the peer had posted/);
  });
});
