/**
 * The first sector of a FAT volume. Source: FAT: General Overview of On-Disk Format 1.03, "Boot Sector and BPB". Little-endian:
 *
 *   0 jump, 3 name of the system (8), 11 sector size u16, 13 sectors per cluster u8, 14 reserved sectors u16, 16 tables u8,
 *   17 entries of the root u16, 19 sectors u16 (0: see 32), 21 medium u8, 22 sectors of a table u16, 24 sectors per track u16,
 *   26 heads u16, 28 sectors before the volume u32, 32 sectors u32, 36 drive u8, 38 signature u8, 39 serial number u32, 43 label (11),
 *   54 kind (8), 62 code, 510 0x55, 0xaa
 */
import type { Geometry } from './geometry.ts'
import { RESERVED_SECTORS, SECTOR_SIZE, TABLES } from './geometry.ts'

const SYSTEM = 'TENON   '
const MEDIUM = 0xf8
const EXTENDED_SIGNATURE = 0x29
const HARD_DISK = 0x80
/** From the days of cylinders; nothing uses them, but zero is not allowed. */
const [SECTORS_PER_TRACK, HEADS] = [63, 255]
/** To the code, which tells the firmware that there is nothing to boot (INT 18h), and stops. */
const [JUMP, CODE] = [[0xeb, 0x3c, 0x90], [0xcd, 0x18, 0xf4, 0xeb, 0xfd]]

export function encodeBootSector(geometry: Geometry, label: Uint8Array, serial: number): Uint8Array {
  const bytes = new Uint8Array(SECTOR_SIZE)
  const view = new DataView(bytes.buffer)
  bytes.set(JUMP)
  setText(bytes, 3, SYSTEM)
  const isSmall = geometry.sectors < 0x10000
  const halves = [
    [11, SECTOR_SIZE], [14, RESERVED_SECTORS], [17, geometry.rootEntries], [19, isSmall ? geometry.sectors : 0],
    [22, geometry.tableSectors], [24, SECTORS_PER_TRACK], [26, HEADS],
  ]
  for (const [offset, value] of halves) view.setUint16(offset, value, true)
  const single = [[13, geometry.sectorsPerCluster], [16, TABLES], [21, MEDIUM], [36, HARD_DISK], [38, EXTENDED_SIGNATURE]]
  for (const [offset, value] of single) bytes[offset] = value
  view.setUint32(32, isSmall ? 0 : geometry.sectors, true)
  view.setUint32(39, serial, true)
  bytes.set(label, 43)
  setText(bytes, 54, `FAT${geometry.bits}   `)
  bytes.set(CODE, 62)
  bytes.set([0x55, 0xaa], 510)
  return bytes
}

function setText(bytes: Uint8Array, at: number, text: string): void {
  for (let index = 0; index < text.length; index++) bytes[at + index] = text.charCodeAt(index)
}
