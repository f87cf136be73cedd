import type { BlockNode } from '../block-node.ts'
import { storageError } from '../errors.ts'
import type { DiskFormat, FormatContext } from '../format.ts'
import type { StorageFile } from '../storage-file.ts'
import { Blocks } from './blocks.ts'
import { VhdDynamicNode } from './dynamic.ts'
import { VhdFixedNode } from './fixed.ts'
import {
  DiskType, type DynamicHeader, FOOTER_LENGTH, type Footer, formatFooter, HEADER_LENGTH, isFooter, MAXIMUM_SIZE, parseFooter, parseHeader,
  SECTOR, utf16,
} from './layout.ts'

export const VHD: DiskFormat = {
  name: 'vhd',
  recognises: ({ head, tail }) => isFooter(tail) || isFooter(head),
  open: openVhd,
}

/** What opening a VHD needs of a FormatContext. */
export type VhdContext = Pick<FormatContext, 'readOnly' | 'backing' | 'openBacking'>

/** Table entries that are kept in memory, at most: 16 MiB. */
const ENTRIES_LIMIT = 4 << 20
const LARGEST_BLOCK = 256 << 20
const LOCATOR_LIMIT = 64 << 10

/**
 * Opens a VHD of any kind. The node owns the file and the parent, once it is there. Rejects with DISK_UNKNOWN_FORMAT, DISK_CORRUPT,
 * DISK_UNSUPPORTED, DISK_NOT_FOUND (the parent) or DISK_BACKING_CHANGED.
 */
export async function openVhd(file: StorageFile, context: VhdContext): Promise<VhdFixedNode | VhdDynamicNode> {
  const footer = await readFooter(file)
  const readOnly = context.readOnly || file.readOnly
  if (footer.currentSize % SECTOR !== 0 || footer.currentSize > MAXIMUM_SIZE + SECTOR) throw corrupt(file, `its size is said to be ${footer.currentSize} bytes`)
  if (footer.diskType === DiskType.FIXED) {
    if (footer.currentSize > file.size - FOOTER_LENGTH) throw corrupt(file, 'it is shorter than its disk: it was cut off')
    return new VhdFixedNode(file, footer.currentSize, footer.uniqueId, readOnly)
  }
  return openDynamic(file, footer, readOnly, context)
}

/**
 * Which of the two footers counts matters, because a guest can write one of its own: to the start of a fixed disk, or, with a crash's
 * help, to the end of a dynamic one. So a fixed disk is one by its last sector, and a dynamic one by its first.
 */
async function readFooter(file: StorageFile): Promise<Footer> {
  const [head, tail] = [new Uint8Array(FOOTER_LENGTH), new Uint8Array(FOOTER_LENGTH)]
  await file.read(0, [head])
  await file.read(Math.max(0, file.size - FOOTER_LENGTH), [tail])
  const [first, last] = [parseFooter(head), parseFooter(tail)]
  const isDynamic = first?.diskType === DiskType.DYNAMIC || first?.diskType === DiskType.DIFFERENCING
  if (last?.diskType === DiskType.FIXED || !isDynamic && last !== null) return last
  if (isDynamic) return first
  if (isFooter(head) || isFooter(tail)) throw corrupt(file, 'its footer is damaged')
  throw storageError('DISK_UNKNOWN_FORMAT', `${file.path} is no VHD: it does not end with a footer`)
}

async function openDynamic(file: StorageFile, footer: Footer, readOnly: boolean, context: VhdContext): Promise<VhdDynamicNode> {
  const { diskType, currentSize: size, uniqueId } = footer
  if (diskType !== DiskType.DYNAMIC && diskType !== DiskType.DIFFERENCING) throw storageError('DISK_UNSUPPORTED', `${file.path}: VHDs of type ${diskType} are not known`)
  const header = await readHeader(file, footer)
  const count = Math.ceil(size / header.blockSize)
  const blocks = await Blocks.load(file, {
    tableOffset: header.tableOffset, blockSize: header.blockSize, count, firstPosition: endOfHeaders(footer, header),
    footer: formatFooter(footer), isNewBlockFull: diskType === DiskType.DYNAMIC,
  })
  const backing = diskType === DiskType.DIFFERENCING ? context.backing ?? await openParent(file, header, context) : null
  return new VhdDynamicNode({ file, blocks, size, blockSize: header.blockSize, readOnly, uniqueId, backing })
}

