/** Flags in WebAssembly: the rules of state/flags.ts, as code. Every engine uses these. */
import type { FunctionBody, ModuleBuilder } from '../wasm/assembler.ts'
import { ARITHMETIC_FLAGS, FLAG_OVERRIDDEN, FlagKind, MATERIALISED } from '../state/flags.ts'
import type { FlagKindName } from '../state/flags.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import type { OperandSize } from '../decode/instruction.ts'
import { CONDITIONS } from './ops.ts'
import type { Condition } from './ops.ts'
import type { Value, Values } from './values.ts'

const { I32, I64 } = ValueType

/** Emits the function (kind word, a, b, override) -> arithmetic flags at their places in RFLAGS. */
export function emitMaterialise(module: ModuleBuilder): FunctionBody {
  const f = module.function([I32, I64, I64, I32], [I32])
  return new Materialiser(f).emit()
}

/** Parameters and locals of the function under construction, by name. */
class Materialiser {
  private readonly f: FunctionBody
  private readonly kindWord = 0
  private readonly a = 1
  private readonly b = 2
  private readonly override = 3
  /** 64 minus the operand's size. */
  private readonly shift: number
  private readonly result: number
  /** Bit 4 of it is AF. */
  private readonly adjust: number
  private readonly count: number
  private readonly carry: number
  private readonly overflow: number
  private readonly kind: number

  constructor(f: FunctionBody) {
    this.f = f
    this.shift = f.local(I64)
    this.result = f.local(I64)
    this.adjust = f.local(I64)
    this.count = f.local(I64)
    this.carry = f.local(I32)
    this.overflow = f.local(I32)
    this.kind = f.local(I32)
  }

  emit(): FunctionBody {
    const { f } = this
    f.i64(64n).i64(8n).get(this.kindWord).i32(3).op(W.i32_and).op(W.i64_extend_i32_u).op(W.i64_shl).op(W.i64_sub).set(this.shift)
    f.get(this.kindWord).i32(2).op(W.i32_shr_u).i32(15).op(W.i32_and).set(this.kind)
    f.get(this.kindWord).i32(8).op(W.i32_shr_u).op(W.i64_extend_i32_u).set(this.count)
    this.returnMaterialised()
    this.when(FlagKind.SUB, () => this.subtraction())
    this.when(FlagKind.ADD, () => this.addition())
    this.when(FlagKind.MUL, () => this.multiplication())
    this.when(FlagKind.SHL, () => this.shiftLeft())
    this.when(FlagKind.SHR, () => this.shiftRight())
    this.when(FlagKind.SAR, () => this.shiftArithmetic())
    this.applyOverride()
    this.combine()
    return f
  }

  private when(kind: number, body: () => void): void {
    this.f.get(this.kind).i32(kind).op(W.i32_eq).if()
    body()
    this.f.end()
  }

  private signExtend(): void { this.f.get(this.shift).op(W.i64_shl).get(this.shift).op(W.i64_shr_s) }
  private isNegative(): void { this.f.i64(0n).op(W.i64_lt_s) }

  private returnMaterialised(): void {
    const { f } = this
    f.get(this.kindWord).i32(0x3c).op(W.i32_and).i32(MATERIALISED).op(W.i32_eq).if()
    f.get(this.b).op(W.i32_wrap_i64).set(this.kind)
    f.get(this.kindWord).i32(FLAG_OVERRIDDEN).op(W.i32_and).if()
    // CF and OF from the override, AF too if its bit 3 is set.
    f.get(this.override).i32(8).op(W.i32_and).if()
    f.get(this.kind).i32(~0x10).op(W.i32_and).get(this.override).i32(2).op(W.i32_shl).i32(0x10).op(W.i32_and).op(W.i32_or).set(this.kind)
    f.end()
    f.get(this.kind).i32(~0x801).op(W.i32_and)
    f.get(this.override).i32(1).op(W.i32_and).op(W.i32_or)
    f.get(this.override).i32(2).op(W.i32_and).i32(10).op(W.i32_shl).op(W.i32_or).set(this.kind)
    f.end()
    f.get(this.kind).i32(ARITHMETIC_FLAGS).op(W.i32_and).op(W.return).end()
  }

