// Uses the package in TypeScript without the types of Node. Prints `good`.
import {
  Access,
  type AddonsDisabledError,
  Device,
  type Lkey,
  type MemoryLike,
  type MissingBinaryError,
  RdmaError,
  type Region,
  type Rkey,
  Sge,
} from 'rdmavt';

declare const console: { log(text: string): void };

const device: Device = new Device({ lkeyTableBits: 8 });
const pd = device.allocPd();
const memory: MemoryLike = new Uint8Array(64);
const mr = pd.regUserMr(memory, { access: Access.LocalWrite });
const lkey: Lkey = mr.lkey;
// @ts-expect-error -- a local key is not a remote one
const rkey: Rkey = lkey;
// @ts-expect-error -- a plain object is not memory: if this compiles, MemoryLike has become any
const nonsense: MemoryLike = { nothing: rkey };
// @ts-expect-error -- only the package creates SGEs
const makeSge = (): Sge => new Sge();
const region: Region = mr;
// @ts-expect-error -- the common class of regions is a type only, without a value
const isRegion = (value: unknown): boolean => value instanceof Region;

let code = '';
try {
  pd.regUserMr(memory, { access: Access.RemoteWrite });
} catch (error) {
  if (error instanceof RdmaError) code = error.code;
}
const missing: MissingBinaryError['code'] = 'ERR_RDMAVT_NO_BINARY';
const disabled: AddonsDisabledError['code'] = 'ERR_RDMAVT_ADDONS_DISABLED';
const check = pd.check({ addr: mr.start, length: 64, lkey }, Access.LocalWrite);
device[Symbol.dispose]();
console.log(
  check.ok && region === mr && typeof makeSge === typeof isRegion && code === 'EINVAL' && nonsense !== memory
    ? 'good'
    : `${missing} ${disabled} ${code}`,
);
