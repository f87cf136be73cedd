/**
 * The interpreter's back end of the description: emits each form once, with its operands read from the record.
 *
 * A form is emitted in one of two places. *Inline*, in the run loop: no calls at all (they would cost the whole loop its registers), so
 * whatever is not the common case branches to `slow` before anything is committed, and the outlined handler of the same form does the
 * instruction again from the start. *Outlined*, as a function (cpu, record, context) -> next record, or 0 to leave the loop: it may call.
 */
import { unreachable } from '../../base/errors.ts'
import type { Instruction, OperandSize } from '../decode/instruction.ts'
import { AccessKind } from '../mmu/mmu.ts'
import { operandBits } from '../isa/operands.ts'
import type { OperandSpec } from '../isa/operands.ts'
import type { Row } from '../isa/row.ts'
import type { Definition } from '../semantics/define.ts'
import { HelperOutcome } from '../system/outcome.ts'
import { conditionFromFlags, conditionFromProducer } from '../semantics/flag-code.ts'
import { CONDITIONS, Ops, carrier } from '../semantics/ops.ts'
import type { Condition, FieldName, HelperOptions, Place, Size, Value } from '../semantics/ops.ts'
import { FLAG_OVERRIDDEN, FlagKind, MATERIALISED } from '../state/flags.ts'
import type { FlagKindName } from '../state/flags.ts'
import { Block, Context, ExitCode, SEGMENT_CACHE_SIZE, Segment, SegmentCache, Slot } from '../state/layout.ts'
import type { FunctionBody } from '../wasm/assembler.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import type { ValueTypeCode } from '../wasm/opcodes.ts'
import { AddressClass } from './form.ts'
import type { Shape } from './form.ts'
import { NO_ERROR_CODE, RECORD_SIZE, Record } from './record.ts'

const { I32, I64, V128 } = ValueType

/** Function indices of what outlined handlers call. */
export interface EngineFunctions {
  readonly materialise: number
  /** (address low, high, size in bytes | AccessKind << ACCESS_KIND_SHIFT, record) -> pool address, or 0 with an exception recorded. */
  readonly access: number
  readonly commitSlowStores: number
  /** (helper number) -> HelperOutcome. */
  readonly helper: number
  /** (target low, high) -> record, or 0 with the reason recorded; sets RIP_PAGE and the jump cache. */
  readonly lookup: number
  /** (segment, offset, size in bytes | AccessKind << ACCESS_KIND_SHIFT) -> 1, or 0 with an exception recorded. */
  readonly checkSegment: number
  readonly helperNumber: (name: string) => number
}

export const ACCESS_KIND_SHIFT = 8
const KINDS = { read: AccessKind.READ, write: AccessKind.WRITE, modify: AccessKind.MODIFY } as const
const STACK_ACCESS = AccessKind.STACK << ACCESS_KIND_SHIFT
const accessWord = (size: Size, access: keyof typeof KINDS): number => size / 8 | (KINDS[access] << ACCESS_KIND_SHIFT)

/** Where a form is emitted. */
export interface Site {
  readonly f: FunctionBody
  readonly kind: 'inline' | 'outlined'
  /** Locals. */
  readonly cpu: number
  readonly record: number
  readonly context: number
  /** Inline: the lazy flags' locals. */
  readonly flags?: { readonly kind: number; readonly a: number; readonly b: number; readonly override: number }
  /** Inline: block depths to branch to. */
  readonly slow?: number
  /** Inline: goes to the record `count` further on; to the record in the local, counting `count` instructions. */
  readonly next?: (count: number) => void
  readonly jump?: (target: number, count: number) => void
}

/** An instruction that a form stands for: a sample whose operand values do not matter. */
export interface FormSample {
  readonly instruction: Instruction
  readonly row: Row
  readonly operands: readonly OperandSpec[]
  readonly definition: Definition
  readonly shape: Shape
  /** A branch whose target is in another page. */
  readonly crossesPage: boolean
}

/** Thrown when a form needs a call and so cannot be inline. */
export class NotInlinable extends Error {}

interface Staged { before(f: FunctionBody): void; after(f: FunctionBody): void }
type FlagWord = 'kind' | 'a' | 'b' | 'override'
/** Operands of lazy flags, or the flags themselves. */
type KnownProducer = { kind: FlagKindName; size: OperandSize; a: Value; b: Value } | { flags: Value }

