/**
 * The descriptors at the start of a volume. Source: ECMA-119 §8.4 and §8.5; the same layout serves the primary and the Joliet one.
 *
 *   0 type u8, 1 "CD001", 6 version u8                120 volumes, 124 number of this one, 128 sector size, u16 twice
 *   8 system, 40 volume (32 characters each)          132 bytes of the path table, u32 twice
 *   80 sectors, u32 twice                             140 its sector, little-endian; 148 the big-endian table's, big-endian
 *   88 escape sequences (Joliet)                      156 the root's record
 *   190 set, 318 publisher, 446 preparer, 574 application (128 characters each), 702, 739, 776 file names (37 each)
 *   813 made, 830 changed, 847 expires, 864 effective (17 each), 881 structure version u8
 */
import { encodeAscii, encodeLongDate, encodeUcs2, SECTOR_SIZE, setBoth16, setBoth32 } from './fields.ts'

const IDENTIFIER = 'CD001'
const [PRIMARY, SUPPLEMENTARY, TERMINATOR] = [1, 2, 255]
/** UCS-2 at level 3. */
const JOLIET_ESCAPE = '%/E'
const DATE_LENGTH = 17
/** Text fields: where, and how many bytes. */
const TEXTS = {
  system: [8, 32], volume: [40, 32], set: [190, 128], publisher: [318, 128], preparer: [446, 128], application: [574, 128],
} as const
const FILE_NAMES = [[702, 37], [739, 37], [776, 37]] as const

export interface VolumeFields {
  readonly label: string
  /** Seconds since 1970. */
  readonly time: number
  readonly sectors: number
  readonly pathTable: { readonly length: number, readonly littleEndian: number, readonly bigEndian: number }
  readonly rootRecord: Uint8Array
}

export function encodeDescriptor(kind: 'primary' | 'joliet', fields: VolumeFields): Uint8Array {
  const bytes = start(kind === 'primary' ? PRIMARY : SUPPLEMENTARY)
  const view = new DataView(bytes.buffer)
  const encode = kind === 'primary' ? encodeAscii : encodeUcs2
  for (const [at, length] of [...Object.values(TEXTS), ...FILE_NAMES]) setText(bytes, at, length, '', encode)
  setText(bytes, ...TEXTS.volume, fields.label, encode)
  if (kind === 'joliet') bytes.set(encodeAscii(JOLIET_ESCAPE), 88)
  setBoth32(view, 80, fields.sectors)
  for (const [offset, value] of [[120, 1], [124, 1], [128, SECTOR_SIZE]]) setBoth16(view, offset, value)
  setBoth32(view, 132, fields.pathTable.length)
  view.setUint32(140, fields.pathTable.littleEndian, true)
  view.setUint32(148, fields.pathTable.bigEndian)
  bytes.set(fields.rootRecord, 156)
  setDates(bytes, fields.time)
  bytes[881] = 1
  return bytes
}

export function encodeTerminator(): Uint8Array { return start(TERMINATOR) }

function start(type: number): Uint8Array {
  const bytes = new Uint8Array(SECTOR_SIZE)
  bytes[0] = type
  bytes.set(encodeAscii(IDENTIFIER), 1)
  bytes[6] = 1
  return bytes
}

function setText(bytes: Uint8Array, at: number, length: number, text: string, encode: (text: string) => Uint8Array): void {
  const space = encode(' ')
  for (let offset = 0; offset + space.length <= length; offset += space.length) bytes.set(space, at + offset)
  bytes.set(encode(text).subarray(0, length), at)
}

function setDates(bytes: Uint8Array, time: number): void {
  const never = Uint8Array.of(...encodeAscii('0'.repeat(DATE_LENGTH - 1)), 0)
  const made = encodeLongDate(time)
  ;[made, made, never, made].forEach((date, index) => bytes.set(date, 813 + index * DATE_LENGTH))
}
