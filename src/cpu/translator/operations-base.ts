/**
 * The translator's back end of the description, bottom layer: where guest state is while a region runs. General and vector registers
 * are locals (guest-registers.ts); everything else is memory of the slot.
 */
import { unreachable } from '../../base/errors.ts'
import type { Instruction, OperandSize } from '../decode/instruction.ts'
import { SLOT_FIELDS } from '../interpreter/emitter-base.ts'
import type { OperandSpec } from '../isa/operands.ts'
import type { Row } from '../isa/row.ts'
import type { Definition } from '../semantics/define.ts'
import { Ops, carrier } from '../semantics/ops.ts'
import type { Condition, FieldName, Size, Value } from '../semantics/ops.ts'
import { Slot } from '../state/layout.ts'
import type { FunctionBody } from '../wasm/assembler.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import type { ValueTypeCode } from '../wasm/opcodes.ts'
import type { ExitList } from './exit-list.ts'
import { LOADS, STORES } from '../interpreter/emitter-base.ts'
import type { Staged } from '../interpreter/emitter-base.ts'
import { ExitKind } from './exits.ts'
import { GuestRegisters, HIGH_HALVES, VECTORS } from './guest-registers.ts'
import { Parameter } from './parameters.ts'
import type { Stores } from './plan.ts'

const { I32, I64, V128 } = ValueType

/** An instruction in its place. */
export interface PlacedInstruction {
  /** First byte, relative to the anchor. */
  readonly at: number
  readonly instruction: Instruction
  readonly row: Row
  readonly operands: readonly OperandSpec[]
  readonly definition: Definition
}

/** Thrown when an instruction always needs the interpreter. */
export class NotTranslatable extends Error {}

export abstract class RegionBase extends Ops {
  readonly mode = 64
  size: OperandSize = 32
  address64 = true
  locked = false
  repeat: 0 | 1 | 2 = 0
  condition: Condition = 'o'
  operands: readonly OperandSpec[] = []

  readonly f: FunctionBody
  /** Number of the exit that is being taken. */
  readonly exitLocal: number
  /** Depth of the block that ends at the region's exit. */
  readonly exitDepth: number
  readonly exits: ExitList
  readonly registers: GuestRegisters

  protected placed!: PlacedInstruction
  /** Instructions of the block that are not executed if the region is left before the current one. */
  protected notExecuted = 0
  protected staged: Staged[] = []
  /** Nesting of code that may not run. */
  protected alternatives = 0
  private readonly pool = new Map<ValueTypeCode, number[]>()
  private readonly used = new Map<ValueTypeCode, number>()

  constructor(f: FunctionBody, exits: ExitList, stores: Stores) {
    super()
    this.f = f
    this.exits = exits
    this.registers = new GuestRegisters(f, stores)
    this.exitLocal = f.local(I32)
    this.exitDepth = f.depth
  }

  protected get instruction(): Instruction { return this.placed.instruction }

  protected beginBase(placed: PlacedInstruction, notExecuted: number): void {
    this.placed = placed
    this.notExecuted = notExecuted
    this.staged = []
    this.used.clear()
  }

  // Temporaries.

  protected temporary(type: ValueTypeCode): number {
    const locals = this.pool.get(type) ?? []
    this.pool.set(type, locals)
    const index = this.used.get(type) ?? 0
    this.used.set(type, index + 1)
    if (index === locals.length) locals.push(this.f.local(type))
    return locals[index]
  }

  protected local(type: ValueTypeCode, local: number): Value {
    return { type, leaf: true, emit: (f) => { f.get(local) } }
  }

  let(value: Value): Value {
    if (value.leaf) return value
    const local = this.temporary(value.type)
    value.emit(this.f)
    this.f.set(local)
    return this.local(value.type, local)
  }

  choose(condition: Value, type: ValueTypeCode, then: () => Value, otherwise: () => Value): Value {
    const local = this.temporary(type)
    condition.emit(this.f)
    this.f.if()
    this.alternatives++
    then().emit(this.f)
    this.f.set(local).else()
    otherwise().emit(this.f)
    this.alternatives--
    this.f.set(local).end()
    return this.local(type, local)
  }

  chooseCommon(condition: Value, _type: ValueTypeCode, common: () => Value, _rare: () => Value): Value {
    this.exitIf(this.eqz(condition))
    return this.let(common())
  }

  fold(count: Value, initial: Value, step: (n: Value, before: Value) => Value): Value {
    const { f } = this
    const n = this.temporary(I32)
    const value = this.temporary(initial.type)
    initial.emit(f)
    f.set(value)
    count.emit(f)
    f.tee(n).if().loop()
    f.get(n).i32(1).op(W.i32_sub).set(n)
    step(this.local(I32, n), this.local(initial.type, value)).emit(f)
    f.set(value).get(n).brIf(f.depth).end().end()
    return this.local(initial.type, value)
  }

  // Leaving.

  /** Leaves the region before the current instruction where the condition holds; the interpreter does it. */
  protected exitIf(condition: Value): void {
    const { f } = this
    this.registers.store(this.alternatives > 0)
    f.i32(this.exits.add(this.placed.at, ExitKind.HERE, this.flagWord(), this.notExecuted)).set(this.exitLocal)
    condition.emit(f)
    f.brIf(this.exitDepth)
  }

