/** CRC-32 of ITU-T V.42 (reversed polynomial edb88320), as in zlib and PNG: finds accidental damage, and no more than that. */

const POLYNOMIAL = 0xedb88320

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ ((value & 1) !== 0 ? POLYNOMIAL : 0)
  return value
})

/** The checksum of what `before` is the checksum of (0 at first), followed by `bytes`. Unsigned. */
export function crc32(bytes: Uint8Array, before = 0): number {
  let value = ~before
  for (let at = 0; at < bytes.length; at++) value = (value >>> 8) ^ table[(value ^ bytes[at]) & 0xff]
  return ~value >>> 0
}