const LOADS: Record<Size, number> = { 8: W.i32_load8_u, 16: W.i32_load16_u, 32: W.i32_load, 64: W.i64_load, 128: W.v128_load }
const STORES: Record<Size, number> = { 8: W.i32_store8, 16: W.i32_store16, 32: W.i32_store, 64: W.i64_store, 128: W.v128_store }
const COMPARE_EXCHANGE: Partial<Record<Size, number>> = {
  8: W.i32_atomic_rmw8_cmpxchg_u, 16: W.i32_atomic_rmw16_cmpxchg_u, 32: W.i32_atomic_rmw_cmpxchg, 64: W.i64_atomic_rmw_cmpxchg,
}

const FIELDS: Record<FieldName, { offset: number; size: Size }> = {
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

const FLAG_OFFSETS: Record<FlagWord, number> = {
  kind: Slot.FLAG_KIND, a: Slot.FLAG_A, b: Slot.FLAG_B, override: Slot.FLAG_OVERRIDE,
}

/** A place that remembers its local and, for LOCK, what was loaded from it. */
interface TranslatedPlace extends Place { readonly local: number; loaded?: Value }

export class InterpreterOps extends Ops {
  mode: 64 | 32 = 64
  size: OperandSize = 32
  address64 = true
  locked = false
  repeat: 0 | 1 | 2 = 0
  condition: Condition = 'o'
  operands: readonly OperandSpec[] = []

  private readonly site: Site
  private readonly f: FunctionBody
  private readonly functions: EngineFunctions
  private sample!: FormSample
  /** Offset of the instruction's record from the one in the site's local: not zero in the second of some fused pairs. */
  private recordOffset = 0
  private readonly pool = new Map<ValueTypeCode, number[]>()
  private readonly used = new Map<ValueTypeCode, number>()
  private staged: Staged[] = []
  private locking: { place: TranslatedPlace; value: Value }[] = []
  private places = new Map<number, TranslatedPlace>()
  private control: (() => void) | undefined
  private newFlags: Partial<Record<FlagWord, Value>> = {}
  private producer: KnownProducer | 'unknown' | undefined
  /** What the instruction before it in a fused pair produced. */
  private producerBefore: KnownProducer | undefined
  private storesMemory = false
  /** A place was translated for writing. */
  private translated = false
  private readsFlags = false
  /** The instruction just committed only set flags, from nothing that it changed. */
  private repeatable = false
  private outcome: number | undefined

  constructor(site: Site, functions: EngineFunctions) {
    super()
    this.site = site
    this.f = site.f
    this.functions = functions
  }

  /** Emits one form, or two that run as one. Temporaries of earlier forms in the same function are used again. */
  emitForm(samples: readonly FormSample[]): void {
    this.used.clear()
    this.producerBefore = undefined
    let offset = 0
    samples.forEach((sample, position) => {
      this.begin(sample, offset)
      sample.definition.emit(this)
      this.commit(position === samples.length - 1)
      offset = this.nextOffset()
    })
  }

  /**
   * Where the second of a pair finds its record. From the second the slow path starts at the record in the local: at the pair, if
   * the first may be done again (it only sets flags), otherwise the local moves on.
   */
  private nextOffset(): number {
    if (this.repeatable) return this.recordOffset + RECORD_SIZE
    this.f.get(this.site.record).i32(this.recordOffset + RECORD_SIZE).op(W.i32_add).set(this.site.record)
    return 0
  }

  private begin(sample: FormSample, recordOffset: number): void {
    const { instruction, row, shape } = sample
    this.sample = sample
    this.recordOffset = recordOffset
    this.mode = shape.legacy ? 32 : 64
    this.size = instruction.operandSize
    this.address64 = !shape.legacy && shape.address !== AddressClass.ADDRESS32
    this.locked = instruction.lock || (row.mnemonic === 'XCHG' && shape.address !== AddressClass.NONE)
    this.repeat = instruction.repeat
    this.condition = CONDITIONS[instruction.condition]
    this.operands = sample.operands
    this.staged = []
    this.locking = []
    this.places = new Map()
    this.control = undefined
    this.newFlags = {}
    this.producer = undefined
    this.storesMemory = false
    this.translated = false
    this.readsFlags = false
    this.outcome = undefined
  }

  // Temporaries.

  private temporary(type: ValueTypeCode): number {
    const locals = this.pool.get(type) ?? []
    this.pool.set(type, locals)
    const index = this.used.get(type) ?? 0
    this.used.set(type, index + 1)
    if (index === locals.length) locals.push(this.f.local(type))
    return locals[index]
  }

  private local(type: ValueTypeCode, local: number): Value {
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

  // The record.

  private recordField(offset: number, opcode: number, type: ValueTypeCode = I32): Value {
    return { type, leaf: false, emit: (f) => { f.get(this.site.record).memory(opcode, offset + this.recordOffset) } }
  }

  private loadAt(address: Value, size: Size, offset = 0): Value {
    return { type: carrier(size), leaf: false, emit: (f) => { address.emit(f); f.memory(LOADS[size], offset) } }
  }

  private slotValue(offset: number, size: Size): Value {
    return { type: carrier(size), leaf: false, emit: (f) => { f.get(this.site.cpu).memory(LOADS[size], offset) } }
  }

  private stageStore(address: Value, size: Size, value: Value, offset = 0): void {
    this.staged.push({
      before: (f) => { address.emit(f); value.emit(f) },
      after: (f) => { f.memory(STORES[size], offset) },
    })
  }

  private readonly cpuValue: Value = { type: I32, leaf: true, emit: (f) => { f.get(this.site.cpu) } }

  // Operands.

  isMemory(n: number): boolean {
    const { method } = this.operands[n]
    if (method === 'M' || method === 'O') return true
    return (method === 'E' || method === 'W' || method === 'Q') && this.sample.instruction.mod !== 3
  }

  operandSize(n: number): Size {
    const spec = this.operands[n]
    return (spec.signExtended === true ? this.size : operandBits(spec, this.sample.instruction)) as Size
  }

  rd(n: number, size: Size = this.defaultSize(n)): Value {
    const spec = this.operands[n]
    if (this.isMemory(n)) return this.ldPlace(this.operandPlace(n, size))
    if (spec.method === 'constant') return this.k(spec.constant ?? 0, carrier(size))
    if (spec.method === 'I' || spec.method === 'A') return this.recordField(Record.IMMEDIATE, LOADS[size], carrier(size))
    const register = this.registerPlace(n)
    return this.loadAt(register.address, size, register.offset)
  }

  wr(n: number, value: Value, size: Size = this.defaultSize(n)): void {
    if (this.isMemory(n)) {
      this.stPlace(this.operandPlace(n, size), value)
      return
    }
    const { address, offset } = this.registerPlace(n)
    if (!this.isVector(n)) return this.stageGeneral(address, offset, size, value)
    this.stageStore(address, size, value.type === V128 ? value : this.fit(value, carrier(size)), offset)
    // Sign and exponent of the x87 register that holds an MMX register become all ones (SDM Vol. 1 §9.5.1).
    if (this.isMmx(n)) this.stageStore(address, 16, this.i32(0xffff), offset + 8)
  }

  touch(n: number): void { if (this.isMemory(n)) this.operandPlace(n, this.defaultSize(n)) }

  private defaultSize(n: number): Size { return this.isMmx(n) ? 64 : this.operandSize(n) }
  private isMmx(n: number): boolean { return 'PQN'.includes(this.operands[n].method) && !this.isMemory(n) }
  private isVector(n: number): boolean { return 'VWUPQN'.includes(this.operands[n].method) }

  /** 32-bit writes clear the high half. */
  private stageGeneral(address: Value, offset: number, size: Size, value: Value): void {
    if (size === 32) this.stageStore(address, 64, this.extend(this.wrap(value), false), offset)
    else this.stageStore(address, size, this.fit(value, carrier(size)), offset)
  }

  /** Where a register operand is: fixed registers are at constant offsets of the slot, others where the record says. */
  private registerPlace(n: number): { address: Value; offset: number } {
    const spec = this.operands[n]
    switch (spec.method) {
      case 'register': return { address: this.cpuValue, offset: Slot.GPR + (spec.register ?? 0) * 8 }
      case 'G': case 'V': case 'P': return { address: this.recordField(Record.REG, W.i32_load16_u), offset: 0 }
      case 'E': case 'R': case 'Z': case 'W': case 'U': case 'Q': case 'N':
        return { address: this.recordField(Record.RM, W.i32_load16_u), offset: 0 }
      default: return unreachable(`${this.sample.row.mnemonic}: operand ${n} is no register`)
    }
  }

  registerNumber(n: number): Value {
    const spec = this.operands[n]
    if (spec.register !== undefined) return this.i32(spec.register)
    const inReg = 'GVPSCD'.includes(spec.method)
    const raw = this.recordField(inReg ? Record.REG : Record.RM, W.i32_load16_u)
    if ('SCD'.includes(spec.method) || spec.method === 'ST') return raw
    const [first, shift] = 'VWU'.includes(spec.method) ? [Slot.YMM, 5] : 'PQN'.includes(spec.method) ? [Slot.X87, 4] : [Slot.GPR, 3]
    return this.shr(this.sub(this.sub(raw, this.cpuValue), this.i32(first)), this.i32(shift))
  }

  immediate2(): Value { return this.recordField(Record.LINK, W.i32_load) }

  // Addresses.

  offset(_n: number): Value {
    if (this.operands[_n].method === 'O') return this.recordField(Record.IMMEDIATE, W.i64_load, I64)
    const base = this.loadAt(this.recordField(Record.BASE, W.i32_load16_u), 64)
    const displaced = this.add(base, this.recordField(Record.DISPLACEMENT, W.i64_load32_s, I64))
    if (this.sample.shape.address === AddressClass.BASE) return displaced
    const index = this.loadAt(this.recordField(Record.INDEX, W.i32_load16_u), 64)
    return this.wrapAddress(this.add(displaced, this.shl(index, this.recordField(Record.SCALE, W.i64_load8_u, I64))))
  }

  linear(n: number): Value {
    const { address } = this.sample.shape
    if (address === AddressClass.BASE || address === AddressClass.INDEX) return this.offset(n)
    const access = this.writes(n) ? 'write' : 'read'
    const size = this.operandSize(n)
    return this.segmentedData(this.let(this.offset(n)), size <= 128 && size > 0 ? size : 8, access)
  }

  private writes(n: number): boolean {
    const access = this.sample.definition.access[n]
    return access === 'w' || access === 'rw'
  }

  wrapAddress(value: Value): Value {
    if (this.address64) return value
    if (this.mode === 64) return this.zx(value, 32)
    // Bit 7 of the scale says that addresses have 16 bits.
    const narrow = this.shr(this.and(this.recordField(Record.SCALE, W.i32_load8_u), this.i32(0x80)), this.i32(3))
    return this.and(value, this.extend(this.shr(this.i32(-1), narrow), false))
  }

  addressReg(register: number): Value { return this.wrapAddress(this.reg(register, 64)) }

  setAddressReg(register: number, value: Value): void {
    if (this.mode === 64) {
      this.setReg(register, 64, this.wrapAddress(value))
      return
    }
    // A 16-bit address register keeps its high half, a 32-bit one has none worth keeping.
    const mask = this.wrapAddress(this.i64(-1))
    this.setReg(register, 64, this.or(this.and(this.reg(register, 64), this.not(mask)), this.and(value, mask)))
  }

  segmented(segment: number, offset: Value, size: Size, access: 'read' | 'write'): Value {
    const base = this.slotValue(Slot.SEGMENT_BASE + segment * 8, 64)
    if (this.mode === 64) return segment >= Segment.FS ? this.add(offset, base) : offset
    return this.checkedLinear(this.i32(segment), base, this.let(offset), size, access)
  }

  segmentedData(offset: Value, size: Size, access: 'read' | 'write'): Value {
    const address = this.recordField(Record.SEGMENT, W.i32_load16_u)
    const base = this.loadAt(address, 64)
    if (this.mode === 64) return this.add(offset, base)
    const segment = this.shr(this.sub(this.sub(address, this.cpuValue), this.i32(Slot.SEGMENT_BASE)), this.i32(3))
    return this.checkedLinear(this.let(segment), base, this.let(offset), size, access)
  }

  private checkedLinear(segment: Value, base: Value, offset: Value, size: Size, access: 'read' | 'write'): Value {
    const { f } = this
    this.and(this.shr(this.slotValue(Slot.SEGMENT_CHECKS, 32), segment), this.i32(1)).emit(f)
    this.callIf(() => {
      segment.emit(f)
      this.wrap(offset).emit(f)
      f.i32(accessWord(size, access)).call(this.functions.checkSegment)
      f.op(W.i32_eqz).if()
      this.leave()
      f.end()
    })
    return this.let(this.zx(this.add(base, offset), 32))
  }

  /** With a condition on the stack: runs code that calls (outlined), or goes to the slow path (inline). */
  private callIf(body: () => void): void {
    const { f, site } = this
    if (site.slow !== undefined) {
      f.brIf(site.slow)
      return
    }
    f.if()
    body()
    f.end()
  }

  /** Leaves an outlined handler: the reason is in the slot. */
  private leave(): void { this.f.i32(0).op(W.return) }

  // Memory.

  private operandPlace(n: number, size: Size): TranslatedPlace {
    const known = this.places.get(n)
    if (known !== undefined) return known
    const linear = this.let(this.linear(n))
    if (size === 128 && this.isVector(n) && this.sample.row.attributes.unaligned !== true) {
      this.raiseIf(this.ne(this.and(linear, this.i64(15)), this.i64(0)), 13, 0)
    }
    const access = this.sample.definition.access[n]
    const place = this.place(linear, size, access === 'rw' ? 'modify' : access === 'w' ? 'write' : 'read')
    this.places.set(n, place)
    return place
  }

  place(linear: Value, size: Size, access: 'read' | 'write' | 'modify', stack = false): TranslatedPlace {
    const { f, site } = this
    const table = access === 'read' ? Context.READ_TLB : Context.WRITE_TLB
    if (access !== 'read') this.translated = true
    const address = this.let(linear)
    const low = this.wrap(address)
    const entry = this.temporary(I32)
    const found = this.temporary(I32)
    this.and(this.shr(low, this.i32(8)), this.i32(0xfff0)).emit(f)
    f.get(site.context).op(W.i32_add).tee(entry).memory(W.i32_load, table + 8)
    low.emit(f)
    f.op(W.i32_add).set(found)
    f.get(entry).memory(W.i64_load, table)
    this.and(this.add(address, this.i64(size / 8 - 1)), this.i64(-4096)).emit(f)
    f.op(W.i64_ne)
    this.callIf(() => {
      low.emit(f)
      this.wrap(this.shr(address, this.i64(32))).emit(f)
      f.i32(accessWord(size, access) | (stack ? STACK_ACCESS : 0)).get(site.record).call(this.functions.access)
      f.tee(found).op(W.i32_eqz).if()
      this.leave()
      f.end()
    })
    return { size, address: this.local(I32, found), local: found }
  }

  ldPlace(place: TranslatedPlace): Value {
    const value = this.let(this.loadAt(place.address, place.size))
    place.loaded = value
    return value
  }

  stPlace(place: TranslatedPlace, value: Value): void {
    this.storesMemory = true
    const fitted = value.type === V128 ? value : this.fit(value, carrier(place.size))
    if (this.locked && this.site.kind === 'inline') throw new NotInlinable()
    if (this.locked && place.loaded !== undefined && place.size !== 128) this.locking.push({ place, value: this.let(fitted) })
    else this.stageStore(place.address, place.size, fitted)
  }

  ld(linear: Value, size: Size, stack = false): Value { return this.ldPlace(this.place(linear, size, 'read', stack)) }
  st(linear: Value, size: Size, value: Value, stack = false): void { this.stPlace(this.place(linear, size, 'write', stack), value) }

  copyRun(source: Value, destination: Value, count: Value, size: OperandSize): Value {
    const from = this.let(source)
    const to = this.let(destination)
    const read = this.place(from, size, 'read')
    const write = this.place(to, size, 'write')
    // A destination less than a run behind the source would be read back by a byte-wise copy.
    const overlaps = this.compare('lt_u', this.sub(write.address, read.address), this.i32(4096))
    const single = this.or(this.or(this.isScratch(read), this.isScratch(write)), overlaps)
    const done = this.runLength([from, to], count, size, single)
    this.stageBulk(done, size, write, this.loadAt(read.address, size), (f, bytes) => {
      f.get(write.local).get(read.local)
      bytes.emit(f)
      f.memoryCopy()
    })
    return done
  }

  fillRun(destination: Value, value: Value, count: Value, size: OperandSize): Value {
    const to = this.let(destination)
    const write = this.place(to, size, 'write')
    // Only a value whose bytes are all the same can be filled in one go.
    const byte = this.and(value, this.k(255, value.type))
    const splat = this.mul(byte, this.k(0x0101010101010101n & ((1n << BigInt(size)) - 1n), value.type))
    const single = this.or(this.isScratch(write), size === 8 ? this.i32(0) : this.ne(splat, value))
    const done = this.runLength([to], count, size, single)
    this.stageBulk(done, size, write, value, (f, bytes) => {
      f.get(write.local)
      this.wrap(byte).emit(f)
      bytes.emit(f)
      f.memoryFill()
    })
    return done
  }

  private isScratch(place: Place): Value {
    const start = this.add(this.slotValue(Slot.BLOCK, 32), this.i32(Block.SCRATCH))
    const scratch = this.compare('lt_u', this.sub(place.address, start), this.i32(Block.SCRATCH_SIZE))
    // A watched page is written in place, but only as many bytes as were announced.
    return this.or(scratch, this.ne(this.slotValue(Slot.SLOW_STORES, 32), this.i32(0)))
  }

  /** Elements (I64) from the first of `addresses` up to the end of a page or `count`; one where `single`, or the direction is down. */
  private runLength(addresses: Value[], count: Value, size: OperandSize, single: Value): Value {
    const bytes = size / 8
    const down = this.and(this.field('SYSTEM_FLAGS'), this.i32(0x400))
    let elements = count
    for (const address of addresses) {
      const room = this.let(this.shr(this.sub(this.i64(4096), this.and(address, this.i64(4095))), this.i64(Math.log2(bytes))))
      elements = this.let(this.select(this.compare('lt_u', room, elements), room, elements))
    }
    // An element that crosses a page leaves no room for a whole one: it is in scratch, and done alone.
    return this.let(this.select(this.or(this.or(single, down), this.eqz(elements)), this.i64(1), elements))
  }

  /** One element as a plain store, more of them by `bulk`. */
  private stageBulk(done: Value, size: OperandSize, to: TranslatedPlace, one: Value, bulk: (f: FunctionBody, bytes: Value) => void): void {
    this.storesMemory = true
    const bytes = this.let(this.mul(this.wrap(done), this.i32(size / 8)))
    this.staged.push({
      before: () => {},
      after: (f) => {
        this.ne(bytes, this.i32(size / 8)).emit(f)
        f.if()
        bulk(f, bytes)
        f.else().get(to.local)
        one.emit(f)
        f.memory(STORES[size], 0).end()
      },
    })
  }

  // Registers.

  reg(register: number, size: OperandSize): Value { return this.slotValue(Slot.GPR + register * 8, size) }
  setReg(register: number, size: OperandSize, value: Value): void { this.stageGeneral(this.cpuValue, Slot.GPR + register * 8, size, value) }
  xmm(register: number): Value { return this.slotValue(Slot.YMM + register * 32, 128) }
  setXmm(register: number, value: Value): void { this.stageStore(this.cpuValue, 128, value, Slot.YMM + register * 32) }
  field(name: FieldName): Value { return this.slotValue(FIELDS[name].offset, FIELDS[name].size) }
  setField(name: FieldName, value: Value): void {
    const { offset, size } = FIELDS[name]
    this.stageStore(this.cpuValue, size, this.fit(value, carrier(size)), offset)
  }

  // Flags.

  private readFlag(name: FlagWord): Value {
    const { flags } = this.site
    this.readsFlags = true
    const type = name === 'a' || name === 'b' ? I64 : I32
    if (flags !== undefined) return this.local(type, flags[name])
    return this.slotValue(FLAG_OFFSETS[name], type === I64 ? 64 : 32)
  }

  private stageFlag(name: FlagWord, value: Value): void {
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
  private countIsNotZero(): boolean {
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
  private overrideWord(carry: Value, overflow: Value, adjust: Value | undefined, onOlder: boolean): Value {
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
  private fastCondition(condition: Condition): { applies: Value; value: Value } | undefined {
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

  // Control.

  private ripPage(): Value { return this.slotValue(Slot.RIP_PAGE, 64) }
  private pageOffset(): Value { return this.recordField(Record.PAGE_OFFSET, W.i64_load16_u, I64) }

  nextIp(): Value {
    const next = this.add(this.add(this.ripPage(), this.pageOffset()), this.recordField(Record.LENGTH, W.i64_load8_u, I64))
    return this.mode === 64 ? next : this.zx(next, 32)
  }

  private following(): Value {
    return { type: I32, leaf: false, emit: (f) => { f.get(this.site.record).i32(RECORD_SIZE + this.recordOffset).op(W.i32_add) } }
  }

  jump(_n: number): void {
    if (this.sample.crossesPage) {
      this.jumpThroughCache(this.let(this.branchTarget()))
      return
    }
    this.control = () => this.goTo(this.recordField(Record.LINK, W.i32_load))
  }

  private branchTarget(): Value {
    return this.add(this.ripPage(), this.recordField(Record.IMMEDIATE, W.i64_load, I64))
  }

  jumpTo(target: Value): void {
    this.jumpThroughCache(this.let(this.mode === 64 ? target : this.zx(target, this.size === 16 ? 16 : 32)))
  }

  jumpIf(condition: Value, _n: number): void {
    const taken = this.let(condition)
    if (!this.sample.crossesPage) {
      this.control = () => this.goTo(this.select(taken, this.recordField(Record.LINK, W.i32_load), this.following()))
      return
    }
    const { f } = this
    if (this.site.slow === undefined) {
      const target = this.let(this.branchTarget())
      this.checkTarget(this.and(taken, this.isBadTarget(target)))
      this.control = () => {
        taken.emit(f)
        f.if()
        this.returnLookup(target)
        f.end()
        this.goTo(this.following())
      }
      return
    }
    const record = this.temporary(I32)
    const page = this.temporary(I64)
    this.ripPage().emit(f)
    f.set(page)
    this.following().emit(f)
    f.set(record)
    taken.emit(f)
    f.if()
    this.probe(this.let(this.branchTarget()), record, page)
    f.end()
    this.control = () => this.goToPage(record, page)
  }

  private jumpThroughCache(target: Value): void {
    if (this.site.slow === undefined) {
      this.checkTarget(this.isBadTarget(target))
      this.control = () => this.returnLookup(target)
      return
    }
    const record = this.temporary(I32)
    const page = this.temporary(I64)
    this.probe(target, record, page)
    this.control = () => this.goToPage(record, page)
  }

  /** Finds the target in the jump cache, or goes to the slow path. Nothing is committed yet. */
  private probe(target: Value, record: number, page: number): void {
    const { f } = this
    const entry = this.temporary(I32)
    const low = this.wrap(target)
    this.shl(this.and(this.xor(low, this.shr(low, this.i32(12))), this.i32(0xfff)), this.i32(4)).emit(f)
    f.get(this.site.context).op(W.i32_add).tee(entry).memory(W.i64_load, Context.JUMP_CACHE)
    target.emit(f)
    f.op(W.i64_ne).brIf(this.site.slow ?? unreachable('a probe outside the run loop'))
    f.get(entry).memory(W.i32_load, Context.JUMP_CACHE + 8).set(record)
    target.emit(f)
    f.get(record).memory(W.i64_load16_u, Record.PAGE_OFFSET).op(W.i64_sub).set(page)
  }

  private goToPage(record: number, page: number): void {
    this.f.get(this.site.cpu).get(page).memory(W.i64_store, Slot.RIP_PAGE)
    this.goTo(this.local(I32, record))
  }

  private goTo(record: Value): void {
    const { f, site } = this
    if (site.jump === undefined) {
      record.emit(f)
      f.op(W.return)
      return
    }
    const local = this.temporary(I32)
    record.emit(f)
    f.set(local)
    site.jump(local, this.recordOffset / RECORD_SIZE + 1)
  }

  private returnLookup(target: Value): void {
    const { f } = this
    this.wrap(target).emit(f)
    this.wrap(this.shr(target, this.i64(32))).emit(f)
    f.call(this.functions.lookup).op(W.return)
  }

  private isBadTarget(target: Value): Value {
    if (this.mode === 64) return this.ne(this.sar(this.shl(target, this.i64(16)), this.i64(16)), target)
    const limit = this.loadAt(this.slotValue(Slot.BLOCK, 32), 32, Block.SEGMENTS + Segment.CS * SEGMENT_CACHE_SIZE + SegmentCache.LIMIT)
    return this.compare('gt_u', this.wrap(target), limit)
  }

  private checkTarget(bad: Value): void { this.raiseIf(bad, 13, 0) }

  raiseIf(condition: Value, vector: number, errorCode?: number): void {
    const { f, site } = this
    condition.emit(f)
    this.callIf(() => {
      f.get(site.cpu).i32(vector).memory(W.i32_store, Slot.EXIT_VECTOR)
      f.get(site.cpu).i32(errorCode ?? NO_ERROR_CODE).memory(W.i32_store, Slot.EXIT_ERROR_CODE)
      f.get(site.cpu).i32(ExitCode.EXCEPTION).memory(W.i32_store, Slot.EXIT_CODE)
      this.leave()
    })
  }

  skipIf(condition: Value): void {
    const { f, site } = this
    condition.emit(f)
    f.if()
    if (site.next !== undefined) site.next(1)
    else {
      // A place that was translated for writing may wait for its commit, which does not come.
      if (this.translated) f.get(site.cpu).i32(0).memory(W.i32_store, Slot.SLOW_STORES)
      this.following().emit(f)
      f.op(W.return)
    }
    f.end()
  }

  again(condition: Value): void {
    const repeated = this.let(condition)
    const here: Value = {
      type: I32, leaf: false,
      emit: (f) => {
        f.get(this.site.record)
        if (this.recordOffset !== 0) f.i32(this.recordOffset).op(W.i32_add)
      },
    }
    this.control = () => {
      // How often an instruction executes depends on where pages lie; it retires once.
      this.f.get(this.site.cpu)
      this.add(this.slotValue(Slot.REPEATS, 32), repeated).emit(this.f)
      this.f.memory(W.i32_store, Slot.REPEATS)
      this.goTo(this.select(repeated, here, this.following()))
    }
  }

  // Helpers.

  helper(name: string, args: readonly Value[], options: HelperOptions = {}): Value {
    if (this.site.kind === 'inline') throw new NotInlinable()
    const { f, site } = this
    const block = this.let(this.slotValue(Slot.BLOCK, 32))
    args.forEach((arg, position) => {
      block.emit(f)
      if (arg.type === V128) {
        arg.emit(f)
        f.memory(W.v128_store, Block.ARGUMENTS + position * 16)
      } else {
        this.extend(arg, false).emit(f)
        f.memory(W.i64_store, Block.ARGUMENTS + position * 16)
      }
    })
    f.get(site.cpu)
    this.add(this.ripPage(), this.pageOffset()).emit(f)
    f.memory(W.i64_store, Slot.RIP)
    this.outcome ??= this.temporary(I32)
    f.i32(this.functions.helperNumber(name)).call(this.functions.helper).tee(this.outcome).op(W.i32_eqz).if()
    this.leave()
    f.end()
    const type = options.result ?? I32
    return this.let(this.loadAt(block, type === V128 ? 128 : type === I64 ? 64 : 32, Block.RESULT))
  }

  // Commit.

  private commit(last: boolean): void {
    const { f } = this
    this.repeatable = this.staged.length === 0 && !this.storesMemory && !this.readsFlags
    for (const { place, value } of this.locking) this.commitLocked(place, value)
    for (const [name, value] of Object.entries(this.newFlags)) this.stageFlag(name as FlagWord, value)
    for (const staged of this.staged.toReversed()) staged.before(f)
    for (const staged of this.staged) staged.after(f)
    if (this.storesMemory && this.site.kind === 'outlined') {
      this.slotValue(Slot.SLOW_STORES, 32).emit(f)
      f.if().call(this.functions.commitSlowStores).end()
    }
    if (this.outcome !== undefined) this.leaveIfResynchronised(this.outcome)
    this.producerBefore = this.producer === 'unknown' ? undefined : this.producer ?? this.producerBefore
    if (!last) return
    if (this.control !== undefined) this.control()
    else if (this.site.next !== undefined) this.site.next(this.recordOffset / RECORD_SIZE + 1)
    else this.following().emit(f)
  }

  private leaveIfResynchronised(outcome: number): void {
    const { f, site } = this
    const mayYield = this.control === undefined
    f.get(outcome).i32(HelperOutcome.RESYNC).op(mayYield ? W.i32_ge_u : W.i32_eq).if()
    if (mayYield) {
      f.get(outcome).i32(HelperOutcome.YIELD).op(W.i32_eq).if().get(site.cpu)
      this.nextIp().emit(f)
      f.memory(W.i64_store, Slot.RIP).end()
    }
    f.get(site.cpu).i32(ExitCode.RESYNC).memory(W.i32_store, Slot.EXIT_CODE)
    this.leave()
    f.end()
  }

  /**
   * LOCK: the first write, by compare-and-exchange with what was read; if another thread was faster, the instruction starts again
   * with nothing committed. WebAssembly's atomics must be aligned; the rare unaligned one is a plain store.
   */
  private commitLocked(place: TranslatedPlace, value: Value): void {
    const { f, site } = this
    const old = place.loaded ?? unreachable('LOCK without a read')
    const bytes = place.size / 8
    this.and(place.address, this.i32(bytes - 1)).emit(f)
    f.if()
    place.address.emit(f)
    value.emit(f)
    f.memory(STORES[place.size], 0).else()
    place.address.emit(f)
    old.emit(f)
    value.emit(f)
    f.memory(COMPARE_EXCHANGE[place.size] ?? unreachable('LOCK of this size'), 0, Math.log2(bytes))
    old.emit(f)
    f.op(place.size === 64 ? W.i64_ne : W.i32_ne).if()
    // Scratch is private: no slow store is left behind, because only real memory can lose the race.
    f.get(site.record).op(W.return).end().end()
  }
}
