/** Re-registration of regions. */
import { type Access, readRegionAccess } from './access';
import { invalidType } from '../internal/arguments';
import { storeLong } from '../internal/command';
import { nativeDomainOf } from './domain-native';
import { Errno, rdmaError } from '../internal/errors';
import { CommandFlag, CommandWord } from '../internal/layout';
import { bytesOf, type MemoryLike, throwIfDetached } from '../internal/memory-argument';
import { nestedOptionsOf, requiredOptionsOf } from '../internal/options';
import { type ProtectionDomain } from './protection-domain';
import { type RegionName, reregister } from '../internal/region-name';

/** The new memory of a region: {@link ReregOptions.translation}. */
export interface ReregTranslation {
  /** Any view, ArrayBuffer or SharedArrayBuffer; exactly its bytes are registered. */
  memory: MemoryLike;
  /** Local address of the first byte, as {@link RegUserMrOptions.start}. Default: a free address, aligned to 4 KiB. */
  start?: bigint | number;
  /** Remote address of the first byte. Default: `start`. */
  iova?: bigint | number;
}

/** Options of {@link MemoryRegion.rereg}: what to change, at least one. */
export interface ReregOptions {
  /** New memory and addresses (`IBV_REREG_MR_CHANGE_TRANSLATION`). Default: they stay. */
  translation?: ReregTranslation;
  /** New access rights, bits of {@link Access} (`IBV_REREG_MR_CHANGE_ACCESS`). Default: they stay. */
  access?: Access;
  /** The domain that the region moves to (`IBV_REREG_MR_CHANGE_PD`). Default: it stays in its domain. */
  pd?: ProtectionDomain;
}

const METHOD = 'MemoryRegion.rereg';

/** Implements {@link MemoryRegion.rereg}. */
export function reregisterWith(name: RegionName, options: unknown): void {
  const given = requiredOptionsOf<ReregOptions>(options, ['translation', 'access', 'pd']);
  const { translation, pd } = given;
  const moved =
    translation === undefined
      ? undefined
      : nestedOptionsOf<ReregTranslation>(translation, 'options.translation', ['memory', 'start', 'iova']);
  const access =
    given.access === undefined ? undefined : readRegionAccess(METHOD, given.access, 'options.access');
  const domain = pd === undefined ? undefined : nativeDomainOf(pd);
  if (pd !== undefined && domain === undefined)
    throw invalidType('options.pd', 'an instance of ProtectionDomain', pd);
  const memory = moved && bytesOf(METHOD, moved.memory, 'options.translation.memory');
  let flags = 0;
  // All options have been read: no getter can run between these stores and the call.
  if (moved?.start !== undefined) {
    storeLong(CommandWord.Start, moved.start, 'options.translation.start');
    flags |= CommandFlag.StartGiven;
  }
  if (moved?.iova !== undefined) {
    storeLong(CommandWord.Iova, moved.iova, 'options.translation.iova');
    flags |= CommandFlag.IovaGiven;
  }
  const status = reregister(name, { flags, memory, access, domain: domain?.number() });
  if (status < 0) {
    if (memory && status === -Errno.EINVAL) throwIfDetached(METHOD, memory, 'options.translation.memory');
    throw rdmaError(METHOD, status);
  }
}
