import { invalidType, invalidValue } from '../internal/arguments';
import { CORE_ID_BYTES, TOKEN_BYTES } from '../internal/layout';

declare const deviceToken: unique symbol;

/**
 * Names an open device for other worker threads of the process: {@link Device.share} gives it, {@link Device.attach} takes it. A
 * string, so it goes through `postMessage`, `workerData` and the environment as it is. Its 128 random bits are the right to use
 * what it names. The token of a whole device is full trust: who has it can do what its maker can. That of one domain
 * ({@link ShareOptions.pd}) gives that domain and nothing else.
 */
export type DeviceToken = string & { readonly [deviceToken]: true };

const PREFIX = 'rdmavt-device';
const hex = (bytes: number): string => `([0-9a-f]{${bytes * 2}})`;
const TOKEN = new RegExp(`^${PREFIX}:${hex(CORE_ID_BYTES)}-${hex(TOKEN_BYTES)}$`);

/** The token of what the native module answered: which copy of the core, then which device. */
export function tokenOf(bytes: Uint8Array): DeviceToken {
  const digits = Buffer.from(bytes).toString('hex');
  const core = CORE_ID_BYTES * 2;
  return `${PREFIX}:${digits.slice(0, core)}-${digits.slice(core)}` as DeviceToken;
}

/**
 * The bytes of a token.
 *
 * @throws TypeError: `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`
 */
export function bytesOfToken(token: unknown, name: string): Uint8Array {
  if (typeof token !== 'string') throw invalidType(name, 'of type string', token);
  const parts = TOKEN.exec(token);
  if (!parts) throw invalidValue(name, 'must be a token that Device.share() returned', token);
  return new Uint8Array(Buffer.from(`${parts[1]}${parts[2]}`, 'hex'));
}
