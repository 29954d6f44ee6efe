// The package as a TypeScript program uses it, without the types of Node. Prints `good`.
import {
  Access,
  Device,
  type Lkey,
  type MemoryLike,
  type MissingBinaryError,
  RdmaError,
  type Rkey,
} from 'rdmavt';

declare const console: { log(text: string): void };

const device: Device = new Device({ lkeyTableBits: 8 });
const pd = device.allocPd();
const memory: MemoryLike = new Uint8Array(64);
const mr = pd.regUserMr(memory, { access: Access.LocalWrite });
const lkey: Lkey = mr.lkey;
// @ts-expect-error -- a local key is not a remote one
const rkey: Rkey = lkey;
// @ts-expect-error -- neither is a plain object memory: if this compiles, MemoryLike has become any
const nonsense: MemoryLike = { nothing: rkey };

let code = '';
try {
  pd.regUserMr(memory, { access: Access.RemoteWrite });
} catch (error) {
  if (error instanceof RdmaError) code = error.code;
}
const missing: MissingBinaryError['code'] = 'ERR_RDMAVT_NO_BINARY';
const check = pd.check({ addr: mr.start, length: 64, lkey }, Access.LocalWrite);
device[Symbol.dispose]();
console.log(check.ok && code === 'EINVAL' && nonsense !== memory ? 'good' : `${missing} ${code}`);
