import { describe, expect, it } from 'vitest'
import { complement, fold, sumBytes } from '../../base/internet-checksum.ts'
import { Random } from '../../base/testing/random.ts'
import { setU16 } from './bytes.ts'
import { adjustChecksum, checksumRight, writeChecksum } from './checksum.ts'

/** RFC 1071 section 1, word by word. */
function reference(bytes: Uint8Array): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) {
    sum += bytes[at] * 256 + (bytes[at + 1] ?? 0)
    if (sum > 0xffff) sum -= 0xffff
  }
  return sum
}

describe('the Internet checksum', () => {
  it('has the example of RFC 1071', () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)
    expect(fold(sumBytes(bytes, 0, 8))).toBe(0xddf2)
    expect(complement(sumBytes(bytes, 0, 8))).toBe(0x220d)
  })

  it('sums any range, and 64 KiB of ones', () => {
    const random = new Random(1)
    for (let round = 0; round < 300; round++) {
      const bytes = random.bytes(random.below(200))
      const start = random.below(bytes.length + 1)
      expect(fold(sumBytes(bytes, start, bytes.length - start)) % 0xffff).toBe(reference(bytes.subarray(start)) % 0xffff)
    }
    expect(fold(sumBytes(new Uint8Array(0x10000).fill(0xff), 0, 0x10000))).toBe(0xffff)
  })

  it('is right where it was written, and after a change that was accounted for', () => {
    const random = new Random(2)
    for (let round = 0; round < 200; round++) {
      const bytes = random.bytes(20 + random.below(40) * 2)
      writeChecksum(bytes, 0, bytes.length, 10)
      expect(checksumRight(bytes, 0, bytes.length)).toBe(true)
      const before = bytes[4] << 8 | bytes[5]
      const after = random.below(0x10000)
      setU16(bytes, 4, after)
      adjustChecksum(bytes, 10, before, after)
      expect(checksumRight(bytes, 0, bytes.length)).toBe(true)
      bytes[random.below(bytes.length)] ^= 1 << random.below(8)
      expect(checksumRight(bytes, 0, bytes.length)).toBe(false)
    }
  })
})
