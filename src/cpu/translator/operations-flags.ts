/**
 * Flags of translated code. What produced them is known while code is emitted: their kind costs nothing, their operands are two locals,
 * and a condition is a comparison of these. Where paths meet they are made *dynamic*: the kind in a local as well, the operands as the
 * slot has them.
 */
import type { OperandSize } from '../decode/instruction.ts'
import { conditionFromFlags, conditionFromProducer } from '../semantics/flag-code.ts'
import type { Condition, Value } from '../semantics/ops.ts'
import { FLAG_OVERRIDDEN, FlagKind, MATERIALISED } from '../state/flags.ts'
import type { FlagKindName } from '../state/flags.ts'
import { ValueType } from '../wasm/opcodes.ts'
import { FLAGS_DYNAMIC } from './exits.ts'
import { RegionMemory } from './operations-memory.ts'

const { I32, I64 } = ValueType

/** What is known of the flags: their producer and whether CF, OF and perhaps AF are overridden. `undefined`: dynamic. */
export type FlagState = {
  readonly kind: FlagKindName | 'EFLAGS'
  readonly size: OperandSize
  readonly count: number
  readonly overridden: boolean
} | undefined

/** Locals of the four flag words. */
export interface FlagLocals { readonly kind: number; readonly a: number; readonly b: number; readonly override: number }

interface NewFlags { state: FlagState; kind?: Value; a?: Value; b?: Value; override?: Value }

export abstract class RegionFlags extends RegionMemory {
  abstract readonly flagLocals: FlagLocals
  /** Function index: (kind word, a, b, override) -> arithmetic flags. */
  abstract readonly materialise: number
  /** Before the current instruction. */
  flagState: FlagState
  protected newFlags: NewFlags | undefined

  /** What an exit before or after the current instruction says about the flags. */
  get exitFlags(): number { return this.flagWord() }

  protected flagWord(): number { return this.flagState === undefined ? FLAGS_DYNAMIC : wordOf(this.flagState) }

  // Words as the slot has them: a constant or local kind, operands sign-extended.

  private kindWord(): Value {
    return this.flagState === undefined ? this.local(I32, this.flagLocals.kind) : this.i32(wordOf(this.flagState))
  }

  private operand(name: 'a' | 'b'): Value {
    const raw = this.local(I64, this.flagLocals[name])
    const { flagState } = this
    return flagState === undefined || flagState.kind === 'EFLAGS' ? raw : this.sx(raw, flagState.size)
  }

  /** Turns the flags into dynamic ones, where paths meet. */
  makeFlagsDynamic(): void {
    if (this.flagState === undefined) return
    const { f, flagLocals } = this
    for (const name of ['a', 'b'] as const) {
      if (this.flagState.size === 64) continue
      this.operand(name).emit(f)
      f.set(flagLocals[name])
    }
    f.i32(wordOf(this.flagState)).set(flagLocals.kind)
    this.flagState = undefined
  }

  // Producers.

  flags(kind: FlagKindName, size: OperandSize, a: Value, b: Value, count?: Value): void {
    const left = this.let(a)
    const right = this.let(b)
    if (count !== undefined && count.constant === undefined) return this.flagsUnlessZero(kind, size, left, right, count)
    const state: FlagState = { kind, size, count: Number(count?.constant ?? 0), overridden: false }
    this.newFlags = { state, a: this.extend(left, false), b: this.extend(right, false) }
  }

  /** A shift by CL leaves the flags alone where the count is zero: so what produced them is known only when it runs. */
  private flagsUnlessZero(kind: FlagKindName, size: OperandSize, a: Value, b: Value, count: Value): void {
    const word = this.or(this.i32(FlagKind[kind] * 4 + Math.log2(size / 8)), this.shl(count, this.i32(8)))
    this.newFlags = {
      state: undefined,
      kind: this.let(this.select(count, word, this.kindWord())),
      a: this.let(this.select(count, this.to64(a, size, true), this.operand('a'))),
      b: this.let(this.select(count, this.to64(b, size, true), this.operand('b'))),
    }
  }

