/**
 * Writes cpio archives in the `newc` format, as the Linux kernel's initramfs wants them (Linux Documentation/driver-api/early-userspace/
 * buffer-format.rst): a header of 13 hexadecimal fields after `070701`, the name, the data, each padded to 4 bytes.
 *
 * The bytes follow from the entries alone: inode numbers count from 1, owners are root, times are 0.
 */
export interface CpioEntry {
  /** Without a leading slash. Parents come before their children. */
  readonly path: string
  readonly kind: 'file' | 'directory' | 'symlink' | 'character-device'
  /** Permission bits. */
  readonly permissions: number
  /** A file's bytes, or a symbolic link's target in UTF-8. */
  readonly data?: Uint8Array
  readonly device?: { readonly major: number, readonly minor: number }
}

const FILE_TYPE = { file: 0o100000, directory: 0o040000, symlink: 0o120000, 'character-device': 0o020000 } as const
const HEADER_SIZE = 110
const EMPTY = new Uint8Array(0)

export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const records = entries.map((entry, index) => makeRecord(entry, index + 1))
  records.push(makeRecord({ path: 'TRAILER!!!', kind: 'file', permissions: 0 }, 0))
  const archive = new Uint8Array(records.reduce((size, { head, data }) => size + head.length + align4(data.length), 0))
  let at = 0
  for (const { head, data } of records) {
    archive.set(head, at)
    archive.set(data, at + head.length)
    at += head.length + align4(data.length)
  }
  return archive
}

/** The header with the name behind it, padded, and the data. */
function makeRecord(entry: CpioEntry, inode: number): { head: Uint8Array, data: Uint8Array } {
  const data = entry.data ?? EMPTY
  const name = new TextEncoder().encode(`${entry.path}\0`)
  const mode = inode === 0 ? 0 : FILE_TYPE[entry.kind] | entry.permissions
  const links = entry.kind === 'directory' ? 2 : 1
  const { major, minor } = entry.device ?? { major: 0, minor: 0 }
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, major, minor, name.length, 0]
  const head = new Uint8Array(align4(HEADER_SIZE + name.length))
  new TextEncoder().encodeInto('070701' + fields.map(field => field.toString(16).padStart(8, '0')).join(''), head)
  head.set(name, HEADER_SIZE)
  return { head, data }
}

function align4(size: number): number {
  return (size + 3) & ~3
}
