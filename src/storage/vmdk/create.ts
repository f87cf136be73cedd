import { encodeUtf8 } from '../../base/utf8.ts'
import { storageError } from '../errors.ts'
import { checkSize } from '../gate.ts'
import type { StorageFile } from '../storage-file.ts'
import { formatDescriptor } from './descriptor.ts'
import {
  DEFAULT_GRAIN_SECTORS, DESCRIPTOR_SECTORS, directoryLength, formatEntries, formatSparseHeader, HeaderFlag, SECTOR, TABLE_SECTORS,
} from './layout.ts'

export interface VmdkCreation {
  /** Bytes: a multiple of 512, up to 2 TiB less what the tables take. */
  readonly size: number
  /** A number of 32 bits, at random: by it a disk is known from its earlier states. Neither 0xffffffff nor 0xfffffffe. */
  readonly contentId: number
  /** The disk that it starts as. */
  readonly parent?: {
    /** Its path from the new disk's folder. */
    readonly fileNameHint: string
    readonly contentId: number
  }
  /** Which controller it is made for; default lsilogic. */
  readonly adapterType?: 'ide' | 'buslogic' | 'lsilogic'
  /** Sectors, a power of two from 8 to 2,048; default 128. */
  readonly grainSectors?: number
}

const MAXIMUM_SIZE = 2040 * 2 ** 30

/** Makes an empty monolithicSparse disk of a file, which loses what it had. Rejects with DISK_OUT_OF_RANGE for a size that it cannot have. */
export async function createVmdk(file: StorageFile, creation: VmdkCreation): Promise<void> {
  const grainSize = checkCreation(file.path, creation)
  const capacity = creation.size / SECTOR
  const tables = directoryLength(capacity, grainSize)
  const directorySectors = Math.ceil(tables * 4 / SECTOR)
  const rgdOffset = 1 + DESCRIPTOR_SECTORS
  const gdOffset = rgdOffset + directorySectors + tables * TABLE_SECTORS
  const overHead = Math.ceil((gdOffset + directorySectors + tables * TABLE_SECTORS) / grainSize) * grainSize
  const header = formatSparseHeader({
    version: 1, flags: HeaderFlag.NEWLINE_TEST | HeaderFlag.REDUNDANT_TABLE, capacity, grainSize, descriptorOffset: 1,
    descriptorSize: DESCRIPTOR_SECTORS, rgdOffset, gdOffset, overHead,
  })
  await file.truncate(0)
  await file.truncate(overHead * SECTOR)
  await file.write(0, [header, paddedDescriptor(file.path, creation, 'monolithicSparse')])
  for (const directory of [rgdOffset, gdOffset]) {
    const entries = Uint32Array.from({ length: tables }, (_, index) => directory + directorySectors + index * TABLE_SECTORS)
    await file.write(directory * SECTOR, [formatEntries(entries)])
  }
  await file.flush()
}

/** Returns the grain size in sectors. */
export function checkCreation(path: string, { size, contentId, grainSectors = DEFAULT_GRAIN_SECTORS }: VmdkCreation): number {
  checkSize(path, size, SECTOR)
  if (size > MAXIMUM_SIZE) throw storageError('DISK_OUT_OF_RANGE', `${path}: a VMDK of one extent has at most 2040 GiB, not ${size} bytes`)
  if (grainSectors < 8 || grainSectors > 2048 || !Number.isInteger(Math.log2(grainSectors))) throw storageError('DISK_UNSUPPORTED', `${path}: no VMDK has grains of ${grainSectors} sectors`)
  if (!Number.isInteger(contentId) || contentId < 0 || contentId > 0xfffffffd) throw storageError('DISK_UNSUPPORTED', `${path}: ${contentId} cannot be a content ID`)
  return grainSectors
}

/** The descriptor in its room of 20 sectors. */
export function paddedDescriptor(path: string, creation: VmdkCreation, createType: string): Uint8Array {
  const fileName = path.split(/[/\\]/).at(-1)!.replaceAll('"', '_')
  const text = formatDescriptor({
    createType, contentId: creation.contentId, parent: creation.parent ?? null, adapterType: creation.adapterType ?? 'lsilogic',
    extents: [{ access: createType === 'streamOptimized' ? 'RDONLY' : 'RW', sectors: creation.size / SECTOR, kind: 'SPARSE', fileName, offset: 0 }],
  })
  const bytes = encodeUtf8(text)
  if (bytes.length > DESCRIPTOR_SECTORS * SECTOR) throw storageError('DISK_UNSUPPORTED', `${path}: the names in its descriptor are too long`)
  const padded = new Uint8Array(DESCRIPTOR_SECTORS * SECTOR)
  padded.set(bytes)
  return padded
}
