/**
 * The Internet checksum: the complement of a sum in ones' complement of big-endian 16-bit words. Source: RFC 1071.
 *
 * Functions pass on plain sums, in which carries are not folded in yet: exact in a `number` for all that fits a packet.
 */

/** So many bytes have a sum that fits 31 bits: small integers are what an engine adds fastest. */
const CHUNK = 0x10000

/** Adds `length` bytes to a sum; an odd last byte counts as the upper half of a word. */
export function sumBytes(bytes: Uint8Array, start: number, length: number, sum = 0): number {
  const end = start + length
  for (let at = start; at < end; at += CHUNK) sum += sumChunk(bytes, at, Math.min(end, at + CHUNK))
  return sum
}

function sumChunk(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0
  let at = start
  for (; at + 4 <= end; at += 4) sum = sum + (bytes[at] << 8 | bytes[at + 1]) + (bytes[at + 2] << 8 | bytes[at + 3]) | 0
  if (at + 2 <= end) {
    sum += bytes[at] << 8 | bytes[at + 1]
    at += 2
  }
  return at < end ? sum + (bytes[at] << 8) : sum
}

/** A sum in 16 bits, its carries folded in. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = sum % 0x10000 + Math.floor(sum / 0x10000)
  return sum
}

/** What stands in a checksum field. */
export function complement(sum: number): number {
  return ~fold(sum) & 0xffff
}
