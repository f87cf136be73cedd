/**
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM Vol. 2B §4.1). What the immediate asks for is chosen while code is emitted where an
 * engine knows it, and otherwise when it runs. Results of comparisons are bits, one an element; those beyond the register are cut off
 * at the end.
 */
import { Gpr } from '../../state/layout.ts'
import { ValueType, W } from '../../wasm/opcodes.ts'
import type { ValueTypeCode } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { bytes, doublewords, swizzle, v, words, zero } from './operands.ts'

const { I32, V128 } = ValueType

/** Positions of the immediate's bits; the aggregation has two of them. */
const Bit = { WORDS: 0, SIGNED: 1, AGGREGATION: 2, NEGATIVE: 4, MASKED: 5, SELECTION: 6 } as const
const CF = 0, ZF = 6, SF = 7, OF = 11

/** Instructions for one size of elements. */
interface Lanes {
  readonly count: number
  readonly equal: number
  readonly bitmask: number
  /** At least and at most. */
  readonly unsigned: readonly [number, number]
  readonly signed: readonly [number, number]
  /** Sixteen bits that hold the places of element 0's bytes, and how they change from element to element. */
  readonly places: readonly [number, number]
}

const BYTES: Lanes = {
  count: 16, equal: W.i8x16_eq, bitmask: W.i8x16_bitmask, unsigned: [W.i8x16_ge_u, W.i8x16_le_u], signed: [W.i8x16_ge_s, W.i8x16_le_s],
  places: [0, 0x101],
}
const WORDS: Lanes = {
  count: 8, equal: W.i16x8_eq, bitmask: W.i16x8_bitmask, unsigned: [W.i16x8_ge_u, W.i16x8_le_u], signed: [W.i16x8_ge_s, W.i16x8_le_s],
  places: [0x100, 0x202],
}

interface Text {
  readonly elements: Value
  /** Elements before the end. */
  readonly length: Value
  /** Their bits. */
  readonly valid: Value
}

/** As `choose`, and chosen now if the condition is known. */
function either(o: Ops, condition: Value, type: ValueTypeCode, then: () => Value, otherwise: () => Value): Value {
  if (condition.constant === undefined) return o.choose(condition, type, then, otherwise)
  return condition.constant !== 0 ? then() : otherwise()
}

/** One instruction's immediate and operands. */
class Comparison {
  private readonly o: Ops
  private readonly immediate: Value
  /** Elements in a register. */
  readonly capacity: Value
  private readonly first: Text
  private readonly second: Text

  constructor(o: Ops, lengthOf: (comparison: Comparison, elements: Value, register: number) => Value) {
    const second = o.let(o.rd(1))
    const first = o.let(o.rd(0))
    this.o = o
    this.immediate = o.let(o.rd(2))
    this.capacity = o.let(o.shr(o.i32(BYTES.count), this.bit(Bit.WORDS)))
    this.first = this.text(first, lengthOf(this, first, Gpr.RAX))
    this.second = this.text(second, lengthOf(this, second, Gpr.RDX))
  }

  bit(position: number): Value { return this.o.and(this.o.shr(this.immediate, this.o.i32(position)), this.o.i32(1)) }

  /** What `emit` makes for the size of elements that the immediate asks for. */
  forLanes(emit: (lanes: Lanes) => Value): Value {
    return either(this.o, this.bit(Bit.WORDS), I32, () => emit(WORDS), () => emit(BYTES))
  }

  private text(elements: Value, length: Value): Text {
    const { o } = this
    const fixed = o.let(length)
    return { elements, length: fixed, valid: o.let(this.below(fixed)) }
  }

  private below(length: Value): Value { return this.o.sub(this.o.shl(this.o.i32(1), length), this.o.i32(1)) }

  /** IntRes2, with the flags staged. */
  result(): Value {
    const { o, second } = this
    const all = this.below(this.capacity)
    const inverted = o.select(this.bit(Bit.NEGATIVE), o.select(this.bit(Bit.MASKED), second.valid, all), o.i32(0))
    const bits = o.let(o.and(o.xor(this.forLanes((lanes) => this.aggregate(lanes)), inverted), all))
    this.stageFlags(bits)
    return bits
  }

  private stageFlags(bits: Value): void {
    const { o, first, second, capacity } = this
    const flag = (value: Value, position: number): Value => o.shl(value, o.i32(position))
    const isShort = (text: Text): Value => o.compare('lt_u', text.length, capacity)
    const found = o.or(flag(o.ne(bits, o.i32(0)), CF), flag(o.and(bits, o.i32(1)), OF))
    o.setArithmeticFlags(o.or(found, o.or(flag(isShort(second), ZF), flag(isShort(first), SF))))
  }

  /** IntRes1. */
  private aggregate(lanes: Lanes): Value {
    const { o } = this
    const [low, high] = [this.bit(Bit.AGGREGATION), this.bit(Bit.AGGREGATION + 1)]
    return either(o, high, I32,
      () => either(o, low, I32, () => this.equalOrdered(lanes), () => this.equalEach(lanes)),
      () => either(o, low, I32, () => this.ranges(lanes), () => this.equalAny(lanes)))
  }

  private bitmask(lanes: Lanes, vector: Value): Value { return this.o.op(lanes.bitmask, I32, vector) }

