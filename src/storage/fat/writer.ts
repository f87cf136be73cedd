/**
 * Makes a FAT12 or FAT16 volume of a tree of directories and files, with long names; geometry.ts has the layout. The same tree, size,
 * label, serial number and time give the same bytes.
 *
 * Left out on purpose: owners and permissions, which FAT does not have; links and device nodes, which are refused.
 */
import type { BlockNode } from '../block-node.ts'
import { storageError } from '../errors.ts'
import type { Directory, RegularFile, TreeNode } from '../filesystems/tree.ts'
import { encodeBootSector } from './boot-sector.ts'
import { Attribute, encodeEntries, encodeShort, entryCount } from './entries.ts'
import { encodeTable, ENTRY_SIZE, layOut, RESERVED_SECTORS, SECTOR_SIZE, TABLES } from './geometry.ts'
import type { Geometry } from './geometry.ts'
import { encodeLabel, nameAll, SHORT_LENGTH } from './names.ts'
import type { Name } from './names.ts'

export interface FatOptions {
  /** 1 to 11 capitals, digits and some signs. */
  readonly label: string
  /** 32 bits; what Linux shows as UUID. */
  readonly serial: number
  /** Of the making of the volume, in seconds since 1970. */
  readonly time: number
}

/** Where the volume goes; it takes all of `size`, and must read as zeros. */
export type FatTarget = Pick<BlockNode, 'size' | 'write'>

const LARGEST_FILE = 2 ** 32 - 1
const LARGEST_DIRECTORY = 65536 * ENTRY_SIZE
const FIRST_CLUSTER = 2

interface Child {
  readonly name: Name
  readonly item: Item
}

/** A file or directory and where it is. */
interface Item {
  readonly node: Directory | RegularFile
  readonly path: string
  /** Undefined for the root. */
  readonly parent: Item | undefined
  children: readonly Child[]
  /** 0: it has no clusters. */
  first: number
  count: number
}

/** @throws TenonError FILESYSTEM_TOO_SMALL, FILE_UNFIT (the message names the file), DISK_UNSUPPORTED, and what target and content throw */
export async function writeFat(target: FatTarget, root: Directory, { label, serial, time }: FatOptions): Promise<void> {
  const encodedLabel = encodeLabel(label)
  const items = collect(root)
  const geometry = layOut(target.size, directoryEntries(items[0]))
  placeAll(items, geometry)
  for (const item of items) await writeItem(target, geometry, item, encodedLabel, time)
  const table = encodeTable(geometry, items)
  for (let copy = 0; copy < TABLES; copy++) {
    await target.write((RESERVED_SECTORS + copy * geometry.tableSectors) * SECTOR_SIZE, [table])
  }
  await target.write(0, [encodeBootSector(geometry, encodedLabel, serial)])
}

/** All of a tree, the root first. */
function collect(root: Directory): Item[] {
  const items = [itemOf(root, '/', undefined)]
  const seen = new Set<TreeNode>([root])
  for (const item of items) {
    if (item.node.kind !== 'directory') continue
    const children = [...item.node.children]
    const names = nameAll(children.map(([name]) => name), item.path)
    item.children = children.map(([name, node], index) => {
      const path = `${item.path === '/' ? '' : item.path}/${name}`
      return { name: names[index], item: itemOf(checked(node, path, seen), path, item) }
    })
    items.push(...item.children.map(child => child.item))
    if (directoryEntries(item) * ENTRY_SIZE > LARGEST_DIRECTORY) throw unfit(item.path, 'has too many files')
  }
  return items
}

function checked(node: TreeNode, path: string, seen: Set<TreeNode>): Directory | RegularFile {
  if (node.kind !== 'directory' && node.kind !== 'file') throw unfit(path, `is a ${node.kind}, and there are only files and directories`)
  if (seen.has(node)) throw unfit(path, 'has another name already')
  if (node.kind === 'file' && node.size > LARGEST_FILE) throw unfit(path, `has ${node.size} bytes, and a file has less than 4 GiB`)
  seen.add(node)
  return node
}

function itemOf(node: Directory | RegularFile, path: string, parent: Item | undefined): Item {
  return { node, path, parent, children: [], first: 0, count: 0 }
}

function unfit(path: string, what: string): Error {
  return storageError('FILE_UNFIT', `a FAT volume cannot hold ${path}: it ${what}`)
}

/** The root begins with the label, others with themselves and their parent. */
function directoryEntries({ parent, children }: Item): number {
  return children.reduce((count, { name }) => count + entryCount(name), parent === undefined ? 1 : 2)
}

function placeAll(items: readonly Item[], { sectorsPerCluster, clusters, sectors }: Geometry): void {
  const clusterSize = sectorsPerCluster * SECTOR_SIZE
  let next = FIRST_CLUSTER
  for (const item of items) {
    if (item.parent === undefined) continue
    const bytes = item.node.kind === 'file' ? item.node.size : directoryEntries(item) * ENTRY_SIZE
    item.count = Math.ceil(bytes / clusterSize)
    item.first = item.count === 0 ? 0 : next
    next += item.count
  }
  const missing = (next - FIRST_CLUSTER - clusters) * clusterSize
  if (missing <= 0) return
  const size = sectors * SECTOR_SIZE
  throw storageError('FILESYSTEM_TOO_SMALL', `the files do not fit into a FAT volume of ${size} bytes: ${missing} more are needed`)
}

async function writeItem(target: FatTarget, geometry: Geometry, item: Item, label: Uint8Array, time: number): Promise<void> {
  const { rootSector, dataSector, sectorsPerCluster } = geometry
  const sector = item.parent === undefined ? rootSector : dataSector + (item.first - FIRST_CLUSTER) * sectorsPerCluster
  if (item.node.kind === 'file') return writeFile(target, item.node, item.path, sector * SECTOR_SIZE)
  const own = item.parent === undefined ? [encodeShort(label, labelFields(time))] : dotEntries(item, item.parent)
  const entries = item.children.map(({ name, item: child }) => encodeEntries(name, fieldsOf(child)))
  await target.write(sector * SECTOR_SIZE, [...own, ...entries])
}

const labelFields = (modified: number): Parameters<typeof encodeShort>[1] =>
  ({ attributes: Attribute.VOLUME_LABEL, firstCluster: 0, size: 0, modified })

function fieldsOf({ node, first }: Item): Parameters<typeof encodeShort>[1] {
  const isFile = node.kind === 'file'
  const attributes = isFile ? Attribute.ARCHIVE : Attribute.DIRECTORY
  return { attributes, firstCluster: first, size: isFile ? node.size : 0, modified: node.modified }
}

function dotEntries(item: Item, parent: Item): Uint8Array[] {
  const dots = (count: number): Uint8Array => Uint8Array.from('.'.repeat(count).padEnd(SHORT_LENGTH), character => character.charCodeAt(0))
  return [encodeShort(dots(1), fieldsOf(item)), encodeShort(dots(2), fieldsOf(parent))]
}

async function writeFile(target: FatTarget, node: RegularFile, path: string, offset: number): Promise<void> {
  let done = 0
  for await (const bytes of node.content()) {
    if (done + bytes.length > node.size) throw changed(path, node.size, 'more')
    if (bytes.length > 0) await target.write(offset + done, [bytes])
    done += bytes.length
  }
  if (done < node.size) throw changed(path, node.size, `${done}`)
}

function changed(path: string, expected: number, found: string): Error {
  return storageError('FILE_UNFIT', `${path} should have ${expected} bytes, and has ${found}: it changed meanwhile`)
}
