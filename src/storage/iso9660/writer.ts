/**
 * Makes an ISO 9660 volume (ECMA-119) of a small tree of directories and files, with their real names and attributes as Rock Ridge
 * has them, and as Joliet has them. The same tree, label and time give the same bytes.
 *
 *   sectors 0 to 15   nothing           16 primary descriptor, 17 Joliet's, 18 the terminator
 *   19 …              path tables: primary (little-endian, big-endian), Joliet (the same)
 *   …                 directories: primary, Joliet; files, which both trees share
 *
 * Left out on purpose: files of 4 GiB and more, names over 64 characters, other kinds of files, boot records.
 */
import type { BlockNode } from '../block-node.ts'
import { storageError } from '../errors.ts'
import type { Directory, RegularFile } from '../filesystems/tree.ts'
import { encodeDirectory, encodePathTable, encodeRootRecord, orderDirectories } from './directories.ts'
import type { Extent, PlacedDirectory, Scheme } from './directories.ts'
import { SECTOR_SIZE, sectorsOf } from './fields.ts'
import { checkName, jolietNaming, primaryNaming } from './names.ts'
import { namedEntries, unnamedEntries } from './rock-ridge.ts'
import { encodeDescriptor, encodeTerminator } from './volume-descriptor.ts'

export interface IsoOptions {
  /** Name of the volume: 1 to 16 printable ASCII characters. */
  readonly label: string
  /** Of the making of the volume, in seconds since 1970. */
  readonly time: number
}

export interface IsoVolume {
  /** Bytes. */
  readonly size: number
  /**
   * Writes the volume, once: its files' content is read as it goes. The target must read as zeros.
   * @throws TenonError FILE_UNFIT (a file's content is not as long as it should be), and what target and content throw
   */
  writeTo(target: Pick<BlockNode, 'write'>): Promise<void>
}

const NOTHING = new Uint8Array(0)
const SCHEMES: readonly Scheme[] = [
  { naming: primaryNaming, named: namedEntries, unnamed: unnamedEntries },
  { naming: jolietNaming, named: () => NOTHING, unnamed: () => NOTHING },
]
const KINDS = ['primary', 'joliet'] as const
const FIRST_DESCRIPTOR = 16
const FIRST_TABLE = FIRST_DESCRIPTOR + KINDS.length + 1
const LARGEST_FILE = 2 ** 32 - 1
const LABEL = /^[ -~]{1,16}$/

/** A tree with its tables, all of whose places are known. */
interface Placed {
  readonly scheme: Scheme
  readonly directories: readonly PlacedDirectory[]
  readonly tableLength: number
  readonly littleEndian: number
  readonly bigEndian: number
}

interface PlacedFile extends Extent { readonly path: string }

/** @throws TenonError FILE_UNFIT: what the volume cannot hold; the message names it */
export function layOutIso(root: Directory, { label, time }: IsoOptions): IsoVolume {
  if (!LABEL.test(label)) throw storageError('FILE_UNFIT', `${JSON.stringify(label)} is no label: use 1 to 16 printable ASCII characters`)
  const paths = collectFiles(root)
  const cursor = new Cursor(FIRST_TABLE)
  const trees = SCHEMES.map(scheme => placeTables(orderDirectories(root, scheme), scheme, cursor))
  for (const { directories } of trees) for (const each of directories) each.sector = cursor.take(each.length)
  const files = new Map([...paths].map(([node, path]) => [node, { path, sector: cursor.take(node.size), length: node.size }] as const))
  const sectors = cursor.sector
  return { size: sectors * SECTOR_SIZE, writeTo: target => writeVolume(target, { label, time, sectors }, trees, files) }
}

class Cursor {
  sector: number

  constructor(sector: number) { this.sector = sector }

  /** The first of the sectors for so many bytes. */
  take(bytes: number): number {
    const first = this.sector
    this.sector += sectorsOf(bytes)
    if (this.sector > LARGEST_FILE) throw storageError('FILE_UNFIT', 'the files are more than an ISO 9660 volume holds (8 TiB)')
    return first
  }
}

