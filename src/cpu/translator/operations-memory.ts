/** Operands, addresses and memory of translated code: addresses are folded, the TLB's fast path is in line, a miss leaves the region. */
import { immediateRegister } from '../decode/instruction.ts'
import type { OperandSize } from '../decode/instruction.ts'
import { LOADS, STORES } from '../interpreter/emitter-base.ts'
import { operandBits } from '../isa/operands.ts'
import { requiresAlignment } from '../isa/row.ts'
import { carrier } from '../semantics/ops.ts'
import type { Place, Size, Value } from '../semantics/ops.ts'
import { Context, Segment, Slot } from '../state/layout.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import { NotTranslatable, RegionBase } from './operations-base.ts'
import { Parameter } from './parameters.ts'

const { I32, V128 } = ValueType

/** Base register number that stands for RIP. */
const RIP = 16
const PAGE_MASK = -4096n

export abstract class RegionMemory extends RegionBase {
  protected places = new Map<number, Place>()

  // Operands.

  isMemory(n: number): boolean {
    const { method } = this.operands[n]
    if (method === 'M' || method === 'O') return true
    return (method === 'E' || method === 'W' || method === 'Q') && this.instruction.mod !== 3
  }

  operandSize(n: number): Size {
    const spec = this.operands[n]
    return (spec.signExtended === true ? this.size : operandBits(spec, this.instruction)) as Size
  }

  protected defaultSize(n: number): Size { return this.isMmx(n) ? 64 : this.operandSize(n) }
  protected isMmx(n: number): boolean { return 'PQN'.includes(this.operands[n].method) && !this.isMemory(n) }
  protected isVector(n: number): boolean { return 'VWUHLPQN'.includes(this.operands[n].method) }

  rd(n: number, size: Size = this.defaultSize(n)): Value {
    const spec = this.operands[n]
    if (this.isMemory(n)) return this.ldPlace(this.operandPlace(n, size))
    if (spec.method === 'constant') return this.k(spec.constant ?? 0, carrier(size))
    if (spec.method === 'I' || spec.method === 'A') return this.immediate(size)
    const register = this.registerOf(n)
    if (this.isMmx(n)) return this.slotValue(this.mmxOffset(register), size)
    if (this.isVector(n)) return this.partOfVector(register, size)
    return this.partOf(register & (this.isHighByte(n) ? 3 : 15), size as OperandSize, this.isHighByte(n))
  }

  wr(n: number, value: Value, size: Size = this.defaultSize(n)): void {
    if (this.isMemory(n)) return this.stPlace(this.operandPlace(n, size), value)
    const register = this.registerOf(n)
    if (this.isMmx(n)) return this.stageMmx(register, size, value)
    if (this.isVector(n)) return this.stageVector(register, size, value)
    this.stageGeneral(register & (this.isHighByte(n) ? 3 : 15), size as OperandSize, this.isHighByte(n), value)
  }

  rdHigh(n: number): Value {
    if (!this.isMemory(n)) return this.xmmHigh(this.registerOf(n))
    const { address } = this.operandPlace(n, 256)
    return this.let({ type: V128, leaf: false, emit: (f) => { address.emit(f); f.memory(LOADS[128], 16) } })
  }

  wrHigh(n: number, value: Value): void {
    if (!this.isMemory(n)) return this.stageVectorHigh(this.registerOf(n), value)
    const { address } = this.operandPlace(n, 256)
    this.staged.push({ before: (f) => { address.emit(f); value.emit(f) }, after: (f) => { f.memory(STORES[128], 16) } })
  }

  touch(n: number): void { if (this.isMemory(n)) this.operandPlace(n, this.defaultSize(n)) }

  /** Sign and exponent of the x87 register that holds an MMX register become all ones (SDM Vol. 1 §9.5.1). */
  private stageMmx(register: number, size: Size, value: Value): void {
    this.stageSlot(this.mmxOffset(register), size, this.fit(value, carrier(size)))
    this.stageSlot(this.mmxOffset(register) + 8, 16, this.i32(0xffff))
  }

  private immediate(size: Size): Value {
    const { immediate, immediateHigh } = this.instruction
    if (size === 64) return this.i64((BigInt(immediateHigh) << 32n) | BigInt(immediate >>> 0))
    return this.i32(size === 32 ? immediate : immediate & ((1 << size) - 1))
  }

  /** Number of a register operand. */
  protected registerOf(n: number): number {
    const { method, register } = this.operands[n]
    if (register !== undefined) return register
    if (method === 'H' || method === 'B') return this.instruction.vvvv
    if (method === 'L') return immediateRegister(this.instruction)
    return 'GVPSCD'.includes(method) ? this.instruction.reg : this.instruction.rm
  }

