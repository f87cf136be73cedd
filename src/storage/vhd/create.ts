import { storageError } from '../errors.ts'
import { checkSize } from '../gate.ts'
import type { StorageFile } from '../storage-file.ts'
import {
  DEFAULT_BLOCK_SIZE, DiskType, FOOTER_LENGTH, type Footer, formatFooter, formatHeader, fromUtf16, HEADER_LENGTH, MAXIMUM_SIZE,
  type ParentLocator, SECTOR, toTimeStamp,
} from './layout.ts'

export interface VhdCreation {
  readonly type: 'fixed' | 'dynamic'
  /** Bytes: a multiple of 512, up to 2,040 GiB. */
  readonly size: number
  /** A power of two from 4 KiB to 256 MiB; default 2 MiB, which is what everybody uses. */
  readonly blockSize?: number
  /** 16 bytes that no other disk has. */
  readonly uniqueId: Uint8Array
  /** Seconds since 1970. */
  readonly time: number
}

export interface VhdDifferencing extends Omit<VhdCreation, 'type'> {
  readonly parent: {
    /** Its path from the new disk's folder: `base.vhd`, `../base.vhd`. */
    readonly relativePath: string
    readonly absolutePath?: string
    readonly uniqueId: Uint8Array
    /** When it was last changed, in seconds since 1970. */
    readonly time: number
  }
}

const FOOTER_POSITION = 0
const HEADER_POSITION = FOOTER_LENGTH
const TABLE_POSITION = HEADER_POSITION + HEADER_LENGTH

/** Makes an empty disk of a file, which loses what it had. Rejects with DISK_OUT_OF_RANGE for a size that no VHD can have. */
export async function createVhd(file: StorageFile, creation: VhdCreation): Promise<void> {
  checkCreation(file, creation)
  if (creation.type === 'dynamic') return writeDynamic(file, creation, DiskType.DYNAMIC, [], null)
  await file.truncate(0)
  await file.truncate(creation.size)
  await file.write(creation.size, [formatFooter(footerOf(creation, DiskType.FIXED))])
  await file.flush()
}

/** Makes a disk that is what its parent is, until it is written to. */
export function createDifferencingVhd(file: StorageFile, creation: VhdDifferencing): Promise<void> {
  checkCreation(file, creation)
  const { relativePath, absolutePath } = creation.parent
  // Readers on Windows take a path for relative if it begins with a dot.
  const relative = relativePath.startsWith('.') ? relativePath : `./${relativePath}`
  const locators = [{ platformCode: 'W2ru', bytes: fromUtf16(relative.replaceAll('/', '\\'), true) }]
  if (absolutePath !== undefined) locators.push({ platformCode: 'W2ku', bytes: fromUtf16(absolutePath, true) })
  return writeDynamic(file, creation, DiskType.DIFFERENCING, locators, creation.parent)
}

function checkCreation({ path }: StorageFile, { size, blockSize = DEFAULT_BLOCK_SIZE, uniqueId }: Omit<VhdCreation, 'type'>): void {
  checkSize(path, size, SECTOR)
  if (size > MAXIMUM_SIZE) throw storageError('DISK_OUT_OF_RANGE', `${path}: a VHD has at most 2040 GiB, not ${size} bytes`)
  if (blockSize < 4096 || blockSize > 256 << 20 || (blockSize & blockSize - 1) !== 0) throw storageError('DISK_UNSUPPORTED', `${path}: no VHD has blocks of ${blockSize} bytes`)
  if (uniqueId.length !== 16) throw storageError('DISK_UNSUPPORTED', `${path}: a VHD is known by 16 bytes, not ${uniqueId.length}`)
}

function footerOf({ size, uniqueId, time }: Omit<VhdCreation, 'type'>, diskType: number): Footer {
  return { dataOffset: HEADER_POSITION, timeStamp: toTimeStamp(time), currentSize: size, diskType, uniqueId }
}

async function writeDynamic(
  file: StorageFile, creation: Omit<VhdCreation, 'type'>, diskType: number,
  locators: readonly { readonly platformCode: string, readonly bytes: Uint8Array }[], parent: VhdDifferencing['parent'] | null,
): Promise<void> {
  const blockSize = creation.blockSize ?? DEFAULT_BLOCK_SIZE
  const count = Math.ceil(creation.size / blockSize)
  const table = new Uint8Array(Math.max(1, Math.ceil(count * 4 / SECTOR)) * SECTOR).fill(0xff)
  let end = TABLE_POSITION + table.length
  const placed: (ParentLocator & { readonly bytes: Uint8Array })[] = []
  for (const { platformCode, bytes } of locators) {
    placed.push({ platformCode, dataLength: bytes.length, dataOffset: end, bytes })
    end += Math.ceil(bytes.length / SECTOR) * SECTOR
  }
  const header = formatHeader({
    tableOffset: TABLE_POSITION, maxTableEntries: count, blockSize, parentLocators: placed,
    parentUniqueId: parent?.uniqueId ?? new Uint8Array(16), parentTimeStamp: parent === null ? 0 : toTimeStamp(parent.time),
    parentUnicodeName: parent?.relativePath.split('/').at(-1) ?? '',
  })
  const footer = formatFooter(footerOf(creation, diskType))
  await file.truncate(0)
  await file.write(FOOTER_POSITION, [footer, header, table])
  for (const { dataOffset, bytes } of placed) await file.write(dataOffset, [bytes])
  await file.write(end, [footer])
  await file.flush()
}