/** The files of a tree, each once, by their first path; all that stands in the tree is checked. */
function collectFiles(root: Directory): Map<RegularFile, string> {
  const files = new Map<RegularFile, string>()
  const seen = new Set([root])
  const waiting = [{ directory: root, path: '/' }]
  for (const { directory, path } of waiting) {
    for (const [name, node] of directory.children) {
      checkName(name, path)
      const here = `${path === '/' ? '' : path}/${name}`
      if (node.kind === 'directory') waiting.push({ directory: onlyOnce(node, here, seen), path: here })
      else if (node.kind !== 'file') throw unfit(here, `is a ${node.kind}, and there are only files and directories`)
      else if (node.size > LARGEST_FILE) throw unfit(here, `has ${node.size} bytes, and a file has less than 4 GiB`)
      else files.set(node, files.get(node) ?? here)
    }
  }
  return files
}

function onlyOnce(node: Directory, path: string, seen: Set<Directory>): Directory {
  if (seen.has(node)) throw unfit(path, 'is a directory that has another name already')
  seen.add(node)
  return node
}

function unfit(path: string, what: string): Error {
  return storageError('FILE_UNFIT', `an ISO 9660 volume cannot hold ${path}: it ${what}`)
}

function placeTables(directories: readonly PlacedDirectory[], scheme: Scheme, cursor: Cursor): Placed {
  const tableLength = encodePathTable(directories, true).length
  return { scheme, directories, tableLength, littleEndian: cursor.take(tableLength), bigEndian: cursor.take(tableLength) }
}

async function writeVolume(
  target: Pick<BlockNode, 'write'>, volume: IsoOptions & { readonly sectors: number }, trees: readonly Placed[],
  files: ReadonlyMap<RegularFile, PlacedFile>,
): Promise<void> {
  const write = (sector: number, bytes: Uint8Array): Promise<void> => target.write(sector * SECTOR_SIZE, [bytes])
  for (const [node, place] of files) await writeFile(target, node, place)
  for (const tree of trees) await writeTree(tree, files, write)
  for (const [index, { directories, tableLength: length, littleEndian, bigEndian }] of trees.entries()) {
    const fields = { ...volume, pathTable: { length, littleEndian, bigEndian }, rootRecord: encodeRootRecord(directories[0]) }
    await write(FIRST_DESCRIPTOR + index, encodeDescriptor(KINDS[index], fields))
  }
  await write(FIRST_DESCRIPTOR + trees.length, encodeTerminator())
}

async function writeTree(
  { scheme, directories, littleEndian, bigEndian }: Placed, files: ReadonlyMap<RegularFile, PlacedFile>,
  write: (sector: number, bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const places = new Map<Directory | RegularFile, Extent>([...directories.map(each => [each.node, each] as const), ...files])
  await write(littleEndian, encodePathTable(directories, true))
  await write(bigEndian, encodePathTable(directories, false))
  for (const directory of directories) await write(directory.sector, encodeDirectory(directory, scheme, node => places.get(node)!))
}

async function writeFile(target: Pick<BlockNode, 'write'>, node: RegularFile, { path, sector, length }: PlacedFile): Promise<void> {
  let done = 0
  for await (const bytes of node.content()) {
    if (done + bytes.length > length) throw changed(path, length, 'more')
    if (bytes.length > 0) await target.write(sector * SECTOR_SIZE + done, [bytes])
    done += bytes.length
  }
  if (done < length) throw changed(path, length, `${done}`)
  const padding = sectorsOf(length) * SECTOR_SIZE - length
  if (padding > 0) await target.write(sector * SECTOR_SIZE + length, [new Uint8Array(padding)])
}

function changed(path: string, expected: number, found: string): Error {
  return storageError('FILE_UNFIT', `${path} should have ${expected} bytes, and has ${found}: it changed meanwhile`)
}