  /** AH, CH, DH or BH: byte registers 4 to 7 of an instruction without REX. */
  private isHighByte(n: number): boolean {
    const { type, register } = this.operands[n]
    const number = this.registerOf(n)
    return type === 'b' && register === undefined && !this.instruction.rex && number >= 4 && number < 8
  }

  registerNumber(n: number): Value { return this.i32(this.registerOf(n)) }
  memorySegment(): Value { return this.i32(this.instruction.segment) }
  vectorIndex(): Value { return this.i32(this.instruction.index | this.instruction.scale << 4) }
  immediate2(): Value { return this.i32(this.instruction.immediate2) }

  // Addresses.

  offset(n: number): Value {
    const { base, index, scale, displacement, displacementHigh } = this.instruction
    const constant = (BigInt(displacementHigh) << 32n) | BigInt(displacement >>> 0)
    if (this.operands[n].method === 'O') return this.i64(constant)
    if (base === RIP) return this.wrapAddress(this.codeAddress(this.nextAt + displacement))
    const parts: Value[] = []
    if (base >= 0) parts.push(this.reg(base, 64))
    if (index >= 0) parts.push(this.shl(this.reg(index, 64), this.i64(scale)))
    if (displacement !== 0 || parts.length === 0) parts.push(this.i64(displacement))
    return this.wrapAddress(parts.reduce((sum, part) => this.add(sum, part)))
  }

  /** The next instruction, relative to the anchor. */
  protected get nextAt(): number { return this.placed.at + this.instruction.length }

  linear(n: number): Value { return this.segmentedData(this.offset(n)) }

  wrapAddress(value: Value): Value { return this.address64 ? value : this.zx(value, 32) }
  addressReg(register: number): Value { return this.wrapAddress(this.reg(register, 64)) }
  setAddressReg(register: number, value: Value): void { this.setReg(register, 64, this.wrapAddress(value)) }

  segmented(segment: number, offset: Value): Value {
    return segment >= Segment.FS ? this.add(offset, this.slotValue(Slot.SEGMENT_BASE + segment * 8, 64)) : offset
  }
  segmentedData(offset: Value): Value { return this.segmented(this.instruction.segment, offset) }

  protected writes(n: number): boolean {
    const access = this.placed.definition.access[n]
    return access === 'w' || access === 'rw'
  }

  // Memory.

  protected operandPlace(n: number, part: Size): Place {
    const known = this.places.get(n)
    if (known !== undefined) return known
    const size = this.operandSize(n) === 256 ? 256 : part
    const linear = this.let(this.linear(n))
    if (size >= 128 && this.isVector(n) && requiresAlignment(this.placed.row)) {
      this.exitIf(this.ne(this.and(linear, this.i64(size / 8 - 1)), this.i64(0)))
    }
    const place = this.place(linear, size, this.writes(n) ? 'write' : 'read')
    this.places.set(n, place)
    return place
  }

  place(linear: Value, size: Size, access: 'read' | 'write'): Place {
    const { f } = this
    const table = access === 'read' ? Context.READ_TLB : Context.WRITE_TLB
    const address = this.let(linear)
    const low = this.wrap(address)
    const entry = this.temporary(I32)
    const found = this.temporary(I32)
    this.and(this.shr(low, this.i32(8)), this.i32(0xfff0)).emit(f)
    f.get(Parameter.CONTEXT).op(W.i32_add).set(entry)
    this.exitIf({
      type: I32, leaf: false,
      emit: (g) => {
        g.get(entry).memory(W.i64_load, table)
        this.and(this.add(address, this.i64(size / 8 - 1)), this.i64(PAGE_MASK)).emit(g)
        g.op(W.i64_ne)
      },
    })
    f.get(entry).memory(W.i32_load, table + 8)
    low.emit(f)
    f.op(W.i32_add).set(found)
    return { size, address: this.local(I32, found) }
  }

  ldPlace(place: Place): Value {
    return this.let({
      type: carrier(place.size), leaf: false,
      emit: (f) => { place.address.emit(f); f.memory(LOADS[place.size], 0) },
    })
  }

  stPlace(place: Place, value: Value): void {
    const fitted = value.type === V128 ? value : this.fit(value, carrier(place.size))
    this.staged.push({
      before: (f) => { place.address.emit(f); fitted.emit(f) },
      after: (f) => { f.memory(STORES[place.size], 0) },
    })
  }

  ld(linear: Value, size: Size): Value { return this.ldPlace(this.place(linear, size, 'read')) }
  st(linear: Value, size: Size, value: Value): void { this.stPlace(this.place(linear, size, 'write'), value) }

  /** Repeated string instructions are the interpreter's: it does them a page at a time. */
  copyRun(): Value { throw new NotTranslatable() }
  fillRun(): Value { throw new NotTranslatable() }
}
