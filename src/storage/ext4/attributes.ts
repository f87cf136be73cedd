/**
 * A block of extended attributes. Source: the Linux kernel's documentation, filesystems/ext4 ("Extended Attributes").
 *
 *   header, 32 bytes: 0 magic, 4 references, 8 blocks (1), 12 hash, 16 checksum
 *   entries: 0 length of the name u8, 1 its prefix u8, 2 offset of the value u16, 8 its size, 12 hash, 16 name; a multiple of 4 bytes
 *   values, from the block's end down
 */
import { encodeUtf8 } from '../../base/utf8.ts'
import { storageError } from '../errors.ts'
import { crc32c } from './crc32c.ts'
import { BLOCK_SIZE } from './geometry.ts'

const MAGIC = 0xea020000
const HEADER_SIZE = 32
const CHECKSUM = 16
/** Prefixes that a number stands for. */
const PREFIXES: readonly (readonly [prefix: string, index: number])[] = [
  ['user.', 1], ['system.posix_acl_access', 2], ['system.posix_acl_default', 3], ['trusted.', 4], ['security.', 6], ['system.', 7],
]

interface Attribute { readonly index: number, readonly name: Uint8Array, readonly value: Uint8Array }

/**
 * The block of a file's attributes, without its checksum, which depends on where it is.
 * @throws TenonError FILE_UNFIT
 */
export function encodeAttributes(attributes: ReadonlyMap<string, Uint8Array>, path: string): Uint8Array {
  const sorted = [...attributes].map(([name, value]) => parse(name, value, path)).toSorted(compare)
  const bytes = new Uint8Array(BLOCK_SIZE)
  const view = new DataView(bytes.buffer)
  let at = HEADER_SIZE
  let end = BLOCK_SIZE
  let hash = 0
  for (const { index, name, value } of sorted) {
    end -= padded(value.length)
    if (at + 16 + padded(name.length) + 4 > end) {
      throw storageError('FILE_UNFIT', `${path} has more extended attributes than a block can hold: remove some`)
    }
    const own = hashOf(name, value)
    bytes[at] = name.length
    bytes[at + 1] = index
    view.setUint16(at + 2, end, true)
    view.setUint32(at + 8, value.length, true)
    view.setUint32(at + 12, own, true)
    bytes.set(name, at + 16)
    bytes.set(value, end)
    hash = (rotate(hash, 16) ^ own) >>> 0
    at += 16 + padded(name.length)
  }
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, 1, true)
  view.setUint32(8, 1, true)
  view.setUint32(12, hash, true)
  return bytes
}

export function sealAttributes(bytes: Uint8Array, block: number, seed: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const place = new DataView(new ArrayBuffer(8))
  place.setBigUint64(0, BigInt(block), true)
  view.setUint32(CHECKSUM, crc32c(crc32c(seed, new Uint8Array(place.buffer)), bytes), true)
}

function parse(name: string, value: Uint8Array, path: string): Attribute {
  const found = PREFIXES.find(([prefix]) => name.startsWith(prefix))
  if (found === undefined) {
    throw storageError('FILE_UNFIT', `${path} has the extended attribute ${name}, for which ext4 has no number: leave it out`)
  }
  return { index: found[1], name: encodeUtf8(name.slice(found[0].length)), value }
}

/** By prefix, length and name. */
function compare(a: Attribute, b: Attribute): number {
  if (a.index !== b.index) return a.index - b.index
  if (a.name.length !== b.name.length) return a.name.length - b.name.length
  const different = a.name.findIndex((byte, at) => byte !== b.name[at])
  return different < 0 ? 0 : a.name[different] - b.name[different]
}

function hashOf(name: Uint8Array, value: Uint8Array): number {
  let hash = 0
  for (const byte of name) hash = (rotate(hash, 5) ^ byte) >>> 0
  const whole = new Uint8Array(padded(value.length))
  whole.set(value)
  const view = new DataView(whole.buffer)
  for (let at = 0; at < whole.length; at += 4) hash = (rotate(hash, 16) ^ view.getUint32(at, true)) >>> 0
  return hash
}

const rotate = (value: number, by: number): number => value << by | value >>> 32 - by
const padded = (length: number): number => length + 3 & ~3
