/**
 * Directories of a volume and the table of all of them. Source: ECMA-119 §9.1 (directory records), §9.4 (path table).
 *
 *   record      0 length u8, 2 extent's sector, 10 bytes, 18 date, 25 flags u8, 28 volume u16, 32 length of the identifier u8,
 *               33 identifier, an even number of bytes, system use; numbers twice
 *   path table  0 length of the identifier u8, 2 extent's sector u32, 6 number of the parent u16, 8 identifier; an even number of bytes
 *
 * The first two records of a directory are itself and its parent, with the identifiers 0 and 1. Records do not cross sectors.
 */
import { storageError } from '../errors.ts'
import type { Directory, RegularFile } from '../filesystems/tree.ts'
import { encodeShortDate, SECTOR_SIZE, sectorsOf, setBoth16, setBoth32 } from './fields.ts'
import type { Naming } from './names.ts'

const RECORD_HEADER = 33
const DIRECTORY_FLAG = 2
/** Levels of directories, the root included (§6.8.2.1). */
const DEEPEST = 8
/** What a path table can number. */
const MOST_DIRECTORIES = 65535
const [SELF, PARENT] = [Uint8Array.of(0), Uint8Array.of(1)]

/** One of a volume's trees: names, and what stands in the records after them. */
export interface Scheme {
  readonly naming: Naming
  named(node: Directory | RegularFile, name: string): Uint8Array
  unnamed(node: Directory, isVolumesFirst: boolean): Uint8Array
}

export interface Child {
  readonly node: Directory | RegularFile
  readonly identifier: Uint8Array
  readonly systemUse: Uint8Array
}

export interface PlacedDirectory {
  readonly node: Directory
  readonly identifier: Uint8Array
  /** The root has none. */
  readonly parent: PlacedDirectory | undefined
  /** In the path table, from 1. */
  readonly number: number
  readonly children: readonly Child[]
  /** Bytes, whole sectors. */
  readonly length: number
  sector: number
}

/** The directories of a tree in the path table's order: by level, parent and identifier. Throws TenonError FILE_UNFIT. */
export function orderDirectories(root: Directory, scheme: Scheme): PlacedDirectory[] {
  const ordered = [describe(root, SELF, undefined, 1, scheme)]
  for (let first = 0, level = 1; first < ordered.length; level++) {
    const parents = ordered.slice(first)
    first = ordered.length
    for (const parent of parents) {
      for (const { node, identifier } of parent.children) {
        if (node.kind === 'directory') ordered.push(describe(node, identifier, parent, ordered.length + 1, scheme))
      }
    }
    if (first < ordered.length && level === DEEPEST) throw unfit(`has directories more than ${DEEPEST} deep: make the tree flatter`)
    if (ordered.length > MOST_DIRECTORIES) throw unfit(`has more than ${MOST_DIRECTORIES} directories: take fewer`)
  }
  return ordered
}

function unfit(what: string): Error {
  return storageError('FILE_UNFIT', `the tree for an ISO 9660 volume ${what}`)
}

function describe(
  node: Directory, identifier: Uint8Array, parent: PlacedDirectory | undefined, number: number, scheme: Scheme,
): PlacedDirectory {
  const children = childrenOf(node, scheme)
  const own = [scheme.unnamed(node, parent === undefined), scheme.unnamed(node, false)].map(entries => recordLength(SELF, entries))
  const length = packedLength([...own, ...children.map(({ identifier, systemUse }) => recordLength(identifier, systemUse))])
  return { node, identifier, parent, number, children, length, sector: 0 }
}

function childrenOf({ children }: Directory, scheme: Scheme): Child[] {
  // The kinds were checked as the tree was taken in.
  const nodes = [...children] as [string, Directory | RegularFile][]
  const identifiers = scheme.naming(nodes.map(([name, { kind }]) => ({ name, isDirectory: kind === 'directory' })))
  const listed = nodes.map(([name, node], index) => ({ node, identifier: identifiers[index], systemUse: scheme.named(node, name) }))
  return listed.toSorted((a, b) => compare(a.identifier, b.identifier))
}

const VERSION_MARK = 0x3b

/** By characters; a version does not count (§9.3). */
function compare(a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; ; at++) {
    const [left, right] = [a, b].map(each => at < each.length && each[at] !== VERSION_MARK ? each[at] : -1)
    if (left !== right || left < 0) return left - right
  }
}

function recordLength(identifier: Uint8Array, systemUse: Uint8Array): number {
  return even(even(RECORD_HEADER + identifier.length) + systemUse.length)
}

const even = (length: number): number => length + (length & 1)

function packedLength(lengths: readonly number[]): number {
  const end = lengths.reduce((at, length) => placeRecord(at, length) + length, 0)
  return sectorsOf(end) * SECTOR_SIZE
}

/** Where a record goes that follows what ends at `at`. */
function placeRecord(at: number, length: number): number {
  return at % SECTOR_SIZE + length > SECTOR_SIZE ? sectorsOf(at) * SECTOR_SIZE : at
}

/** Where content is: its first sector, and bytes. */
export interface Extent {
  readonly sector: number
  readonly length: number
}

/** A directory as it is in its extent. `placeOf` says where a child's content is. */
export function encodeDirectory(
  directory: PlacedDirectory, scheme: Scheme, placeOf: (node: Directory | RegularFile) => Extent,
): Uint8Array {
  const { node, children, parent = directory } = directory
  const records = [
    encodeRecord(node, SELF, scheme.unnamed(node, parent === directory), directory),
    encodeRecord(parent.node, PARENT, scheme.unnamed(parent.node, false), parent),
    ...children.map(({ node, identifier, systemUse }) => encodeRecord(node, identifier, systemUse, placeOf(node))),
  ]
  const bytes = new Uint8Array(directory.length)
  let at = 0
  for (const record of records) {
    at = placeRecord(at, record.length)
    bytes.set(record, at)
    at += record.length
  }
  return bytes
}

/** The root's own record, without what only the directory's copy has, for the volume descriptor. */
export function encodeRootRecord(root: PlacedDirectory): Uint8Array {
  return encodeRecord(root.node, SELF, new Uint8Array(0), root)
}

function encodeRecord(
  node: Directory | RegularFile, identifier: Uint8Array, systemUse: Uint8Array, { sector, length }: Extent,
): Uint8Array {
  const bytes = new Uint8Array(recordLength(identifier, systemUse))
  const view = new DataView(bytes.buffer)
  bytes[0] = bytes.length
  setBoth32(view, 2, sector)
  setBoth32(view, 10, length)
  bytes.set(encodeShortDate(node.modified), 18)
  bytes[25] = node.kind === 'directory' ? DIRECTORY_FLAG : 0
  setBoth16(view, 28, 1)
  bytes[32] = identifier.length
  bytes.set(identifier, RECORD_HEADER)
  bytes.set(systemUse, even(RECORD_HEADER + identifier.length))
  return bytes
}

/** The path table, for machines of either kind. */
export function encodePathTable(directories: readonly PlacedDirectory[], isLittleEndian: boolean): Uint8Array {
  return Uint8Array.from(directories.flatMap(({ identifier, parent, sector }) => {
    const bytes = new Uint8Array(8 + even(identifier.length))
    const view = new DataView(bytes.buffer)
    bytes[0] = identifier.length
    view.setUint32(2, sector, isLittleEndian)
    view.setUint16(6, parent?.number ?? 1, isLittleEndian)
    bytes.set(identifier, 8)
    return [...bytes]
  }))
}
