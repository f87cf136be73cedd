/**
 * The Internet checksum: the ones' complement sum of 16-bit words, big-endian. Source: RFC 1071.
 *
 * Sums here are not complemented. A sum of an even number of bytes may go on with the next bytes.
 */

/** Adds bytes to a sum; a last odd byte counts as the upper one of a word. The result is 0 to 0xffff. `sum` is below 2^31. */
export function addToSum(sum: number, bytes: Uint8Array, start: number, length: number): number {
  const end = start + length
  const even = end - (length & 1)
  // 65,535 words of 16 bits stay below 2^32: beyond that, doubles are exact all the same.
  for (let at = start; at < even; at += 2) sum += bytes[at] << 8 | bytes[at + 1]
  if (even < end) sum += bytes[even] << 8
  return fold(sum)
}

/** Brings a sum of words down to 16 bits, carries added. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = sum % 0x10000 + Math.floor(sum / 0x10000)
  return sum
}
