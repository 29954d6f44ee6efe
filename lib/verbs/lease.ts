import { type Access } from './access';
import { type Advertisement } from './advertisement';
import { illegalConstructor } from '../internal/arguments';
import { fieldNumber } from '../internal/command';
import { construction } from '../internal/construction';
import { dispose } from '../internal/disposal';
import { Errno, rdmaError } from '../internal/errors';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { type Rkey } from './keys';
import { WindowField } from '../internal/layout';
import { namesOfRights } from '../internal/right-names';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { endWindow, queryWindow, type WindowName } from '../internal/window-name';
import { hex } from '../internal/words';

/**
 * The state of a lease.
 *
 * - `'Live'`: peers may use it
 * - `'Expired'`: its time is over
 * - `'Revoked'`: it was ended before: by {@link Lease.revoke}, by an invalidation of its key, or with its region
 */
export type LeaseState = 'Live' | 'Expired' | 'Revoked';

/** Returned by {@link Lease.toJSON}. */
export interface ShownLease extends Shown {
  class: 'Lease';
  id: number;
  rkey: string;
  vaddr: string;
  length: number;
  /** Names of its rights, as returned by {@link accessNames}. */
  access: string[];
  state: LeaseState;
}

let describeLease: (lease: Lease) => ShownLease;

/**
 * An advertisement of a part of a region that expires: {@link Region.advertise} with `expiresInMs`.
 *
 * A lease has a key of its own. Each check compares the time with a clock of the system, in native code: a lease expires while the
 * event loop is blocked, and no timer is needed.
 *
 * @example
 * ```ts
 * import { Access, Device, formatAdvertisement } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const qp = pd.createQp();
 * const mr = pd.regUserMr(Buffer.alloc(4096), { access: Access.RemoteRead });
 * const lease = mr.advertise({ offset: 16, length: 64, expiresInMs: 60_000 });
 * console.log(formatAdvertisement(lease).length); // 34
 * console.log(qp.check(lease, Access.RemoteRead).ok); // true
 * lease.revoke();
 * console.log(qp.check(lease, Access.RemoteRead).ok, lease.state); // false Revoked
 * ```
 */
export class Lease implements Advertisement {
  readonly #name: WindowName;
  readonly #id: number;
  /** When it ends, on the clock that checks read: another clock would differ from them by some milliseconds. */
  readonly #deadline: number;
  readonly #advertisement: Advertisement;
  readonly #access: Access;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(
    token: typeof construction,
    name: WindowName,
    id: number,
    advertisement: Advertisement,
    access: Access,
    deadline: number,
  ) {
    if (token !== construction) throw illegalConstructor();
    this.#name = name;
    this.#id = id;
    this.#deadline = deadline;
    this.#advertisement = advertisement;
    this.#access = access;
    markUncloneable(this);
  }

  /** Unique among the windows and leases of the device and never reused. {@link Device.resources} contains this id. */
  get id(): number {
    return this.#id;
  }

  /** Remote address of the first byte. */
  get vaddr(): bigint {
    return this.#advertisement.vaddr;
  }

  /** Length of the range in bytes. */
  get length(): number {
    return this.#advertisement.length;
  }

  /** The key of the lease. */
  get rkey(): Rkey {
    return this.#advertisement.rkey;
  }

  /** The rights that it grants, bits of {@link Access}. */
  get access(): Access {
    return this.#access;
  }

  /** Whether peers may use it. Never throws. */
  get state(): LeaseState {
    // A lease that has expired may have been ended to make room for another key.
    if (queryWindow(this.#name) < 0) {
      return fieldNumber(WindowField.Now) >= this.#deadline ? 'Expired' : 'Revoked';
    }
    return fieldNumber(WindowField.Expired) === 0 ? 'Live' : 'Expired';
  }

  /**
   * Ends the lease now. When the call returns, no thread moves a byte any more under it, and using elements that were accepted
   * through it is refused (`WindowEnded`). A second call is a no-op.
   */
  revoke(): void {
    const status = endWindow(this.#name);
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('Lease.revoke', status);
  }

  /** Ends the lease. Never throws. */
  [dispose](): void {
    endWindow(this.#name);
  }

  /** Returns a one-line description of the lease. Never throws. */
  toString(): string {
    return textOf('Lease', this, describeLease);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownLease {
    return jsonOf('Lease', this, describeLease);
  }

  static {
    describeLease = (lease) => ({
      class: 'Lease',
      id: lease.#id,
      rkey: hex(lease.rkey),
      vaddr: hex(lease.vaddr),
      length: lease.length,
      access: namesOfRights(lease.access),
      state: lease.state,
    });
    showAs(Lease, 'Lease', (lease) => textOf('Lease', lease, describeLease));
  }
}
