/** Devices that refuse what fails on a NIC: their options, and the profiles of limits. */
import { boolean, oneOf, u32 } from '../internal/arguments';
import { type DeviceLimits } from '../internal/device-limits';
import { nestedOptionsOf } from '../internal/options';

/**
 * Whose limits a strict device has:
 *
 * - `'mlx5'`: those of an adapter of the family ConnectX-4 to ConnectX-7, as `ibv_devinfo -v` shows them
 * - `'rxe'`: those of Linux's soft-RoCE
 */
export type DeviceProfile = 'mlx5' | 'rxe';

/** Options of {@link DeviceOptions.strict}. */
export interface StrictOptions {
  /** The device has these limits, where {@link DeviceOptions.limits} does not say otherwise. Default: those of every device. */
  profile?: DeviceProfile;
  /**
   * Bytes that a work request with `inline` may have, as a queue pair's `max_inline_data`. The default is 220, what programs for low
   * latency commonly ask of a NIC.
   */
  maxInlineData?: number;
}

/** The limits of each profile; those that are not named are as by default. */
const profiles: Readonly<Record<DeviceProfile, Partial<DeviceLimits>>> = {
  mlx5: {
    maxQp: 131_072,
    maxQpWr: 32_768,
    maxSendSge: 30,
    maxRecvSge: 30,
    maxCq: 16_777_216,
    maxCqe: 4_194_303,
    maxSrq: 8_388_608,
    maxSrqWr: 32_767,
    maxSrqSge: 31,
    maxPd: 8_388_608,
    maxRdmaAtomic: 16,
    npkeys: 128,
  },
  rxe: {
    maxQp: 1_048_560,
    maxQpWr: 1_048_576,
    maxSendSge: 32,
    maxRecvSge: 32,
    maxCq: 1_048_576,
    maxCqe: 32_767,
    maxSrq: 917_503,
    maxSrqWr: 1_048_576,
    maxSrqSge: 27,
    maxPd: 1_048_576,
    maxRdmaAtomic: 128,
    npkeys: 64,
  },
};
const profileNames = ['mlx5', 'rxe'] as const satisfies readonly DeviceProfile[];

const DEFAULT_INLINE_BYTES = 220;

/** What a strict device is opened with. */
export interface Strictness {
  readonly maxInlineData: number;
  readonly limits: Partial<DeviceLimits>;
}

/**
 * Reads the option `strict` of a device.
 *
 * @returns undefined if the device is not strict
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function readStrict(value: unknown): Strictness | undefined {
  if (typeof value !== 'object' || value === null)
    return boolean(value, 'options.strict') ? { maxInlineData: DEFAULT_INLINE_BYTES, limits: {} } : undefined;
  const { profile, maxInlineData = DEFAULT_INLINE_BYTES } = nestedOptionsOf<StrictOptions>(
    value,
    'options.strict',
    ['profile', 'maxInlineData'],
  );
  return {
    maxInlineData: u32(maxInlineData, 'options.strict.maxInlineData'),
    limits: profile === undefined ? {} : profiles[oneOf(profile, 'options.strict.profile', profileNames)],
  };
}
