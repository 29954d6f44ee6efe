import { invalidType, invalidValue } from '../internal/arguments';
import { CORE_ID_BYTES, TOKEN_BYTES } from '../internal/layout';

declare const deviceToken: unique symbol;

/**
 * Names an open device for other threads of the process: {@link Device.share} returns a token, and {@link Device.attach} accepts
 * it. A token is a string, so it can be passed through `postMessage`, `workerData` and environment variables. Its 128 random bits
 * grant access: the token of a whole device is full trust, because its holder can do everything that the device's creator can;
 * the token of one domain ({@link ShareOptions.pd}) grants access to that domain only.
 */
export type DeviceToken = string & { readonly [deviceToken]: true };

const PREFIX = 'rdmavt-device';
const hex = (bytes: number): string => `([0-9a-f]{${bytes * 2}})`;
const TOKEN = new RegExp(`^${PREFIX}:${hex(CORE_ID_BYTES)}-${hex(TOKEN_BYTES)}$`);

/**
 * Encodes the bytes returned by the native module as a token: first the id of this copy of the core, then the id of the device.
 */
export function tokenOf(bytes: Uint8Array): DeviceToken {
  const digits = Buffer.from(bytes).toString('hex');
  const core = CORE_ID_BYTES * 2;
  return `${PREFIX}:${digits.slice(0, core)}-${digits.slice(core)}` as DeviceToken;
}

/**
 * Decodes a token to the bytes that the native module expects.
 *
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`)
 */
export function bytesOfToken(token: unknown, name: string): Uint8Array {
  if (typeof token !== 'string') throw invalidType(name, 'of type string', token);
  const parts = TOKEN.exec(token);
  if (!parts) throw invalidValue(name, 'must be a token that Device.share() returned', token);
  return new Uint8Array(Buffer.from(`${parts[1]}${parts[2]}`, 'hex'));
}
