/**
 * The entries that give a file of the primary tree its POSIX name and attributes. Source: System Use Sharing Protocol 1.12 and Rock
 * Ridge Interchange Protocol 1.12, both IEEE drafts. An entry: 0 signature (2 characters), 2 length u8, 3 version u8, 4 data.
 *
 *   SP  in the root's own record: here are such entries       ER  in the same: they are Rock Ridge's
 *   PX  mode, links, user, group                              TF  times: modified, accessed, attributes changed
 *   NM  name
 *
 * Left out on purpose: continuation areas (names are limited so that none is needed), links, device nodes.
 */
import { encodeUtf8 } from '../../base/utf8.ts'
import type { Directory, RegularFile } from '../filesystems/tree.ts'
import { encodeAscii, encodeShortDate, setBoth32 } from './fields.ts'

const EXTENSION = 'RRIP_1991A'
const DESCRIPTION = 'ROCK RIDGE: POSIX FILE SYSTEM SEMANTICS'
const VERSION = 1
const [DIRECTORY_TYPE, REGULAR_TYPE] = [0x4000, 0x8000]
/** The times in a TF entry, in seven bytes each: modified, accessed, attributes changed. */
const TIMES = 0b1110

/** The entries of a file under its name in the parent directory. */
export function namedEntries(node: Directory | RegularFile, name: string): Uint8Array {
  return join([attributes(node), times(node), entry('NM', [0, ...encodeUtf8(name)])])
}

/** The entries of the records in which a directory stands for itself and for its parent. */
export function unnamedEntries(node: Directory, isVolumesFirst: boolean): Uint8Array {
  const own = [attributes(node), times(node)]
  return join(isVolumesFirst ? [entry('SP', [0xbe, 0xef, 0]), ...own, extension()] : own)
}

function attributes(node: Directory | RegularFile): Uint8Array {
  const data = new Uint8Array(32)
  const view = new DataView(data.buffer)
  setBoth32(view, 0, (node.kind === 'directory' ? DIRECTORY_TYPE : REGULAR_TYPE) | node.permissions)
  setBoth32(view, 8, node.kind === 'directory' ? 2 + subdirectories(node) : 1)
  setBoth32(view, 16, node.uid)
  setBoth32(view, 24, node.gid)
  return entry('PX', data)
}

function subdirectories({ children }: Directory): number {
  return [...children.values()].filter(({ kind }) => kind === 'directory').length
}

function times({ modified }: Directory | RegularFile): Uint8Array {
  const date = encodeShortDate(modified)
  return entry('TF', [TIMES, ...date, ...date, ...date])
}

function extension(): Uint8Array {
  return entry('ER', [EXTENSION.length, DESCRIPTION.length, 0, VERSION, ...encodeAscii(EXTENSION + DESCRIPTION)])
}

function entry(signature: string, data: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(4 + data.length)
  bytes.set(encodeAscii(signature))
  bytes[2] = bytes.length
  bytes[3] = VERSION
  bytes.set(data, 4)
  return bytes
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap(part => [...part]))
}