async function readHeader(file: StorageFile, footer: Footer): Promise<DynamicHeader> {
  if (footer.dataOffset + HEADER_LENGTH > file.size) throw corrupt(file, 'its header lies outside of it')
  const bytes = new Uint8Array(HEADER_LENGTH)
  await file.read(footer.dataOffset, [bytes])
  const header = parseHeader(bytes, file.path)
  const { blockSize, maxTableEntries, tableOffset } = header
  if (blockSize < SECTOR || (blockSize & blockSize - 1) !== 0) throw corrupt(file, `its blocks have ${blockSize} bytes, which is no power of two`)
  const count = Math.ceil(footer.currentSize / blockSize)
  if (blockSize > LARGEST_BLOCK || count > ENTRIES_LIMIT) throw storageError('DISK_UNSUPPORTED', `${file.path}: ${count} blocks of ${blockSize} bytes are too many or too large`)
  if (maxTableEntries < count || tableOffset + count * 4 > file.size) throw corrupt(file, 'its block allocation table is too short')
  return header
}

/** Where blocks may begin: the rest is never written over. */
function endOfHeaders(footer: Footer, header: DynamicHeader): number {
  const ends = [
    footer.dataOffset + HEADER_LENGTH, header.tableOffset + header.maxTableEntries * 4,
    ...header.parentLocators.map(({ dataOffset, dataLength }) => dataOffset + dataLength),
  ]
  return Math.max(...ends.map(end => Math.ceil(end / SECTOR) * SECTOR))
}

/** Tries the paths that the disk names, the relative one first: a folder of disks can then be moved. */
async function openParent(file: StorageFile, header: DynamicHeader, context: VhdContext): Promise<BlockNode> {
  const references = await parentReferences(file, header)
  let missing: unknown
  for (const reference of references) {
    try {
      return await checkParent(file, header, await context.openBacking(reference, 'vhd'))
    } catch (error) {
      if ((error as { code?: string }).code !== 'DISK_NOT_FOUND') throw error
      missing = error
    }
  }
  const names = references.map(reference => `"${reference}"`).join(', ')
  throw storageError('DISK_NOT_FOUND', `${file.path}: its parent is not there (${names || 'it names none'}): put it back, or name it`, missing)
}

async function parentReferences(file: StorageFile, header: DynamicHeader): Promise<string[]> {
  const texts: string[] = []
  for (const code of ['W2ru', 'W2ku']) {
    for (const { platformCode, dataLength, dataOffset } of header.parentLocators) {
      if (platformCode !== code) continue
      if (dataLength > LOCATOR_LIMIT || dataOffset + dataLength > file.size) throw corrupt(file, 'the path of its parent lies outside of it')
      const bytes = new Uint8Array(dataLength & ~1)
      await file.read(dataOffset, [bytes])
      texts.push(utf16(bytes, true))
    }
  }
  const paths = [...texts, header.parentUnicodeName].filter(text => text !== '').map(text => text.replaceAll('\\', '/'))
  return [...new Set(paths)]
}

/** The parent must be the disk that this one was made from. */
async function checkParent(file: StorageFile, header: DynamicHeader, parent: BlockNode): Promise<BlockNode> {
  const id = parent instanceof VhdFixedNode || parent instanceof VhdDynamicNode ? parent.uniqueId : null
  if (id !== null && id.every((byte, index) => byte === header.parentUniqueId[index])) return parent
  await parent.close()
  throw storageError('DISK_BACKING_CHANGED', `${file.path}: its parent was replaced by another disk since; what both say together is no disk`)
}

function corrupt(file: StorageFile, what: string): Error { return storageError('DISK_CORRUPT', `${file.path} is damaged: ${what}`) }
