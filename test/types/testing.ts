// What tests that use the matchers of rdmavt/testing with @types/jest may write.
import { Device, type LocalCheck } from 'rdmavt';
import {
  connectedPair,
  leftOver,
  matchers,
  openTestDevice,
  type RefusalName,
  takeCompletions,
} from 'rdmavt/testing';

export function asserts(check: LocalCheck, device: Device): void {
  expect.extend(matchers);
  expect(check).toBeAccepted();
  expect(check).not.toBeRefused('OutOfBounds');
  expect(check).toBeRefused('RNR_RETRY_EXC_ERR');
  expect(check).toBeRefused('ReceiveTooShort');
  expect(device).toHaveNoLeaks();
  expect(device).toHaveNoLeaks({ except: [device.allocPd()] });
  void expect(Promise.reject(new Error('x'))).rejects.toBeRefused();
  // @ts-expect-error: not a reason
  expect(check).toBeRefused('OutOfBound');
  // @ts-expect-error: a success is not a refusal
  expect(check).toBeRefused('SUCCESS');
  // @ts-expect-error: not an option
  expect(device).toHaveNoLeaks({ but: [] });
}

export async function helpers(): Promise<void> {
  const why: RefusalName = 'AccessDenied';
  const pair = connectedPair({ type: 'UC', deviceOptions: { engine: 'manual' } });
  const { a, aCq } = pair;
  const type: 'UC' | undefined = a.type;
  // @ts-expect-error: UD queue pairs are not connected
  connectedPair({ type: 'UD' });
  const [completion] = await takeCompletions(aCq, 1, { timeoutMs: 5 });
  const status: string | undefined = completion?.status;
  const left = leftOver(pair.device, { except: [a] });
  // @ts-expect-error: read-only
  left[0]!.text = '';
  using test = openTestDevice({ lkeyTableBits: 4 });
  // @ts-expect-error: read-only
  test.device = pair.device;
  expect([why, type, status]).toBe(undefined);
}