  /** Element `n` of the first text in all places. */
  private everywhere(lanes: Lanes, n: Value): Value {
    const { o } = this
    const [origin, step] = lanes.places
    return swizzle(o, this.first.elements, v(o, W.i16x8_splat, o.add(o.mul(n, o.i32(step)), o.i32(origin))))
  }

  private equalAny(lanes: Lanes): Value {
    const { o, first, second } = this
    const found = o.fold(first.length, zero(o), (n, before) =>
      v(o, W.v128_or, before, v(o, lanes.equal, second.elements, this.everywhere(lanes, n))))
    return o.and(this.bitmask(lanes, found), second.valid)
  }

  private ranges(lanes: Lanes): Value {
    return either(this.o, this.bit(Bit.SIGNED), I32, () => this.inRanges(lanes, lanes.signed), () => this.inRanges(lanes, lanes.unsigned))
  }

  /** The first text holds pairs of bounds; one without its upper bound counts for nothing. */
  private inRanges(lanes: Lanes, [atLeast, atMost]: readonly [number, number]): Value {
    const { o, first, second } = this
    const found = o.fold(o.shr(first.length, o.i32(1)), zero(o), (pair, before) => {
      const low = o.let(o.shl(pair, o.i32(1)))
      const above = v(o, atLeast, second.elements, this.everywhere(lanes, low))
      const below = v(o, atMost, second.elements, this.everywhere(lanes, o.add(low, o.i32(1))))
      return v(o, W.v128_or, before, v(o, W.v128_and, above, below))
    })
    return o.and(this.bitmask(lanes, found), second.valid)
  }

  /** Beyond both ends elements are equal, beyond one end they are not. */
  private equalEach(lanes: Lanes): Value {
    const { o, first, second } = this
    const equal = this.bitmask(lanes, v(o, lanes.equal, first.elements, second.elements))
    return o.or(o.and(equal, o.and(first.valid, second.valid)), o.not(o.or(first.valid, second.valid)))
  }

  /**
   * The first text begins here in the second, or runs to the end of the register: where its element n is, and the rest of it begins
   * one further on. Beyond the register everything is found.
   */
  private equalOrdered(lanes: Lanes): Value {
    const { o, first, second } = this
    const beyond = o.i32(-1 << lanes.count)
    return o.fold(first.length, o.i32(-1), (n, rest) => {
      const equal = this.bitmask(lanes, v(o, lanes.equal, second.elements, this.everywhere(lanes, n)))
      return o.and(o.or(o.and(equal, second.valid), beyond), o.sar(rest, o.i32(1)))
    })
  }
}

/** Up to a null element. */
function implicitLength(o: Ops, comparison: Comparison, elements: Value): Value {
  return comparison.forLanes(({ count, equal, bitmask }) =>
    o.op(W.i32_ctz, I32, o.or(o.op(bitmask, I32, v(o, equal, elements, zero(o))), o.i32(1 << count))))
}

/** The magnitude of a register, up to the capacity. */
function explicitLength(o: Ops, { capacity }: Comparison, register: number): Value {
  const size = o.size === 64 ? 64 : 32
  const value = o.let(o.reg(register, size))
  const sign = o.let(o.sar(value, o.k(size - 1, value.type)))
  const magnitude = o.let(o.sub(o.xor(value, sign), sign))
  return o.select(o.compare('lt_u', magnitude, capacity), o.wrap(magnitude), capacity)
}

const implicit = (o: Ops): Comparison => new Comparison(o, (comparison, elements) => implicitLength(o, comparison, elements))
const explicit = (o: Ops): Comparison => new Comparison(o, (comparison, _elements, register) => explicitLength(o, comparison, register))

/** The position of the first or last bit set, or the number of elements. */
function stageIndex(o: Ops, comparison: Comparison): void {
  const bits = comparison.result()
  const { capacity } = comparison
  const first = o.op(W.i32_ctz, I32, o.or(bits, o.shl(o.i32(1), capacity)))
  const last = o.select(bits, o.sub(o.i32(31), o.op(W.i32_clz, I32, bits)), capacity)
  o.setReg(Gpr.RCX, 32, o.select(comparison.bit(Bit.SELECTION), last, first))
}

/** The bits in XMM0, as they are or widened to masks of elements. */
function stageMask(o: Ops, comparison: Comparison): void {
  const spread = o.let(v(o, W.i16x8_splat, comparison.result()))
  const low8 = [1, 2, 4, 8, 16, 32, 64, 128]
  const wide = maskOf(o, W.i16x8_eq, spread, words(o, ...low8))
  const halves = swizzle(o, spread, bytes(o, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1))
  const narrow = maskOf(o, W.i8x16_eq, halves, bytes(o, ...low8))
  const elements = o.select(comparison.bit(Bit.WORDS), wide, narrow)
  const plain: Value = v(o, W.v128_and, spread, doublewords(o, 0xffff, 0, 0, 0))
  o.setXmm(0, o.select(comparison.bit(Bit.SELECTION), elements, plain))
}

function maskOf(o: Ops, equal: number, spread: Value, places: Value): Value {
  return o.op(equal, V128, o.op(W.v128_and, V128, spread, places), places)
}

define('PCMPISTRI', 'r,r,r', (o) => stageIndex(o, implicit(o)))
define('PCMPISTRM', 'r,r,r', (o) => stageMask(o, implicit(o)))
define('PCMPESTRI', 'r,r,r', (o) => stageIndex(o, explicit(o)))
define('PCMPESTRM', 'r,r,r', (o) => stageMask(o, explicit(o)))