  protected exitAlways(): void {
    const { f } = this
    this.registers.store(this.alternatives > 0)
    f.i32(this.exits.add(this.placed.at, ExitKind.HERE, this.flagWord(), this.notExecuted)).set(this.exitLocal)
    f.br(this.exitDepth)
  }

  /** What an exit's entry says about the flags. */
  protected abstract flagWord(): number

  // The slot.

  protected readonly cpuValue: Value = this.local(I32, Parameter.CPU)
  protected readonly baseValue: Value = this.local(I64, Parameter.BASE)

  /** A linear address: the anchor plus a distance. */
  codeAddress(at: number): Value { return this.add(this.baseValue, this.i64(at)) }

  protected slotValue(offset: number, size: Size): Value {
    return { type: carrier(size), leaf: false, emit: (f) => { f.get(Parameter.CPU).memory(LOADS[size], offset) } }
  }

  protected stageSlot(offset: number, size: Size, value: Value): void {
    this.staged.push({
      before: (f) => { f.get(Parameter.CPU); value.emit(f) },
      after: (f) => { f.memory(STORES[size], offset) },
    })
  }

  field(name: FieldName): Value { return this.slotValue(SLOT_FIELDS[name].offset, SLOT_FIELDS[name].size) }
  setField(name: FieldName, value: Value): void {
    const { offset, size } = SLOT_FIELDS[name]
    this.stageSlot(offset, size, this.fit(value, carrier(size)))
  }

  // Registers.

  reg(register: number, size: OperandSize): Value { return this.partOf(register, size, false) }
  setReg(register: number, size: OperandSize, value: Value): void { this.stageGeneral(register, size, false, value) }

  /** A register or its part; `high`: bits 8 to 15. Cheap enough to be emitted again. */
  protected partOf(register: number, size: OperandSize, high: boolean): Value {
    const whole = this.local(I64, this.registers.read(register))
    if (size === 64) return whole
    const low = this.wrap(whole)
    if (size === 32) return leaf(low)
    const moved = high ? this.shr(low, this.i32(8)) : low
    return leaf(this.and(moved, this.i32(size === 8 ? 0xff : 0xffff)))
  }

  /** 32-bit writes clear the high half, narrower ones merge at the commit: two of them may write parts of one register. */
  protected stageGeneral(register: number, size: OperandSize, high: boolean, value: Value): void {
    const { registers } = this
    if (size >= 32) {
      const wide = this.extend(size === 32 ? this.wrap(value) : this.fit(value, I64), false)
      this.staged.push({ before: (f) => wide.emit(f), after: () => registers.set(register) })
      return
    }
    const part = this.temporary(I64)
    const local = registers.read(register)
    const shift = high ? 8n : 0n
    const mask = ((1n << BigInt(size)) - 1n) << shift
    const moved = this.shl(this.extend(this.zx(this.wrap(value), size), false), this.i64(shift))
    this.staged.push({
      before: (f) => moved.emit(f),
      after: (f) => { f.set(part).get(local).i64(~mask).op(W.i64_and).get(part).op(W.i64_or); registers.set(register) },
    })
  }

  xmm(register: number): Value { return this.local(V128, this.registers.read(VECTORS + register)) }
  setXmm(register: number, value: Value): void { this.stageVector(register, 128, value) }

  setXmmHigh(register: number, value: Value): void { this.stageVectorHigh(register, value) }
  protected xmmHigh(register: number): Value { return this.local(V128, this.registers.read(HIGH_HALVES + register)) }
  protected stageVectorHigh(register: number, value: Value): void { this.stageVectorHalf(HIGH_HALVES + register, value) }

  protected partOfVector(register: number, size: Size): Value {
    const whole = this.xmm(register)
    switch (size) {
      case 128: return whole
      case 64: return this.low64(whole)
      case 32: return this.low32(whole)
      case 16: return this.lane(W.i16x8_extract_lane_u, 0, I32, whole)
      default: return unreachable(`a vector register has no part of ${size} bits`)
    }
  }

  /** Narrow writes leave the rest of the register alone. */
  protected stageVector(register: number, size: Size, value: Value): void {
    if (size === 128) return this.stageVectorHalf(VECTORS + register, value)
    const old = this.xmm(register)
    const whole = size === 64 ? this.lane(W.i64x2_replace_lane, 0, V128, old, this.fit(value, I64))
      : size === 32 ? this.lane(W.i32x4_replace_lane, 0, V128, old, this.fit(value, I32))
        : unreachable(`a vector register is not written in parts of ${size} bits`)
    this.stageVectorHalf(VECTORS + register, whole)
  }

  private stageVectorHalf(register: number, value: Value): void {
    this.staged.push({ before: (f) => value.emit(f), after: () => this.registers.set(register) })
  }

  /** An MMX register is the significand of an x87 register, in the slot. */
  protected mmxOffset(register: number): number { return Slot.X87 + (register & 7) * 16 }
}

const leaf = (value: Value): Value => ({ ...value, leaf: true })