  private subtraction(): void {
    const { f } = this
    f.get(this.a).get(this.b).op(W.i64_sub)
    this.signExtend()
    f.set(this.result)
    f.get(this.a).get(this.b).op(W.i64_lt_u).set(this.carry)
    f.get(this.a).get(this.b).op(W.i64_xor).get(this.a).get(this.result).op(W.i64_xor).op(W.i64_and)
    this.isNegative()
    f.set(this.overflow)
    f.get(this.a).get(this.b).op(W.i64_xor).get(this.result).op(W.i64_xor).set(this.adjust)
  }

  private addition(): void {
    const { f } = this
    f.get(this.a).set(this.result)
    f.get(this.a).get(this.b).op(W.i64_lt_u).set(this.carry)
    f.get(this.a).get(this.b).op(W.i64_sub)
    this.signExtend()
    f.set(this.adjust)
    f.get(this.a).get(this.adjust).op(W.i64_xor).get(this.a).get(this.b).op(W.i64_xor).op(W.i64_and)
    this.isNegative()
    f.set(this.overflow)
    f.get(this.adjust).get(this.b).op(W.i64_xor).get(this.result).op(W.i64_xor).set(this.adjust)
  }

  private multiplication(): void {
    const { f } = this
    f.get(this.a).get(this.b).op(W.i64_mul).set(this.adjust)
    f.get(this.adjust)
    this.signExtend()
    f.set(this.result)
    f.get(this.result).get(this.adjust).op(W.i64_ne).set(this.carry)
    // A 64-bit product overflowed unless division gives a factor back; -1 times the most negative number would trap.
    f.get(this.shift).op(W.i64_eqz).get(this.a).i64(0n).op(W.i64_ne).op(W.i32_and).if()
    f.get(this.a).i64(-1n).op(W.i64_eq).if(I32)
    f.get(this.b).i64(-(1n << 63n)).op(W.i64_eq)
    f.else().get(this.result).get(this.a).op(W.i64_div_s).get(this.b).op(W.i64_ne).end()
    f.set(this.carry).end()
    f.get(this.carry).set(this.overflow)
    f.i64(0n).set(this.adjust)
  }

  private shiftLeft(): void {
    const { f } = this
    f.get(this.a)
    this.signExtend()
    f.set(this.result)
    f.get(this.b).i64(64n).get(this.shift).op(W.i64_sub).get(this.count).op(W.i64_sub).op(W.i64_shr_u)
    f.op(W.i32_wrap_i64).i32(1).op(W.i32_and)
    // A count beyond the size leaves no carry.
    f.get(this.count).i64(64n).get(this.shift).op(W.i64_sub).op(W.i64_le_u).op(W.i32_and).set(this.carry)
    f.get(this.result)
    this.isNegative()
    f.get(this.carry).op(W.i32_xor).set(this.overflow)
  }

  private shiftRight(): void {
    const { f } = this
    f.get(this.a)
    this.signExtend()
    f.set(this.result)
    f.get(this.b).get(this.shift).op(W.i64_shl).get(this.shift).op(W.i64_shr_u).get(this.count).i64(1n).op(W.i64_sub).op(W.i64_shr_u)
    f.op(W.i32_wrap_i64).i32(1).op(W.i32_and).set(this.carry)
    f.get(this.b).get(this.shift).op(W.i64_shl)
    this.isNegative()
    f.set(this.overflow)
  }

  private shiftArithmetic(): void {
    const { f } = this
    f.get(this.a)
    this.signExtend()
    f.set(this.result)
    f.get(this.b)
    this.signExtend()
    f.get(this.count).i64(1n).op(W.i64_sub).op(W.i64_shr_s).op(W.i32_wrap_i64).i32(1).op(W.i32_and).set(this.carry)
  }

