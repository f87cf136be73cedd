/**
 * Sizes of a FAT volume. Source: Microsoft Extensible Firmware Initiative FAT32 File System Specification (FAT: General Overview of On-Disk
 * Format), version 1.03. What kind of FAT a volume has follows from its number of clusters alone, and nothing else.
 *
 *   sector 0   boot sector, with the parameters (boot-sector.ts)
 *   1 …        two copies of the table: for each cluster the next one of its file
 *   …          root directory, of a fixed size; clusters, numbered from 2
 *
 * Left out on purpose: FAT32, which is for volumes of 2 GiB and more.
 */
import { storageError } from '../errors.ts'

export const SECTOR_SIZE = 512
export const ENTRY_SIZE = 32
export const TABLES = 2
export const RESERVED_SECTORS = 1
/** With so many clusters a volume has FAT16, and with so many FAT32. */
const [FIRST_FAT16, FIRST_FAT32] = [4085, 65525]
/** Programs that count wrong by a few exist, so numbers close to those are avoided, as the specification says. */
const MARGIN = 16
const LARGEST_CLUSTER = 64
const FEWEST_ROOT_ENTRIES = 512
const MOST_ROOT_ENTRIES = 65520
const ENTRIES_PER_SECTOR = SECTOR_SIZE / ENTRY_SIZE

export interface Geometry {
  readonly sectors: number
  readonly bits: 12 | 16
  readonly sectorsPerCluster: number
  readonly clusters: number
  readonly tableSectors: number
  readonly rootEntries: number
  /** The first sector of the root directory. */
  readonly rootSector: number
  /** The first sector of cluster 2. */
  readonly dataSector: number
}

/** @throws TenonError FILESYSTEM_TOO_SMALL, DISK_UNSUPPORTED (it would be FAT32), FILE_UNFIT (too many files in the root) */
export function layOut(bytes: number, usedRootEntries: number): Geometry {
  if (usedRootEntries > MOST_ROOT_ENTRIES) throw storageError('FILE_UNFIT', 'a FAT volume cannot hold so many files in its root')
  const rootEntries = Math.ceil(Math.max(FEWEST_ROOT_ENTRIES, usedRootEntries) / ENTRIES_PER_SECTOR) * ENTRIES_PER_SECTOR
  const sectors = Math.floor(bytes / SECTOR_SIZE)
  for (let sectorsPerCluster = 1; sectorsPerCluster <= LARGEST_CLUSTER; sectorsPerCluster *= 2) {
    const found = [12, 16].map(bits => tryOut(sectors, bits as 12 | 16, sectorsPerCluster, rootEntries)).find(each => each !== undefined)
    if (found !== undefined) return found
  }
  throw storageError('DISK_UNSUPPORTED', `a FAT volume of ${bytes} bytes is too large for FAT16: make it smaller than 2 GiB`)
}

function tryOut(sectors: number, bits: 12 | 16, sectorsPerCluster: number, rootEntries: number): Geometry | undefined {
  const rootSectors = rootEntries / ENTRIES_PER_SECTOR
  let clusters = 0
  let tableSectors = 0
  for (let needed = 1; needed > tableSectors;) {
    tableSectors = needed
    clusters = Math.floor((sectors - RESERVED_SECTORS - rootSectors - TABLES * tableSectors) / sectorsPerCluster)
    needed = Math.ceil((clusters + 2) * bits / 8 / SECTOR_SIZE)
  }
  if (clusters < 1) {
    throw storageError('FILESYSTEM_TOO_SMALL', `a FAT volume cannot be as small as ${sectors * SECTOR_SIZE} bytes: make it larger`)
  }
  const [least, most] = bits === 12 ? [1, FIRST_FAT16 - MARGIN] : [FIRST_FAT16 + MARGIN, FIRST_FAT32 - MARGIN]
  if (clusters < least || clusters > most) return undefined
  const rootSector = RESERVED_SECTORS + TABLES * tableSectors
  return { sectors, bits, sectorsPerCluster, clusters, tableSectors, rootEntries, rootSector, dataSector: rootSector + rootSectors }
}

/** Clusters that follow each other: a whole file's. */
export interface Chain {
  readonly first: number
  readonly count: number
}

export function encodeTable({ bits, tableSectors }: Geometry, chains: readonly Chain[]): Uint8Array {
  const entries = new Uint16Array(tableSectors * SECTOR_SIZE * 8 / bits)
  const end = bits === 12 ? 0xfff : 0xffff
  entries[0] = end & ~7
  entries[1] = end
  for (const { first, count } of chains) {
    for (let cluster = first; cluster < first + count; cluster++) entries[cluster] = cluster + 1
    if (count > 0) entries[first + count - 1] = end
  }
  return bits === 16 ? wide(entries) : narrow(entries, tableSectors * SECTOR_SIZE)
}

function wide(entries: Uint16Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(entries.length * 2))
  entries.forEach((entry, index) => view.setUint16(index * 2, entry, true))
  return new Uint8Array(view.buffer)
}

/** Two entries in three bytes. */
function narrow(entries: Uint16Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  entries.forEach((entry, index) => {
    const at = index * 3 >> 1
    const isOdd = (index & 1) !== 0
    bytes[at] |= isOdd ? entry << 4 : entry
    bytes[at + 1] |= isOdd ? entry >> 4 : entry >> 8
  })
  return bytes
}
