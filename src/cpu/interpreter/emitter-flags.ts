/** Flags: staged producers, overrides, and conditions by the shortest way that is right. */
import type { OperandSize } from '../decode/instruction.ts'
import { conditionFromFlags, conditionFromProducer } from '../semantics/flag-code.ts'
import type { Condition, Ops, Value } from '../semantics/ops.ts'
import { FLAG_OVERRIDDEN, FlagKind, MATERIALISED } from '../state/flags.ts'
import type { FlagKindName } from '../state/flags.ts'
import { Slot } from '../state/layout.ts'
import { ValueType } from '../wasm/opcodes.ts'
import type { FlagWord } from './emitter-base.ts'
import { MemoryEmitter } from './emitter-memory.ts'
import { NotInlinable } from './site.ts'

const { I32, I64 } = ValueType

const FLAG_OFFSETS: Record<FlagWord, number> = {
  kind: Slot.FLAG_KIND, a: Slot.FLAG_A, b: Slot.FLAG_B, override: Slot.FLAG_OVERRIDE,
}

export abstract class FlagEmitter extends MemoryEmitter {
  protected readFlag(name: FlagWord): Value {
    const { flags } = this.site
    this.readsFlags = true
    const type = name === 'a' || name === 'b' ? I64 : I32
    if (flags !== undefined) return this.local(type, flags[name])
    return this.slotValue(FLAG_OFFSETS[name], type === I64 ? 64 : 32)
  }

  protected stageFlag(name: FlagWord, value: Value): void {
    const { flags } = this.site
    if (flags !== undefined) {
      this.staged.push({ before: (f) => value.emit(f), after: (f) => { f.set(flags[name]) } })
      return
    }
    this.stageStore(this.cpuValue, value.type === I64 ? 64 : 32, value, FLAG_OFFSETS[name])
  }

  flags(kind: FlagKindName, size: OperandSize, a: Value, b: Value, count?: Value): void {
    const left = this.let(a)
    const right = this.let(b)
    const word = this.i32(FlagKind[kind] * 4 + Math.log2(size / 8))
    const guarded = count !== undefined && !this.countIsNotZero()
    const unlessZero = (value: Value, name: 'kind' | 'a' | 'b'): Value =>
      guarded && count !== undefined ? this.select(count, value, this.readFlag(name)) : value
    this.producer = guarded ? 'unknown' : { kind, size, a: left, b: right }
    this.newFlags.kind = unlessZero(count === undefined ? word : this.or(word, this.shl(count, this.i32(8))), 'kind')
    this.newFlags.a = unlessZero(this.to64(left, size, true), 'a')
    this.newFlags.b = unlessZero(this.to64(right, size, true), 'b')
  }

  /** Immediate counts of zero never reach the shifts. */
  protected countIsNotZero(): boolean {
    const { method } = this.operands[this.operands.length - 1]
    return method === 'I' || method === 'constant'
  }

  flagsCO(carry: Value, overflow: Value, adjust?: Value, when?: Value): void {
    const before = this.newFlags.kind
    const kind = before ?? this.readFlag('kind')
    const overridden = this.or(kind, this.i32(FLAG_OVERRIDDEN))
    const override = this.overrideWord(carry, overflow, adjust, before === undefined)
    const guarded = when !== undefined && !this.countIsNotZero()
    this.newFlags.kind = guarded && when !== undefined ? this.select(when, overridden, kind) : overridden
    this.newFlags.override = guarded && when !== undefined ? this.select(when, override, this.readFlag('override')) : override
    this.producer = 'unknown'
  }

  /** On top of older flags an override of AF stays in force. */
  protected overrideWord(carry: Value, overflow: Value, adjust: Value | undefined, onOlder: boolean): Value {
    const word = this.or(carry, this.shl(overflow, this.i32(1)))
    if (adjust !== undefined) return this.or(this.or(word, this.and(this.shr(this.wrap(adjust), this.i32(2)), this.i32(4))), this.i32(8))
    if (!onOlder) return word
    const had = this.and(this.readFlag('kind'), this.i32(FLAG_OVERRIDDEN))
    return this.or(word, this.select(had, this.and(this.readFlag('override'), this.i32(12)), this.i32(0)))
  }

  setArithmeticFlags(value: Value): void {
    const flags = this.let(value)
    this.newFlags = { kind: this.i32(MATERIALISED), b: this.extend(flags, false) }
    this.producer = { flags }
  }

  arithmeticFlags(): Value {
    if (this.site.kind === 'inline') throw new NotInlinable()
    return {
      type: I32, leaf: false,
      emit: (f) => {
        for (const name of ['kind', 'a', 'b', 'override'] as const) this.readFlag(name).emit(f)
        f.call(this.functions.materialise)
      },
    }
  }

  cond(condition: Condition): Value {
    const before = this.producerBefore
    if (before !== undefined) {
      const known = 'flags' in before
        ? conditionFromFlags(this, before.flags, condition)
        : conditionFromProducer(this, before.kind, before.size, before.a, before.b, condition)
      if (known !== undefined) return known
    }
    const fast = this.fastCondition(condition)
    if (this.site.slow !== undefined) {
      if (fast === undefined) throw new NotInlinable()
      this.eqz(fast.applies).emit(this.f)
      this.f.brIf(this.site.slow)
      return this.let(fast.value)
    }
    const general = (): Value => conditionFromFlags(this, this.let(this.arithmeticFlags()), condition)
    return fast === undefined ? general() : this.choose(fast.applies, I32, () => fast.value, general)
  }

  /** A condition straight from the lazy operands, and when that is right. The flag words are sign-extended, so one compare serves all sizes. */
  protected fastCondition(condition: Condition): { applies: Value; value: Value } | undefined {
    const [kind, a, b] = (['kind', 'a', 'b'] as const).map((name) => this.readFlag(name))
    const isDifference = this.eqz(this.and(kind, this.i32(0x3c)))
    const isPlain = this.compare('lt_u', kind, this.i32(4))
    const compare = (name: Parameters<Ops['compare']>[0]): Value => this.compare(name, a, b)
    switch (condition) {
      case 'e': return { applies: isDifference, value: compare('eq') }
      case 'ne': return { applies: isDifference, value: compare('ne') }
      case 'b': return { applies: isPlain, value: compare('lt_u') }
      case 'ae': return { applies: isPlain, value: compare('ge_u') }
      case 'be': return { applies: isPlain, value: compare('le_u') }
      case 'a': return { applies: isPlain, value: compare('gt_u') }
      case 'l': return { applies: isPlain, value: compare('lt_s') }
      case 'ge': return { applies: isPlain, value: compare('ge_s') }
      case 'le': return { applies: isPlain, value: compare('le_s') }
      case 'g': return { applies: isPlain, value: compare('gt_s') }
      case 's': case 'ns': {
        const up = this.sub(this.i64(64), this.shl(this.i64(8), this.extend(kind, false)))
        return { applies: isPlain, value: this.compare(condition === 's' ? 'lt_s' : 'ge_s', this.shl(this.sub(a, b), up), this.i64(0)) }
      }
      default: return undefined
    }
  }
}
