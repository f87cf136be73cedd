import { hostError } from '../../errors.ts'

/**
 * The `ar` archive that a Debian package is (deb(5)): the line `!<arch>`, then members, each a 60-byte header (name 16, time 12,
 * owner 6, group 6, mode 8, size 10, and "`\n"), its data, and a newline where the data's length is odd.
 */
export interface ArMember {
  readonly name: string
  readonly data: Uint8Array
}

const MAGIC = '!<arch>\n'
const HEADER_SIZE = 60

/** Lists the members; their data are views of `file`. Throws TenonError ARCHIVE_FORMAT_INVALID. */
export function readAr(file: Uint8Array, name: string): ArMember[] {
  if (text(file, 0, MAGIC.length) !== MAGIC) throw invalid(name, 'does not begin as a Debian package')
  const members: ArMember[] = []
  for (let at = MAGIC.length; at < file.length;) {
    const member = readMember(file, at, name)
    members.push(member)
    at += HEADER_SIZE + member.data.length + (member.data.length & 1)
  }
  return members
}

function readMember(file: Uint8Array, at: number, name: string): ArMember {
  const sizeField = text(file, at + 48, 10).trim()
  if (text(file, at + 58, 2) !== '`\n' || !/^\d{1,10}$/.test(sizeField)) throw invalid(name, `has no member header at byte ${at}`)
  const start = at + HEADER_SIZE
  const size = Number(sizeField)
  if (start + size > file.length) throw invalid(name, `ends within its member at byte ${at}`)
  return { name: text(file, at, 16).trim().replace(/\/$/, ''), data: file.subarray(start, start + size) }
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length))
}

function invalid(name: string, what: string): Error {
  return hostError('ARCHIVE_FORMAT_INVALID', `the package ${name} ${what}: it is damaged, fetch it again`)
}
