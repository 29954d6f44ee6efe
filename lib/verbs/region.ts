import { type Access } from './access';
import { boolean, illegalConstructor, optionsOf, u32 } from '../internal/arguments';
import { construction } from '../internal/construction';
import { type RegionCounters } from './counters';
import { asyncDispose, dispose } from '../internal/disposal';
import { Errno, rdmaError, throwOnError } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { RegionField, ReleaseMode } from '../internal/layout';
import { native as nativeModule, type NativeMemoryRegion } from '../internal/native';
import { type RegionRegistry } from './region-registry';

/** Options of {@link MemoryRegion.dereg} and {@link FastMemoryRegion.dealloc}. */
export interface DeregOptions {
  /** End the region also if elements are held: those are dead from then on (`RegionRevoked`). Default false. */
  force?: boolean;
}

/** Options of {@link MemoryRegion.deregAsync} and {@link FastMemoryRegion.deallocAsync}. */
export interface DeregAsyncOptions {
  /** How long to wait for the last element to be put, in milliseconds. Default 5000. */
  timeoutMs?: number;
}

/**
 * - `'Valid'`: its key works
 * - `'Invalid'`: {@link QueuePair.invalidateRkey} came; {@link QueuePair.fastRegMr} makes it valid again
 * - `'HalfDead'`: released, its key is dead, but elements are held
 * - `'Closed'`: gone
 */
export type RegionState = 'Valid' | 'Invalid' | 'HalfDead' | 'Closed';

const DEFAULT_TIMEOUT_MS = 5000;
/** A longer timer would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Releases that wait for elements to be put. */
const waiting = new Set<() => void>();
let isListening = false;

/** Tries again, after the next put of an element of a region whose release waits. */
function awaitPut(attempt: () => void): void {
  waiting.add(attempt);
  if (isListening) return;
  isListening = true;
  nativeModule.awaitPut(retryAll);
}

function retryAll(): void {
  isListening = false;
  const attempts = [...waiting];
  waiting.clear();
  for (const attempt of attempts) attempt();
}

/** What {@link NativeMemoryRegion.query} fills; read at once, before anything else runs. */
const fields = new BigUint64Array(RegionField.Count);

/** What a native region's id is, at its birth. */
export function regionId(native: NativeMemoryRegion): number {
  throwOnError('query_mr', native.query(fields));
  return Number(fields[RegionField.Id]);
}

/** Whether a value is a region of any kind, whatever its prototype says. */
export let isRegion: (value: unknown) => value is Region;
/** The native object of a region. */
export let nativeOf: (region: Region) => NativeMemoryRegion;
/** Tells the device of a region. */
export let registryOf: (region: Region) => RegionRegistry;
/** What `dereg` and `dealloc` are. */
export let release: (region: Region, options: unknown) => void;
/** What `deregAsync` and `deallocAsync` are. */
export let releaseAsync: (region: Region, options: unknown) => Promise<void>;

/**
 * What every region has, whoever maps it. Made by a {@link ProtectionDomain}.
 *
 * The properties are read from the region each time: they show what mapping and fast registration have changed. Once the
 * region is gone they throw {@link RdmaError} `EBADF`, but for {@link Region.state}.
 */
export abstract class Region {
  readonly #native: NativeMemoryRegion;
  readonly #registry: RegionRegistry;
  readonly #releaseOperation: string;

  /** @internal */
  constructor(
    token: typeof construction,
    native: NativeMemoryRegion,
    registry: RegionRegistry,
    releaseOperation: string,
  ) {
    if (token !== construction) throw illegalConstructor();
    this.#native = native;
    this.#registry = registry;
    this.#releaseOperation = releaseOperation;
  }