  flagsCO(carry: Value, overflow: Value, adjust?: Value, when?: Value): void {
    const before = this.newFlags
    const word = this.overrideWord(carry, overflow, adjust, before === undefined)
    if (when !== undefined && when.constant === undefined) return this.overrideUnlessZero(word, when)
    const state = before === undefined ? this.flagState : before.state
    if (state !== undefined) {
      this.newFlags = { ...before, state: { ...state, overridden: true }, override: word }
      return
    }
    const kind = this.or(before?.kind ?? this.kindWord(), this.i32(FLAG_OVERRIDDEN))
    this.newFlags = { ...before, state: undefined, kind, override: word }
  }

  private overrideUnlessZero(word: Value, when: Value): void {
    const before = this.newFlags
    const kind = this.let(before?.state === undefined && before?.kind !== undefined ? before.kind
      : before?.state !== undefined ? this.i32(wordOf(before.state)) : this.kindWord())
    const canonical = (name: 'a' | 'b'): Value => {
      const fresh = before?.[name]
      if (fresh === undefined) return this.operand(name)
      return before?.state === undefined ? fresh : this.sx(fresh, before.state.size)
    }
    this.newFlags = {
      state: undefined,
      kind: this.select(when, this.or(kind, this.i32(FLAG_OVERRIDDEN)), kind),
      a: canonical('a'), b: canonical('b'),
      override: this.select(when, word, this.local(I32, this.flagLocals.override)),
    }
  }

  /** On top of older flags an override of AF stays in force. */
  private overrideWord(carry: Value, overflow: Value, adjust: Value | undefined, onOlder: boolean): Value {
    const word = this.or(carry, this.shl(overflow, this.i32(1)))
    if (adjust !== undefined) return this.or(this.or(word, this.and(this.shr(this.wrap(adjust), this.i32(2)), this.i32(4))), this.i32(8))
    if (!onOlder) return word
    const had = this.and(this.kindWord(), this.i32(FLAG_OVERRIDDEN))
    return this.or(word, this.select(had, this.and(this.local(I32, this.flagLocals.override), this.i32(12)), this.i32(0)))
  }

  setArithmeticFlags(value: Value): void {
    this.newFlags = { state: { kind: 'EFLAGS', size: 64, count: 0, overridden: false }, b: this.extend(this.let(value), false) }
  }

  // Conditions.

  arithmeticFlags(): Value {
    const words = [this.kindWord(), this.operand('a'), this.operand('b'), this.local(I32, this.flagLocals.override)]
    return { type: I32, leaf: false, emit: (f) => { for (const word of words) word.emit(f); f.call(this.materialise) } }
  }

  cond(condition: Condition): Value {
    const { flagState } = this
    const known = flagState === undefined ? undefined : this.knownCondition(flagState, condition)
    if (known !== undefined) return known
    const general = (): Value => conditionFromFlags(this, this.let(this.arithmeticFlags()), condition)
    const fast = flagState === undefined ? this.dynamicCondition(condition) : undefined
    return fast === undefined ? general() : this.choose(fast.applies, I32, () => fast.value, general)
  }

  private knownCondition(state: NonNullable<FlagState>, condition: Condition): Value | undefined {
    const a = this.local(I64, this.flagLocals.a)
    const b = this.local(I64, this.flagLocals.b)
    const producer = (name: Condition): Value | undefined => {
      if (state.kind === 'EFLAGS') return conditionFromFlags(this, this.let(this.wrap(b)), name)
      const [left, right] = state.size === 64 ? [a, b] : [this.wrap(a), this.wrap(b)]
      return conditionFromProducer(this, state.kind, state.size, left, right, name)
    }
    return state.overridden ? this.overriddenCondition(condition, producer) : producer(condition)
  }

