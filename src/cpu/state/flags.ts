import { Slot } from './layout.ts'
import type { VcpuState } from './vcpu-state.ts'

/**
 * Arithmetic flags are lazy: an instruction stores what it computed (the *producer*), and a flag is worked out when it is read.
 *
 * FLAG_KIND holds the producer's kind in bits 2 to 5, log2 of its size in bytes in bits 0 and 1, FLAG_OVERRIDDEN if FLAG_OVERRIDE
 * replaces CF, OF and perhaps AF, and the count of a shift from bit 8. FLAG_A and FLAG_B hold its two operands, sign-extended to 64
 * bits:
 *
 * | kind | result | A | B |
 * |---|---|---|---|
 * | SUB (also CMP; logic is SUB with B = 0) | A - B | minuend | subtrahend |
 * | ADD | A | result | one addend |
 * | MUL | A * B | factor | factor |
 * | SHL, SHR, SAR | A | result | operand before the shift |
 * | EFLAGS | | | the flags themselves, at their places in RFLAGS |
 */
export const FlagKind = { SUB: 0, ADD: 1, MUL: 2, SHL: 3, SHR: 4, SAR: 5, EFLAGS: 6 } as const
export type FlagKindName = Exclude<keyof typeof FlagKind, 'EFLAGS'>

/** FLAG_KIND of materialised flags. */
export const MATERIALISED = FlagKind.EFLAGS << 2
/** FLAG_OVERRIDE: bit 0 CF, bit 1 OF, bit 2 AF, bit 3 set when AF is overridden too. */
export const FLAG_OVERRIDDEN = 64

/** Positions in RFLAGS. */
export const Flag = {
  CF: 1, PF: 4, AF: 0x10, ZF: 0x40, SF: 0x80, TF: 0x100, IF: 0x200, DF: 0x400, OF: 0x800, IOPL: 0x3000, NT: 0x4000, RF: 0x10000,
  VM: 0x20000, AC: 0x40000, VIF: 0x80000, VIP: 0x100000, ID: 0x200000,
} as const
export const ARITHMETIC_FLAGS = 0x8d5
export const FIXED_FLAGS = 2

/** CF PF AF ZF SF OF at their places in RFLAGS, worked out from the lazy state. */
export function readArithmeticFlags(state: VcpuState): number {
  const kindWord = state.slotU32(Slot.FLAG_KIND)
  const a = state.slotU64(Slot.FLAG_A)
  const b = state.slotU64(Slot.FLAG_B)
  return materialiseFlags(kindWord, BigInt.asIntN(64, a), BigInt.asIntN(64, b), state.slotU32(Slot.FLAG_OVERRIDE))
}

/** RFLAGS, all bits that fit 22. */
export function readFlags(state: VcpuState): number {
  return readArithmeticFlags(state) | state.slotU32(Slot.SYSTEM_FLAGS)
}

/** Writes RFLAGS as it stands; what a given instruction may change is the caller's affair. */
export function writeFlags(state: VcpuState, value: number): void {
  writeArithmeticFlags(state, value)
  state.setSlotU32(Slot.SYSTEM_FLAGS, (value & ~ARITHMETIC_FLAGS) | FIXED_FLAGS)
}

export function writeArithmeticFlags(state: VcpuState, value: number): void {
  state.setSlotU32(Slot.FLAG_KIND, MATERIALISED)
  state.setSlotU64(Slot.FLAG_B, BigInt(value & ARITHMETIC_FLAGS))
}

/** The rules of the table above. `a` and `b` are signed. */
export function materialiseFlags(kindWord: number, a: bigint, b: bigint, override: number): number {
  const kind = (kindWord >> 2) & 15
  if (kind === FlagKind.EFLAGS) return withOverride(Number(BigInt.asUintN(12, b)) & ARITHMETIC_FLAGS, kindWord, override)
  const bits = 8 << (kindWord & 3)
  const producer = producerFlags(kind, bits, kindWord >>> 8, a, b)
  const result = BigInt.asIntN(bits, producer.result)
  let flags = producer.carry | (producer.overflow << 11) | (producer.adjust ? Flag.AF : 0)
  if (result === 0n) flags |= Flag.ZF
  if (result < 0n) flags |= Flag.SF
  if (evenParity(Number(result & 255n))) flags |= Flag.PF
  return withOverride(flags, kindWord, override)
}

interface ProducerFlags { result: bigint; carry: number; overflow: number; adjust: boolean }

function producerFlags(kind: number, bits: number, count: number, a: bigint, b: bigint): ProducerFlags {
  const unsigned = (value: bigint): bigint => BigInt.asUintN(bits, value)
  const signed = (value: bigint): bigint => BigInt.asIntN(bits, value)
  switch (kind) {
    case FlagKind.SUB: {
      const result = signed(a - b)
      return {
        result, carry: Number(unsigned(a) < unsigned(b)),
        overflow: Number(((a ^ b) & (a ^ result)) < 0n), adjust: ((a ^ b ^ result) & 16n) !== 0n,
      }
    }
    case FlagKind.ADD: {
      const other = signed(a - b)
      return {
        result: a, carry: Number(unsigned(a) < unsigned(b)),
        overflow: Number(((a ^ other) & (a ^ b)) < 0n), adjust: ((a ^ other ^ b) & 16n) !== 0n,
      }
    }
    case FlagKind.MUL: {
      const overflow = Number(signed(a * b) !== a * b)
      return { result: signed(a * b), carry: overflow, overflow, adjust: false }
    }
    case FlagKind.SHL: {
      const carry = count > bits ? 0 : Number((unsigned(b) >> BigInt(bits - count)) & 1n)
      return { result: a, carry, overflow: Number(signed(a) < 0n) ^ carry, adjust: false }
    }
    case FlagKind.SHR:
      return { result: a, carry: Number((unsigned(b) >> BigInt(count - 1)) & 1n), overflow: Number(signed(b) < 0n), adjust: false }
    default:
      return { result: a, carry: Number((signed(b) >> BigInt(count - 1)) & 1n), overflow: 0, adjust: false }
  }
}

function withOverride(flags: number, kindWord: number, override: number): number {
  if ((kindWord & FLAG_OVERRIDDEN) === 0) return flags
  const kept = flags & ~(Flag.CF | Flag.OF | ((override & 8) !== 0 ? Flag.AF : 0))
  return kept | (override & 1) | ((override & 2) << 10) | ((override & 8) !== 0 ? (override & 4) << 2 : 0)
}

function evenParity(byte: number): boolean {
  const nibble = byte ^ (byte >> 4)
  return ((0x9669 >> (nibble & 15)) & 1) !== 0
}
