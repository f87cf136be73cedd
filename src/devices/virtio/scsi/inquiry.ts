import type { BlockBackend } from '../../../machine/block.ts'
import { DISK_LIMITS } from '../disk-limits.ts'

/**
 * What a logical unit says of itself: INQUIRY, its vital product data, and mode pages. Source: SPC-4 §6.4, §7.5, §7.8; SBC-3 §6.4, §6.5.
 */
const VENDOR = 'TENON'
const PRODUCT = 'DISK'
const REVISION = '1'
const SPC_4 = 6
/** Peripheral qualifier and type of what is not there. */
const NOT_THERE = 0x7f

export const Page = {
  SUPPORTED: 0x00, SERIAL: 0x80, IDENTIFICATION: 0x83, LIMITS: 0xb0, CHARACTERISTICS: 0xb1, PROVISIONING: 0xb2,
} as const

/** §6.4.2. */
export function standardInquiry(present: boolean): Uint8Array {
  const bytes = new Uint8Array(36)
  bytes[0] = present ? 0 : NOT_THERE
  bytes[2] = SPC_4
  bytes[3] = 0x12 // HISUP, response data format 2
  bytes[4] = bytes.length - 5
  bytes[7] = 0x02 // CMDQUE
  putText(bytes, 8, VENDOR, 8)
  putText(bytes, 16, PRODUCT, 16)
  putText(bytes, 32, REVISION, 4)
  return bytes
}

/** A page of vital product data; undefined if there is no such page. */
export function vitalProductData(page: number, disk: BlockBackend): Uint8Array | undefined {
  switch (page) {
    case Page.SUPPORTED: return vpd(page, Uint8Array.from(Object.values(Page)))
    case Page.SERIAL: return vpd(page, ascii(disk.serial))
    case Page.IDENTIFICATION: return vpd(page, identification(disk))
    case Page.LIMITS: return vpd(page, blockLimits(disk))
    case Page.CHARACTERISTICS: return vpd(page, characteristics())
    case Page.PROVISIONING: return vpd(page, provisioning(disk))
    default: return undefined
  }
}

/** A descriptor by vendor: T10 vendor identification and serial number, in ASCII (§7.8.6.4). */
function identification({ serial }: BlockBackend): Uint8Array {
  const name = ascii(`${VENDOR.padEnd(8)}${serial}`)
  return Uint8Array.of(0x02, 0x01, 0, name.length, ...name)
}

/** SBC-3 §6.5.3; offsets from the page's fourth byte. */
function blockLimits({ blockSize }: BlockBackend): Uint8Array {
  const bytes = new Uint8Array(60)
  const view = new DataView(bytes.buffer)
  bytes[0] = 1 // WSNZ: a WRITE SAME says how many blocks
  view.setUint16(2, DISK_LIMITS.GOOD_TRANSFER / blockSize)
  view.setUint32(4, Math.floor(DISK_LIMITS.TRANSFER / blockSize))
  view.setUint32(16, DISK_LIMITS.DISCARD / blockSize) // most blocks of an UNMAP
  view.setUint32(20, DISK_LIMITS.DISCARD_SEGMENTS)
  view.setUint32(24, DISK_LIMITS.GOOD_TRANSFER / blockSize)
  view.setUint32(36, Math.floor(DISK_LIMITS.TRANSFER / blockSize)) // most blocks of a WRITE SAME
  return bytes
}

/** SBC-3 §6.5.2: medium rotation rate 1, nothing turns. */
function characteristics(): Uint8Array {
  const bytes = new Uint8Array(60)
  bytes[1] = 1
  return bytes
}

/** SBC-3 §6.5.4: UNMAP and both WRITE SAMEs unmap (LBPU, LBPWS, LBPWS10); thin provisioning. */
function provisioning({ readOnly }: BlockBackend): Uint8Array { return readOnly ? new Uint8Array(4) : Uint8Array.of(0, 0xe0, 2, 0) }

function vpd(page: number, content: Uint8Array): Uint8Array {
  return Uint8Array.of(0, page, content.length >> 8, content.length, ...content)
}

export const ModePage = { CACHING: 0x08, CONTROL: 0x0a, ALL: 0x3f } as const

/** Mode pages, one or all: as they are, or what of them can be changed, which is nothing. Undefined if there is none. SPC-4 §7.5. */
export function modePages(page: number, changeable: boolean): number[] | undefined {
  const caching = [ModePage.CACHING, 18, changeable ? 0 : WCE, ...zeros(17)]
  const control = [ModePage.CONTROL, 10, ...zeros(10)]
  switch (page) {
    case ModePage.CACHING: return caching
    case ModePage.CONTROL: return control
    case ModePage.ALL: return [...caching, ...control]
    default: return undefined
  }
}

/** There is a write cache. */
const WCE = 0x04

const zeros = (count: number): number[] => Array.from({ length: count }, () => 0)

function ascii(text: string): Uint8Array { return Uint8Array.from(text, (character) => character.charCodeAt(0)) }

/** Left-aligned, padded with spaces. */
function putText(bytes: Uint8Array, offset: number, text: string, length: number): void { bytes.set(ascii(text.padEnd(length)), offset) }