  /** Unique on the device, never given twice: what {@link CheckBatch.regions} and {@link Device.resources} name it by. */
  get id(): number {
    return Number(this.#field(RegionField.Id));
  }

  /** The key for local checks. Equal to {@link Region.rkey}. */
  get lkey(): Lkey {
    return Number(this.#field(RegionField.Lkey)) as Lkey;
  }

  /** The key for remote checks. */
  get rkey(): Rkey {
    return Number(this.#field(RegionField.Lkey)) as Rkey;
  }

  /** The address that the region's first byte answers to in local checks. */
  get start(): bigint {
    return this.#field(RegionField.Start);
  }

  /** The address that the region's first byte answers to in remote checks. */
  get iova(): bigint {
    return this.#field(RegionField.Iova);
  }

  /** Bytes that are mapped. 0 for a DMA region, which has no bounds of its own. */
  get length(): number {
    return Number(this.#field(RegionField.Length));
  }

  /** The rights it grants, bits of {@link Access}. */
  get access(): Access {
    return Number(this.#field(RegionField.Access));
  }

  /**
   * The reference count as the kernel shows it: 2 of the region's own (3 for the published DMA region; 1 once it is half-dead)
   * and one for each held element.
   */
  get refs(): number {
    return Number(this.#field(RegionField.Refs));
  }

  /** Whether its key works, and if not why. Never throws. */
  get state(): RegionState {
    if (this.#native.query(fields) < 0) return 'Closed';
    if (fields[RegionField.HalfDead]) return 'HalfDead';
    return fields[RegionField.Valid] ? 'Valid' : 'Invalid';
  }

  /**
   * Counts, from now on, what checks of this region answer and how many of its bytes are copied, by all threads. A second call is a
   * no-op. Costs each check of this region a shared counter and the fastest way through; other regions' checks it costs nothing.
   *
   * @throws RdmaError `EBADF`: the region is gone; `ENOMEM`
   */
  countAccesses(): void {
    throwOnError('count_mr', this.#native.count());
  }

  /**
   * What {@link Region.countAccesses} has counted; undefined if it was not asked to.
   *
   * @throws RdmaError `EBADF`
   */
  get counters(): RegionCounters | undefined {
    throwOnError('query_mr', this.#native.query(fields));
    if (!fields[RegionField.Counted]) return undefined;
    return {
      accepted: Number(fields[RegionField.Accepted]),
      refused: Number(fields[RegionField.Refused]),
      bytesCopied: Number(fields[RegionField.Bytes]),
    };
  }

  /**
   * Ends the region, as `using` does: by force, so held elements are dead from then on (`RegionRevoked`). When it returns, no
   * byte of the region moves any more. Never throws.
   */
  [dispose](): void {
    this.#native.release(ReleaseMode.Force);
  }

  /**
   * Revokes the region's key and waits up to 5 seconds for held elements to be put, as `await using` does; then it ends the region by
   * force. Never rejects.
   */
  async [asyncDispose](): Promise<void> {
    try {
      await this.#releaseLater(DEFAULT_TIMEOUT_MS);
    } catch {
      this.#native.release(ReleaseMode.Force);
    }
  }

  #field(field: RegionField): bigint {
    throwOnError('query_mr', this.#native.query(fields));
    return fields[field] ?? 0n;
  }

  #releaseNow(mode: ReleaseMode): void {
    const status = this.#native.release(mode);
    if (status < 0 && !isGone(status)) throw rdmaError(this.#releaseOperation, status);
  }

  #releaseLater(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + timeoutMs;
      let timer: NodeJS.Timeout | undefined;
      const attempt = (): void => {
        const status = this.#native.release(ReleaseMode.Await);
        const left = deadline - performance.now();
        clearTimeout(timer);
        if (status === 0 || isGone(status)) {
          resolve();
        } else if (status !== -Errno.EBUSY || left <= 0) {
          reject(rdmaError(this.#releaseOperation, status));
        } else {
          awaitPut(attempt);
          // The timer keeps the process alive, and ends the wait.
          timer = setTimeout(onTimer, Math.min(left, LONGEST_TIMER_MS));
        }
      };
      const onTimer = (): void => {
        waiting.delete(attempt);
        attempt();
      };
      attempt();
    });
  }

  // What other files of this folder need of a region. Nothing of it can be reached from outside.
  static {
    isRegion = (value): value is Region => typeof value === 'object' && value !== null && #native in value;
    nativeOf = (region) => region.#native;
    registryOf = (region) => region.#registry;
    release = (region, options) => {
      const { force: givenForce = false } = optionsOf<DeregOptions>(options);
      const force = boolean(givenForce, 'options.force');
      region.#releaseNow(force ? ReleaseMode.Force : ReleaseMode.Release);
    };
    releaseAsync = (region, options) => {
      const { timeoutMs: givenTimeout = DEFAULT_TIMEOUT_MS } = optionsOf<DeregAsyncOptions>(options);
      return region.#releaseLater(u32(givenTimeout, 'options.timeoutMs'));
    };
  }
}

/** A second release is a no-op, also when it was a parent that took the region with it. */
function isGone(status: number): boolean {
  return status === -Errno.EBADF;
}
