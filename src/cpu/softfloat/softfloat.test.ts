import { describe, expect, test } from 'vitest'
import { integerSquareRoot } from './arithmetic.ts'
import { BINARY32, BINARY64, packBinary32, packBinary64, unpackBinary32, unpackBinary64 } from './formats.ts'
import { fusedMultiplyAdd } from './fused.ts'
import { FloatNumber, shiftRightSticky } from './number.ts'
import { lane32, lane64 } from './sse-lanes.ts'
import type { SseOperationCode } from './sse-lanes.ts'
import { SseStatus } from './sse-status.ts'
import { Exception, FloatStatus, RoundingMode } from './status.ts'

/** A small fixed sequence of 32-bit words (xorshift), so that failures can be repeated. */
function sequence(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

const doubles = new Float64Array(3)
const words = new Uint32Array(doubles.buffer)
const random = sequence(0x2545f491)

/** A binary64 with an exponent of ±30 and a fraction that often ends in zeros. */
function randomDouble(): number {
  const fraction = random() % 3 === 0 ? 0 : random()
  words[4] = random() % 2 === 0 ? 0 : random()
  words[5] = (random() & 0x80000000) | (1023 - 30 + random() % 60) << 20 | fraction & 0xfffff
  return doubles[2]
}

describe('the quick path for rounding to nearest', () => {
  const host: ((x: number, y: number) => number)[] = [(x, y) => x + y, (x, y) => x * y, (x, y) => x - y, (x, y) => x / y]

  test.each([0, 1, 2, 3] as SseOperationCode[])('operation %i agrees with the exact one on flags', operation => {
    const status = new SseStatus()
    for (let n = 0; n < 3000; n++) {
      const x = randomDouble()
      const y = randomDouble()
      const bits = new Uint32Array(6)
      new Float64Array(bits.buffer).set([x, y])
      status.load(0x1f80)
      lane64(operation, bits, 4, 0, 2, status)
      const flags = status.flags
      expect(new Float64Array(bits.buffer)[2]).toBe(host[operation](x, y))
      // Exact results are the same in every rounding mode; inexact ones differ between down and up.
      const directed = [0x3f80, 0x5f80].map(mxcsr => {
        status.load(mxcsr)
        lane64(operation, bits, 4, 0, 2, status)
        expect(status.flags).toBe(flags)
        return new Float64Array(bits.buffer)[2]
      })
      const exact = directed[0] === directed[1]
      expect([x, y, flags]).toEqual([x, y, exact ? 0 : Exception.PRECISION])
    }
  })

  test('operands and results at the edge of the range take the exact path', () => {
    const status = new SseStatus()
    status.load(0x1f80)
    expect(lane32(1, 0x7f000000, 0x7f000000, status)).toBe(0x7f800000)
    expect(status.flags).toBe(Exception.OVERFLOW | Exception.PRECISION)
    status.load(0x1f80)
    expect(lane32(1, 0x00800001, 0x3f000000, status)).toBe(0x00400000)
    expect(status.flags).toBe(Exception.UNDERFLOW | Exception.PRECISION)
    status.load(0x1f80)
    // 0x1.fffffep-127 has 24 bits, so it is tiny after rounding too, although as a denormal it rounds up to the smallest normal.
    expect(lane32(1, 0x3f7fffff, 0x00800000, status)).toBe(0x00800000)
    expect(status.flags).toBe(Exception.UNDERFLOW | Exception.PRECISION)
  })
})

describe('fused multiply-add', () => {
  test('keeps what a rounded product would lose', () => {
    const [a, b, c, result] = [0, 1, 2, 3].map(() => new FloatNumber())
    const status = new FloatStatus()
    const x = 1 + 2 ** -30
    words.fill(0)
    doubles[0] = x
    doubles[1] = -(x * x)
    unpackBinary64(a, words[0], words[1])
    unpackBinary64(b, words[0], words[1])
    unpackBinary64(c, words[2], words[3])
    fusedMultiplyAdd(result, a, b, c, BINARY64, status)
    packBinary64(result, words, 4)
    expect(doubles[2]).toBe(2 ** -60)
    expect(status.flags).toBe(0)
  })

  test.each([[RoundingMode.NEAREST, 0], [RoundingMode.DOWN, 0x80000000]])('an exact zero has the sign of mode %i', (mode, zero) => {
    const [a, b, c, result] = [0, 1, 2, 3].map(() => new FloatNumber())
    const status = new FloatStatus()
    status.roundingMode = mode
    unpackBinary32(a, 0x40000000)
    unpackBinary32(b, 0x40400000)
    unpackBinary32(c, 0xc0c00000)
    fusedMultiplyAdd(result, a, b, c, BINARY32, status)
    expect(packBinary32(result)).toBe(zero)
  })

  test.each([[-300, 0x3f800000], [-120, 0x3f800000]])('a product of 2^%i far below is only sticky', (exponent, rounded) => {
    const [a, b, c, result] = [0, 1, 2, 3].map(() => new FloatNumber())
    const status = new FloatStatus()
    unpackBinary32(a, 0x3f800000)
    unpackBinary32(b, 0x3f800000)
    b.exponent = exponent
    unpackBinary32(c, 0x3f800000)
    fusedMultiplyAdd(result, a, b, c, BINARY32, status)
    expect(packBinary32(result)).toBe(rounded)
    expect(status.flags).toBe(Exception.PRECISION)
    status.roundingMode = RoundingMode.UP
    fusedMultiplyAdd(result, a, b, c, BINARY32, status)
    expect(packBinary32(result)).toBe(rounded + 1)
  })
})

test('shifting right keeps lost bits in the sticky one', () => {
  const n = new FloatNumber()
  for (const [count, extra] of [[0, 1], [1, 1], [31, 0x80000001 | 0], [64, 0x80000001 | 0], [95, 1], [500, 1]]) {
    n.set(2, 0, 0, 0x80000000 | 0, 1)
    n.extra = 1
    shiftRightSticky(n, count)
    expect([count, n.extra & 1]).toEqual([count, extra & 1])
  }
})

test.each([0n, 1n, 2n, 3n, 4n, (1n << 136n) - 1n, 1n << 136n, ((1n << 68n) - 1n) ** 2n, ((1n << 68n) - 1n) ** 2n - 1n])(
  'the integer square root of %s is the floor', value => {
    const root = integerSquareRoot(value)
    expect(root * root <= value && (root + 1n) * (root + 1n) > value).toBe(true)
  })
