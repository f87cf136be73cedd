import type { BlockBackend } from '../../machine/block.ts'
import { COMMANDS_IN_FLIGHT, EVENT_REQUESTS, MAXIMUM_TRANSFER_POWER, PAGE } from './limits.ts'
import { VERSION } from './registers.ts'
import { ERROR_LOG_ENTRIES } from './log-pages.ts'

/**
 * Identify data structures, 4096 bytes each. Source: NVM Express Base Specification 1.4, §5.15, figures 245 to 249. Numbers in the code
 * are byte offsets there; what is not set is 0: not supported, or not reported.
 */
export interface ControllerIdentity {
  readonly vendorId: number
  /** Printable ASCII: 20, 40 and 8 characters at most. */
  readonly serial: string
  readonly model: string
  readonly firmware: string
}

const IO_CONTROLLER = 1
/** OAES: none of the notices. */
const LOG_PAGES = { COMMANDS_SUPPORTED: 2, EXTENDED_DATA: 4 } as const
const ONE_READ_ONLY_FIRMWARE_SLOT = 0b011
const ONCS = { DATASET_MANAGEMENT: 4, WRITE_ZEROES: 8 } as const
/** A volatile write cache; Flush knows the namespace FFFFFFFFh. */
const VWC = 0b111
const QUEUE_ENTRY_SIZES = { SUBMISSION: 0x66, COMPLETION: 0x44 } as const
const KELVIN_WARNING = 343
const KELVIN_CRITICAL = 353

export function identifyController(identity: ControllerIdentity, namespaces: number): Uint8Array {
  const { bytes, view } = structure()
  view.setUint16(0, identity.vendorId, true)
  view.setUint16(2, identity.vendorId, true)
  putText(bytes, 4, 20, identity.serial)
  putText(bytes, 24, 40, identity.model)
  putText(bytes, 64, 8, identity.firmware)
  bytes[77] = MAXIMUM_TRANSFER_POWER
  view.setUint32(80, VERSION, true)
  bytes[111] = IO_CONTROLLER
  bytes[258] = 3 // ACL: Abort commands at once, less one
  bytes[259] = EVENT_REQUESTS - 1
  bytes[260] = ONE_READ_ONLY_FIRMWARE_SLOT
  bytes[261] = LOG_PAGES.COMMANDS_SUPPORTED | LOG_PAGES.EXTENDED_DATA
  bytes[262] = ERROR_LOG_ENTRIES - 1
  view.setUint16(266, KELVIN_WARNING, true)
  view.setUint16(268, KELVIN_CRITICAL, true)
  bytes[512] = QUEUE_ENTRY_SIZES.SUBMISSION
  bytes[513] = QUEUE_ENTRY_SIZES.COMPLETION
  view.setUint16(514, COMMANDS_IN_FLIGHT, true)
  view.setUint32(516, namespaces, true)
  view.setUint16(520, ONCS.DATASET_MANAGEMENT | ONCS.WRITE_ZEROES, true)
  bytes[525] = VWC
  putText(bytes, 768, 256, `nqn.2014-08.org.nvmexpress:uuid:${uuidText(uuidOf(`${identity.serial}:controller`))}`, 0)
  view.setUint16(2048, 100, true) // maximum power of the only power state: a watt, in hundredths
  return bytes
}

export function identifyNamespace(disk: BlockBackend): Uint8Array {
  const { bytes, view } = structure()
  const blocks = BigInt(disk.size / disk.blockSize)
  for (const offset of [0, 8, 16]) view.setBigUint64(offset, blocks, true)
  bytes[33] = 8 // DLFEAT: Write Zeroes may deallocate
  bytes[99] = disk.readOnly ? 1 : 0
  view.setUint32(128, Math.log2(disk.blockSize) << 16, true)
  return bytes
}

/** Numbers of the namespaces above `after`. */
export function activeNamespaces(after: number, namespaces: number): Uint8Array {
  const { bytes, view } = structure()
  for (let number = after + 1, at = 0; number <= namespaces; number++, at += 4) view.setUint32(at, number, true)
  return bytes
}

/** Namespace Identification Descriptor list: a UUID, which stays the same as long as the disk's serial number and place do. */
export function namespaceDescriptors(disk: BlockBackend, number: number): Uint8Array {
  const { bytes } = structure()
  bytes.set([3, 16])
  bytes.set(uuidOf(`${disk.serial}:namespace:${number}`), 4)
  return bytes
}

function structure(): { bytes: Uint8Array, view: DataView } {
  const bytes = new Uint8Array(PAGE)
  return { bytes, view: new DataView(bytes.buffer) }
}

function putText(bytes: Uint8Array, offset: number, length: number, text: string, padding = 0x20): void {
  bytes.fill(padding, offset, offset + length)
  for (let index = 0; index < Math.min(length, text.length); index++) {
    const code = text.charCodeAt(index)
    bytes[offset + index] = code >= 0x20 && code < 0x7f ? code : 0x20
  }
}

/** A UUID of version 8 (RFC 9562 §5.8) made from a name by two FNV-1a hashes of 64 bits. */
function uuidOf(name: string): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, hash64(`tenon 0 ${name}`))
  view.setBigUint64(8, hash64(`tenon 1 ${name}`))
  bytes[6] = bytes[6] & 0x0f | 0x80
  bytes[8] = bytes[8] & 0x3f | 0x80
  return bytes
}

function hash64(text: string): bigint {
  let hash = 0xcbf29ce484222325n
  for (const character of text) hash = BigInt.asUintN(64, (hash ^ BigInt(character.codePointAt(0)!)) * 0x100000001b3n)
  return hash
}

function uuidText(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
