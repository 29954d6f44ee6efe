import { invalidType, invalidValue } from '../internal/arguments';

declare const deviceToken: unique symbol;

/**
 * Names an open device for other worker threads of the process: {@link Device.share} gives it, {@link Device.attach} takes it. A
 * string, so it goes through `postMessage`, `workerData` and the environment as it is. Its 128 random bits are the right to use
 * the device: who has the token can do what its maker can.
 */
export type DeviceToken = string & { readonly [deviceToken]: true };

const PREFIX = 'rdmavt-device';
const CORE_BYTES = 8;
const TOKEN = /^rdmavt-device:([0-9a-f]{16})-([0-9a-f]{32})$/;

/** The token of what the native module answered: which copy of the core, then which device. */
export function tokenOf(bytes: Uint8Array): DeviceToken {
  const hex = Buffer.from(bytes).toString('hex');
  return `${PREFIX}:${hex.slice(0, CORE_BYTES * 2)}-${hex.slice(CORE_BYTES * 2)}` as DeviceToken;
}

/**
 * The bytes of a token.
 *
 * @throws TypeError: `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`
 */
export function bytesOfToken(token: unknown, name: string): Uint8Array {
  if (typeof token !== 'string') throw invalidType(name, 'of type string', token);
  const parts = TOKEN.exec(token);
  if (!parts) throw invalidValue(name, 'must be what Device.share() gave', token);
  return new Uint8Array(Buffer.from(`${parts[1]}${parts[2]}`, 'hex'));
}