  /** CF and OF are at hand, ZF and SF are the producer's. */
  private overriddenCondition(condition: Condition, producer: (name: Condition) => Value | undefined): Value | undefined {
    const carry = this.overriddenCarry()
    const overflow = this.overriddenOverflow()
    switch (condition) {
      case 'o': return overflow
      case 'no': return this.eqz(overflow)
      case 'b': return carry
      case 'ae': return this.eqz(carry)
    }
    const zero = producer('e')
    const sign = producer('s')
    if (zero === undefined || sign === undefined) return undefined
    switch (condition) {
      case 'e': case 'ne': case 's': case 'ns': return producer(condition)
      case 'be': return this.or(carry, zero)
      case 'a': return this.eqz(this.or(carry, zero))
      case 'l': return this.xor(sign, overflow)
      case 'ge': return this.eqz(this.xor(sign, overflow))
      case 'le': return this.or(zero, this.xor(sign, overflow))
      case 'g': return this.eqz(this.or(zero, this.xor(sign, overflow)))
      default: return undefined
    }
  }

  private overriddenCarry(): Value { return this.and(this.local(I32, this.flagLocals.override), this.i32(1)) }

  private overriddenOverflow(): Value {
    return this.and(this.shr(this.local(I32, this.flagLocals.override), this.i32(1)), this.i32(1))
  }

  /** A condition straight from dynamic operands, and when that is right: see the interpreter's emitter-flags.ts. */
  private dynamicCondition(condition: Condition): { applies: Value; value: Value } | undefined {
    const kind = this.local(I32, this.flagLocals.kind)
    const a = this.local(I64, this.flagLocals.a)
    const b = this.local(I64, this.flagLocals.b)
    if (condition === 'b' || condition === 'ae') return this.dynamicCarry(kind, a, b, condition === 'b')
    if (condition === 'o' || condition === 'no') return this.dynamicOverflow(kind, condition === 'o')
    const name = COMPARISONS[condition]
    if (name === undefined) return undefined
    const applies = name === 'eq' || name === 'ne' ? this.eqz(this.and(kind, this.i32(0x3c))) : this.compare('lt_u', kind, this.i32(4))
    return { applies, value: this.compare(name, a, b) }
  }

  /** CF of differences, sums, and whatever overrides it. */
  private dynamicCarry(kind: Value, a: Value, b: Value, wanted: boolean): { applies: Value; value: Value } {
    const overridden = this.let(this.and(kind, this.i32(FLAG_OVERRIDDEN)))
    const carry = this.select(overridden, this.overriddenCarry(), this.compare('lt_u', a, b))
    const compares = this.compare('le_u', this.and(kind, this.i32(0x3c)), this.i32(FlagKind.ADD << 2))
    return { applies: this.or(overridden, compares), value: wanted ? carry : this.eqz(carry) }
  }

  /** OF that overrides: chains of ADCX and ADOX, BT and rotations ask for it at each step. */
  private dynamicOverflow(kind: Value, wanted: boolean): { applies: Value; value: Value } {
    const overflow = this.overriddenOverflow()
    return { applies: this.and(kind, this.i32(FLAG_OVERRIDDEN)), value: wanted ? overflow : this.eqz(overflow) }
  }

  // Commit.

  protected commitFlags(): void {
    const { newFlags, flagLocals, f } = this
    if (newFlags === undefined) return
    for (const name of ['kind', 'a', 'b', 'override'] as const) {
      const value = newFlags[name]
      if (value !== undefined) this.staged.push({ before: () => value.emit(f), after: () => { f.set(flagLocals[name]) } })
    }
  }
}

const COMPARISONS: Partial<Record<Condition, Parameters<RegionFlags['compare']>[0]>> = {
  e: 'eq', ne: 'ne', be: 'le_u', a: 'gt_u', l: 'lt_s', ge: 'ge_s', le: 'le_s', g: 'gt_s',
}

/** The kind word of known flags. The size of materialised ones means nothing, but says that their operands need no sign extension. */
function wordOf(state: NonNullable<FlagState>): number {
  const kind = state.kind === 'EFLAGS' ? MATERIALISED : FlagKind[state.kind] * 4
  return kind | Math.log2(state.size / 8) | (state.count << 8) | (state.overridden ? FLAG_OVERRIDDEN : 0)
}
