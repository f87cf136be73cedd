/** Half precision (F16C; SDM Vol. 1 §14.4): VCVTPH2PS and VCVTPS2PH, the common case as in float-arithmetic.ts. */
import { W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Value } from '../ops.ts'
import { FloatLanes } from './float-lanes.ts'
import { HIGH_HALF, LOW_HALVES, doublewords, v, vector } from './operands.ts'

/** The exponents of binary16 and binary32 differ by this; the significands by 13 bits. */
const BIAS_DIFFERENCE = 112
const HALF_EXPONENT = 0x7c00
/** The smallest normal binary16, and a limit below which nothing overflows it. */
const SMALLEST = 2 ** -14
const LIMIT = 65504

/** Widened bit by bit and scaled to the right exponent, which is exact; but for infinities and NaNs. */
define('VCVTPH2PS', 'w,r', (o) => {
  const f = new FloatLanes(o, 'PS', true)
  const source = o.let(vector(o, 1))
  const parts = o.operandSize(0) === 256 ? [source, o.shuffle(source, source, HIGH_HALF)] : [source]
  const wide = parts.map((part) => o.let(v(o, W.i32x4_extend_low_i16x8_u, part)))
  const masked = (part: Value, mask: number): Value => v(o, W.v128_and, part, doublewords(o, mask))
  const results = wide.map((part) => {
    const magnitude = f.operate('mul', v(o, W.i32x4_shl, masked(part, 0x7fff), o.i32(13)), f.number(2 ** BIAS_DIFFERENCE))
    return v(o, W.v128_or, magnitude, v(o, W.i32x4_shl, masked(part, 0x8000), o.i32(16)))
  })
  const finite = wide.map((part) => v(o, W.i32x4_ne, masked(part, HALF_EXPONENT), doublewords(o, HALF_EXPONENT)))
  f.write(f.commonly(f.everywhere(...finite), results, 'CVTPH2PS', [source]))
})

/** Of VCVTPS2PH's immediate: rounding by MXCSR; otherwise its low two bits are the rounding mode, zero for nearest. */
const BY_MXCSR = 4

define('VCVTPS2PH', 'w,r,r', (o) => {
  const f = new FloatLanes(o, 'PS', true)
  // A page fault comes before what the conversion raises.
  o.touch(0)
  const source = f.parts(1)
  const immediate = o.let(o.rd(2))
  const nearest = o.or(o.eqz(o.and(immediate, o.i32(3))), o.ne(o.and(immediate, o.i32(BY_MXCSR)), o.i32(0)))
  const inRange = source.map((part) => f.both(f.magnitudeBelow(part, LIMIT),
    f.either(f.isZero(part), f.compare('le', f.number(SMALLEST), f.operate('abs', part)))))
  const dropped = (part: Value): Value => v(o, W.v128_and, part, doublewords(o, 0x1fff))
  const exact = (): Value => f.both(...source.map((part) => v(o, W.i32x4_eq, dropped(part), doublewords(o, 0))))
  const common = o.and(o.and(nearest, f.everywhere(...inRange)), f.roundsQuietly(exact))
  const halves = f.commonly(common, source.map((part) => toHalf(f, part)), 'CVTPS2PH', [...source, immediate])
  const result = halves.length === 1 ? halves[0] : o.shuffle(halves[0], halves[1], LOW_HALVES)
  if (o.isMemory(0)) o.wr(0, halves.length === 1 ? o.low64(result) : result)
  else f.write([result])
})

/** The four binary16 of zeros and normal numbers, rounded to nearest, in the low half of a vector. */
function toHalf(f: FloatLanes, part: Value): Value {
  const { o } = f
  const magnitude = o.let(f.operate('abs', part))
  const odd = v(o, W.v128_and, v(o, W.i32x4_shr_u, magnitude, o.i32(13)), doublewords(o, 1))
  const rounded = v(o, W.i32x4_shr_u, v(o, W.i32x4_add, v(o, W.i32x4_add, magnitude, odd), doublewords(o, 0xfff)), o.i32(13))
  const scaled = v(o, W.v128_and, v(o, W.i32x4_sub, rounded, doublewords(o, BIAS_DIFFERENCE << 10)), f.compare('ne', part, f.number(0)))
  const sign = v(o, W.v128_and, v(o, W.i32x4_shr_u, part, o.i32(16)), doublewords(o, 0x8000))
  return v(o, W.i16x8_narrow_i32x4_u, v(o, W.v128_or, scaled, sign), doublewords(o, 0))
}