  private applyOverride(): void {
    const { f } = this
    f.get(this.kindWord).i32(FLAG_OVERRIDDEN).op(W.i32_and).if()
    f.get(this.override).i32(1).op(W.i32_and).set(this.carry)
    f.get(this.override).i32(1).op(W.i32_shr_u).i32(1).op(W.i32_and).set(this.overflow)
    f.get(this.override).i32(8).op(W.i32_and).if()
    f.get(this.override).i32(2).op(W.i32_shl).op(W.i64_extend_i32_u).set(this.adjust)
    f.end().end()
  }

  private combine(): void {
    const { f } = this
    f.get(this.carry)
    f.get(this.overflow).i32(11).op(W.i32_shl).op(W.i32_or)
    f.get(this.result).op(W.i64_eqz).i32(6).op(W.i32_shl).op(W.i32_or)
    f.get(this.result).i64(63n).op(W.i64_shr_u).op(W.i32_wrap_i64).i32(7).op(W.i32_shl).op(W.i32_or)
    f.get(this.adjust).op(W.i32_wrap_i64).i32(0x10).op(W.i32_and).op(W.i32_or)
    f.get(this.result).i64(255n).op(W.i64_and).op(W.i64_popcnt).op(W.i32_wrap_i64).i32(1).op(W.i32_and).op(W.i32_eqz)
    f.i32(2).op(W.i32_shl).op(W.i32_or)
  }
}

/** A condition (0 or 1) from materialised flags. `flags` must be a leaf. */
export function conditionFromFlags(o: Values, flags: Value, condition: Condition): Value {
  const index = CONDITIONS.indexOf(condition)
  const bit = (position: number): Value => o.and(o.shr(flags, o.i32(position)), o.i32(1))
  const [CF, PF, ZF, SF, OF] = [0, 2, 6, 7, 11].map(bit)
  const value = [OF, CF, ZF, o.or(CF, ZF), SF, PF, o.xor(SF, OF), o.or(ZF, o.xor(SF, OF))][index >> 1]
  return (index & 1) !== 0 ? o.eqz(value) : value
}

/** A condition straight from a producer that is known, operands zero-extended in their carrier; undefined if it is no shorter. */
export function conditionFromProducer(
  o: Values, kind: FlagKindName, size: OperandSize, a: Value, b: Value, condition: Condition,
): Value | undefined {
  const zero = o.k(0, a.type)
  if (kind === 'SUB') return conditionOfDifference(o, size, a, b, condition)
  if (kind === 'MUL') return undefined
  switch (condition) {
    case 'e': return o.eqz(o.zx(a, size))
    case 'ne': return o.ne(o.zx(a, size), zero)
    case 's': return o.compare('lt_s', o.sx(a, size), zero)
    case 'ns': return o.compare('ge_s', o.sx(a, size), zero)
    case 'b': return kind === 'ADD' ? o.compare('lt_u', o.zx(a, size), b) : undefined
    case 'ae': return kind === 'ADD' ? o.compare('ge_u', o.zx(a, size), b) : undefined
    default: return undefined
  }
}

function conditionOfDifference(o: Values, size: OperandSize, a: Value, b: Value, condition: Condition): Value | undefined {
  const signed = (value: Value): Value => o.sx(value, size)
  switch (condition) {
    case 'e': return b.constant === undefined || BigInt(b.constant) !== 0n ? o.eq(a, b) : o.eqz(a)
    case 'ne': return o.ne(a, b)
    case 'b': return o.compare('lt_u', a, b)
    case 'ae': return o.compare('ge_u', a, b)
    case 'be': return o.compare('le_u', a, b)
    case 'a': return o.compare('gt_u', a, b)
    case 'l': return o.compare('lt_s', signed(a), signed(b))
    case 'ge': return o.compare('ge_s', signed(a), signed(b))
    case 'le': return o.compare('le_s', signed(a), signed(b))
    case 'g': return o.compare('gt_s', signed(a), signed(b))
    case 's': return o.compare('lt_s', signed(o.sub(a, b)), o.k(0, a.type))
    case 'ns': return o.compare('ge_s', signed(o.sub(a, b)), o.k(0, a.type))
    default: return undefined
  }
}
