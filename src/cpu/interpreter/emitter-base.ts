/** What all of the interpreter's back end stands on: temporaries, the record's fields, the slot, staged stores, registers. */
import type { OperandSize } from '../decode/instruction.ts'
import type { OperandSpec } from '../isa/operands.ts'
import { Ops, carrier } from '../semantics/ops.ts'
import type { Condition, FieldName, Place, Size, Value } from '../semantics/ops.ts'
import type { FlagKindName } from '../state/flags.ts'
import { Slot } from '../state/layout.ts'
import type { FunctionBody } from '../wasm/assembler.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import type { ValueTypeCode } from '../wasm/opcodes.ts'
import { NotInlinable } from './site.ts'
import type { EngineFunctions, FormSample, Site } from './site.ts'

const { I32 } = ValueType

/** Work left for the commit: what is pushed before any state changes, and the stores that take it. */
export interface Staged { before(f: FunctionBody): void; after(f: FunctionBody): void }
export type FlagWord = 'kind' | 'a' | 'b' | 'override'
/** Operands of lazy flags, or the flags themselves. */
export type KnownProducer = { kind: FlagKindName; size: OperandSize; a: Value; b: Value } | { flags: Value }
/** A place that remembers its local and, for LOCK, what was loaded from it. */
export interface TranslatedPlace extends Place { readonly local: number; loaded?: Value }

export const LOADS: Record<Size, number> = { 8: W.i32_load8_u, 16: W.i32_load16_u, 32: W.i32_load, 64: W.i64_load, 128: W.v128_load, 256: W.v128_load }
export const STORES: Record<Size, number> = { 8: W.i32_store8, 16: W.i32_store16, 32: W.i32_store, 64: W.i64_store, 128: W.v128_store, 256: W.v128_store }

/** Where the fields are in the slot. */
export const SLOT_FIELDS: Record<FieldName, { offset: number; size: Size }> = {
  MXCSR: { offset: Slot.MXCSR, size: 32 },
  FCW: { offset: Slot.FCW, size: 16 },
  FSW: { offset: Slot.FSW, size: 16 },
  FTW: { offset: Slot.FTW, size: 16 },
  SYSTEM_FLAGS: { offset: Slot.SYSTEM_FLAGS, size: 32 },
  STACK_MASK: { offset: Slot.STACK_MASK, size: 64 },
  CS_BASE: { offset: Slot.SEGMENT_BASE + 8, size: 64 },
  SS_BASE: { offset: Slot.SEGMENT_BASE + 16, size: 64 },
  FS_BASE: { offset: Slot.SEGMENT_BASE + 32, size: 64 },
  GS_BASE: { offset: Slot.SEGMENT_BASE + 40, size: 64 },
}

export abstract class EmitterBase extends Ops {
  mode: 64 | 32 = 64
  size: OperandSize = 32
  address64 = true
  locked = false
  repeat: 0 | 1 | 2 = 0
  condition: Condition = 'o'
  operands: readonly OperandSpec[] = []

  protected readonly site: Site
  protected readonly f: FunctionBody
  protected readonly functions: EngineFunctions
  protected sample!: FormSample
  /** Offset of the instruction's record from the one in the site's local: not zero in the second of some fused pairs. */
  protected recordOffset = 0
  protected readonly pool = new Map<ValueTypeCode, number[]>()
  protected readonly used = new Map<ValueTypeCode, number>()
  protected staged: Staged[] = []
  protected locking: { place: TranslatedPlace; value: Value }[] = []
  protected places = new Map<number, TranslatedPlace>()
  protected control: (() => void) | undefined
  protected newFlags: Partial<Record<FlagWord, Value>> = {}
  protected producer: KnownProducer | 'unknown' | undefined
  /** What the instruction before it in a fused pair produced. */
  protected producerBefore: KnownProducer | undefined
  protected storesMemory = false
  /** A place was translated for writing. */
  protected translated = false
  protected readsFlags = false
  /** The instruction just committed only set flags, from nothing that it changed. */
  protected repeatable = false
  protected outcome: number | undefined

  constructor(site: Site, functions: EngineFunctions) {
    super()
    this.site = site
    this.f = site.f
    this.functions = functions
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
    then().emit(this.f)
    this.f.set(local).else()
    otherwise().emit(this.f)
    this.f.set(local).end()
    return this.local(type, local)
  }

  chooseCommon(condition: Value, type: ValueTypeCode, common: () => Value, rare: () => Value): Value {
    if (this.site.slow === undefined) return this.choose(condition, type, common, rare)
    this.eqz(condition).emit(this.f)
    this.f.brIf(this.site.slow)
    return this.let(common())
  }

  fold(count: Value, initial: Value, step: (n: Value, before: Value) => Value): Value {
    // The run loop is made of straight pieces: a loop in it would be in the way of its registers.
    if (this.site.kind === 'inline') throw new NotInlinable()
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

  // The record.

  protected recordField(offset: number, opcode: number, type: ValueTypeCode = I32): Value {
    return { type, leaf: false, emit: (f) => { f.get(this.site.record).memory(opcode, offset + this.recordOffset) } }
  }

  protected loadAt(address: Value, size: Size, offset = 0): Value {
    return { type: carrier(size), leaf: false, emit: (f) => { address.emit(f); f.memory(LOADS[size], offset) } }
  }

  protected slotValue(offset: number, size: Size): Value {
    return { type: carrier(size), leaf: false, emit: (f) => { f.get(this.site.cpu).memory(LOADS[size], offset) } }
  }

  protected stageStore(address: Value, size: Size, value: Value, offset = 0): void {
    this.staged.push({
      before: (f) => { address.emit(f); value.emit(f) },
      after: (f) => { f.memory(STORES[size], offset) },
    })
  }

  protected readonly cpuValue: Value = { type: I32, leaf: true, emit: (f) => { f.get(this.site.cpu) } }

  // Registers.

  /** 32-bit writes clear the high half. */
  protected stageGeneral(address: Value, offset: number, size: Size, value: Value): void {
    if (size === 32) this.stageStore(address, 64, this.extend(this.wrap(value), false), offset)
    else this.stageStore(address, size, this.fit(value, carrier(size)), offset)
  }

  reg(register: number, size: OperandSize): Value { return this.slotValue(Slot.GPR + register * 8, size) }
  setReg(register: number, size: OperandSize, value: Value): void { this.stageGeneral(this.cpuValue, Slot.GPR + register * 8, size, value) }
  xmm(register: number): Value { return this.slotValue(Slot.YMM + register * 32, 128) }
  setXmm(register: number, value: Value): void { this.stageStore(this.cpuValue, 128, value, Slot.YMM + register * 32) }
  setXmmHigh(register: number, value: Value): void { this.stageStore(this.cpuValue, 128, value, Slot.YMM + register * 32 + 16) }
  field(name: FieldName): Value { return this.slotValue(SLOT_FIELDS[name].offset, SLOT_FIELDS[name].size) }
  setField(name: FieldName, value: Value): void {
    const { offset, size } = SLOT_FIELDS[name]
    this.stageStore(this.cpuValue, size, this.fit(value, carrier(size)), offset)
  }
}
