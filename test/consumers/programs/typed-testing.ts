// Uses rdmavt/testing in TypeScript without the types of Node, Jest or Vitest. Prints `good`.
import { type Device } from 'rdmavt';
import {
  connectedPair,
  type LeftOver,
  leftOver,
  LeftOverError,
  matchers,
  openTestDevice,
  type RdmavtMatchers,
  type RefusalName,
} from 'rdmavt/testing';

declare const console: { log(text: string): void };

// As for Vitest and @jest/globals: an interface of matchers is extended.
interface Matchers<R> extends RdmavtMatchers<R> {
  toBe(value: unknown): R;
}
declare const expect: (value: unknown) => Matchers<void>;
export const why: RefusalName = 'OutOfBounds';
export function asserts(value: unknown): void {
  expect(value).toBeAccepted();
  expect(value).toBeRefused('OutOfBounds');
  expect(value).toBeRefused('RNR_RETRY_EXC_ERR');
  expect(value).toHaveNoLeaks({ except: [] });
  // @ts-expect-error: not a reason
  expect(value).toBeRefused('OutOfBound');
}

const pair = connectedPair({ type: 'UC' });
const device: Device = pair.device;
const left: LeftOver[] = leftOver(device, { except: [pair.pd, pair.a, pair.b, pair.aCq, pair.bCq] });
pair.close();
const test = openTestDevice();
test.device.allocPd();
let thrown: unknown;
try {
  test.close();
} catch (error) {
  thrown = error;
}
const pass: boolean = matchers.toBeRefused({ ok: false, reason: 'OutOfBounds' }, 'OutOfBounds').pass;
if (left.length === 0 && pass && thrown instanceof LeftOverError && thrown.left.length === 1) {
  console.log('good');
}
