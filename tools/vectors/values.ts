/** Operand values: corner cases and random ones, of each kind of operand. All as little-endian bytes or as integers. */
import type { Random } from '../../test/vectors/random.ts'

/** An integer of `bits` bits: corners half of the time, or a few bits, or uniformly random. */
export function integer(random: Random, bits: number): bigint {
  const mask = (1n << BigInt(bits)) - 1n
  const sign = 1n << BigInt(bits - 1)
  switch (random.below(8)) {
    case 0: return random.pick([0n, 1n, 2n, mask, mask - 1n])
    case 1: return random.pick([sign, sign - 1n, sign + 1n, sign >> 1n])
    case 2: return BigInt(random.below(256)) & mask
    case 3: return -BigInt(random.below(128) + 1) & mask
    case 4: return 1n << BigInt(random.below(bits))
    case 5: return random.pick([0x7fn, 0x80n, 0xffn, 0x100n, 0x7fffn, 0x8000n, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn]) & mask
    default: return random.u64() & mask
  }
}

interface FloatShape {
  readonly exponentBits: number
  readonly fractionBits: number
}
const HALF: FloatShape = { exponentBits: 5, fractionBits: 10 }
const SINGLE: FloatShape = { exponentBits: 8, fractionBits: 23 }
const DOUBLE: FloatShape = { exponentBits: 11, fractionBits: 52 }

/** A binary16, binary32 or binary64: zeros, denormals, infinities, quiet and signalling NaNs, halfway cases, small integers, extremes, random. */
export function float(random: Random, bits: 16 | 32 | 64): bigint {
  const { exponentBits, fractionBits } = bits === 16 ? HALF : bits === 32 ? SINGLE : DOUBLE
  const bias = (1 << (exponentBits - 1)) - 1
  const [exponent, fraction] = floatParts(random, bias, fractionBits)
  return BigInt(random.below(2)) << BigInt(bits - 1) | BigInt(exponent & (1 << exponentBits) - 1) << BigInt(fractionBits) | fraction
}

function floatParts(random: Random, bias: number, fractionBits: number): [number, bigint] {
  const all = (1n << BigInt(fractionBits)) - 1n
  const uniform = random.u64() & all
  const largest = 2 * bias
  switch (random.below(12)) {
    case 0: return [0, 0n]
    case 1: return [0, random.pick([1n, all, uniform, uniform])]
    case 2: return [largest + 1, random.pick([0n, 0n, 1n, uniform, all, (all >> 1n) + 1n])]
    case 3: return [random.pick([1, 2, largest, largest - 1]), random.pick([0n, 1n, all, uniform])]
    case 4: return [bias + random.below(8), uniform & random.pick([0n, all << BigInt(fractionBits - 4) & all])]
    case 5: return [bias + random.pick([29, 30, 31, 32, 52, 53, 61, 62, 63]), random.pick([0n, 1n, all, uniform])]
    case 6: return [bias + random.below(fractionBits), uniform & all << BigInt(random.below(fractionBits))]
    case 7: return [bias - random.pick([1, 2, fractionBits, fractionBits + 1]), random.pick([0n, 1n, all])]
    case 8: return [random.below(largest + 2), uniform]
    default: return [bias - 20 + random.below(40), uniform]
  }
}

/** A double extended value: exponent and sign (16 bits) above the significand (64 bits). Includes the encodings that the 8087 knew. */
export function extended(random: Random): bigint {
  const [exponent, significand] = extendedParts(random)
  return BigInt(random.below(2)) << 79n | BigInt(exponent) << 64n | significand
}

function extendedParts(random: Random): [number, bigint] {
  const integerBit = 1n << 63n
  const uniform = random.u64() | integerBit
  switch (random.below(14)) {
    case 0: return [0, 0n]
    case 1: return [0, random.pick([1n, uniform ^ integerBit, integerBit - 1n, random.u64() >> 40n])]
    case 2: return [0, uniform] // pseudo-denormal
    case 3: return [0x7fff, integerBit]
    case 4: return [0x7fff, random.pick([uniform, uniform & ~(1n << 62n) | 1n, 3n << 62n])]
    case 5: return [0x7fff, random.pick([0n, uniform ^ integerBit])] // pseudo-infinity, pseudo-NaN
    case 6: return [1 + random.below(0x7ffe), uniform ^ integerBit] // unnormal
    case 7: return [random.pick([1, 2, 0x7ffe, 0x7ffd]), random.pick([uniform, integerBit, 0xffffffffffffffffn])]
    case 8: return [0x3fff + random.below(66), uniform & 0xffffffffffffffffn << BigInt(random.below(64))]
    case 9: return [0x3fff + random.pick([-1, 0, 14, 15, 30, 31, 62, 63]), random.pick([integerBit, 0xffffffffffffffffn, uniform])]
    case 10: return [random.below(0x8000), uniform]
    default: return [0x3fff - 20 + random.below(40), uniform]
  }
}

/** Packed decimal as FBLD reads it, mostly with valid digits. */
export function packedDecimal(random: Random): bigint {
  let value = BigInt(random.pick([0, 0x80, 0, 0x80, random.below(256)]))
  for (let i = 0; i < 18; i++) value = value << 4n | BigInt(random.oneIn(60) ? random.below(16) : random.below(10))
  return value
}

/** `size` bytes of packed integers: elements of one width, each a corner or random. */
export function packedIntegers(random: Random, size: number): Uint8Array {
  const width = random.pick([1, 2, 4, 8])
  return repeat(size, width, () => integer(random, width * 8))
}

/** `size` bytes of packed floating-point values of `bits` each. */
export function packedFloats(random: Random, size: number, bits: 16 | 32 | 64): Uint8Array {
  return repeat(size, bits / 8, () => float(random, bits))
}

function repeat(size: number, width: number, value: () => bigint): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size; at += width) bytes.set(toBytes(value(), width).subarray(0, size - at), at)
  return bytes
}

/** The low `size` bytes of a number. */
export function toBytes(value: bigint, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => Number(value >> BigInt(8 * i) & 0xffn))
}

export function fromBytes(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => value << 8n | BigInt(byte), 0n)
}

/** An MXCSR: usually the default, otherwise other rounding, flush modes, unmasked exceptions, sticky flags. */
export function mxcsr(random: Random): number {
  if (random.below(5) < 2) return 0x1f80
  let value = 0x1f80 | random.below(4) << 13
  if (random.oneIn(4)) value |= random.pick([0x40, 0x8000, 0x8040])
  if (random.oneIn(4)) value &= ~(1 << (7 + random.below(6)))
  if (random.oneIn(12)) value &= ~0x1f80
  if (random.oneIn(3)) value |= random.below(64)
  return value
}

/** An x87 control word: usually the default, otherwise other precision, rounding, unmasked exceptions. */
export function controlWord(random: Random): number {
  if (random.below(5) < 2) return 0x37f
  let value = 0x7f | random.pick([0, 2, 3, 3, 3]) << 8 | random.below(4) << 10
  if (random.oneIn(4)) value &= ~(1 << random.below(6))
  if (random.oneIn(12)) value &= ~0x3f
  return value
}
