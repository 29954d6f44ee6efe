import { type Access } from './access';
import { illegalConstructor } from '../internal/arguments';
import { fieldLong, fieldNumber } from '../internal/command';
import { construction } from '../internal/construction';
import { dispose } from '../internal/disposal';
import { Errno, rdmaError } from '../internal/errors';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { fastRegKey, type Rkey } from './keys';
import { KEY_VARIANT_MASK, WindowField } from '../internal/layout';
import { type Method } from '../internal/methods';
import { namesOfRights } from '../internal/right-names';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { endWindow, queryWindow, type WindowName } from '../internal/window-name';
import { hex } from '../internal/words';

/**
 * The state of a memory window.
 *
 * - `'Unbound'`: peers are refused (`WindowUnbound`)
 * - `'Bound'`: a BIND_MW has bound it
 * - `'Closed'`: the window does not exist any more
 */
export type MemoryWindowState = 'Unbound' | 'Bound' | 'Closed';

/** Returned by {@link MemoryWindow.toJSON}. */
export interface ShownMemoryWindow extends Shown {
  class: 'MemoryWindow';
  id: number;
  rkey?: string;
  /** For a bound window: id of its region. */
  region?: number;
  vaddr?: string;
  length?: number;
  /** Names of its rights, as returned by {@link accessNames}. */
  access?: string[];
  /** Id of the queue pair that it is bound to. */
  qp?: number;
  state: MemoryWindowState;
}

/** Returns the name of a window; undefined for any other value. Does not consult the prototype, which a program can change. */
export let windowNameOf: (value: unknown) => WindowName | undefined;
let describeMemoryWindow: (window: MemoryWindow) => ShownMemoryWindow;

/**
 * A memory window of type 2B (`struct ibv_mw`): a key that gives the peer of one queue pair rights on a part of a region.
 *
 * Created by {@link ProtectionDomain.allocMw}, bound by the work request {@link BindMwRequest}, and unbound by a LOCAL_INV of that
 * queue pair or a SEND_WITH_INV of its peer. docs/guide/windows.md has a table of the rules.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const device = new Device();
 * const pd = device.allocPd();
 * const cq = device.createCq(16);
 * const [a, b] = [pd.createQp({ type: 'RC', sendCq: cq }), pd.createQp({ type: 'RC', sendCq: cq })];
 * a.connect(b, { access: Access.RemoteRead });
 * const mr = pd.regUserMr(Buffer.from('the secret'), { access: Access.MwBind, iova: 0x1000n });
 * const mw = pd.allocMw();
 * a.postSend({
 *   opcode: 'BIND_MW', mw, mr, addr: mr.iova + 4n, length: 6, access: Access.RemoteRead, key: mw.nextRkey,
 * });
 * const target = pd.regUserMr(Buffer.alloc(6), { access: Access.LocalWrite });
 * await b.read({ addr: target.start, length: 6, lkey: target.lkey }, { remoteAddr: 0x1004n, rkey: mw.rkey });
 * a.postSend({ opcode: 'LOCAL_INV', invalidateRkey: mw.rkey });
 * console.log(mw.state); // Unbound
 * ```
 */
export class MemoryWindow {
  readonly #name: WindowName;
  readonly #id: number;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, name: WindowName, id: number) {
    if (token !== construction) throw illegalConstructor();
    this.#name = name;
    this.#id = id;
    markUncloneable(this);
  }

  /** Unique among the windows of the device and never reused. {@link Device.resources} contains this id. */
  get id(): number {
    return this.#id;
  }

  /** The key for the peer. A BIND_MW changes its low byte. */
  get rkey(): Rkey {
    return this.#number(WindowField.Key, 'MemoryWindow.rkey') as Rkey;
  }

  /** A key for the next BIND_MW: {@link MemoryWindow.rkey} with its low byte incremented (`ibv_inc_rkey`). */
  get nextRkey(): Rkey {
    const rkey = this.#number(WindowField.Key, 'MemoryWindow.rkey') as Rkey;
    return fastRegKey(rkey, (rkey + 1) & KEY_VARIANT_MASK);
  }

  /** Id of the region that it is bound to; undefined if it is unbound. */
  get regionId(): number | undefined {
    return this.#number(WindowField.Region, 'MemoryWindow.regionId') || undefined;
  }

  /** Id of the queue pair whose peer may use it; undefined if it is unbound. */
  get qpId(): number | undefined {
    return this.#number(WindowField.Qp, 'MemoryWindow.qpId') || undefined;
  }

  /** Remote address of the first byte; 0 if it is unbound. */
  get vaddr(): bigint {
    this.#query('MemoryWindow.vaddr');
    return fieldLong(WindowField.Address);
  }

  /** Length in bytes; 0 if it is unbound. */
  get length(): number {
    return this.#number(WindowField.Length, 'MemoryWindow.length');
  }

  /** The rights that it grants, bits of {@link Access}; 0 if it is unbound. */
  get access(): Access {
    return this.#number(WindowField.Access, 'MemoryWindow.access');
  }

  /** Whether it is bound. Never throws. */
  get state(): MemoryWindowState {
    if (queryWindow(this.#name) < 0) return 'Closed';
    return fieldNumber(WindowField.Bound) === 0 ? 'Unbound' : 'Bound';
  }

  /**
   * Ends the window, bound or not (`ibv_dealloc_mw`). Using elements that were accepted through it is refused from then on
   * (`WindowEnded`). When the call returns, no thread moves a byte any more through the window. A second call is a no-op.
   */
  dealloc(): void {
    const status = endWindow(this.#name);
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('MemoryWindow.dealloc', status);
  }

  /** Ends the window. Never throws. */
  [dispose](): void {
    endWindow(this.#name);
  }

  /** Returns a one-line description of the window. Never throws. */
  toString(): string {
    return textOf('MemoryWindow', this, describeMemoryWindow);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownMemoryWindow {
    return jsonOf('MemoryWindow', this, describeMemoryWindow);
  }

  #query(method: Method): void {
    const status = queryWindow(this.#name);
    if (status < 0) throw rdmaError(method, status);
  }

  #number(field: WindowField, method: Method): number {
    this.#query(method);
    return fieldNumber(field);
  }

  static {
    windowNameOf = (value) =>
      typeof value === 'object' && value !== null && #name in value ? value.#name : undefined;
    describeMemoryWindow = (window) => {
      const id = window.#id;
      if (queryWindow(window.#name) < 0) return { class: 'MemoryWindow', id, state: 'Closed' };
      const rkey = hex(fieldNumber(WindowField.Key));
      if (fieldNumber(WindowField.Bound) === 0) return { class: 'MemoryWindow', id, rkey, state: 'Unbound' };
      return {
        class: 'MemoryWindow',
        id,
        rkey,
        region: fieldNumber(WindowField.Region),
        vaddr: hex(fieldLong(WindowField.Address)),
        length: fieldNumber(WindowField.Length),
        access: namesOfRights(fieldNumber(WindowField.Access)),
        qp: fieldNumber(WindowField.Qp),
        state: 'Bound',
      };
    };
    showAs(MemoryWindow, 'MemoryWindow', (window) => textOf('MemoryWindow', window, describeMemoryWindow));
  }
}
