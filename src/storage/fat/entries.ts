/**
 * Entries of directories. Source: FAT: General Overview of On-Disk Format 1.03. 32 bytes, little-endian:
 *
 *   short   0 name (11), 11 attributes u8, 14 time and 16 date of making u16, 18 date of the last use u16, 22 time and 24 date of the
 *           last change u16, 26 first cluster u16, 28 bytes u32
 *   long    0 number u8 (0x40: the last), 1 five characters, 11 0x0f, 13 checksum of the short name u8, 14 six characters, 28 two;
 *           before the short one, the last first
 */
import { ENTRY_SIZE } from './geometry.ts'
import type { Name } from './names.ts'

export const Attribute = { VOLUME_LABEL: 0x8, DIRECTORY: 0x10, ARCHIVE: 0x20 } as const
const LONG_ATTRIBUTES = 0xf
const LAST_LONG = 0x40
const CHARACTERS = 13
/** Where an entry's characters are. */
const PLACES = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30]
const [FIRST_YEAR, LAST_YEAR] = [1980, 2107]

export interface EntryFields {
  readonly attributes: number
  readonly firstCluster: number
  /** Bytes; 0 for a directory. */
  readonly size: number
  /** Seconds since 1970. */
  readonly modified: number
}

export const entryCount = ({ long }: Name): number => 1 + (long === undefined ? 0 : Math.ceil(long.length / CHARACTERS))

export function encodeEntries({ short, long }: Name, fields: EntryFields): Uint8Array {
  const parts = long === undefined ? [] : encodeLong(long, checksum(short))
  const bytes = new Uint8Array((parts.length + 1) * ENTRY_SIZE)
  ;[...parts, encodeShort(short, fields)].forEach((part, index) => bytes.set(part, index * ENTRY_SIZE))
  return bytes
}

export function encodeShort(name: Uint8Array, { attributes, firstCluster, size, modified }: EntryFields): Uint8Array {
  const bytes = new Uint8Array(ENTRY_SIZE)
  const view = new DataView(bytes.buffer)
  bytes.set(name)
  bytes[11] = attributes
  const { date, time } = encodeDate(modified)
  const halves = [[14, time], [16, date], [18, date], [22, time], [24, date], [26, firstCluster]]
  for (const [offset, value] of halves) view.setUint16(offset, value, true)
  view.setUint32(28, size, true)
  return bytes
}

function encodeLong(name: string, sum: number): Uint8Array[] {
  const count = Math.ceil(name.length / CHARACTERS)
  const parts = Array.from({ length: count }, (_, index) => {
    const bytes = new Uint8Array(ENTRY_SIZE)
    const view = new DataView(bytes.buffer)
    bytes[0] = index + 1 | (index === count - 1 ? LAST_LONG : 0)
    bytes[11] = LONG_ATTRIBUTES
    bytes[13] = sum
    PLACES.forEach((place, character) => view.setUint16(place, characterAt(name, index * CHARACTERS + character), true))
    return bytes
  })
  return parts.reverse()
}

/** After the name's end one zero, then ones. */
function characterAt(name: string, at: number): number {
  if (at < name.length) return name.charCodeAt(at)
  return at === name.length ? 0 : 0xffff
}

function checksum(short: Uint8Array): number {
  return short.reduce((sum, byte) => (sum << 7 | sum >> 1) + byte & 0xff, 0)
}

/** In UTC, to two seconds; a date that cannot be said becomes the nearest that can. */
function encodeDate(seconds: number): { readonly date: number, readonly time: number } {
  const milliseconds = Math.min(Math.max(Math.floor(seconds) * 1000, Date.UTC(FIRST_YEAR)), Date.UTC(LAST_YEAR + 1) - 1)
  const at = new Date(milliseconds)
  return {
    date: at.getUTCFullYear() - FIRST_YEAR << 9 | at.getUTCMonth() + 1 << 5 | at.getUTCDate(),
    time: at.getUTCHours() << 11 | at.getUTCMinutes() << 5 | at.getUTCSeconds() >> 1,
  }
}
